//! Loaders: what resolvers read, from the database together with what others read at the same time, and from
//! Intuned once for each request.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    hash::{Hash, Hasher},
    sync::OnceLock,
    time::Duration,
};

use async_graphql::{
    Context,
    dataloader::{DataLoader, HashMapCache, Loader},
};
use entity::{connection, user};
use futures_util::future::join_all;
use sea_orm::DbErr;
use uuid::Uuid;

use super::context::request;
use crate::{
    accounts::Accounts,
    connections::{Connections, Status, Version},
    platform::batch_loader::BatchLoader,
};

/// Loads users by id.
pub(super) struct UserLoader(Accounts);

/// Users by id, for all requests together.
pub(super) type Users = BatchLoader<Uuid, UserLoader>;

/// Loads the `OrangeHRM` connections of users.
pub(super) enum ConnectionLoader {
    /// From the database.
    Stored(Box<Connections>),
    /// The same for everybody.
    #[cfg(test)]
    Fixed(connection::Model),
}

/// The connections of users, for all requests together.
pub(super) type UserConnections = BatchLoader<Uuid, ConnectionLoader>;

pub(super) fn users(accounts: Accounts) -> Users {
    BatchLoader::new(UserLoader(accounts))
}

pub(super) fn user_connections(connections: Connections) -> UserConnections {
    BatchLoader::new(ConnectionLoader::Stored(Box::new(connections)))
}

impl Loader<Uuid> for UserLoader {
    type Value = user::Model;
    type Error = DbErr;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, user::Model>, DbErr> {
        let users = self.0.users(ids).await?;
        Ok(users.into_iter().map(|user| (user.id, user)).collect())
    }
}

impl Loader<Uuid> for ConnectionLoader {
    type Value = connection::Model;
    type Error = DbErr;

    async fn load(&self, users: &[Uuid]) -> Result<HashMap<Uuid, connection::Model>, DbErr> {
        match self {
            Self::Stored(connections) => connections.of_users(users).await,
            #[cfg(test)]
            Self::Fixed(connection) => {
                let users = users.iter().map(|user| (*user, connection.clone()));
                Ok(users.collect())
            }
        }
    }
}

/// Asks Intuned for the statuses of connections.
pub(super) struct StatusLoader(Connections);

/// A connection whose status is asked for: the same as another of its version.
#[derive(Clone)]
pub(super) struct StatusKey {
    version: Version,
    connection: connection::Model,
}

impl PartialEq for StatusKey {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for StatusKey {}

impl Hash for StatusKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.version.hash(state);
    }
}

impl Loader<StatusKey> for StatusLoader {
    type Value = Status;
    type Error = Infallible;

    async fn load(&self, keys: &[StatusKey]) -> Result<HashMap<StatusKey, Status>, Infallible> {
        let statuses = keys.iter().map(async |key| {
            let status = self.0.status(&key.connection).await;
            (key.clone(), status)
        });
        Ok(join_all(statuses).await.into_iter().collect())
    }
}

/// The statuses that one query or mutation has asked for: each is asked for once, however often it is
/// selected. A subscription has none of these, for it outlives what they say.
#[derive(Default)]
pub(super) struct RequestStatuses(OnceLock<DataLoader<StatusLoader, HashMapCache>>);

impl RequestStatuses {
    async fn status(
        &self,
        connections: &Connections,
        connection: &connection::Model,
    ) -> Option<Status> {
        let loader = self.0.get_or_init(|| {
            let loader = StatusLoader(connections.clone());
            let loader = DataLoader::with_cache(loader, tokio::spawn, HashMapCache::default());
            // Nobody waits for company: Intuned is asked for each by itself.
            loader.delay(Duration::ZERO)
        });
        let key = StatusKey {
            version: Version::of(connection),
            connection: connection.clone(),
        };
        let Ok(status) = loader.load_one(key).await;
        status
    }
}

impl fmt::Debug for RequestStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestStatuses").finish_non_exhaustive()
    }
}

/// An auth session's status, asked for once for each request.
pub(super) async fn session_status(
    context: &Context<'_>,
    connection: &connection::Model,
) -> Status {
    let connections = context.data_unchecked::<Connections>();
    let statuses = request(context).and_then(|request| request.statuses.as_ref());
    if let Some(statuses) = statuses
        && let Some(status) = statuses.status(connections, connection).await
    {
        return status;
    }
    connections.status(connection).await
}
