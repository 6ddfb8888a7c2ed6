//! Sessions of browsers: the cookie, and who may use it.

use graphql_server::ServerOptions;
use intuned_gateway::api::authentication::session_token;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, COOKIE, HeaderMap, ORIGIN, SET_COOKIE},
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::{Backend, Setup, TestApp},
    test_accounts::BOB,
    test_server::{TestServer, within_deadline},
    websocket_client::Client,
};

/// The cookie of Alice's browser.
const SESSION_COOKIE: &str = "intuned_gateway_session=alice-token";

const PLAIN: &str = "intuned_gateway_session";
const SECURE: &str = "__Host-intuned_gateway_session";
const SIGN_UP: &str =
    "mutation($input: SignUpInput!) { signUp(input: $input) { token user { email } } }";
const SIGN_IN: &str = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";

fn alice() -> String {
    Uuid::from_u128(1).to_string()
}

/// The server with the rule of the gateway's own cookie.
async fn server(change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    TestServer::with_credentials(session_token, change).await
}

async fn send(request: RequestBuilder) -> Response {
    within_deadline(request.send()).await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    within_deadline(response.json()).await.expect("JSON")
}

fn me(server: &TestServer) -> RequestBuilder {
    server.post(&json!({ "query": "{ me }" }))
}

#[rstest]
#[case::own_page(&[("origin", "own"), ("sec-fetch-site", "same-origin")], true)]
#[case::allowed_page(&[("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")], true)]
#[case::no_browser(&[], true)]
#[case::get_of_own_page(&[("sec-fetch-site", "same-origin")], true)]
#[case::typed_address(&[("sec-fetch-site", "none")], true)]
#[case::foreign_page(&[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")], false)]
#[case::old_browser(&[("origin", "https://evil.example")], false)]
#[case::sandboxed_page(&[("origin", "null")], false)]
#[case::neighbour(&[("sec-fetch-site", "same-site")], false)]
#[case::link(&[("sec-fetch-site", "cross-site")], false)]
#[tokio::test]
async fn only_pages_of_ours_use_the_cookie(
    #[case] headers: &[(&'static str, &str)],
    #[case] welcome: bool,
) {
    let server = server(|settings| {
        settings.allowed_origins = vec!["https://app.example.com".parse().expect("a header")];
    })
    .await;
    let own = format!("http://{}", server.address);
    let get = reqwest::Client::new().get(server.get_url(&[("query", "{ me }")]));
    for mut request in [me(&server), get] {
        let cookies = format!("{SESSION_COOKIE}; {SECURE_COOKIE}");
        request = request.header(COOKIE, cookies);
        for (name, value) in headers {
            request = request.header(*name, if *value == "own" { &own } else { *value });
        }
        let response = send(request).await;
        if welcome {
            assert_eq!(json_of(response).await["data"]["me"], alice());
        } else {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let code = &json_of(response).await["errors"][0]["extensions"]["code"];
            assert_eq!(code, "FORBIDDEN");
        }
    }
}

#[tokio::test]
async fn a_foreign_page_without_a_session_of_ours_is_a_caller_like_any_other() {
    let server = server(|_| {}).await;
    let foreign = me(&server).header(ORIGIN, "https://evil.example");
    let response = send(foreign.header(COOKIE, "theme=dark")).await;
    assert_eq!(json_of(response).await["data"]["me"], Value::Null);
}

#[rstest]
#[case::a_header(SESSION_COOKIE, Some(format!("Bearer {BOB}")), Some(2))]
#[case::a_header_that_is_none(SESSION_COOKIE, Some("Basic YTpi".to_owned()), None)]
#[case::the_secure_one(
    "intuned_gateway_session=bob-token; __Host-intuned_gateway_session=alice-token",
    None,
    Some(1)
)]
#[case::among_others("a=b; intuned_gateway_session=alice-token; c=d", None, Some(1))]
#[case::empty("intuned_gateway_session=", None, None)]
#[case::unknown("intuned_gateway_session=nobody", None, None)]
#[case::broken("=;;intuned_gateway_session", None, None)]
#[tokio::test]
async fn the_header_comes_before_the_cookies(
    #[case] cookies: &str,
    #[case] authorization: Option<String>,
    #[case] user: Option<u128>,
) {
    let server = server(|_| {}).await;
    let mut request = me(&server).header(COOKIE, cookies);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let expected = user.map(|user| Uuid::from_u128(user).to_string());
    assert_eq!(
        json_of(send(request).await).await["data"]["me"],
        json!(expected)
    );
}

/// A cookie of Alice's, and one of Bob's beside it.
const SECURE_COOKIE: &str = "__Host-intuned_gateway_session=alice-token";
const BOTH_COOKIES: &str =
    "intuned_gateway_session=bob-token; __Host-intuned_gateway_session=alice-token";

#[rstest]
// The page says so.
#[case::https_plain(&[("origin", "https://gateway.test")], SESSION_COOKIE, None)]
#[case::https_secure(&[("origin", "https://gateway.test")], SECURE_COOKIE, Some(1))]
#[case::https_both(&[("origin", "https://gateway.test")], BOTH_COOKIES, Some(1))]
#[case::https_default_port(&[("origin", "https://gateway.test"), ("host", "gateway.test:443")], SECURE_COOKIE, Some(1))]
#[case::http_plain(&[("origin", "http://gateway.test")], SESSION_COOKIE, Some(1))]
#[case::http_secure(&[("origin", "http://gateway.test")], SECURE_COOKIE, None)]
#[case::http_both(&[("origin", "http://gateway.test")], BOTH_COOKIES, Some(2))]
#[case::allowed_https(&[("origin", "https://app.example.com")], SESSION_COOKIE, None)]
#[case::allowed_https_secure(&[("origin", "https://app.example.com")], SECURE_COOKIE, Some(1))]
// No page says anything; browsers do, where they came over https.
#[case::no_browser(&[], SESSION_COOKIE, Some(1))]
#[case::no_browser_secure(&[], SECURE_COOKIE, Some(1))]
#[case::no_browser_both(&[], BOTH_COOKIES, Some(1))]
#[case::fetch(&[("sec-fetch-site", "same-origin")], SESSION_COOKIE, None)]
#[case::fetch_secure(&[("sec-fetch-site", "same-origin")], SECURE_COOKIE, Some(1))]
#[case::typed(&[("sec-fetch-site", "none")], SESSION_COOKIE, None)]
#[case::referred(&[("referer", "https://gateway.test/")], SESSION_COOKIE, None)]
#[case::referred_plain(&[("referer", "http://gateway.test/")], SESSION_COOKIE, Some(1))]
// A proxy in front that does not pass the host on.
#[case::another_host(&[("origin", "https://app.example.com"), ("host", "localhost:8080")], SESSION_COOKIE, None)]
#[case::another_host_both(&[("origin", "https://app.example.com"), ("host", "10.0.0.7:8080")], BOTH_COOKIES, Some(1))]
#[case::another_host_fetch(&[("sec-fetch-site", "same-origin"), ("host", "127.0.0.1:8080")], SESSION_COOKIE, None)]
#[case::another_host_fetch_secure(&[("sec-fetch-site", "same-origin"), ("host", "127.0.0.1:8080")], SECURE_COOKIE, Some(1))]
#[case::another_host_typed(&[("sec-fetch-site", "none"), ("host", "a.localhost:8080")], SESSION_COOKIE, None)]
#[case::another_host_referred(&[("referer", "https://app.example.com/"), ("host", "127.0.0.1:8080")], SESSION_COOKIE, None)]
#[case::another_host_proxied(&[("x-forwarded-proto", "https"), ("host", "127.0.0.1:8080")], BOTH_COOKIES, Some(1))]
#[case::another_host_proxied_plain(&[("x-forwarded-proto", "https"), ("host", "127.0.0.1:8080")], SESSION_COOKIE, None)]
// A proxy says so.
#[case::proxied(&[("x-forwarded-proto", "https")], SESSION_COOKIE, None)]
#[case::proxied_secure(&[("x-forwarded-proto", "https")], SECURE_COOKIE, Some(1))]
#[case::proxied_http(&[("x-forwarded-proto", "http")], SESSION_COOKIE, Some(1))]
#[case::two_proxies(&[("x-forwarded-proto", "https"), ("origin", "https://gateway.test")], BOTH_COOKIES, Some(1))]
#[case::inner_proxy(&[("x-forwarded-proto", "http"), ("origin", "https://gateway.test")], SECURE_COOKIE, Some(1))]
#[case::inner_proxy_plain(&[("x-forwarded-proto", "http"), ("origin", "https://gateway.test")], SESSION_COOKIE, None)]
// A browser has one of a name.
#[case::two_secure(&[], "__Host-intuned_gateway_session=alice-token; __Host-intuned_gateway_session=bob-token", None)]
#[case::twice_the_same(&[], "intuned_gateway_session=alice-token; intuned_gateway_session=alice-token", Some(1))]
#[case::two_plain(&[], "intuned_gateway_session=alice-token; intuned_gateway_session=bob-token", None)]
#[case::beside_an_odd_one(&[], "theme=\u{fc}; intuned_gateway_session=alice-token", Some(1))]
#[case::a_blank_that_is_none(&[("origin", "https://gateway.test")], "\u{2003}__Host-intuned_gateway_session=bob-token", None)]
#[tokio::test]
async fn over_https_only_the_secure_cookie_counts(
    #[case] headers: &[(&'static str, &str)],
    #[case] cookies: &str,
    #[case] user: Option<u128>,
) {
    let server = server(|settings| {
        settings.allowed_origins = vec!["https://app.example.com".parse().expect("a header")];
        settings.trusted_proxies.0 = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let expected = json!(user.map(|user| Uuid::from_u128(user).to_string()));
    let get = || reqwest::Client::new().get(server.get_url(&[("query", "{ me }")]));
    for mut request in [
        me(&server),
        get(),
        get().header(ACCEPT, "text/event-stream"),
    ] {
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "gateway.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(request.header(COOKIE, cookies.as_bytes())).await;
        assert_eq!(response.status(), StatusCode::OK);
        let text = within_deadline(response.text()).await.expect("a body");
        assert!(
            text.contains(&format!(r#"{{"data":{{"me":{expected}}}}}"#)),
            "{text}"
        );
    }
}

/// Browsers send `Sec-Fetch-Site` there over plain http, too.
#[rstest]
#[case::none_allowed(&[], true)]
#[case::one_over_http(&["https://app.example.com", "http://localhost:5173"], true)]
#[case::all_over_https(&["https://app.example.com", "https://staff.example.com"], false)]
#[tokio::test]
async fn on_this_machine_the_plain_cookie_counts_unless_all_known_origins_are_https(
    #[case] allowed: &'static [&'static str],
    #[case] counts: bool,
    #[values("localhost:8080", "a.localhost:8080", "127.0.0.1:8080", "[::1]:8080")] host: &str,
) {
    let server = server(|settings| {
        let allowed = allowed.iter().map(|origin| origin.parse());
        settings.allowed_origins = allowed.collect::<Result<_, _>>().expect("headers");
    })
    .await;
    let request = reqwest::Client::new().get(server.get_url(&[("query", "{ me }")]));
    let request = request.header("host", host).header(COOKIE, SESSION_COOKIE);
    let response = send(request.header("sec-fetch-site", "same-origin")).await;
    let expected = json!(counts.then(alice));
    assert_eq!(json_of(response).await["data"]["me"], expected);
}

#[rstest]
#[case(SESSION_COOKIE, None)]
#[case(SECURE_COOKIE, Some(1))]
#[case(BOTH_COOKIES, Some(1))]
#[tokio::test]
async fn a_socket_over_https_has_the_secure_cookie_alone(
    #[case] cookies: &str,
    #[case] user: Option<u128>,
) {
    let server = server(|_| {}).await;
    let own = format!("https://{}", server.address);
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("origin", &own),
        ("cookie", cookies),
    ];
    let mut socket = Client::handshake(&server, &headers)
        .await
        .expect("a socket");
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket.subscribe("1", "{ me }").await;
    let expected = json!(user.map(|user| Uuid::from_u128(user).to_string()));
    assert_eq!(socket.next().await["payload"]["data"]["me"], expected);
}

#[rstest]
#[case::an_extension(&[("origin", "chrome-extension://gateway.test")])]
#[case::another_scheme(&[("origin", "ftp://gateway.test")])]
#[case::a_socket_for_a_page(&[("origin", "wss://gateway.test")])]
#[case::capitals(&[("origin", "HTTPS://gateway.test")])]
#[case::no_scheme(&[("origin", "//gateway.test")])]
#[case::a_file(&[("origin", "file://gateway.test")])]
#[case::nowhere(&[("origin", "null")])]
#[case::a_user(&[("origin", "https://user@gateway.test")])]
#[case::a_path(&[("origin", "https://gateway.test/")])]
#[case::another_port(&[("origin", "https://gateway.test:8443")])]
#[case::two(&[("origin", "https://gateway.test"), ("origin", "https://gateway.test")])]
#[case::from_http_to_https(&[("origin", "http://gateway.test"), ("x-forwarded-proto", "https")])]
#[case::from_http_to_https_without_a_proxy(&[("origin", "http://gateway.test"), ("sec-fetch-site", "cross-site")])]
#[case::as_old_browsers_see_it(&[("origin", "http://gateway.test"), ("sec-fetch-site", "same-site")])]
#[tokio::test]
async fn no_other_scheme_is_ours(#[case] headers: &[(&'static str, &str)]) {
    let server = server(|settings| {
        settings.trusted_proxies.0 = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    for cookies in [SESSION_COOKIE, SECURE_COOKIE] {
        let mut request = me(&server)
            .header("host", "gateway.test")
            .header(COOKIE, cookies);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(
            send(request).await.status(),
            StatusCode::FORBIDDEN,
            "{cookies}"
        );
    }
}

#[tokio::test]
async fn a_stranger_is_not_asked_whether_it_is_https() {
    let server = server(|_| {}).await;
    let request = me(&server).header(COOKIE, SESSION_COOKIE);
    let response = send(request.header("x-forwarded-proto", "https")).await;
    assert_eq!(json_of(response).await["data"]["me"], alice());
}

#[tokio::test]
async fn event_streams_and_sockets_use_the_cookie() {
    let server = server(|_| {}).await;
    let request = me(&server).header(COOKIE, SESSION_COOKIE);
    let response = send(request.header(ACCEPT, "text/event-stream")).await;
    let text = within_deadline(response.text()).await.expect("a body");
    assert!(text.contains(&alice()), "{text}");

    let own = format!("http://{}", server.address);
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("origin", &own),
        ("cookie", SESSION_COOKIE),
    ];
    let mut socket = Client::handshake(&server, &headers)
        .await
        .expect("a socket");
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket.subscribe("1", "{ me }").await;
    assert_eq!(socket.next().await["payload"]["data"]["me"], alice());

    server.accounts.end_sessions();
    assert_eq!(socket.next().await["type"], "complete");
    assert_eq!(socket.closed().await.0, 4403);
}

/// A browser's page at a gateway.
struct Page<'a> {
    app: &'a TestApp,
    origin: &'static str,
    cookie: Option<String>,
}

impl Page<'_> {
    async fn send(&self, query: &str, variables: &Value, wants_cookie: bool) -> (HeaderMap, Value) {
        let mut request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client")
            .post(&self.app.api.url)
            .header("host", self.origin.rsplit('/').next().expect("a host"))
            .header(ORIGIN, self.origin)
            .json(&json!({ "query": query, "variables": variables }));
        if wants_cookie {
            request = request.header("x-session", "cookie");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = send(request).await;
        (response.headers().clone(), json_of(response).await)
    }

    async fn who(&self) -> Value {
        let (_, answer) = self.send("{ me { email } }", &json!({}), false).await;
        answer["data"]["me"]["email"].clone()
    }
}

fn set_cookies(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(SET_COOKIE).iter();
    values.map(|value| value.to_str().expect("text")).collect()
}

#[rstest]
#[case("http://gateway.test", PLAIN, false)]
#[case("https://gateway.test", SECURE, true)]
#[tokio::test]
async fn a_session_is_kept_in_a_cookie_until_it_ends(
    #[case] origin: &'static str,
    #[case] name: &str,
    #[case] secure: bool,
) {
    let app = TestApp::start(Backend::Sqlite).await;
    let mut page = Page {
        app: &app,
        origin,
        cookie: None,
    };
    let input = json!({ "input": { "email": "a@example.com", "password": "correct horse" } });
    for query in [SIGN_UP, SIGN_IN] {
        page.cookie = None;
        let (headers, answer) = page.send(query, &input, true).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let cookies = set_cookies(&headers);
        let [cookie] = cookies[..] else {
            panic!("{cookies:?}");
        };
        let (pair, attributes) = cookie.split_once("; ").expect("attributes");
        assert_eq!(pair.split_once('=').expect("a value").0, name);
        let attributes: Vec<&str> = attributes.split("; ").collect();
        for expected in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(attributes.contains(&expected), "{expected}: {attributes:?}");
        }
        assert_eq!(attributes.contains(&"Secure"), secure);
        assert!(attributes.iter().any(|each| each.starts_with("Expires=")));
        assert!(!attributes.iter().any(|each| each.starts_with("Domain")));
        page.cookie = Some(pair.to_owned());
        assert_eq!(page.who().await, "a@example.com");
    }

    let sign_out = "mutation { signOut { signedOut } }";
    let (headers, answer) = page.send(sign_out, &json!({}), false).await;
    assert_eq!(answer["data"]["signOut"]["signedOut"], true);
    let removals = set_cookies(&headers);
    let removal = removals
        .iter()
        .find(|cookie| cookie.starts_with(&format!("{name}=;")));
    let removal = removal.unwrap_or_else(|| panic!("{removals:?}"));
    assert!(removal.contains("Max-Age=0"), "{removal}");
    assert_eq!(page.who().await, Value::Null);

    // What the browser has left is forgotten even so, and what does not count here as well.
    for left in [PLAIN, SECURE] {
        page.cookie = Some(format!("{left}=x"));
        let (headers, answer) = page.send(sign_out, &json!({}), false).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        let removed = set_cookies(&headers);
        assert_eq!(removed.len(), 2, "{removed:?}");
        for (removal, name) in removed.into_iter().zip([PLAIN, SECURE]) {
            assert!(removal.starts_with(&format!("{name}=; ")), "{removal}");
            assert_eq!(removal.contains("Secure"), name == SECURE, "{removal}");
            assert!(removal.contains("Max-Age=0"), "{removal}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn there_is_no_cookie_unless_it_is_asked_for() {
    let app = TestApp::start(Backend::Sqlite).await;
    let page = Page {
        app: &app,
        origin: "http://gateway.test",
        cookie: None,
    };
    let input = json!({ "input": { "email": "a@example.com", "password": "correct horse" } });
    let (headers, _) = page.send(SIGN_UP, &input, false).await;
    assert!(set_cookies(&headers).is_empty());
    // Nor for a sign-in that fails.
    let wrong = json!({ "input": { "email": "a@example.com", "password": "wrong horse" } });
    let (headers, answer) = page.send(SIGN_IN, &wrong, true).await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"],
        "INVALID_CREDENTIALS"
    );
    assert!(set_cookies(&headers).is_empty());
    app.finish().await;
}

fn codes(answers: &Value) -> Vec<&str> {
    let answers = answers.as_array().expect("a list").iter();
    let codes = answers.map(|answer| answer["errors"][0]["extensions"]["code"].as_str());
    codes.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn a_session_that_ends_within_a_batch_has_ended() {
    let setup = Setup {
        configure: |config| config.http.batch_limit = 5,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let user = app.user("a@example.com").await;
    let sign_up = json!({
        "query": "mutation($i: SignUpInput!) { signUp(input: $i) { token } }",
        "variables": { "i": { "email": "b@example.com", "password": "correct horse" } },
    });
    let body = json!([
        { "query": "{ me { email } }" },
        { "query": "mutation { signOut { signedOut } }" },
        { "query": "{ me { email } }" },
        sign_up,
    ]);
    let post = reqwest::Client::new().post(&app.api.url).json(&body);
    let post = post.header("x-session", "cookie");
    let cookie = format!(
        "intuned_gateway_session={}",
        user.token.as_deref().expect("a token")
    );
    let response = send(post.header(COOKIE, cookie)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    let answers = json_of(response).await;
    assert_eq!(codes(&answers), ["", "", "", ""], "{answers:#}");
    assert_eq!(answers[0]["data"]["me"]["email"], "a@example.com");
    assert_eq!(answers[2]["data"]["me"], Value::Null);
    // What both set goes with the one answer; the last counts.
    let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
    let text = |index: usize| cookies[index].to_str().expect("text");
    assert!(text(0).contains("Max-Age=0"), "{cookies:?}");
    assert!(
        text(cookies.len() - 1).contains("SameSite=Strict"),
        "{cookies:?}"
    );
    app.finish().await;
}
