//! Mistakes in settings that are easily made: each is told, with the setting's name.

use rstest::rstest;
use tempfile::TempDir;

use crate::settings::{fault, load, load_in_earnest, run_in, stderr};

#[rstest]
#[case("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
#[case("changemechangemechangemechangemechangeme")]
fn a_secret_that_is_easily_guessed_is_too_weak(#[case] secret: &str) {
    let fault = fault(load(&["--demo", &format!("--auth-secret={secret}")]));
    assert!(fault.contains("AUTH_SECRET is too weak"), "{fault}");
    assert!(fault.contains("openssl rand -base64 32"), "{fault}");
    assert!(!fault.contains(secret), "{fault}");
}

#[rstest]
#[case("info", true)]
#[case("OFF", true)]
#[case("3", true)]
#[case("info,,warn", true)]
#[case("intuned_gateway", true)]
#[case("intuned_gateway::operations,hyper,sea_orm_migration", true)]
#[case("anything=debug,[request]=trace,intuned_gateway[{method}]", true)]
#[case("inof", false)]
#[case("info,intuned-gateway", false)]
#[case("warn,operations", false)]
#[case("info,intuned_gateway=inof", false)]
fn a_level_that_is_misspelled_does_not_silence_the_log(
    #[case] filter: &str,
    #[case] accepted: bool,
) {
    let result = load_in_earnest(&[&format!("--rust-log={filter}")]);
    if accepted {
        assert_eq!(result.unwrap().log.filter, filter);
    } else {
        let fault = fault(result);
        assert!(fault.contains("RUST_LOG is"), "{fault}");
    }
}

#[test]
fn what_a_setting_leads_to_is_told_with_its_name() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let missing = directory.path().join("missing.json").display().to_string();
    let no_database = file("no-database", &"no database ".repeat(100));
    let cases = [
        ("LISTEN_ADDR", taken.clone(), taken.as_str()),
        ("TRUSTED_DOCUMENTS", missing.clone(), missing.as_str()),
        ("TRUSTED_DOCUMENTS", file("list.json", "[]"), "list.json"),
        (
            "DATABASE_URL",
            format!("sqlite:{no_database}"),
            "not a database",
        ),
    ];
    for (setting, value, expected) in cases {
        let environment = [("LISTEN_ADDR", "127.0.0.1:0"), (setting, &value)];
        let output = run_in(&directory, &[], &environment);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let message = stderr(&output);
        let told = message.lines().last().unwrap_or_default();
        assert!(
            told.contains(setting) && told.contains(expected),
            "{message}"
        );
    }
}

#[rstest]
#[case("ALLOWED_HOSTS", ",", "write a host such as gateway.example.com")]
#[case("ALLOWED_HOSTS", " , ,", "write a host such as gateway.example.com")]
#[case(
    "ALLOWED_ORIGINS",
    ",",
    "write a web origin such as https://app.example.com"
)]
#[case("TRUSTED_PROXIES", ",", "write an IP address or network")]
#[case(
    "ALLOWED_ORIGINS",
    "http://*",
    "is not a web origin such as https://app.example.com"
)]
#[case("ALLOWED_ORIGINS", "https://*.example.com", "each must be named")]
#[case("HTTPS_PROXY", "nonsense", "http://USER:PASSWORD@HOST:PORT")]
#[case("INTUNED_PROXY", "nonsense", "http://USER:PASSWORD@HOST:PORT")]
#[case("INTUNED_PROXY", "http://*:3128", "http://USER:PASSWORD@HOST:PORT")]
#[case("INTUNED_BASE_URL", "https://*/api", "is not an http or https address")]
#[case(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "http://*:4318",
    "such as http://127.0.0.1:4318"
)]
fn what_names_nothing_is_told_with_what_to_write(
    #[case] setting: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let flag = setting.to_lowercase().replace('_', "-");
    let fault = fault(load_in_earnest(&[&format!("--{flag}={value}")]));
    assert!(
        fault.contains(setting) && fault.contains(expected),
        "{fault}"
    );
}
