//! The rule of the session cookie: which cookie of a request counts, and for which page.

use axum::http::{HeaderMap, HeaderName, header};
use cookie::Cookie;
use graphql_server::{ForeignPage, Page, bearer_token};
use secrecy::SecretString;

use super::cookie::{PLAIN_NAME, SECURE_NAME, SessionCookie};

/// The header by which a page asks for its session to be kept in a cookie: `x-session: cookie`. A page
/// of another origin cannot send it: CORS keeps it back.
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("x-session");

/// The token that the request brings: of its `Authorization` header or, where there is none, of its cookie.
///
/// # Errors
///
/// A page of another origin would use the cookie.
pub fn session_token(page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
    let headers = page.headers();
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(bearer_token(headers));
    }
    if !is_sent(headers) {
        return Ok(None);
    }
    if page.is_foreign() {
        return Err(ForeignPage);
    }
    Ok(cookie_token(page))
}

/// How the request stands to the cookie.
pub(super) fn session_cookie(page: Page<'_>) -> SessionCookie {
    let headers = page.headers();
    let asked = headers
        .get(&SESSION_HEADER)
        .is_some_and(|value| value == "cookie");
    let counts = may_use_plain(page) || may_use_secure(page);
    SessionCookie {
        wanted: asked && counts && !page.is_foreign(),
        sent: is_sent(headers),
        secure: page.is_https(),
    }
}

fn cookie_token(page: Page<'_>) -> Option<SecretString> {
    let find = |name| find(page.headers(), name);
    let secure = may_use_secure(page).then(|| find(SECURE_NAME)).flatten();
    secure.or_else(|| may_use_plain(page).then(|| find(PLAIN_NAME)).flatten())
}

/// On plain http anybody on the way can make up a page, and browsers send it the `Secure` cookie along to a
/// socket over https: such a page has no use of it.
fn may_use_secure(page: Page<'_>) -> bool {
    !page.is_plain()
}

/// The other cookie can be set by anybody on the way, and by any host of the same site. So it counts for
/// nothing where there can be a `Secure` one.
fn may_use_plain(page: Page<'_>) -> bool {
    !page.is_https()
}

fn is_sent(headers: &HeaderMap) -> bool {
    [SECURE_NAME, PLAIN_NAME]
        .into_iter()
        .any(|name| values(headers, name).next().is_some())
}

/// The cookie's value. A browser keeps one of each name for a host: where others were sent too, somebody has
/// planted them, and nobody knows which.
fn find(headers: &HeaderMap, name: &str) -> Option<SecretString> {
    let mut values = values(headers, name);
    let value = values.next()?;
    values.all(|other| other == value).then(|| value.into())
}

/// Cookies that hold more than plain ASCII are none of ours, and do not hide those beside them.
fn values(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| str::from_utf8(pair).ok())
        .filter(|pair| pair.is_ascii())
        .filter_map(|pair| Cookie::parse(pair).ok())
        .filter(move |cookie| cookie.name() == name && !cookie.value().is_empty())
        .map(|cookie| cookie.value().to_owned())
}
