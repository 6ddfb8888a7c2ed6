//! Looks, before anything is served, whether what the address leads to will do.

use std::{str::FromStr, time::Duration};

use sea_orm::sqlx::{
    self, ConnectOptions as _, Connection, PgConnection, Row, postgres::PgConnectOptions,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    ACQUIRE_TIMEOUT, DatabaseError, connection_error,
    errors::{code, is_transient_sqlx},
    postgres::connect_options,
    transaction::unanswered,
};

/// How long Postgres may take to come up when both start at once.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);
/// How often two connections are asked whether they have the same server process.
const ROUNDS: usize = 3;
/// Poolers say most of what they say by this code, and only some of it passes.
const PROTOCOL_VIOLATION: &str = "08P01";
const PASSES: [&str; 6] = [
    "cannot connect",
    "try again later",
    "query_wait_timeout",
    "no more connections",
    "server conn crashed",
    "server_login_retry",
];

/// Why a Postgres will not do, or not yet.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Error(#[from] sqlx::Error),
    #[error("it takes no writes: it is a standby, or was made read-only")]
    ReadOnly,
    #[error("connections are shared between transactions")]
    Shared,
}

/// Tries single connections until what they lead to will do. The pool would wait too, but its error would only
/// say that time was up, not that the connection was refused or the host's name unknown.
pub(super) async fn wait_for_postgres(url: &str) -> Result<(), DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Address)?;
    let options = connect_options(options);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tried = timeout(ACQUIRE_TIMEOUT, try_out(&options)).await;
        match tried.unwrap_or_else(|_| Err(unanswered().into())) {
            Ok(()) => return Ok(()),
            Err(error) if error.may_pass() && Instant::now() < deadline => {
                tracing::warn!(%error, "the database does not answer yet, or takes no writes; trying again");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn try_out(options: &PgConnectOptions) -> Result<(), Unfit> {
    let mut connection = options.connect().await?;
    if ask::<String>(&mut connection, "SHOW transaction_read_only").await? == "on" {
        return Err(Unfit::ReadOnly);
    }
    let shares = timeout(PAUSE, is_shared(&mut connection, options)).await;
    // There may be no room for a second one just now.
    if let Ok(Ok(true)) = shares {
        return Err(Unfit::Shared);
    }
    connection.close().await?;
    Ok(())
}

/// Whether a process of the server's serves another connection as well as this one: there is a pooler in
/// between that lends it for a transaction at a time.
async fn is_shared(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, sqlx::Error> {
    const PROCESS: &str = "SELECT pg_backend_pid()";
    let mut other = options.connect().await?;
    let mut is_shared = false;
    for _ in 0..ROUNDS {
        let process: i32 = ask(connection, PROCESS).await?;
        is_shared |= process == ask::<i32>(&mut other, PROCESS).await?;
    }
    other.close().await?;
    Ok(is_shared)
}

/// By the simple protocol: such poolers do not know prepared statements.
async fn ask<T>(connection: &mut PgConnection, sql: &'static str) -> Result<T, sqlx::Error>
where
    for<'r> T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let row = sqlx::raw_sql(sql).fetch_one(connection).await?;
    row.try_get(0)
}

impl Unfit {
    fn may_pass(&self) -> bool {
        match self {
            Self::Error(error) => is_transient_sqlx(error) && !is_refusal(error),
            Self::ReadOnly => true,
            Self::Shared => false,
        }
    }
}

fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == PROTOCOL_VIOLATION)
        && !PASSES.iter().any(|words| error.to_string().contains(words))
}

impl From<Unfit> for DatabaseError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::ReadOnly => Self::ReadOnly,
            Unfit::Shared => Self::Shared,
            Unfit::Error(error) if is_refusal(&error) => Self::Refused(connection_error(error)),
            Unfit::Error(error) => Self::Connect(connection_error(error)),
        }
    }
}
