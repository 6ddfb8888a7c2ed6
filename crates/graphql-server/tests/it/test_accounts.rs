//! Made-up accounts that know a few tokens.

use async_graphql::Request;
use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};
use graphql_server::{
    ForeignPage, Hooks, Page, RequestInfo, bearer_token,
    hooks::{AuthenticationError, Invocation, Lifetime},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use uuid::Uuid;

/// Alice's token.
pub(crate) const ALICE: &str = "alice-token";

/// Cookie of Alice's browser.
pub(crate) const SESSION_COOKIE: &str = "session=alice-token";

/// Bob's token.
pub(crate) const BOB: &str = "bob-token";

/// Token whose look-up fails.
pub(crate) const UNLUCKY: &str = "unlucky-token";

/// Token whose look-up never ends.
pub(crate) const SLOW: &str = "slow-token";

/// Function that finds the token of a request.
pub(crate) type Credentials = fn(Page<'_>) -> Result<Option<SecretString>, ForeignPage>;

/// Returns the token of the header or, without one, of the cookie `session`.
///
/// Pages of other origins may not use the cookie.
pub(crate) fn credentials(page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
    let headers = page.headers();
    if headers.contains_key("authorization") {
        return Ok(bearer_token(headers));
    }
    let cookie = headers.get("cookie").and_then(|value| value.to_str().ok());
    match cookie.and_then(|cookie| cookie.strip_prefix("session=")) {
        Some(_) if page.is_foreign() => Err(ForeignPage),
        token => Ok(token.map(SecretString::from)),
    }
}

/// Accounts with the tokens above.
pub(crate) struct Accounts {
    pub(crate) credentials: Credentials,
    pub(crate) sessions_ended: watch::Sender<bool>,
}

impl Accounts {
    /// Ends all sessions.
    pub(crate) fn end_sessions(&self) {
        self.sessions_ended.send_replace(true);
    }

    /// Returns the number of sockets and streams that wait for the end of a session.
    pub(crate) fn watchers(&self) -> usize {
        self.sessions_ended.receiver_count()
    }
}

/// Sender of a request.
pub(crate) struct Sender {
    pub(crate) user: Option<Uuid>,
    pub(crate) info: RequestInfo,
}

impl Hooks for Accounts {
    type Session = Uuid;

    fn credentials(&self, page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
        (self.credentials)(page)
    }

    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        _: &'a RequestInfo,
        _: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Uuid>, AuthenticationError>> {
        let user = match token.expose_secret() {
            ALICE => Some(Uuid::from_u128(1)),
            BOB => Some(Uuid::from_u128(2)),
            UNLUCKY => return future::err("the database is away".into()).boxed(),
            SLOW => return future::pending().boxed(),
            _ => None,
        };
        future::ok(user).boxed()
    }

    fn stream_key(&self, session: &Uuid) -> u128 {
        session.as_u128()
    }

    fn session_ended(&self, _: &Uuid) -> BoxFuture<'static, ()> {
        let mut ended = self.sessions_ended.subscribe();
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }
        .boxed()
    }

    fn prepare_request(&self, request: Request, invocation: &Invocation<'_, Uuid>) -> Request {
        request.data(Sender {
            user: invocation.session.copied(),
            info: invocation.request.clone(),
        })
    }
}
