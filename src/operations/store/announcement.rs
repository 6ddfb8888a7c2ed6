//! Announcements of changes to the other replicas, by Postgres's NOTIFY.

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, Statement,
    sea_query::{Func, FunctionCall},
};
use uuid::Uuid;

use crate::operations::message::Message;

/// The channel that all replicas listen on.
pub(in crate::operations) const CHANNEL: &str = "intuned_gateway_operations";

/// Tells the other replicas of a change, as part of the statement that makes it on Postgres.
pub(super) fn announcement(by: Uuid, id: Uuid, sequence: i32) -> FunctionCall {
    let message = Message::Changed { by, id, sequence };
    Func::cust("pg_notify").args([CHANNEL.into(), message.to_string().into()])
}

/// Notifies whoever listens on a channel of Postgres.
pub(in crate::operations) async fn notify(
    database: &impl ConnectionTrait,
    channel: &str,
    text: &str,
) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_notify($1, $2)",
        [channel.into(), text.into()],
    );
    database.execute_raw(statement).await?;
    Ok(())
}
