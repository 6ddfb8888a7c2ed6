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
        match try_out(&options).await {
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
    let mut connection = in_time(options.connect()).await?;
    let read_only: String = in_time(ask(&mut connection, "SHOW transaction_read_only")).await?;
    if read_only == "on" {
        return Err(Unfit::ReadOnly);
    }
    match is_shared(&mut connection, options).await {
        Ok(true) => return Err(Unfit::Shared),
        Ok(false) => {}
        Err(error) => {
            // There may be no room for a second one just now, but this one is to answer.
            in_time(connection.ping()).await?;
            tracing::warn!(
                %error,
                "whether DATABASE_URL leads to a pooler in transaction mode cannot be told, for lack of a second \
                 connection"
            );
        }
    }
    in_time(connection.close()).await?;
    Ok(())
}

/// Each step may take as long as connecting: a slow server is asked to the end.
async fn in_time<T>(step: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let done = timeout(ACQUIRE_TIMEOUT, step).await;
    done.unwrap_or_else(|_| Err(unanswered()))
}

/// Whether a process of the server's serves another connection as well as this one: there is a pooler in
/// between that lends it for a transaction at a time.
async fn is_shared(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, sqlx::Error> {
    const PROCESS: &str = "SELECT pg_backend_pid()";
    let mut other = in_time(options.connect()).await?;
    let mut is_shared = false;
    for _ in 0..ROUNDS {
        let process: i32 = in_time(ask(connection, PROCESS)).await?;
        is_shared |= process == in_time(ask::<i32>(&mut other, PROCESS)).await?;
    }
    in_time(other.close()).await?;
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
