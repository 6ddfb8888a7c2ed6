//! Sessions as requests are checked against them. One statement reads a session with its user and the
//! user's connection, which is what most requests ask for next, and reads those of all requests that
//! wait at the same time. Sockets ask for more much later, if at all, and have their sessions read alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::dataloader::Loader;
use entity::{Millis, connection, connection::Service, session, user};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, JoinType,
    QueryFilter, QuerySelect, QueryTrait, Select, Statement, Values,
    sea_query::{Expr, ExprTrait, IntoCondition},
};
use uuid::Uuid;

use crate::{platform::batch_loader::padded, platform::database::Database};

/// A user, as of the moment at which their session was checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Whose it is.
    pub user_id: Uuid,
    /// The address to show.
    pub email: String,
    /// The user's `OrangeHRM` connection.
    pub connection: Option<connection::Model>,
}

/// A session that stands.
#[derive(Clone, Debug)]
pub(super) struct SessionWithUser {
    pub(super) expires_at: Millis,
    pub(super) profile: Arc<Profile>,
}

/// What is known of a session without its user.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct SessionRow {
    id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) expires_at: Millis,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    expires_at: Millis,
    email: String,
    contact_email: Option<String>,
    connection_id: Option<Uuid>,
    auth_session_id: Option<String>,
    created_at: Option<Millis>,
    connected_at: Option<Millis>,
    expired_at: Option<Millis>,
    removing_session_id: Option<String>,
}

/// Loads sessions by id.
pub(super) struct SessionLoader(Rows);

/// Loads sessions by id, with their users and the users' connections.
pub(super) struct SessionWithUserLoader(Rows);

impl SessionLoader {
    pub(super) fn new(database: Database) -> Self {
        Self(Rows::new(database, find))
    }
}

impl SessionWithUserLoader {
    pub(super) fn new(database: Database) -> Self {
        Self(Rows::new(database, find_with_users))
    }
}

impl Loader<Uuid> for SessionLoader {
    type Value = SessionRow;
    type Error = DbErr;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, SessionRow>, DbErr> {
        let rows: Vec<SessionRow> = self.0.read(ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

impl Loader<Uuid> for SessionWithUserLoader {
    type Value = SessionWithUser;
    type Error = DbErr;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, SessionWithUser>, DbErr> {
        let rows: Vec<Row> = self.0.read(ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
    }
}

/// Reads rows by the ids of sessions.
struct Rows {
    database: Database,
    statements: Statements,
}

impl Rows {
    fn new(database: Database, find: Find) -> Self {
        let statements = Statements::new(database.get_database_backend(), find);
        Self {
            database,
            statements,
        }
    }

    async fn read<R: FromQueryResult>(&self, ids: &[Uuid]) -> Result<Vec<R>, DbErr> {
        let statement = self.statements.of(&padded(ids));
        R::find_by_statement(statement).all(&self.database).await
    }
}

/// Asks for sessions; the ids are the last of the values.
type Find = fn(&[Uuid]) -> Select<session::Entity>;

/// Statements by how many ids they ask for. To build one takes longer than to send it, and only its last
/// values are others each time.
struct Statements {
    backend: DbBackend,
    find: Find,
    built: Mutex<HashMap<usize, Statement>>,
}

impl Statements {
    fn new(backend: DbBackend, find: Find) -> Self {
        Self {
            backend,
            find,
            built: Mutex::default(),
        }
    }

    fn of(&self, ids: &[Uuid]) -> Statement {
        let mut statement = {
            let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
            let statement = built
                .entry(ids.len())
                .or_insert_with(|| (self.find)(ids).build(self.backend));
            statement.clone()
        };
        if let Some(Values(values)) = &mut statement.values {
            let first = values.len().saturating_sub(ids.len());
            for (value, id) in values.iter_mut().skip(first).zip(ids) {
                *value = (*id).into();
            }
        }
        statement
    }
}

fn find(ids: &[Uuid]) -> Select<session::Entity> {
    session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .column(session::Column::UserId)
        .column(session::Column::ExpiresAt)
        .filter(session::Column::Id.is_in(ids.iter().copied()))
}

fn find_with_users(ids: &[Uuid]) -> Select<session::Entity> {
    let user = session::Entity::belongs_to(user::Entity)
        .from(session::Column::UserId)
        .to(user::Column::Id);
    let connection = session::Entity::belongs_to(connection::Entity)
        .from(session::Column::UserId)
        .to(connection::Column::UserId)
        .on_condition(|_, connection| {
            Expr::col((connection, connection::Column::Service))
                .eq(Service::OrangeHrm)
                .into_condition()
        });
    session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .column(session::Column::UserId)
        .column(session::Column::ExpiresAt)
        .column(user::Column::Email)
        .column(user::Column::ContactEmail)
        .column_as(connection::Column::Id, "connection_id")
        .column(connection::Column::AuthSessionId)
        .column(connection::Column::CreatedAt)
        .column(connection::Column::ConnectedAt)
        .column(connection::Column::ExpiredAt)
        .column(connection::Column::RemovingSessionId)
        .join(JoinType::InnerJoin, user.into())
        .join(JoinType::LeftJoin, connection.into())
        .filter(session::Column::Id.is_in(ids.iter().copied()))
}

impl From<Row> for SessionWithUser {
    fn from(row: Row) -> Self {
        let connection = match (
            row.connection_id,
            row.auth_session_id,
            row.created_at,
            row.connected_at,
        ) {
            (Some(id), Some(auth_session_id), Some(created_at), Some(connected_at)) => {
                Some(connection::Model {
                    id,
                    user_id: row.user_id,
                    service: Service::OrangeHrm,
                    auth_session_id,
                    created_at,
                    connected_at,
                    expired_at: row.expired_at,
                    removing_session_id: row.removing_session_id,
                })
            }
            _ => None,
        };
        Self {
            expires_at: row.expires_at,
            profile: Arc::new(Profile {
                user_id: row.user_id,
                email: row.contact_email.unwrap_or(row.email),
                connection,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_is_used_again_asks_for_other_ids() {
        for (backend, find) in [
            (DbBackend::Postgres, find as Find),
            (DbBackend::Postgres, find_with_users),
            (DbBackend::Sqlite, find),
            (DbBackend::Sqlite, find_with_users),
        ] {
            let statements = Statements::new(backend, find);
            for ids in [[1, 2], [3, 4], [5, 5]] {
                let ids = ids.map(Uuid::from_u128);
                assert_eq!(statements.of(&ids), find(&ids).build(backend));
            }
            let one = [Uuid::from_u128(6)];
            assert_eq!(statements.of(&one), find(&one).build(backend));
        }
    }
}
