//! Hosts of requests, and the hosts that the server answers for.

use graphql_server::net::{AllowedHost, AllowedHosts};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    log::Log,
    test_server::{TestServer, within_deadline},
};

/// Sends bytes and reads until the connection ends.
async fn exchange(server: &TestServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    within_deadline(stream.write_all(request.as_bytes()))
        .await
        .expect("sent");
    let mut answer = String::new();
    within_deadline(stream.read_to_string(&mut answer))
        .await
        .expect("read");
    answer
}

async fn status(server: &TestServer, request: &str) -> u16 {
    let answer = exchange(server, request).await;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{request:?}: {answer:?}"))
}

const QUERY: &str = "/graphql?query=%7Bme%7D";

/// Writes a request for a query with these header lines.
fn get(target: &str, version: &str, hosts: &[&str]) -> String {
    let hosts: Vec<_> = hosts
        .iter()
        .map(|host| format!("Host: {host}\r\n"))
        .collect();
    let hosts = hosts.concat();
    format!("GET {target} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n")
}

#[rstest]
#[case::a_name(&["api.example"])]
#[case::a_port(&["api.example:8443"])]
#[case::an_address(&["10.0.0.7:8080"])]
#[case::an_ipv6_address(&["[2001:db8::7]:8080"])]
#[case::a_name_of_docker(&["my_api"])]
#[tokio::test]
async fn request_for_one_host_is_accepted(#[case] hosts: &[&str]) {
    let server = TestServer::start().await;
    assert_eq!(status(&server, &get(QUERY, "1.1", hosts)).await, 200);
    let absolute = format!("http://{}{QUERY}", hosts[0].to_uppercase());
    assert_eq!(status(&server, &get(&absolute, "1.1", hosts)).await, 200);
}

#[rstest]
#[case::none("/", &[])]
#[case::an_empty_one("/", &[""])]
#[case::two("/", &["a.example", "b.example"])]
#[case::the_same_twice("/", &["a.example", "a.example"])]
#[case::two_in_a_line("/", &["a.example, b.example"])]
#[case::user_information("/", &["user@a.example"])]
#[case::a_password("/", &["user:password@a.example"])]
#[case::a_space("/", &["a example"])]
#[case::a_path("/", &["a.example/graphql"])]
#[case::a_port_that_is_none("/", &["a.example:http"])]
#[case::a_port_beyond_all("/", &["a.example:65536"])]
#[case::a_port_with_a_sign("/", &["a.example:+80"])]
#[case::no_port_after_a_colon("/", &["a.example:"])]
#[case::another_host_in_the_target("http://evil.example/graphql", &["a.example"])]
#[case::another_port_in_the_target("http://a.example:81/graphql", &["a.example"])]
#[case::user_information_in_the_target("http://user@a.example/graphql", &["a.example"])]
#[case::another_scheme_in_the_target("ftp://a.example/graphql", &["a.example"])]
#[case::a_target_alone("http://a.example/graphql", &[])]
#[tokio::test]
async fn request_without_one_clear_host_is_400(#[case] target: &str, #[case] hosts: &[&str]) {
    let server = TestServer::start().await;
    for path in ["/graphql", "/health/live", "/"] {
        let target = if target == "/" { path } else { target };
        assert_eq!(
            status(&server, &get(target, "1.1", hosts)).await,
            400,
            "{path}"
        );
    }
}

#[tokio::test]
async fn http_1_0_request_may_omit_the_host() {
    let server = TestServer::start().await;
    assert_eq!(status(&server, &get(QUERY, "1.0", &[])).await, 200);
    assert_eq!(status(&server, &get(QUERY, "1.0", &["a b"])).await, 400);
}

#[rstest]
#[case::a_length("Content-Length: 5\r\n\r\nhello")]
#[case::chunks("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
#[case::no_chunks("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::a_request_within("Content-Length: 30\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n")]
#[tokio::test]
async fn handshake_with_a_body_is_refused(#[case] rest: &str) {
    let server = TestServer::start().await;
    let answer = exchange(&server, &format!("{HANDSHAKE}{rest}")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("BAD_REQUEST"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn handshake_with_an_empty_body_is_accepted() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let handshake = format!("{HANDSHAKE}Content-Length: 0\r\n\r\n");
    within_deadline(stream.write_all(handshake.as_bytes()))
        .await
        .expect("sent");
    let mut head = [0; 12];
    within_deadline(stream.read_exact(&mut head))
        .await
        .expect("read");
    assert_eq!(&head, b"HTTP/1.1 101");
}

const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: graphql-transport-ws\r\n";

async fn of_two_hosts() -> TestServer {
    TestServer::with(|settings| {
        let hosts = ["api.example", "*.apps.example:8443"];
        settings.allowed_hosts =
            AllowedHosts(hosts.map(|host| AllowedHost::parse(host).unwrap()).into());
    })
    .await
}

#[rstest]
#[case("api.example", 200)]
#[case("API.example:8080", 200)]
#[case("api.example.", 200)]
#[case("api.example.:8080", 200)]
#[case("a.apps.example.:8443", 200)]
#[case("evil.example.", 421)]
#[case("a.apps.example:8443", 200)]
#[case("a.apps.example", 421)]
#[case("apps.example:8443", 421)]
#[case("evil.example", 421)]
#[case("api.example.evil.example", 421)]
#[case("127.0.0.1", 421)]
#[case("api.example@evil.example", 400)]
#[tokio::test]
async fn server_answers_for_allowed_hosts(#[case] host: &str, #[case] expected: u16) {
    let server = of_two_hosts().await;
    for path in [QUERY, "/graphql", "/extra", "/nowhere"] {
        let status = status(&server, &get(path, "1.1", &[host])).await;
        match expected {
            200 => assert!(
                ![400, 421].contains(&status) || path == "/graphql",
                "{path}: {status}"
            ),
            expected => assert_eq!(status, expected, "{path}"),
        }
    }
    let absolute = format!("http://{host}{QUERY}");
    assert_eq!(
        status(&server, &get(&absolute, "1.1", &[host])).await,
        expected
    );
    let handshake = HANDSHAKE.replace("Host: x", &format!("Host: {host}"));
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let sent = within_deadline(stream.write_all(format!("{handshake}\r\n").as_bytes())).await;
    sent.expect("sent");
    let mut head = [0; 12];
    within_deadline(stream.read_exact(&mut head))
        .await
        .expect("read");
    let expected = if expected == 200 { 101 } else { expected };
    assert_eq!(
        String::from_utf8_lossy(&head),
        format!("HTTP/1.1 {expected}")
    );
}

#[tokio::test]
async fn health_checks_accept_any_host() {
    let server = of_two_hosts().await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(
            status(&server, &get(path, "1.1", &["10.1.2.3:8080"])).await,
            200
        );
        assert_eq!(status(&server, &get(path, "1.0", &[])).await, 200);
    }
    assert_eq!(status(&server, &get(QUERY, "1.0", &[])).await, 421);
    assert_eq!(
        status(&server, &get("/health/other", "1.1", &["10.1.2.3"])).await,
        421
    );
}

#[tokio::test]
async fn refused_host_is_logged_once_with_the_setting() {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = of_two_hosts().await;
    for _ in 0..3 {
        let answer = exchange(&server, &get(QUERY, "1.1", &["new.example"])).await;
        assert!(answer.contains("MISDIRECTED_REQUEST"), "{answer}");
        exchange(&server, &get("/health/live", "1.1", &["10.1.2.3"])).await;
    }
    let text = log.text();
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("ALLOWED_HOSTS"))
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("new.example"), "{told:#?}");
}
