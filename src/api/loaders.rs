//! What resolvers read: from the database together with what others read at the same time, and from
//! Intuned once for each request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::Context;
use entity::{connection, user};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::context::request;
use crate::{
    accounts::Accounts,
    connections::{Connections, Status, Version},
    gather::Gather,
};

/// Users by id.
pub(super) struct Users(pub(super) Gather<Uuid, user::Model>);

impl Users {
    pub(super) fn new(accounts: Accounts) -> Self {
        Self(Gather::new(move |ids: Vec<Uuid>| {
            let accounts = accounts.clone();
            async move {
                let users = accounts.users(&ids).await?;
                Ok(users.into_iter().map(|user| (user.id, user)).collect())
            }
        }))
    }
}

/// The `OrangeHRM` connections of users.
pub(super) struct UserConnections(pub(super) Gather<Uuid, connection::Model>);

impl UserConnections {
    pub(super) fn new(connections: Connections) -> Self {
        Self(Gather::new(move |users: Vec<Uuid>| {
            let connections = connections.clone();
            async move { connections.of_users(&users).await }
        }))
    }
}

/// The statuses that one query or mutation has asked for: each is asked for once, however often it is
/// selected. A subscription has none of these, for it outlives what they say.
#[derive(Debug, Default)]
pub(super) struct RequestStatuses(Mutex<HashMap<Version, Arc<OnceCell<Status>>>>);

impl RequestStatuses {
    fn cell(&self, version: Version) -> Arc<OnceCell<Status>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(version).or_default())
    }
}

/// An auth session's status, asked for once for each request.
pub(super) async fn session_status(
    context: &Context<'_>,
    connection: &connection::Model,
) -> Status {
    let connections = context.data_unchecked::<Connections>();
    let statuses = request(context).and_then(|request| request.statuses.as_ref());
    let Some(statuses) = statuses else {
        return connections.status(connection).await;
    };
    let cell = statuses.cell(Version::of(connection));
    cell.get_or_init(|| connections.status(connection))
        .await
        .clone()
}
