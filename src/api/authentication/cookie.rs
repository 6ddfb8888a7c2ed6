//! The cookie that a browser keeps its session in, out of reach of the scripts of any page.

use async_graphql::Context;
use axum::http::{HeaderValue, header};
use cookie::{Cookie, SameSite, time::OffsetDateTime};
use secrecy::ExposeSecret;

use crate::{accounts::SignedIn, api::context::request};

/// The cookie's name where the gateway is reached over https. Browsers take a cookie of such a name only from
/// the very host that it is for, and only when it is `Secure`.
pub(crate) const SECURE_NAME: &str = "__Host-intuned_gateway_session";

/// Its name on plain http.
pub(crate) const PLAIN_NAME: &str = "intuned_gateway_session";

/// How a request stands to the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionCookie {
    /// Whether a session that the request opens is to be kept in one.
    pub(crate) wanted: bool,
    /// Whether the request has one, by either name.
    pub(crate) sent: bool,
    /// Whether the gateway is reached over https, where the `Secure` one alone counts.
    pub(crate) secure: bool,
}

/// Has the browser keep the new session, if that is what it asked for.
pub(in crate::api) fn keep(context: &Context<'_>, signed_in: &SignedIn) {
    let asked = cookie(context).filter(|cookie| cookie.wanted);
    let Some(cookie) = asked else {
        return;
    };
    let name = if cookie.secure {
        SECURE_NAME
    } else {
        PLAIN_NAME
    };
    let mut cookie = build(name, signed_in.token.expose_secret());
    if let Ok(end) = OffsetDateTime::from_unix_timestamp(signed_in.expires_at.timestamp()) {
        cookie.set_expires(end);
    }
    send(context, &cookie);
}

/// Has the browser forget the session that it keeps, if it keeps one, whatever its name is: one that does not
/// count here may count where the gateway is reached in another way.
pub(in crate::api) fn forget(context: &Context<'_>) {
    if !cookie(context).is_some_and(|cookie| cookie.sent) {
        return;
    }
    for name in [PLAIN_NAME, SECURE_NAME] {
        let mut removal = build(name, "");
        removal.make_removal();
        send(context, &removal);
    }
}

fn cookie(context: &Context<'_>) -> Option<SessionCookie> {
    request(context)?.cookie
}

fn build<'a>(name: &'a str, value: &'a str) -> Cookie<'a> {
    Cookie::build((name, value))
        .http_only(true)
        .secure(name == SECURE_NAME)
        // The pages are static: even one that is reached by a foreign link asks for its data itself.
        .same_site(SameSite::Strict)
        .path("/")
        .build()
}

fn send(context: &Context<'_>, cookie: &Cookie<'_>) {
    if let Ok(mut value) = HeaderValue::from_str(&cookie.to_string()) {
        value.set_sensitive(true);
        context.append_http_header(header::SET_COOKIE, value);
    }
}
