//! Pages of other origins: CSRF, CORS, cookies and host names.

use graphql_server::net::{AllowedHost, AllowedHosts};
use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, post_body},
    stage::Stage,
    support::Backend,
};

const SIGN_OUT: &str = r#"{"query":"mutation { signOut { signedOut } }"}"#;
const ME: &str = r#"{"query":"{ me { email } }"}"#;

pub(crate) async fn area(backend: Backend) -> Outcome {
    let closed = Stage::start(backend).await;
    let mut outcome = play(
        &closed,
        [foreign(), cookies()].into_iter().flatten().collect(),
    )
    .await;
    closed.stop().await;
    let open = Stage::with(backend, |config| {
        config.http.allowed_origins = vec!["https://app.example.com".parse().unwrap()];
        config.http.allowed_hosts =
            AllowedHosts(AllowedHost::parse("127.0.0.1").into_iter().collect());
    })
    .await;
    let more = play(&open, [cors(), elsewhere()].into_iter().flatten().collect()).await;
    open.stop().await;
    outcome.cases += more.cases;
    outcome.failures.extend(more.failures);
    outcome
}

fn with_cookie(headers: &str, body: &str) -> Send {
    post_body(
        &format!("Cookie: intuned_gateway_session={{alice}}\n{headers}"),
        body,
    )
}

#[rustfmt::skip]
fn foreign() -> Vec<Case> {
    let origins = [
        "http://evil.example", "https://{host}.evil.example", "http://evil.example/{host}", "null", "", "file://", "http://{host}:80",
        "http://{host}@evil.example", "http://evil.example#{host}", "http://127.0.0.1", "http://localhost", "chrome-extension://abc", "{host}", "http://",
        "chrome-extension://{host}", "moz-extension://{host}", "file://{host}", "ws://{host}", "wss://{host}", "ftp://{host}", "HTTP://{host}", "//{host}", "http:{host}", "http://{host}/", "http://{host}:80",
        "http://user@{host}", "http://{host}\nOrigin: http://{host}",
    ];
    let mut cases: Vec<Case> = origins
        .iter()
        .map(|origin| {
            let send = with_cookie(&format!("Origin: {origin}\n"), SIGN_OUT);
            case(format!("a cookie used by a page of {origin:?}"), send, Due::Error(403, "FORBIDDEN"))
        })
        .collect();
    for site in ["cross-site", "same-site", "canary"] {
        let send = with_cookie(&format!("Sec-Fetch-Site: {site}\n"), SIGN_OUT);
        cases.push(case(format!("a cookie and Sec-Fetch-Site: {site}"), send, Due::Error(403, "FORBIDDEN")));
    }
    let across = with_cookie("Origin: http://{host}\nSec-Fetch-Site: cross-site\n", SIGN_OUT);
    cases.push(case("a cookie used by a page of the same host over plain http", across, Due::Error(403, "FORBIDDEN")));
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let form = format!("POST /graphql HTTP/1.1\nHost: {{host}}\nConnection: close\nCookie: intuned_gateway_session={{alice}}\nContent-Type: {media}\nContent-Length: {{length}}\n\n{SIGN_OUT}");
        cases.push(case(format!("a form with a cookie as {media}"), Send::Text(form), Due::Error(415, "UNSUPPORTED_MEDIA_TYPE")));
    }
    for (name, headers) in [("an image", "Sec-Fetch-Site: cross-site\nSec-Fetch-Dest: image\n"), ("a script", "Sec-Fetch-Site: cross-site\nSec-Fetch-Dest: script\n")] {
        let get = format!("GET /graphql?query=%7Bme%7Bemail%7D%7D HTTP/1.1\nHost: {{host}}\nConnection: close\nCookie: intuned_gateway_session={{alice}}\n{headers}\n");
        cases.push(case(format!("{name} of another origin that reads"), Send::Text(get), Due::Error(403, "FORBIDDEN")));
    }
    let preflight = "OPTIONS /graphql HTTP/1.1\nHost: {host}\nConnection: close\nOrigin: http://evil.example\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: content-type\n\n";
    cases.push(case("a preflight where CORS is closed", Send::Text(preflight.into()), Due::Header(405, "access-control-allow-origin", "")));
    cases
}

#[rustfmt::skip]
fn cookies() -> Vec<Case> {
    let alice = || Due::Data(json!({ "me": { "email": "alice@example.com" } }));
    let nobody = || Due::Data(json!({ "me": null }));
    let with = |name: &str, headers: &str, due: Due| case(name, post_body(headers, ME), due);
    vec![
        with("her own cookie", "Cookie: intuned_gateway_session={alice}\nOrigin: http://{host}\n", alice()),
        with("an empty cookie", "Cookie: intuned_gateway_session=\n", nobody()),
        with("a cookie of another name", "Cookie: session={alice}; token={alice}\n", nobody()),
        with("a cookie whose name differs in case", "Cookie: Intuned_Gateway_Session={alice}\n", nobody()),
        with("a quoted cookie", "Cookie: intuned_gateway_session=\"{alice}\"\n", nobody()),
        with("a cookie with attributes", "Cookie: $Version=1; intuned_gateway_session=x; $Path=/\n", nobody()),
        with("two cookies, the first a bad one", "Cookie: intuned_gateway_session=canary-x; intuned_gateway_session={alice}\n", nobody()),
        with("a planted cookie beside the secure one", "Cookie: intuned_gateway_session={bob}; __Host-intuned_gateway_session={alice}\n", alice()),
        with("the secure cookie, by a page over plain http", "Cookie: __Host-intuned_gateway_session={alice}\nOrigin: http://{host}\n", nobody()),
        with("the secure cookie, by a page over https", "Cookie: __Host-intuned_gateway_session={alice}\nOrigin: https://{host}\n", alice()),
        with("a planted cookie, by a page over https", "Cookie: intuned_gateway_session={bob}\nOrigin: https://{host}\n", nobody()),
        with("a planted cookie beside the secure one, by a page over https", "Cookie: intuned_gateway_session={bob}; __Host-intuned_gateway_session={alice}\nOrigin: https://{host}\n", alice()),
        with("a planted cookie beside an empty secure one, over https", "Cookie: intuned_gateway_session={bob}; __Host-intuned_gateway_session=\nOrigin: https://{host}\n", nobody()),
        with("a planted cookie, referred over https", "Cookie: intuned_gateway_session={bob}\nReferer: https://{host}/\n", nobody()),
        with("a planted cookie that looks like the secure one", "Cookie: \u{2003}__Host-intuned_gateway_session={bob}\nOrigin: https://{host}\n", nobody()),
        with("two secure cookies", "Cookie: __Host-intuned_gateway_session={bob}; __Host-intuned_gateway_session={alice}\n", nobody()),
        with("two cookies that differ", "Cookie: intuned_gateway_session={alice}\nCookie: intuned_gateway_session={bob}\n", nobody()),
        with("a cookie in no ASCII beside hers", "Cookie: theme=\u{fc}; intuned_gateway_session={alice}\n", alice()),
        with("a stranger that says it is https", "Cookie: intuned_gateway_session={alice}\nX-Forwarded-Proto: https\n", alice()),
        with("a bad header beside a good cookie", "Authorization: Bearer canary-x\nCookie: intuned_gateway_session={alice}\n", nobody()),
        with("a header of another scheme beside a good cookie", "Authorization: Basic Y2FuYXJ5\nCookie: intuned_gateway_session={alice}\n", nobody()),
        with("2,000 cookies", &format!("Cookie: {}\n", "a=b; ".repeat(2000)), nobody()),
        with("a cookie of 50,000 bytes", &format!("Cookie: intuned_gateway_session={}\n", "a".repeat(50_000)), Due::Status(431)),
        with("a cookie with line ends encoded", "Cookie: intuned_gateway_session=%0d%0aSet-Cookie:canary-x\n", nobody()),
        with("a cookie that asks to be kept", "X-Session: cookie\nCookie: intuned_gateway_session=canary-x\n", nobody()),
    ]
}

#[rustfmt::skip]
fn cors() -> Vec<Case> {
    let preflight = |origin: &str, method: &str, headers: &str| {
        Send::Text(format!("OPTIONS /graphql HTTP/1.1\nHost: {{host}}\nConnection: close\nOrigin: {origin}\nAccess-Control-Request-Method: {method}\nAccess-Control-Request-Headers: {headers}\n\n"))
    };
    let allow = "access-control-allow-origin";
    let mut cases: Vec<Case> = [
        "https://app.example.com.evil.example", "https://evil.example", "http://app.example.com", "https://app.example.com:8443", "https://APP.example.com",
        "https://app.example.com/", "https://app.example.com https://evil.example", "null", "*", "https://appXexample.com", "https://sub.app.example.com",
    ]
    .iter()
    .map(|origin| case(format!("a preflight of {origin}"), preflight(origin, "POST", "content-type"), Due::Header(200, allow, "")))
    .collect();
    let own = "https://app.example.com";
    cases.push(case("a preflight of the allowed origin", preflight(own, "POST", "content-type"), Due::Header(200, allow, own)));
    cases.push(case("credentials are never allowed", preflight(own, "POST", "content-type"), Due::Header(200, "access-control-allow-credentials", "")));
    let headers = "access-control-allow-headers";
    for asked in ["x-session", "X-Session", "X-SESSION , x-session", ",x-session,", "x-session\nAccess-Control-Request-Headers: X-SESSION"] {
        cases.push(case(format!("a preflight for {asked:?}"), preflight(own, "POST", asked), Due::Header(200, headers, "")));
    }
    cases.push(case("a preflight for a cookie among others", preflight(own, "POST", "Traceparent, x-session, baggage"), Due::Header(200, headers, "traceparent,baggage")));
    cases.push(case("a preflight for what is no header", preflight(own, "POST", "a b, <script>, x\u{fc}, accept"), Due::Header(200, headers, "accept")));
    cases.push(case("a preflight for 1,500 headers", preflight(own, "POST", &"x-evil,".repeat(1500)), Due::Status(200)));
    cases.push(case("only known methods are allowed", preflight(own, "DELETE", "content-type"), Due::Header(200, "access-control-allow-methods", "GET,POST")));
    cases.push(case("a foreign page reads nothing", post_body("Origin: https://evil.example\nAuthorization: Bearer {alice}\n", ME), Due::Header(200, allow, "")));
    cases
}

/// Requests for hosts that are not the gateway's, as after DNS was turned.
#[rustfmt::skip]
fn elsewhere() -> Vec<Case> {
    let hosts = [
        "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost", "127.0.0.2", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1.", "canary.127.0.0.1",
    ];
    let refused = || Due::Error(421, "MISDIRECTED_REQUEST");
    let post = |host: &str| format!("POST /graphql HTTP/1.1\nHost: {host}\nConnection: close\nAuthorization: Bearer {{alice}}\nContent-Type: application/json\nContent-Length: {{length}}\n\n{SIGN_OUT}");
    let mut cases: Vec<Case> = hosts
        .iter()
        .map(|host| case(format!("a mutation for the host {host}"), Send::Text(post(host)), refused()))
        .collect();
    let absolute = post("evil.example").replace("/graphql", "http://evil.example/graphql");
    cases.push(case("a mutation for another host in the target", Send::Text(absolute), refused()));
    for path in ["/", "/console.json", "/graphiql", "/health/live/", "/health/../graphql", "//health/live", "/health/%6cive"] {
        let get = format!("GET {path} HTTP/1.1\nHost: evil.example\nConnection: close\n\n");
        cases.push(case(format!("{path} of another host"), Send::Text(get), refused()));
    }
    let probe = "GET /health/live HTTP/1.1\nHost: 10.1.2.3:8080\nConnection: close\n\n";
    cases.push(case("a probe by an address", Send::Text(probe.into()), Due::Status(200)));
    let none = "GET /graphql?query=%7B__typename%7D HTTP/1.0\n\n";
    cases.push(case("no host in HTTP/1.0", Send::Text(none.into()), refused()));
    cases
}
