//! Pages of other origins: CORS headers for browsers, and hints for the operator.

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{COOKIE, HeaderMap, ORIGIN},
};
use rstest::rstest;
use serde_json::json;

use crate::{
    log::Log,
    test_accounts::SESSION_COOKIE,
    test_server::{TestServer, within_deadline},
    websocket_client::Client as Socket,
};

const ALLOWED: &str = "https://app.example.com";

async fn open() -> TestServer {
    TestServer::with(|settings| settings.allowed_origins = vec![ALLOWED.parse().expect("a header")])
        .await
}

async fn send(request: RequestBuilder) -> Response {
    within_deadline(request.send()).await.expect("an answer")
}

fn me(server: &TestServer) -> RequestBuilder {
    server.post(&json!({ "query": "{ me }" }))
}

#[rstest]
#[case("https://app.example.com", true)]
#[case("https://app.example.com.evil.example", false)]
#[case("https://evil-app.example.com", false)]
#[case("https://sub.app.example.com", false)]
#[case("https://app.example.co", false)]
#[case("https://app.example.com:8443", false)]
#[case("http://app.example.com", false)]
#[case("https://APP.example.com", false)]
#[case("https://app.example.com/", false)]
#[case("https://app.example.com, https://evil.example", false)]
#[case("null", false)]
#[case("*", false)]
#[case("", false)]
#[tokio::test]
async fn origins_are_compared_as_a_whole(#[case] origin: &str, #[case] allowed: bool) {
    let server = open().await;
    let preflight = Client::new()
        .request(Method::OPTIONS, server.url("/graphql"))
        .header("access-control-request-method", "POST");
    for request in [preflight, me(&server)] {
        let response = within_deadline(request.header(ORIGIN, origin).send()).await;
        let response = response.expect("an answer");
        let headers = response.headers();
        let granted = headers.get("access-control-allow-origin");
        assert_eq!(granted.is_some_and(|granted| granted == origin), allowed);
        assert_eq!(granted.is_some(), allowed);
        // Credentials are never allowed, and a cache must not serve one origin's response to another.
        assert!(!headers.contains_key("access-control-allow-credentials"));
        let vary = headers.get_all("vary").iter();
        let vary: Vec<_> = vary.filter_map(|vary| vary.to_str().ok()).collect();
        assert!(vary.join(",").to_lowercase().contains("origin"), "{vary:?}");
    }
}

#[tokio::test]
async fn only_allowed_origins_get_cors_headers() {
    let server = open().await;
    let preflight = |server: &TestServer, origin: &str| {
        Client::new()
            .request(Method::OPTIONS, server.url("/graphql"))
            .header(ORIGIN, origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };
    let response = within_deadline(preflight(&server, ALLOWED).send())
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-origin"], ALLOWED);
    let response = within_deadline(preflight(&server, "https://evil.example").send())
        .await
        .expect("an answer");
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );

    let closed = TestServer::start().await;
    let response = within_deadline(preflight(&closed, ALLOWED).send())
        .await
        .expect("an answer");
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Sends a browser's preflight for a POST with these headers.
async fn preflight(server: &TestServer, headers: &[&str]) -> HeaderMap {
    let mut request = Client::new()
        .request(Method::OPTIONS, server.url("/graphql"))
        .header(ORIGIN, ALLOWED)
        .header("access-control-request-method", "POST");
    for line in headers {
        request = request.header("access-control-request-headers", *line);
    }
    let response = send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-origin"], ALLOWED);
    response.headers().clone()
}

#[rstest]
#[case::a_fetch(&["content-type"], "content-type")]
#[case::apollo_that_says_who_it_is(
    &["apollographql-client-name,apollographql-client-version,authorization,content-type"],
    "apollographql-client-name,apollographql-client-version,authorization,content-type"
)]
#[case::traces(&["baggage,content-type,sentry-trace,traceparent,tracestate"], "baggage,content-type,sentry-trace,traceparent,tracestate")]
#[case::a_header_of_their_own(&["x-their-own"], "x-their-own")]
#[case::several_lines(&["authorization, content-type", "x-request-id"], "authorization,content-type,x-request-id")]
#[case::the_request_for_a_cookie(&["content-type,x-session"], "content-type")]
#[case::however_it_is_written(&["X-Session , content-type", "X-SESSION"], "content-type")]
#[case::and_nothing_else(&["x-session"], "")]
#[case::nothing(&[], "")]
#[tokio::test]
async fn allowed_page_may_send_any_header_but_same_origin_ones(
    #[case] asked: &[&str],
    #[case] expected: &str,
) {
    let headers = preflight(&open().await, asked).await;
    let allowed = headers.get("access-control-allow-headers");
    let allowed = allowed.map_or("", |value| value.to_str().expect("text"));
    assert_eq!(allowed, expected);
    let vary = headers.get_all("vary").iter();
    let vary: Vec<_> = vary.filter_map(|vary| vary.to_str().ok()).collect();
    let vary = vary.join(",").to_lowercase();
    assert!(vary.contains("access-control-request-headers"), "{vary}");
}

#[tokio::test]
async fn allowed_page_may_read_request_id_and_retry_after() {
    let server = open().await;
    let response = send(me(&server).header(ORIGIN, ALLOWED)).await;
    let exposed = &response.headers()["access-control-expose-headers"];
    assert_eq!(exposed, "x-request-id,retry-after");
}

fn logged() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[rstest]
#[case::where_some_are_allowed(open())]
#[case::where_none_is(TestServer::start())]
#[tokio::test]
async fn refused_origin_is_logged_once_with_the_setting(
    #[future(awt)]
    #[case]
    server: TestServer,
) {
    let (log, _guard) = logged();
    for _ in 0..3 {
        send(me(&server).header(ORIGIN, "https://new.example.com")).await;
        let with_cookie = me(&server).header(COOKIE, SESSION_COOKIE);
        send(with_cookie.header(ORIGIN, "chrome-extension://abc\"\u{202e}")).await;
    }
    let preflight = Client::new().request(Method::OPTIONS, server.url("/graphql"));
    send(preflight.header(ORIGIN, "https://new.example.com")).await;
    let text = log.text();
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("ALLOWED_ORIGINS"))
        .collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("https://new.example.com"), "{told:#?}");
    assert!(told[1].contains(r"chrome-extension://abc"), "{told:#?}");
    assert!(!told[1].contains('\u{202e}'), "{told:#?}");
}

#[tokio::test]
async fn many_refused_origins_are_logged_a_few_times() {
    let (log, _guard) = logged();
    let server = open().await;
    for number in 0..50 {
        let origin = format!("https://{number}.{}.example", "x".repeat(5000));
        send(me(&server).header(ORIGIN, origin)).await;
    }
    let text = log.text();
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("ALLOWED_ORIGINS"))
        .collect();
    assert!((1..10).contains(&told.len()), "{}", told.len());
    assert!(told.iter().all(|line| line.len() < 1000), "{told:#?}");
}

#[tokio::test]
async fn accepted_origins_are_not_logged() {
    let (log, _guard) = logged();
    let server = open().await;
    let own = format!("http://{}", server.address);
    send(me(&server).header(ORIGIN, ALLOWED)).await;
    send(me(&server).header(ORIGIN, own)).await;
    send(me(&server)).await;
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("origin", "https://elsewhere.example"),
    ];
    Socket::handshake(&server, &headers)
        .await
        .expect("a socket");
    assert!(!log.text().contains("ALLOWED_ORIGINS"), "{}", log.text());
}
