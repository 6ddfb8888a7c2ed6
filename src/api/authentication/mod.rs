//! Authentication: whose session a request brings, and what resolvers are told of it.

pub(super) mod cookie;
mod cookie_rule;

use std::sync::Arc;

use async_graphql::{Request, parser::types::OperationType};
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};
use graphql_server::{
    ForeignPage, Hooks, Page, RequestInfo,
    document::DocumentExtension,
    execute::ExecutionResult,
    hooks::{AuthenticationError, Invocation, Lifetime},
};
use secrecy::{ExposeSecret, SecretString};

pub use cookie_rule::{SESSION_HEADER, session_token};

use super::{
    GatewaySchema, compiled,
    context::{RequestContext, origin_of},
};
use crate::accounts::{AccountError, Accounts, Caller, Profile};

/// The gateway's own part in serving its schema.
pub struct GatewayHooks {
    accounts: Accounts,
    schema: GatewaySchema,
}

/// A session that is valid, and whose it is.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Whoever is signed in.
    pub caller: Caller,
    /// The user as they were read with their session, where that was just now.
    pub profile: Option<Arc<Profile>>,
}

impl GatewayHooks {
    /// Authenticates by `accounts`, and reads what events need through `schema`.
    pub fn new(accounts: Accounts, schema: GatewaySchema) -> Self {
        Self { accounts, schema }
    }
}

impl Hooks for GatewayHooks {
    type Session = Authenticated;

    fn credentials(&self, page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
        session_token(page)
    }

    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        request: &'a RequestInfo,
        lifetime: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Authenticated>, AuthenticationError>> {
        let (token, origin) = (token.expose_secret(), origin_of(request));
        async move {
            let found = match lifetime {
                Lifetime::Request => self.accounts.visit(token, origin).await,
                Lifetime::Connection => {
                    let caller = self.accounts.authenticate(token, origin).await;
                    caller.map(|caller| (caller, None))
                }
            };
            match found {
                Ok((caller, profile)) => Ok(Some(Authenticated { caller, profile })),
                Err(AccountError::InvalidToken) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }

    fn stream_key(&self, session: &Authenticated) -> u128 {
        session.caller.user_id.as_u128()
    }

    fn session_ended(&self, session: &Authenticated) -> BoxFuture<'static, ()> {
        self.accounts.session_ended(session.caller).boxed()
    }

    fn prepare_request(&self, request: Request, call: &Invocation<'_, Authenticated>) -> Request {
        let caller = call.session.map(|session| session.caller);
        let mut context = RequestContext::new(caller, call.request.clone());
        match call.kind {
            // A query that runs at once need not read the user again.
            OperationType::Query => {
                context.profile = call.session.and_then(|session| session.profile.clone());
                context = context.remembering_statuses();
            }
            // Mutations alone begin and end sessions.
            OperationType::Mutation => {
                context.cookie = call.page.map(cookie_rule::session_cookie);
                context = context.remembering_statuses();
            }
            OperationType::Subscription => {}
        }
        request.data(context)
    }

    fn subscribe(
        &self,
        extension: &DocumentExtension,
        request: Request,
        info: &RequestInfo,
    ) -> BoxStream<'static, ExecutionResult> {
        compiled::events(extension, &self.schema, request, info)
    }
}
