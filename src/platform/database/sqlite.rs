//! The connection to `SQLite`: one, which is kept.

use std::time::Duration;

use sea_orm::{
    ConnectOptions,
    sqlx::{
        Connection,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use super::quiet_options;

/// How long opening the file may take. Once it is open, nobody waits for the pool but in turns.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How long `SQLite` waits for another process that holds the file's lock. Whoever asked is to be told in time,
/// and others wait for the same connection.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);
/// So far may the thread that runs `SQLite` be ahead of who reads the rows: as many as one gathered read
/// finds at most, or the two would wake each other for each further one.
const ROWS_AHEAD: usize = 256;

pub(super) fn options(url: &str) -> ConnectOptions {
    let mut options = quiet_options(url);
    // Never closed without need: a database in memory lives as long as its connection.
    options
        .acquire_timeout(OPEN_WITHIN)
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // When `SQLite` gives a transaction up by itself (the disk is full, say), sqlx does not notice, takes
        // further ones for parts of it, and never commits again.
        .map_sqlx_sqlite_before_acquire(|connection, _| {
            let is_usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_usable) })
        })
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .busy_timeout(BUSY_TIMEOUT)
                .row_buffer_size(ROWS_AHEAD)
        });
    options
}
