//! Has a database belong to another workspace: for when it is meant.
//!
//! Only the mark changes, so that it can be taken back. What the database knows of in the workspace before
//! is told, because the gateway cannot reach it from the new one.

use std::fs;

use sea_orm::{DbBackend, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    platform::database::{self, DatabaseError, Left, Workspace},
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
    /// There is nothing to reassign.
    #[error(
        "no gateway's database is there (DATABASE_URL){0}; nothing was made. Write the address that the gateway has"
    )]
    Missing(String),
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
    look_for(&settings.database.url)?;
    let _lock = database::lock_file(&settings.database.url)?;
    let database =
        database::connect(&settings.database.url, settings.database.max_connections).await?;
    let reassigned = reassign_in(&database, settings).await;
    database.close().await?;
    reassigned
}

/// Makes sure that there is a file, where it is to be a file: whoever opens one makes it.
fn look_for(url: &SecretString) -> Result<(), ReassignError> {
    let url = url.expose_secret();
    if database::backend(url) != Some(DbBackend::Sqlite) {
        return Ok(());
    }
    let Some(path) = database::sqlite_file(url) else {
        return Err(ReassignError::Missing(": it is in memory".to_owned()));
    };
    let is_there = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    let missing = || ReassignError::Missing(format!(": {} is missing, or empty", path.display()));
    is_there.then_some(()).ok_or_else(missing)
}

async fn reassign_in(
    database: &database::Database,
    settings: ReassignSettings,
) -> Result<(), ReassignError> {
    if database::is_new(database).await? {
        return Err(ReassignError::Missing(
            ": it has no tables of a gateway's".to_owned(),
        ));
    }
    database::migrate(database).await?;
    let wanted = settings.workspace;
    let marked = database::mark(database).await?;
    if marked.as_ref() == Some(&wanted) {
        tracing::info!("the database belongs to {wanted} already");
        return Ok(());
    }
    let left = database::left_behind(database, settings.lease).await?;
    if left.gateways > 0 {
        return Err(ReassignError::InUse(left.gateways));
    }
    let before = marked.map_or("no workspace".to_owned(), |marked| marked.to_string());
    tell(&before, &left);
    if !settings.confirmed {
        return Err(ReassignError::NotConfirmed(wanted));
    }
    let running = database::reassign(database, &wanted, settings.lease).await?;
    if running > 0 {
        return Err(ReassignError::InUse(running));
    }
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
