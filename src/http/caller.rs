//! Who is calling: session tokens as the transports carry them, and what tells whose they are.

use axum::http::{HeaderMap, header};
use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::{
    accounts::{AccountError, Accounts, Caller, Visit},
    audit::Origin,
};

/// Tells whose session a token is, and when that session ends.
pub trait Authenticator: Send + Sync + 'static {
    /// Whose session the token is. [`AccountError::InvalidToken`] means nobody's; any other error, that
    /// it cannot be told now. `origin` is where the token comes from, for the audit trail.
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        origin: Origin,
    ) -> BoxFuture<'a, Result<Caller, AccountError>>;

    /// As [`Authenticator::authenticate`], with the user as they are now, where that costs little more.
    fn visit<'a>(
        &'a self,
        token: &'a str,
        origin: Origin,
    ) -> BoxFuture<'a, Result<Visit, AccountError>> {
        Box::pin(async move { Ok((self.authenticate(token, origin).await?, None)) })
    }

    /// Resolves once the caller's session has expired or was ended.
    fn session_ended(&self, caller: Caller) -> BoxFuture<'static, ()>;
}

impl Authenticator for Accounts {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        origin: Origin,
    ) -> BoxFuture<'a, Result<Caller, AccountError>> {
        Box::pin(self.authenticate(token, origin))
    }

    fn visit<'a>(
        &'a self,
        token: &'a str,
        origin: Origin,
    ) -> BoxFuture<'a, Result<Visit, AccountError>> {
        Box::pin(self.visit(token, origin))
    }

    fn session_ended(&self, caller: Caller) -> BoxFuture<'static, ()> {
        Box::pin(self.session_ended(caller))
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    strip_bearer(value).map(SecretString::from)
}

/// What follows `Bearer` in `value`, if anything does.
pub(crate) fn strip_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
