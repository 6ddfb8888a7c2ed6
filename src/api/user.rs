//! Users and their sessions, as clients see them.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::user;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    audit::{self, AuditEventConnection},
    connection::Connection,
    error::{ApiError, OrFail},
    operation::Operation,
    scalars::Timestamp,
};
use crate::{
    accounts::{Profile, SignedIn},
    audit::DEFAULT_PAGE,
    operations::Operations,
};

/// Someone who may sign in to the gateway.
pub(super) struct User {
    id: Uuid,
    email: String,
    /// What was read with the user's session just now.
    profile: Option<Arc<Profile>>,
}

impl From<user::Model> for User {
    fn from(user: user::Model) -> Self {
        Self {
            id: user.id,
            email: user.address().to_owned(),
            profile: None,
        }
    }
}

impl From<Arc<Profile>> for User {
    fn from(profile: Arc<Profile>) -> Self {
        Self {
            id: profile.user_id,
            email: profile.email.clone(),
            profile: Some(profile),
        }
    }
}

/// Someone who may sign in to the gateway.
#[Object]
impl User {
    async fn id(&self) -> ID {
        self.id.into()
    }

    /// For a user of the operator's identity provider, the address that it has verified; where it has
    /// verified none, a stand-in under `identity-provider.invalid` that nobody can be written to at.
    async fn email(&self) -> &str {
        &self.email
    }

    /// The caller's OrangeHRM connection; null when not connected.
    async fn connection(&self, context: &Context<'_>) -> Result<Option<Connection>, ApiError> {
        match &self.profile {
            Some(profile) => Ok(profile.connection.clone().map(Connection::from)),
            None => Connection::of(context, self.id).await,
        }
    }

    /// The operation in flight, so that a page that was reloaded can pick it up; null when there is none.
    async fn active_operation(&self, context: &Context<'_>) -> Result<Option<Operation>, ApiError> {
        let operations = context.data_unchecked::<Operations>();
        let active = operations.in_flight(self.id).await.or_fail(context)?;
        Ok(active.map(Operation::from))
    }

    /// What was done with the account and when, the newest first. `first` is the length of a page, at
    /// most 100; `after` is the `endCursor` of the page before.
    async fn audit_trail(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(i32::from(DEFAULT_PAGE))")] first: Option<i32>,
        after: Option<String>,
    ) -> Result<AuditEventConnection, ApiError> {
        let first = first.unwrap_or(i32::from(DEFAULT_PAGE));
        audit::page(context, self.id, first, after).await
    }
}

/// A new account.
#[derive(InputObject)]
pub(super) struct SignUpInput {
    pub(super) email: String,
    /// 8 to 128 characters.
    #[graphql(secret)]
    pub(super) password: SecretString,
}

/// An account's sign-in.
#[derive(InputObject)]
pub(super) struct SignInInput {
    pub(super) email: String,
    #[graphql(secret)]
    pub(super) password: SecretString,
}

/// A fresh session.
#[derive(SimpleObject)]
pub(super) struct SessionPayload {
    /// For `Authorization: Bearer`, and for a socket's connection_init payload as `authorization`.
    token: String,
    expires_at: Timestamp,
    user: User,
}

impl From<SignedIn> for SessionPayload {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            token: signed_in.token.expose_secret().to_owned(),
            expires_at: signed_in.expires_at.into(),
            user: signed_in.user.into(),
        }
    }
}

/// The end of a session.
#[derive(SimpleObject)]
pub(super) struct SignOutPayload {
    pub(super) signed_out: bool,
}

/// The end of an account.
#[derive(SimpleObject)]
pub(super) struct DeleteAccountPayload {
    pub(super) deleted: bool,
}
