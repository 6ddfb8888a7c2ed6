//! The gateway's own way out: a proxy, and authorities that are trusted in the place of the system's.

use std::{fs, net::SocketAddr, sync::Arc};

use ambient::Random;
use intuned_client::IntunedClient;
use intuned_gateway::settings::{Settings, Upstream};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    intuned_support::Noon,
    settings::{complaints, fault, load_in_earnest},
    support::{
        API_KEY, Api, Backend, Collector, Process, Receiver, Setup, TestApp, WEBHOOK_SECRET,
        canaries, eventually,
        identity_provider::{IdentityProvider, Key},
        process,
        tls::{Authority, ConnectProxy},
    },
};

/// `user:canary-proxy`, as a header has it.
const CREDENTIALS: &str = "Basic dXNlcjpjYW5hcnktcHJveHk=";

fn address(url: &str) -> SocketAddr {
    let url: url::Url = url.parse().unwrap();
    url.socket_addrs(|| None).unwrap()[0]
}

fn proxy_url(proxy: &ConnectProxy) -> String {
    format!("http://user:canary-proxy@{}", proxy.address)
}

/// A client of the settings that these flags make.
fn client(flags: &[&str]) -> IntunedClient {
    let Upstream::Intuned(mut config) = load_in_earnest(flags).unwrap().upstream else {
        panic!("in earnest")
    };
    config.api_key = API_KEY.into();
    IntunedClient::new(config, Arc::new(Noon), Random::from_seed(1)).unwrap()
}

/// A gateway in a process of its own: Intuned has a name that only the proxy knows, and a certificate that
/// only the file vouches for.
#[tokio::test]
async fn intuned_is_reached_through_the_proxy_with_an_authority_of_ones_own() {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    let authority = Authority::new();
    let simulator = address(app.config.intuned.base_url.as_str());
    let front = authority.front(&["intuned.test"], simulator).await;
    let proxy = ConnectProxy::start(&[("intuned.test:443", front)]).await;
    let path = app.config.intuned.base_url.path();
    let base_url = format!("https://intuned.test{path}");
    let mut settings = process::settings("sqlite:gateway.sqlite", &base_url, API_KEY);
    settings.extend([
        ("https_proxy", proxy_url(&proxy)),
        ("SSL_CERT_FILE", authority.file().display().to_string()),
        ("RUST_LOG", "trace".to_owned()),
    ]);
    let mut gateway = Process::spawn(&settings);
    let user = Api::new(&gateway.ready().await)
        .sign_up("a@example.com")
        .await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    for (target, credentials) in asked {
        assert_eq!(target, "intuned.test:443");
        assert_eq!(credentials.as_deref(), Some(CREDENTIALS));
    }
    let log = gateway.log();
    assert!(
        !log.contains("canary-proxy") && !log.contains(CREDENTIALS),
        "{log}"
    );
    gateway.stop().await;
    app.finish().await;
}

#[rstest]
#[case::no_list("", true)]
#[case::others("example.com,10.0.0.0/8,.test", true)]
#[case::with_a_port("127.0.0.1:PORT", true)]
#[case::address("127.0.0.1", false)]
#[case::network("10.0.0.0/8, 127.0.0.0/8", false)]
#[case::everything("*", false)]
#[tokio::test]
async fn what_the_list_has_is_asked_straight(#[case] list: &str, #[case] through_proxy: bool) {
    let app = TestApp::start(Backend::Sqlite).await;
    let authority = Authority::new();
    let simulator = address(app.config.intuned.base_url.as_str());
    let front = authority.front(&["127.0.0.1"], simulator).await;
    let proxy = ConnectProxy::start(&[(&front.to_string(), front)]).await;
    let list = list.replace("PORT", &front.port().to_string());
    let client = client(&[
        &format!(
            "--intuned-base-url=https://{front}{}",
            app.config.intuned.base_url.path()
        ),
        &format!("--https-proxy={}", proxy_url(&proxy)),
        &format!("--no-proxy={list}"),
        &format!("--ssl-cert-dir={}", authority.directory().display()),
    ]);
    assert_eq!(client.auth_session_status("none").await, Ok(None));
    assert_eq!(
        proxy.asked().len(),
        usize::from(through_proxy),
        "{:?}",
        proxy.asked()
    );
    app.finish().await;
}

#[rstest]
#[case("localhost", false)]
#[case(".localhost", false)]
#[case("*.localhost", false)]
#[case("LocalHost", false)]
#[case("host", true)]
#[tokio::test]
async fn names_in_the_list_stand_for_hosts(#[case] list: &str, #[case] through_proxy: bool) {
    let authority = Authority::new();
    let app = TestApp::start(Backend::Sqlite).await;
    let simulator = address(app.config.intuned.base_url.as_str());
    let front = authority.front(&["localhost"], simulator).await;
    let target = format!("localhost:{}", front.port());
    let proxy = ConnectProxy::start(&[(&target, front)]).await;
    let client = client(&[
        &format!(
            "--intuned-base-url=https://{target}{}",
            app.config.intuned.base_url.path()
        ),
        &format!("--https-proxy={}", proxy.address),
        &format!("--no-proxy={list}"),
        &format!("--ssl-cert-file={}", authority.file().display()),
    ]);
    assert_eq!(client.auth_session_status("none").await, Ok(None));
    assert_eq!(!proxy.asked().is_empty(), through_proxy);
    app.finish().await;
}

#[tokio::test]
async fn an_authority_that_is_not_named_is_not_trusted() {
    let app = TestApp::start(Backend::Sqlite).await;
    let simulator = address(app.config.intuned.base_url.as_str());
    let (authority, other) = (Authority::new(), Authority::new());
    let front = authority.front(&["127.0.0.1"], simulator).await;
    let client = client(&[
        &format!("--intuned-base-url=https://{front}/"),
        &format!("--ssl-cert-file={}", other.file().display()),
        "--ssl-cert-dir=",
    ]);
    let refused = client.auth_session_status("none").await;
    assert!(refused.is_err(), "{refused:?}");
    app.finish().await;
}

/// The settings of a gateway with this provider.
fn with_provider(jwks_url: &str, provider: &IdentityProvider, flags: &[&str]) -> Settings {
    let mut all = vec![
        format!("--oidc-issuer={}", provider.issuer()),
        format!("--oidc-audience={}", provider.config().audience),
        format!("--oidc-jwks-url={jwks_url}"),
    ];
    all.extend(flags.iter().copied().map(str::to_owned));
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    load_in_earnest(&all).unwrap()
}

#[tokio::test]
async fn the_identity_provider_is_reached_the_same_way() {
    let key = Key::ec("e");
    let provider = IdentityProvider::start(&[&key]).await;
    let authority = Authority::new();
    let plain = provider.config().jwks_url;
    let front = authority.front(&["id.test"], address(plain.as_str())).await;
    let proxy = ConnectProxy::start(&[("id.test:443", front)]).await;
    let settings = with_provider(
        "https://id.test/keys",
        &provider,
        &[
            &format!("--https-proxy={}", proxy_url(&proxy)),
            &format!("--ssl-cert-file={}", authority.file().display()),
        ],
    );
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.config.accounts.provider = settings.accounts.provider;
    app.restart().await;
    let user = app.api.signed_in(&key.sign(&provider.claims("ada")));
    let me = user.data("{ me { id } }", json!({})).await;
    assert!(me["me"]["id"].is_string(), "{me}");
    assert_eq!(
        proxy.asked(),
        [("id.test:443".to_owned(), Some(CREDENTIALS.to_owned()))]
    );
    app.finish().await;
}

#[tokio::test]
async fn webhooks_go_through_no_proxy_and_trust_the_same_authorities() {
    let receiver = Receiver::start().await;
    let authority = Authority::new();
    let front = authority
        .front(&["127.0.0.1"], address(&receiver.url))
        .await;
    let proxy = ConnectProxy::start(&[]).await;
    let settings = load_in_earnest(&[
        &format!("--webhook-url=https://{front}/hook"),
        &format!("--webhook-secret={WEBHOOK_SECRET}"),
        "--webhook-allow-private",
        &format!("--https-proxy={}", proxy_url(&proxy)),
        &format!("--ssl-cert-file={}", authority.file().display()),
    ]);
    let setup = Setup {
        webhooks: settings.unwrap().records.webhooks,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    app.user("a@example.com")
        .await
        .connect("Admin", "admin123")
        .await;
    receiver.until(1).await;
    assert!(proxy.asked().is_empty());
    app.finish().await;
}

/// The exporter of traces has no eye of its own on the environment.
#[tokio::test]
async fn traces_go_straight_to_a_collector_on_http() {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    let (collector, tracing) = Collector::start().await;
    let proxy = ConnectProxy::start(&[]).await;
    let base_url = app.config.intuned.base_url.as_str();
    let mut settings = process::settings("sqlite:gateway.sqlite", base_url, API_KEY);
    settings.extend(tracing);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        settings.push((name, proxy_url(&proxy)));
    }
    let mut gateway = Process::spawn(&settings);
    Api::new(&gateway.ready().await)
        .sign_up("a@example.com")
        .await;
    eventually("spans have come", async || !collector.spans().is_empty()).await;
    let told = gateway.log();
    assert!(told.contains("ALL_PROXY is set, and not used"), "{told}");
    gateway.stop().await;
    assert!(proxy.asked().is_empty());
    app.finish().await;
}

#[rstest]
#[case("HTTPS_PROXY", "socks5://user:canary@proxy.test:1080")]
#[case("https_proxy", "socks5://user:canary@proxy.test:1080")]
#[case("HTTPS_PROXY", "http://user:canary@proxy.test:port")]
#[case("HTTPS_PROXY", "http://user:canary@proxy.test/path")]
#[case("HTTPS_PROXY", "http://user:can/ary@proxy.test")]
fn a_proxy_that_is_none_is_named_and_not_repeated(#[case] variable: &str, #[case] value: &str) {
    let faults = complaints(&[], &[("DEMO", "true"), (variable, value)]);
    let expected = "HTTPS_PROXY is not a proxy's address, http://USER:PASSWORD@HOST:PORT";
    assert_eq!(faults, [expected]);
}

#[test]
fn a_proxy_is_no_part_of_what_is_printed() {
    let settings = load_in_earnest(&["--https-proxy=http://user:canary-proxy@proxy.test:3128"]);
    canaries::sieve(
        "the settings",
        format!("{:?}", settings.unwrap()).as_bytes(),
    );
    canaries::assert_no_leaks();
}

#[test]
fn an_entry_that_counts_for_nothing_is_noted() {
    let settings = load_in_earnest(&[
        "--https-proxy=http://proxy.test:3128",
        "--no-proxy=a.test:8443,b.test",
    ]);
    let notes = settings.unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("\"a.test:8443\"")),
        "{notes:?}"
    );
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("no.pem"), "no certificate").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(path("broken.pem"), broken).unwrap();
    fs::create_dir(path("empty")).unwrap();
    for (setting, value, expected) in [
        (
            "SSL_CERT_FILE",
            path("missing"),
            "cannot be read: No such file",
        ),
        ("SSL_CERT_FILE", path(""), "cannot be read: "),
        ("SSL_CERT_FILE", path("no.pem"), "has no certificate"),
        ("SSL_CERT_FILE", path("broken.pem"), "has no certificate"),
        ("SSL_CERT_FILE", String::new(), "is empty"),
        (
            "SSL_CERT_DIR",
            path("missing"),
            "cannot be read: No such file",
        ),
        (
            "SSL_CERT_DIR",
            path("no.pem"),
            "cannot be read: Not a directory",
        ),
        ("SSL_CERT_DIR", path("empty"), "has no certificate"),
    ] {
        let faults = complaints(&[], &[("DEMO", "true"), (setting, &value)]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(setting), "{faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
    }
    let flag = format!("--ssl-cert-file={}", path("missing"));
    assert!(fault(load_in_earnest(&[&flag])).contains("SSL_CERT_FILE"));
}
