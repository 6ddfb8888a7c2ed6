//! Has a database belong to another workspace: for when it is meant.
//!
//! Only the mark changes, so that it can be taken back. What the database knows of in the workspace before
//! is told, because the gateway cannot reach it from the new one.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use crate::{
    database::{self, DatabaseError, Left, Workspace},
    settings::ReassignSettings,
};

/// Why the database belongs where it did.
#[derive(Debug, thiserror::Error)]
pub enum ReassignError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database refuses a statement.
    #[error("the database cannot be asked (DATABASE_URL)")]
    Statement(#[from] DbErr),
    /// There are gateways on the database.
    #[error(
        "{0} gateways are running on the database (DATABASE_URL): stop them first. One that was killed counts \
         until LEASE is over"
    )]
    InUse(u64),
    /// It was asked what would be done.
    #[error("nothing was changed; to have the database belong to {0}, say so with --yes")]
    NotConfirmed(Workspace),
}

/// Has the database belong to the workspace of the settings.
///
/// # Errors
/// [`ReassignError`]; nothing was changed then.
pub async fn reassign(settings: ReassignSettings) -> Result<(), ReassignError> {
    let _lock = database::lock_file(&settings.database.url)?;
    let database =
        database::connect(&settings.database.url, settings.database.max_connections).await?;
    database::migrate(&database).await?;
    let reassigned = reassign_in(&database, settings).await;
    database.close().await?;
    reassigned
}

async fn reassign_in(
    database: &database::Database,
    settings: ReassignSettings,
) -> Result<(), ReassignError> {
    let wanted = settings.workspace;
    let marked = database::mark(database).await?;
    if marked.as_ref() == Some(&wanted) {
        tracing::info!("the database belongs to {wanted} already");
        return Ok(());
    }
    let left = database::left_behind(database, settings.lease).await?;
    // On SQLite the lock says that whoever beat there is dead.
    let is_shared = database.get_database_backend() == DbBackend::Postgres;
    if is_shared && left.gateways > 0 {
        return Err(ReassignError::InUse(left.gateways));
    }
    let before = marked.map_or("no workspace".to_owned(), |marked| marked.to_string());
    tell(&before, &left);
    if !settings.confirmed {
        return Err(ReassignError::NotConfirmed(wanted));
    }
    database::reassign(database, &wanted).await?;
    tracing::warn!("the database belonged to {before}, and belongs to {wanted} from now on");
    Ok(())
}

fn tell(before: &str, left: &Left) {
    tracing::info!(
        connections = left.connections,
        operations = left.being_made.len(),
        removals = left.to_be_deleted.len(),
        "the database belongs to {before}. Users of these connections will have to connect again, and these \
         operations will end without success"
    );
    for id in &left.being_made {
        tracing::warn!(
            auth_session.id = id,
            "an operation in flight may leave this auth session in {before}: delete it there"
        );
    }
    for id in &left.to_be_deleted {
        tracing::warn!(
            auth_session.id = id,
            "this auth session is still to be deleted in {before}: delete it there"
        );
    }
}
