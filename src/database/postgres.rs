//! Connections to Postgres.

use std::{io, time::Duration};

use sea_orm::{
    ConnectOptions,
    sqlx::{self, Connection, PgConnection},
};
use tokio::time::{Instant, sleep, timeout};

use super::{ACQUIRE_TIMEOUT, IDLE_BEFORE_PING, errors::is_transient_sqlx, quiet_options};

/// How long Postgres may take to come up when both start at once.
const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
const STARTUP_PAUSE: Duration = Duration::from_millis(500);
/// After which Postgres ends a transaction that does nothing, so that a replica which was stopped in
/// the middle of one does not hold its row locks against the others.
const IDLE_IN_TRANSACTION: &str = "10s";

pub(super) fn options(url: &str, max_connections: u32) -> ConnectOptions {
    let mut options = quiet_options(url);
    options
        .max_connections(max_connections)
        .test_before_acquire_if_idle_for(IDLE_BEFORE_PING)
        .set_application_name(env!("CARGO_PKG_NAME"))
        .map_sqlx_postgres_opts(|options| {
            options.options([
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
                // A plan is kept until its tables are analyzed anew: one that was made while a table was small
                // must not read all of it when it has grown.
                ("enable_seqscan", "off"),
                ("jit", "off"),
            ])
        });
    options
}

/// Tries a single connection until one stands. The pool would wait too, but its error would only
/// say that time was up, not that the connection was refused or the host's name unknown.
pub(super) async fn wait_for(url: &str) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + STARTUP_PATIENCE;
    loop {
        let attempt = timeout(ACQUIRE_TIMEOUT, PgConnection::connect(url))
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        match attempt {
            Ok(connection) => return connection.close().await,
            Err(error) if is_transient_sqlx(&error) && Instant::now() < deadline => {
                tracing::warn!(%error, "the database does not answer yet; trying again");
                sleep(STARTUP_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
