//! The web pages that the binary carries: built from `web/` into `web/dist`, and taken in from there
//! when the binary is built. A debug build reads them from the disk.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use rust_embed::{EmbeddedFile, RustEmbed};

/// Everything from this server, nothing from anywhere else. `GraphiQL` styles itself in place.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; worker-src 'self'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The file's name has its content's hash in it.
const FOREVER: &str = "public, max-age=31536000, immutable";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><title>Intuned Gateway</title>\
     <h1>This page was not built</h1>\
     <p>The gateway works without it. To have it, install Node.js 20 or newer, run \
     <code>scripts/build-web</code>, and build and start the gateway again.</p>";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

/// `/graphiql` and the files that it needs.
pub fn graphiql() -> Router {
    Router::new()
        .route("/graphiql", get(async || page("graphiql.html")))
        .route("/assets/{*path}", get(asset))
}

fn page(name: &str) -> Response {
    let policy = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    match Files::get(name) {
        Some(file) => (policy, content(file)).into_response(),
        None => (StatusCode::NOT_FOUND, policy, Html(NOT_BUILT)).into_response(),
    }
}

async fn asset(Path(path): Path<String>) -> Response {
    match Files::get(&format!("assets/{path}")) {
        Some(file) => ([(header::CACHE_CONTROL, FOREVER)], content(file)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn content(file: EmbeddedFile) -> ([(HeaderName, String); 1], Vec<u8>) {
    let media_type = file.metadata.mimetype().to_owned();
    ([(header::CONTENT_TYPE, media_type)], file.data.into_owned())
}
