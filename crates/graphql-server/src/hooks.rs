//! Hooks: a product's own part in serving its schema.

use std::convert::Infallible;

use async_graphql::{Request, parser::types::OperationType};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use secrecy::SecretString;

use crate::{
    document::Kept,
    execute::ExecutionResult,
    http::page::{ForeignPage, Page},
    request::{RequestInfo, credentials::bearer_token},
};

/// Tells that credentials cannot be looked up at the moment. It is logged, and nobody is told of it.
pub type AuthenticationError = Box<dyn std::error::Error + Send + Sync>;

/// A product's own part in serving its schema.
pub trait Hooks: Send + Sync + 'static {
    /// Whoever sends a request, as the product knows them.
    type Session: Clone + Send + Sync + 'static;

    /// Reads the token that a request brings; none for nobody. Unless a product has it otherwise, that is the
    /// token of `Authorization: Bearer`.
    ///
    /// # Errors
    /// The page that the request comes from may not use the credentials that came with it.
    fn credentials(&self, page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
        Ok(bearer_token(page.headers()))
    }

    /// Tells whose session the token is; none for nobody's.
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        request: &'a RequestInfo,
        lifetime: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Self::Session>, AuthenticationError>>;

    /// Names whose streams count together against [`crate::ServerOptions::streams_per_user`].
    fn holder(&self, session: &Self::Session) -> u128;

    /// Resolves once the session has expired or was ended: its streams end, too.
    fn session_ended(&self, session: &Self::Session) -> BoxFuture<'static, ()>;

    /// Gives resolvers what they find in their context.
    fn equip(&self, request: Request, call: &Invocation<'_, Self::Session>) -> Request;

    /// Runs a subscription with whose document something was kept: the product makes its events by itself.
    fn events(
        &self,
        kept: &Kept,
        request: Request,
        info: &RequestInfo,
    ) -> BoxStream<'static, ExecutionResult> {
        let _ = (kept, request, info);
        stream::empty().boxed()
    }
}

/// The time for which a session is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// One request, which runs at once.
    Request,
    /// A connection, on which requests follow.
    Connection,
}

/// An operation that is about to run.
#[derive(Debug)]
pub struct Invocation<'a, S> {
    /// Whoever sent it; none for nobody known.
    pub session: Option<&'a S>,
    /// The request that it is of.
    pub request: &'a RequestInfo,
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// The page that sent it; none on a socket, whose answers have no headers.
    pub page: Option<Page<'a>>,
}

/// Hooks of a product that knows nobody: each token is nobody's, and resolvers find a [`RequestInfo`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl Hooks for Anonymous {
    type Session = Infallible;

    fn authenticate<'a>(
        &'a self,
        _: &'a SecretString,
        _: &'a RequestInfo,
        _: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Infallible>, AuthenticationError>> {
        future::ok(None).boxed()
    }

    fn holder(&self, session: &Infallible) -> u128 {
        match *session {}
    }

    fn session_ended(&self, session: &Infallible) -> BoxFuture<'static, ()> {
        match *session {}
    }

    fn equip(&self, request: Request, call: &Invocation<'_, Infallible>) -> Request {
        request.data(call.request.clone())
    }
}
