//! Hooks: the part of a product in serving its schema.

use std::convert::Infallible;

use async_graphql::{Request, parser::types::OperationType};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use secrecy::SecretString;

use crate::{
    document::DocumentExtension,
    execute::ExecutionResult,
    request::{
        RequestInfo,
        credentials::bearer_token,
        page::{ForeignPage, Page},
    },
};

/// Reason that a session cannot be looked up at the moment. It is logged, and not shown to clients.
pub type AuthenticationError = Box<dyn std::error::Error + Send + Sync>;

/// Part of a product in serving its schema.
pub trait Hooks: Send + Sync + 'static {
    /// Session of a user.
    type Session: Clone + Send + Sync + 'static;

    /// Reads the token of a request; none for anonymous requests.
    ///
    /// The default is the token of `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// The page that sent the request may not use the credentials that came with it.
    fn credentials(&self, page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
        Ok(bearer_token(page.headers()))
    }

    /// Returns the session of a token; none for an unknown token.
    ///
    /// # Errors
    ///
    /// The session cannot be looked up at the moment.
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        request: &'a RequestInfo,
        lifetime: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Self::Session>, AuthenticationError>>;

    /// Identifies the user whose streams count together against
    /// [`crate::ServerOptions::streams_per_user`].
    fn stream_key(&self, session: &Self::Session) -> u128;

    /// Resolves once the session has expired or was ended, which ends its streams.
    fn session_ended(&self, session: &Self::Session) -> BoxFuture<'static, ()>;

    /// Adds to the request the data that resolvers find in their context.
    fn prepare_request(
        &self,
        request: Request,
        invocation: &Invocation<'_, Self::Session>,
    ) -> Request;

    /// Runs a subscription whose document has a kept value, instead of the schema.
    fn subscribe(
        &self,
        extension: &DocumentExtension,
        request: Request,
        info: &RequestInfo,
    ) -> BoxStream<'static, ExecutionResult> {
        let _ = (extension, request, info);
        stream::empty().boxed()
    }
}

/// Lifetime of the session that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// A single request, which runs at once.
    Request,
    /// A connection with many requests.
    Connection,
}

/// Operation that is about to run.
#[derive(Debug)]
pub struct Invocation<'a, S> {
    /// Session of the sender; none for an anonymous one.
    pub session: Option<&'a S>,
    /// Request of the operation.
    pub request: &'a RequestInfo,
    /// Kind of the operation.
    pub kind: OperationType,
    /// Page that sent the operation; none on a socket, whose answers have no headers.
    pub page: Option<Page<'a>>,
}

/// Hooks without users: every token is unknown, and resolvers find a [`RequestInfo`].
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

    fn stream_key(&self, session: &Infallible) -> u128 {
        match *session {}
    }

    fn session_ended(&self, session: &Infallible) -> BoxFuture<'static, ()> {
        match *session {}
    }

    fn prepare_request(
        &self,
        request: Request,
        invocation: &Invocation<'_, Infallible>,
    ) -> Request {
        request.data(invocation.request.clone())
    }
}
