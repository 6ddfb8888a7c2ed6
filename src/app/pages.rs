//! The web pages that the binary carries: built from `web/` into `web/dist`, and taken in from there
//! when the binary is built. A debug build reads them from the disk.

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use serde::Serialize;

/// Everything from this server, nothing from anywhere else. The console and `GraphiQL` style
/// themselves in place.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; worker-src 'self'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The file's name has its content's hash in it.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Encodings of which the build leaves a copy beside each file that is worth it, best first.
/// Only files are compressed: in an answer, the length would tell of the secrets next to what was sent.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

const NOT_BUILT: &str = include_str!("not_built.html");

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

/// What the console is told of the gateway that serves it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleFacts {
    /// Whether `GraphiQL` is served.
    pub graphiql: bool,
    /// Accounts to try, in demo mode only. They are no secrets.
    pub demo_accounts: Vec<DemoAccountFacts>,
}

/// An account to try in demo mode.
#[derive(Clone, Debug, Serialize)]
pub struct DemoAccountFacts {
    /// To sign in with.
    pub username: &'static str,
    /// To sign in with.
    pub password: &'static str,
    /// What signing in with it shows, for people.
    pub shows: &'static str,
}

/// The console at `/`, `/graphiql` where the facts have it, and the files that they need.
pub fn pages(facts: ConsoleFacts) -> Router {
    let graphiql = facts.graphiql;
    let router = Router::new()
        .route("/", get(async |headers| page("index.html", &headers)))
        .route("/console.json", get(async move || Json(facts)))
        .route("/assets/{*path}", get(asset));
    if graphiql {
        router.route(
            "/graphiql",
            get(async |headers| page("graphiql.html", &headers)),
        )
    } else {
        router
    }
}

fn page(name: &str, headers: &HeaderMap) -> Response {
    let policy = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    match file(name, headers) {
        Some(file) => (policy, file).into_response(),
        None => (StatusCode::NOT_FOUND, policy, Html(NOT_BUILT)).into_response(),
    }
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match file(&format!("assets/{path}"), &headers) {
        Some(file) => ([(header::CACHE_CONTROL, FOREVER)], file).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The file, in the best encoding that is there and that the browser takes.
fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = Files::get(name)?;
    let media_type = plain.metadata.mimetype().to_owned();
    let encoded = ENCODINGS
        .iter()
        .filter(|(encoding, _)| accepts(headers, encoding))
        .find_map(|(encoding, suffix)| Some((encoding, Files::get(&format!("{name}{suffix}"))?)));
    let described = [
        (header::CONTENT_TYPE, media_type),
        (header::VARY, header::ACCEPT_ENCODING.to_string()),
    ];
    let response = match encoded {
        Some((encoding, file)) => {
            let encoding = [(header::CONTENT_ENCODING, *encoding)];
            (described, encoding, file.data.into_owned()).into_response()
        }
        None => (described, plain.data.into_owned()).into_response(),
    };
    Some(response)
}

/// Whether the browser names the encoding, and not to refuse it.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut named = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    named.any(|named| {
        let (name, weight) = named.split_once(';').unwrap_or((named, "q=1"));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case(encoding) && weight.parse().is_ok_and(|q: f32| q > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[tokio::test]
    async fn a_page_that_was_not_built_says_how_to_have_it() {
        let response = page("no-such-page.html", &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
        assert_eq!(policy, CONTENT_SECURITY_POLICY);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body = String::from_utf8(body.expect("a body").to_vec()).expect("UTF-8");
        assert!(body.contains("scripts/run"), "{body}");
    }

    #[rstest]
    #[case("gzip, deflate, br, zstd", true)]
    #[case("gzip, br;q=0.5", true)]
    #[case("BR", true)]
    #[case("br;q=0", false)]
    #[case("gzip", false)]
    #[case("brotli", false)]
    #[case("", false)]
    fn an_encoding_is_used_where_it_is_accepted(#[case] accepted: &str, #[case] expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT_ENCODING,
            accepted.parse().expect("a header's value"),
        );
        assert_eq!(accepts(&headers, "br"), expected);
    }
}
