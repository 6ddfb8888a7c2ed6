//! An auth session stands behind one connection alone.
//!
//! Releases before this one took whatever session Intuned said that a sign-in had made, which could be another
//! user's. Nobody can tell whose a session is that several connections have. So none of them keeps it: it is
//! noted for removal at Intuned, and each connection gets the id of a session that there is not. It reads as
//! expired, and its user connects again.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, FromQueryResult, prelude::Uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const INDEX: &str = "connections_auth_session_id_service";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        let shared = database.query_all(&shared()).await?;
        for row in shared {
            part(database, Shared::from_query_result(&row, "")?).await?;
        }
        let index = Index::create()
            .name(INDEX)
            .table("connections")
            .unique()
            .col("auth_session_id")
            .col("service")
            .take();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name(INDEX).table("connections").to_owned();
        manager.drop_index(index).await
    }
}

/// A connection whose session another one has as well.
#[derive(FromQueryResult)]
struct Shared {
    id: Uuid,
    user_id: Uuid,
    auth_session_id: String,
    removing_session_id: Option<String>,
    connected_at: i64,
}

fn shared() -> SelectStatement {
    let several = Query::select()
        .column("auth_session_id")
        .from("connections")
        .group_by_columns(["service", "auth_session_id"])
        .and_having(Expr::col("id").count().gt(1))
        .take();
    Query::select()
        .columns([
            "id",
            "user_id",
            "auth_session_id",
            "removing_session_id",
            "connected_at",
        ])
        .from("connections")
        .and_where(Expr::col("auth_session_id").in_subquery(several))
        .take()
}

async fn part<C: ConnectionTrait>(database: &C, connection: Shared) -> Result<(), DbErr> {
    let own = connection.id.to_string();
    let session = &connection.auth_session_id;
    // What its user has wanted gone goes on going.
    let is_going = connection.removing_session_id.as_ref() == Some(session)
        || is_noted(database, &connection).await?;
    let mut update = Query::update()
        .table("connections")
        .value("auth_session_id", own.as_str())
        .and_where(Expr::col("id").eq(connection.id))
        .take();
    if is_going {
        update.value("removing_session_id", own.as_str());
        note(database, &connection, &own).await?;
    }
    database.execute(&update).await?;
    note(database, &connection, session).await
}

async fn is_noted<C: ConnectionTrait>(database: &C, connection: &Shared) -> Result<bool, DbErr> {
    let noted = Query::select()
        .expr(Expr::cust("1"))
        .from("session_removals")
        .and_where(Expr::col("auth_session_id").eq(connection.auth_session_id.as_str()))
        .and_where(Expr::col("user_id").eq(connection.user_id))
        .take();
    Ok(database.query_one(&noted).await?.is_some())
}

/// Due at once, and settled: no attempt makes the session anew.
async fn note<C: ConnectionTrait>(
    database: &C,
    connection: &Shared,
    session: &str,
) -> Result<(), DbErr> {
    let then = connection.connected_at;
    let note = Query::insert()
        .into_table("session_removals")
        .columns([
            "auth_session_id",
            "user_id",
            "requested_at",
            "settles_at",
            "due_at",
            "attempts",
        ])
        .values_panic([
            session.into(),
            connection.user_id.into(),
            then.into(),
            then.into(),
            then.into(),
            0.into(),
        ])
        .on_conflict(
            OnConflict::column("auth_session_id")
                .do_nothing()
                .to_owned(),
        )
        .take();
    database.execute(&note).await?;
    Ok(())
}
