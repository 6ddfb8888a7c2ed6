//! Who is calling: session tokens as the transports carry them, and what tells whose they are.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderMap, header};
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use uuid::Uuid;

use crate::accounts::{AccountError, Accounts, Caller};

/// Tells whose session a token is, and when that session ends.
pub trait Authenticator: Send + Sync + 'static {
    /// Whose session the token is. [`AccountError::InvalidToken`] means nobody's; any other error, that
    /// it cannot be told now.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, AccountError>>;

    /// Resolves once the caller's session has expired or was ended.
    fn session_ended(&self, caller: Caller) -> BoxFuture<'static, ()>;
}

impl Authenticator for Accounts {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, AccountError>> {
        Box::pin(self.authenticate(token))
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

/// Counts the open sockets and event streams of each user.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    for_each: usize,
    taken: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// One open socket or event stream of a user, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Seat {
    user: Uuid,
    seats: Seats,
}

impl Seats {
    pub(crate) fn new(for_each: usize) -> Self {
        Self {
            for_each,
            taken: Arc::default(),
        }
    }

    /// None when the user has as many as allowed.
    pub(crate) fn take(&self, user: Uuid) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user).or_default();
        if *count >= self.for_each {
            return None;
        }
        *count += 1;
        Some(Seat {
            user,
            seats: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self
            .seats
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = taken.entry(self.user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
