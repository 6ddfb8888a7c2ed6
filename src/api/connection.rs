//! Connections, as clients see them.

use async_graphql::{Context, Enum, ID, Object};
use entity::connection;
use uuid::Uuid;

use super::{
    context::origin,
    error::{ApiError, OrFail},
    loaders::{self, UserConnections},
    scalars::{Json, Timestamp},
};
use crate::connections::Connections;
use intuned_client::AuthSessionStatus;

/// A user's connection to OrangeHRM.
pub(super) struct Connection(connection::Model);

impl From<connection::Model> for Connection {
    fn from(connection: connection::Model) -> Self {
        Self(connection)
    }
}

impl Connection {
    /// The user's connection; none when not connected.
    pub(super) async fn of(context: &Context<'_>, user_id: Uuid) -> Result<Option<Self>, ApiError> {
        let connections = context.data_unchecked::<UserConnections>();
        let found = connections.load_one(user_id).await;
        Ok(found.or_fail(context)?.map(Self))
    }

    pub(super) fn is(&self, id: Uuid) -> bool {
        self.0.id == id
    }
}

/// A user's connection to OrangeHRM.
#[Object]
impl Connection {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Asked of Intuned when the field is read; when it is read often, as it was a moment ago. EXPIRED also when
    /// Intuned no longer knows the session. Null, with an error, when Intuned cannot be asked: the connection
    /// itself stays. RATE_LIMITED, with `extensions.retryAfterSeconds`, when it is not to be asked for a while.
    async fn status(&self, context: &Context<'_>) -> Result<Option<ConnectionStatus>, ApiError> {
        let status = loaders::session_status(context, &self.0).await;
        let status = status.or_fail(context)?;
        let connections = context.data_unchecked::<Connections>();
        connections.found(&self.0, status).await;
        Ok(Some(status.into()))
    }

    /// What the Intuned project's `get-claims` API returns for this user, run when the field is read. Error
    /// codes: CONNECTION_EXPIRED (the user must connect again), RESULT_TOO_LARGE, UPSTREAM_ERROR,
    /// UPSTREAM_TIMEOUT, RATE_LIMITED (`extensions.retryAfterSeconds` tells when to come back). `extensions.retryable` tells whether the same, asked again, may work,
    /// and `extensions.reference`, where Intuned sent one, is its correlation id, for its support.
    async fn claims(&self, context: &Context<'_>) -> Result<Option<Json>, ApiError> {
        let connections = context.data_unchecked::<Connections>();
        let claims = connections.claims(&self.0, &origin(context)).await;
        Ok(Some(Json(claims.or_fail(context)?)))
    }

    async fn created_at(&self) -> Timestamp {
        self.0.created_at.into()
    }

    /// When the account was last connected or re-connected with success.
    async fn connected_at(&self) -> Timestamp {
        self.0.connected_at.into()
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "AuthSessionStatus")]
pub(super) enum ConnectionStatus {
    /// Intuned is still preparing the session.
    Pending,
    /// Claims can be read.
    Ready,
    /// The user must connect again.
    Expired,
}
