//! Writes noted events, many at a time.

use entity::audit_event;
use sea_orm::{DbErr, EntityTrait};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::database::Database;

/// How many events one statement writes.
const AT_ONCE: usize = 100;

/// Writes what is noted until `shutdown`, and then what waits.
pub(super) async fn write(
    database: Database,
    mut noted: mpsc::Receiver<audit_event::ActiveModel>,
    shutdown: CancellationToken,
) {
    let mut events = Vec::with_capacity(AT_ONCE);
    loop {
        tokio::select! {
            biased;
            count = noted.recv_many(&mut events, AT_ONCE) => {
                if count == 0 {
                    return;
                }
                write_all(&database, &mut events).await;
            }
            // What was noted until now is still read, and nothing after that.
            () = shutdown.cancelled(), if !noted.is_closed() => noted.close(),
        }
    }
}

async fn write_all(database: &Database, events: &mut Vec<audit_event::ActiveModel>) {
    if insert(database, events.clone()).await.is_ok() {
        events.clear();
        return;
    }
    // One of an account that was deleted meanwhile must not take the others with it.
    for event in events.drain(..) {
        if let Err(error) = insert(database, vec![event]).await {
            tracing::warn!(%error, "an audit event was not written");
        }
    }
}

async fn insert(database: &Database, events: Vec<audit_event::ActiveModel>) -> Result<(), DbErr> {
    audit_event::Entity::insert_many(events)
        .exec_without_returning(database)
        .await?;
    Ok(())
}
