//! Settings as an operator meets them: the program itself, with an environment of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    process::{Command, Output},
    time::Duration,
};

use ambient::Random;
use graphql_server::{
    ServerOptions,
    net::{AllowedHost, AllowedHosts},
};
use intuned_client::ApiGeneration;
use intuned_gateway::settings::{self, LogFormat, Settings, SettingsError, Task, Upstream};
use rstest::rstest;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::support::canaries;

/// Part of it is what every test looks for.
pub(crate) const SECRET: &str = "canary-secret-of-32-characters..";

/// Runs the program in an empty directory with this environment and no other.
fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    run_in(&TempDir::new().unwrap(), args, environment)
}

pub(crate) fn run_in(directory: &TempDir, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_intuned-gateway"))
        .args(args)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory.path())
        .output()
        .unwrap();
    canaries::sieve("stdout", &output.stdout);
    canaries::sieve("stderr", &output.stderr);
    canaries::assert_no_leaks();
    output
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The settings that the program complains of before it ends with status 2.
pub(crate) fn complaints(args: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let output = run(args, environment);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty());
    complaints_in(&stderr(&output))
}

pub(crate) fn complaints_in(stderr: &str) -> Vec<String> {
    let faults = stderr.lines().filter_map(|line| line.strip_prefix("  "));
    faults
        .filter(|line| !line.starts_with(' '))
        .map(str::to_owned)
        .collect()
}

/// What the command line alone makes of these flags.
pub(crate) fn load(flags: &[&str]) -> Result<Settings, SettingsError> {
    let args = ["intuned-gateway", "serve"].iter().chain(flags);
    let args: Vec<OsString> = args.map(Into::into).collect();
    match settings::load(args, &Random::from_seed(1))? {
        Task::Serve(settings) => Ok(*settings),
        task => panic!("{task:?}"),
    }
}

/// As [`load`], with all that running in earnest needs.
pub(crate) fn load_in_earnest(flags: &[&str]) -> Result<Settings, SettingsError> {
    let mut all = vec![
        "--intuned-api-key=key",
        "--intuned-workspace-id=workspace",
        "--intuned-project-name=orange hrm",
        "--auth-secret=a secret of thirty-two characters",
    ];
    all.extend(flags);
    load(&all)
}

pub(crate) fn fault(result: Result<Settings, SettingsError>) -> String {
    match result {
        Err(SettingsError::Problems(problems)) => problems.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn help_shows_every_setting_but_no_secret() {
    let output = run(
        &["--help"],
        &[("AUTH_SECRET", "canary"), ("INTUNED_API_KEY", "canary")],
    );
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(!help.contains("canary"));
    for heading in [
        "Intuned:",
        "Database:",
        "Server:",
        "Limits:",
        "Demo mode:",
        "Log:",
    ] {
        assert!(help.contains(heading), "{heading}");
    }
}

#[test]
fn what_is_missing_in_earnest_is_told_at_once() {
    let faults = complaints(&[], &[("INTUNED_API_KEY", "key")]);
    let expected = [
        "INTUNED_WORKSPACE_ID",
        "INTUNED_PROJECT_NAME",
        "AUTH_SECRET",
    ];
    assert_eq!(
        faults,
        expected.map(|setting| format!("{setting} is missing"))
    );
}

#[test]
fn each_fault_says_what_the_setting_is_for_and_where_to_get_it() {
    let message = stderr(&run(&["serve"], &[("INTUNED_API_KEY", "key")]));
    assert!(
        message.contains("Id of the workspace at Intuned"),
        "{message}"
    );
    assert!(message.contains("openssl rand"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let environment = [
        ("INTUNED_API_KEY", "canary\u{1}"),
        ("INTUNED_WORKSPACE_ID", ".."),
        ("INTUNED_PROJECT_NAME", "orange-hrm"),
        ("INTUNED_BASE_URL", "ftp://example.com"),
        ("INTUNED_API", "2"),
        ("INTUNED_REQUEST_TIMEOUT", "0s"),
        ("AUTH_SECRET", "canary"),
        ("SESSION_LIFETIME", "10ms"),
        ("MAX_USER_SESSIONS", "0"),
        ("SIGN_IN_TRIES", "0"),
        ("SIGN_IN_TRIES_PER_CLIENT", "many"),
        ("SIGN_INS_PER_CLIENT", "0"),
        ("SIGN_IN_WINDOW", "1ms"),
        ("CONNECT_TRIES", "-1"),
        ("CONNECT_TRIES_PER_CLIENT", "few"),
        ("CONNECT_WINDOW", "1ms"),
        ("RUN_TRIES", "-1"),
        ("RUN_WINDOW", "0s"),
        ("STATUS_TRIES", "often"),
        ("STATUS_WINDOW", "1ms"),
        ("ALLOW_SIGN_UP", "maybe"),
        ("OIDC_ISSUER", "https://id.example/ or so"),
        ("OIDC_JWKS_URL", "http://id.example/keys"),
        ("OIDC_AUDIENCE", "a\u{1}b"),
        ("DATABASE_URL", "mysql://user:canary@host/name"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("INTUNED_POLL_INTERVAL", "often"),
        ("OPERATION_TIMEOUT", "-1s"),
        ("LEASE", "100ms"),
        ("CLAIMS_TIMEOUT", "1000y"),
        ("INTUNED_PROXY", "socks5://user:canary@host:1"),
        ("ALLOW_USER_PROXY", "perhaps"),
        ("LISTEN_ADDR", "8080"),
        ("METRICS_ADDR", "9464"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("ALLOWED_ORIGINS", "https://a.example,*"),
        ("ALLOWED_HOSTS", "gateway.example,https://gateway.example"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/33"),
        ("GRAPHIQL", "2"),
        ("MAX_DEPTH", "0"),
        ("MAX_BODY_BYTES", "1MiB"),
        ("MAX_RESULT_BYTES", "2MB"),
        ("MAX_BATCH_OPERATIONS", "-1"),
        ("SIMULATOR_DELAY_SCALE", "NaN"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "a=b=c"),
    ];
    let output = run(&[], &environment);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(!message.contains("canary"), "{message}");
    let complained: Vec<_> = complaints_in(&message)
        .iter()
        .filter_map(|fault| fault.split(' ').next().map(str::to_owned))
        .collect();
    for (setting, _) in environment {
        let wrong = setting != "INTUNED_PROJECT_NAME";
        assert_eq!(
            complained.iter().any(|name| name == setting),
            wrong,
            "{setting}: {message}"
        );
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let environment = [
        ("DEMO", "true"),
        ("INTUNED_POLL_INTERVAL", ""),
        ("AUTH_SECRET", "short"),
    ];
    let faults = complaints(&[], &environment);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("AUTH_SECRET is too weak"),
        "{faults:?}"
    );
}

#[rstest]
#[case(&["--webhook-url=https://example.com/hook"], "WEBHOOK_SECRET is missing")]
#[case(&["--webhook-secret=short"], "WEBHOOK_SECRET is too weak")]
#[case(&["--webhook-secret=canary-secret-of-32-characters.."], "WEBHOOK_SECRET does not begin with whsec_")]
#[case(&["--webhook-secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,canary-secret-of-32-characters.."], "whsec_$(printf")]
#[case(&["--webhook-secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa=="], "WEBHOOK_SECRET is too weak")]
#[case(&["--webhook-secret=whsec_!"], "not base64")]
#[case(&["--webhook-secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,"], "Number 2, taken by itself, is too weak")]
#[case(&["--webhook-secret=canary-secret-of-32-characters..,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "Number 1, taken by itself, does not begin with whsec_")]
#[case(&["--webhook-url=example.com"], "WEBHOOK_URL is not an address")]
#[case(&["--webhook-url=https://me:canary@example.com"], "WEBHOOK_URL is not an address")]
#[case(&["--webhook-url=http://example.com/"], "WEBHOOK_URL is plain http")]
#[case(&["--webhook-url=http://example.com/", "--webhook-allow-private"], "WEBHOOK_URL is plain http")]
#[case(&["--webhook-url=http://127.0.0.1/"], "WEBHOOK_URL is plain http")]
#[case(&["--webhook-url=https://127.0.0.1/"], "WEBHOOK_URL is at a private address")]
#[case(&["--webhook-url=https://localhost/"], "WEBHOOK_URL is at a private address")]
#[case(&["--webhook-url=https://[fd00::1]/"], "WEBHOOK_URL is at a private address")]
#[case(&["--audit-retention=1h"], "AUDIT_RETENTION is 1h")]
#[case(&["--operation-retention=24h"], "OPERATION_RETENTION is 24h")]
fn webhooks_go_to_safe_addresses_and_are_signed(#[case] flags: &[&str], #[case] expected: &str) {
    let fault = fault(load_in_earnest(flags));
    assert!(fault.contains(expected), "{fault}");
    assert!(!fault.contains("canary"), "{fault}");
}

#[rstest]
#[case(&["--webhook-url=https://example.com/hook"])]
#[case(&["--webhook-url=http://127.0.0.1:9/", "--webhook-allow-private"])]
#[case(&["--webhook-url=https://10.0.0.1/", "--webhook-allow-private=true"])]
fn webhooks_may_be_set(#[case] flags: &[&str]) {
    let secrets = format!(
        "--webhook-secret=whsec_{}, whsec_{}",
        "A".repeat(43) + "=",
        "A".repeat(32)
    );
    let flags: Vec<&str> = flags.iter().copied().chain([secrets.as_str()]).collect();
    let settings = load_in_earnest(&flags).unwrap();
    let webhooks = settings.records.webhooks.unwrap();
    assert_eq!(webhooks.keys.len(), 2);
    assert!(!format!("{webhooks:?}").contains("hook\""), "{webhooks:?}");
    assert!(load(&[]).unwrap().records.webhooks.is_none());
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_intuned-gateway"))
        .env_clear()
        .env("AUTH_SECRET", OsStr::from_bytes(b"canary\xff"))
        .env("LISTEN_ADDR", OsStr::from_bytes(b"\xff"))
        .current_dir(TempDir::new().unwrap().path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let message = stderr(&output);
    let faults = complaints_in(&message);
    assert_eq!(
        faults,
        ["AUTH_SECRET", "LISTEN_ADDR"].map(|setting| format!("{setting} is not UTF-8 text"))
    );
    assert!(message.contains("Signs session tokens"), "{message}");
    assert!(!message.contains("canary"), "{message}");
}

#[rstest]
#[case("", Some(vec![]))]
#[case("10.0.0.7", Some(vec!["10.0.0.7/32"]))]
#[case(" 10.0.0.0/8, fd00::/8 ,::1,", Some(vec!["10.0.0.0/8", "fd00::/8", "::1/128"]))]
#[case("proxy.example", None)]
#[case("10.0.0.7:80", None)]
#[case("*", None)]
fn proxies_are_addresses_and_networks(#[case] list: &str, #[case] expected: Option<Vec<&str>>) {
    let result = load_in_earnest(&[&format!("--trusted-proxies={list}")]);
    let proxies = result.ok().map(|settings| settings.server.trusted_proxies);
    let shown = proxies.map(|proxies| proxies.0.iter().map(ToString::to_string).collect());
    let expected: Option<Vec<String>> =
        expected.map(|networks| networks.into_iter().map(str::to_owned).collect());
    assert_eq!(shown, expected);
}

#[rstest]
#[case("https://id.example/keys", true)]
#[case("https://id.example/keys?tenant=1", true)]
#[case("http://localhost:8089/keys", true)]
#[case("http://127.0.0.1/keys", true)]
#[case("http://id.example/keys", false)]
#[case("https://user:password@id.example/keys", false)]
#[case("file:///keys", false)]
fn keys_come_from_a_safe_address(#[case] url: &str, #[case] accepted: bool) {
    let (issuer, audience) = (
        "--oidc-issuer=https://id.example/",
        "--oidc-audience=gateway",
    );
    let url = format!("--oidc-jwks-url={url}");
    let result = load_in_earnest(&[issuer, audience, &url]);
    assert_eq!(result.is_ok(), accepted, "{result:?}");
}

#[test]
fn the_settings_of_a_provider_go_together() {
    assert!(load_in_earnest(&[]).unwrap().accounts.provider.is_none());
    let message = fault(load_in_earnest(&["--oidc-audience=gateway"]));
    for missing in ["OIDC_ISSUER is missing", "OIDC_JWKS_URL is missing"] {
        assert!(message.contains(missing), "{message}");
    }
    assert!(!message.contains("OIDC_AUDIENCE is missing"), "{message}");
    assert!(
        !load_in_earnest(&["--allow-sign-up=false"])
            .unwrap()
            .accounts
            .allow_sign_up
    );
}

#[test]
fn the_file_is_read_and_the_environment_wins_over_it() {
    let directory = TempDir::new().unwrap();
    let file = "INTUNED_API_KEY=key\nINTUNED_WORKSPACE_ID=w\nAUTH_SECRET=short\n";
    std::fs::write(directory.path().join(".env"), file).unwrap();
    let output = run_in(&directory, &[], &[("AUTH_SECRET", SECRET)]);
    assert_eq!(output.status.code(), Some(2));
    let faults = complaints_in(&stderr(&output));
    assert_eq!(faults, ["INTUNED_PROJECT_NAME is missing"]);
}

#[test]
fn a_broken_file_is_told_without_repeating_it() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(".env"), "AUTH_SECRET=can ary\n").unwrap();
    let output = run_in(&directory, &["schema"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains(".env") && !message.contains("ary"),
        "{message}"
    );
}

#[test]
fn an_unknown_flag_is_an_error_of_usage() {
    assert_eq!(run(&["--no-such-flag"], &[]).status.code(), Some(2));
    assert_eq!(
        run(&["simulate", "--generation", "3"], &[]).status.code(),
        Some(2)
    );
}

#[test]
fn migrating_makes_the_database_and_may_be_repeated() {
    let directory = TempDir::new().unwrap();
    // Settings of serving do not disturb it.
    let environment = [("INTUNED_API_KEY", "key"), ("LISTEN_ADDR", "nowhere")];
    for _ in 0..2 {
        let output = run_in(&directory, &["migrate"], &environment);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(directory.path().join("data/gateway.sqlite").exists());
}

#[test]
fn a_database_that_cannot_be_made_is_told_in_one_line() {
    let output = run(
        &["migrate"],
        &[("DATABASE_URL", "sqlite:/dev/null/x.sqlite")],
    );
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("/dev/null/x.sqlite"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn the_defaults_in_earnest() {
    let settings = load_in_earnest(&[]).unwrap();
    assert!(!settings.is_demo() && settings.notes.is_empty());
    let Upstream::Intuned(intuned) = settings.upstream else {
        panic!("in earnest")
    };
    assert_eq!(
        intuned.base_url.as_str(),
        "https://app.intuned.io/api/v1/workspace"
    );
    assert_eq!(intuned.project_name, "orange hrm");
    assert_eq!(intuned.api, ApiGeneration::Auto);
    assert_eq!(intuned.request_timeout, Duration::from_secs(30));
    assert_eq!(
        settings.accounts.session_lifetime,
        Duration::from_hours(7 * 24)
    );
    assert_eq!(
        settings.database.url.expose_secret(),
        "sqlite:data/gateway.sqlite"
    );
    assert_eq!(settings.operations.poll_interval, Duration::from_secs(1));
    assert_eq!(settings.operations.timeout, Duration::from_mins(15));
    assert!(settings.operations.proxy.is_none() && !settings.operations.allow_user_proxy);
    assert_eq!(settings.claims.timeout, Duration::from_mins(3));
    assert_eq!(settings.claims.cache, None);
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert!(settings.server.allowed_origins.is_empty());
    assert!(!settings.server.graphiql && !settings.server.introspection);
    assert_eq!(settings.limits, ServerOptions::default());
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.log.filter, "info");
}

#[rstest]
#[case("http://127.0.0.1:9090/api/v1/workspace", true)]
#[case("http://localhost:9090/", true)]
#[case("http://[::1]:9090", true)]
#[case("https://intuned.example/api", true)]
#[case("http://intuned.example/api", false)]
#[case("http://127.0.0.1.example/api", false)]
#[case("http://192.168.0.1/api", false)]
#[case("https://user:password@intuned.example", false)]
#[case("https://intuned.example/?key=1", false)]
#[case("intuned.example", false)]
fn the_api_key_is_not_sent_in_clear(#[case] url: &str, #[case] accepted: bool) {
    let result = load_in_earnest(&[&format!("--intuned-base-url={url}")]);
    assert_eq!(result.is_ok(), accepted, "{result:?}");
}

#[test]
fn sending_it_in_clear_can_be_allowed() {
    let url = "--intuned-base-url=http://simulator:9090/api/v1/workspace/";
    assert!(fault(load_in_earnest(&[url])).contains("INTUNED_ALLOW_HTTP=true"));
    let settings = load_in_earnest(&[url, "--intuned-allow-http"]).unwrap();
    let Upstream::Intuned(intuned) = settings.upstream else {
        panic!("in earnest")
    };
    assert_eq!(
        intuned.base_url.as_str(),
        "http://simulator:9090/api/v1/workspace"
    );
}

#[test]
fn polling_less_often_than_operations_last_is_a_contradiction() {
    let flags = ["--intuned-poll-interval=10s", "--operation-timeout=5s"];
    assert!(fault(load_in_earnest(&flags)).contains("longer than OPERATION_TIMEOUT"));
    load_in_earnest(&["--intuned-poll-interval=10ms", "--operation-timeout=5s"]).unwrap();
}

#[rstest]
#[case("https://app.example.com", Some(vec!["https://app.example.com"]))]
#[case(" https://A.example:443 , http://localhost:5173/,", Some(vec!["https://a.example", "http://localhost:5173"]))]
#[case("", Some(vec![]))]
#[case("*", None)]
#[case("null", None)]
#[case("https://a.example/path", None)]
#[case("https://user@a.example", None)]
#[case("a.example", None)]
fn origins_are_those_that_browsers_send(#[case] list: &str, #[case] expected: Option<Vec<&str>>) {
    let result = load_in_earnest(&[&format!("--allowed-origins={list}")]);
    let origins = result.ok().map(|settings| settings.server.allowed_origins);
    let expected: Option<Vec<_>> = expected.map(|origins| {
        origins
            .into_iter()
            .map(|origin| origin.parse().unwrap())
            .collect()
    });
    assert_eq!(origins, expected);
}

#[rstest]
#[case("http://user:password@proxy.example:3128", true)]
#[case("http://proxy.example:3128/", true)]
#[case("https://proxy.example", true)]
#[case("socks5://proxy.example:1080", false)]
#[case("http://proxy.example/path", false)]
#[case("proxy.example:3128", false)]
fn a_proxy_is_an_http_address(#[case] proxy: &str, #[case] accepted: bool) {
    let result = load_in_earnest(&[&format!("--intuned-proxy={proxy}")]);
    assert_eq!(result.is_ok(), accepted, "{result:?}");
}

#[test]
fn secrets_are_not_printed() {
    let settings = load(&[
        "--intuned-api-key=canary",
        "--intuned-workspace-id=w",
        "--intuned-project-name=p",
        "--auth-secret=canary-secret-of-32-characters..",
        "--database-url=postgres://user:canary@host/name",
        "--intuned-proxy=http://user:canary@host:1",
    ]);
    let printed = format!("{:?}", settings.unwrap());
    assert!(!printed.contains("canary"), "{printed}");
}

#[rstest]
#[case("gateway.example", Some(vec!["gateway.example"]))]
#[case(" Gateway.example:8443, *.example ,10.0.0.7,[::1]:80,", Some(vec!["Gateway.example:8443", "*.example", "10.0.0.7", "[::1]:80"]))]
#[case("", Some(vec![]))]
#[case("*", None)]
#[case("https://gateway.example", None)]
#[case("gateway.example/graphql", None)]
#[case("gateway.example:http", None)]
#[case("b\u{fc}cher.example", None)]
fn hosts_are_names_and_addresses(#[case] list: &str, #[case] expected: Option<Vec<&str>>) {
    let result = load_in_earnest(&[&format!("--allowed-hosts={list}")]);
    let hosts = result.ok().map(|settings| settings.server.allowed_hosts);
    let expected = expected.map(|hosts| {
        let hosts = hosts.into_iter().map(AllowedHost::parse);
        AllowedHosts(hosts.map(Option::unwrap).collect())
    });
    assert_eq!(hosts, expected);
}
