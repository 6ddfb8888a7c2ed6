//! Users and their sessions, as clients see them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::{connection, user};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    connection::Connection,
    error::{ApiError, OrFail},
    operation::Operation,
    scalars::Timestamp,
};
use crate::{
    accounts::{Profile, SignedIn},
    operations::Operations,
};

/// Someone who may sign in to the gateway.
pub(super) struct User {
    id: Uuid,
    email: String,
    /// The connection, where it was read with the user just now.
    connection: Option<Option<connection::Model>>,
}

impl From<user::Model> for User {
    fn from(user: user::Model) -> Self {
        Self {
            id: user.id,
            email: user.email,
            connection: None,
        }
    }
}

impl From<&Profile> for User {
    fn from(profile: &Profile) -> Self {
        Self {
            id: profile.user_id,
            email: profile.email.clone(),
            connection: Some(profile.connection.clone()),
        }
    }
}

/// Someone who may sign in to the gateway.
#[Object]
impl User {
    async fn id(&self) -> ID {
        self.id.into()
    }

    async fn email(&self) -> &str {
        &self.email
    }

    /// The caller's OrangeHRM connection; null when not connected.
    async fn connection(&self, context: &Context<'_>) -> Result<Option<Connection>, ApiError> {
        match &self.connection {
            Some(connection) => Ok(connection.clone().map(Connection::from)),
            None => Connection::of(context, self.id).await,
        }
    }

    /// The operation in flight, so that a page that was reloaded can pick it up; null when there is none.
    async fn active_operation(&self, context: &Context<'_>) -> Result<Option<Operation>, ApiError> {
        let operations = context.data_unchecked::<Operations>();
        let active = operations.in_flight(self.id).await.or_fail(context)?;
        Ok(active.map(Operation::from))
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
