//! Reads that gather: what several fields, and several requests, want at the same time is read at once.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{
    Context,
    dataloader::{DataLoader, HashMapCache, Loader},
};
use entity::{connection, user};
use futures_util::future::join_all;
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    accounts::Accounts,
    connections::Connections,
    intuned::{AuthSessionStatus, IntunedError},
    telemetry,
};

/// Users by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UserId(pub(super) Uuid);

/// The `OrangeHRM` connection of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnectionOf(pub(super) Uuid);

/// An auth session by its id at Intuned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AuthSessionId(pub(super) String);

/// Loads users.
pub(super) struct Users(pub(super) Accounts);

impl Loader<UserId> for Users {
    type Value = user::Model;
    type Error = Arc<DbErr>;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, user::Model>, Arc<DbErr>> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let users = self.0.users(&ids).await?;
        Ok(users
            .into_iter()
            .map(|user| (UserId(user.id), user))
            .collect())
    }
}

/// Loads connections.
pub(super) struct UserConnections(pub(super) Connections);

impl Loader<ConnectionOf> for UserConnections {
    type Value = connection::Model;
    type Error = Arc<DbErr>;

    async fn load(
        &self,
        keys: &[ConnectionOf],
    ) -> Result<HashMap<ConnectionOf, connection::Model>, Arc<DbErr>> {
        let users: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let found = self.0.of_users(&users).await?;
        Ok(found
            .into_iter()
            .map(|(user, connection)| (ConnectionOf(user), connection))
            .collect())
    }
}

/// Loads the status of auth sessions from Intuned.
pub(super) struct Statuses(pub(super) Connections);

impl Loader<AuthSessionId> for Statuses {
    /// Each key has its own outcome: one that fails takes no other with it.
    type Value = Result<AuthSessionStatus, IntunedError>;
    type Error = std::convert::Infallible;

    async fn load(
        &self,
        keys: &[AuthSessionId],
    ) -> Result<HashMap<AuthSessionId, Self::Value>, Self::Error> {
        let answers = keys.iter().map(async |key| {
            let status = self.0.status(&key.0).await;
            (key.clone(), status)
        });
        Ok(join_all(answers).await.into_iter().collect())
    }
}

/// The statuses that one query or mutation has asked for: each is asked for once, however often it is
/// selected. A subscription has none of these, for it outlives what they say.
pub(super) struct RequestStatuses(DataLoader<Statuses, HashMapCache>);

impl RequestStatuses {
    pub(super) fn new(connections: Connections) -> Self {
        let statuses = Statuses(connections);
        Self(DataLoader::with_cache(
            statuses,
            telemetry::spawn,
            HashMapCache::default(),
        ))
    }
}

/// An auth session's status, asked for once for each request.
pub(super) async fn session_status(
    context: &Context<'_>,
    auth_session_id: &str,
) -> Result<AuthSessionStatus, IntunedError> {
    let Ok(statuses) = context.data::<RequestStatuses>() else {
        return context
            .data_unchecked::<Connections>()
            .status(auth_session_id)
            .await;
    };
    let key = AuthSessionId(auth_session_id.to_owned());
    let Ok(status) = statuses.0.load_one(key).await;
    status.unwrap_or(Err(IntunedError::Broken))
}
