//! Connections to Postgres.

use std::{future::ready, str::FromStr, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions,
    sqlx::{
        self, ConnectOptions as _, Connection, PgConnection,
        pool::{PoolConnectionMetadata, PoolOptions},
        postgres::{PgConnectOptions, PgListener, PgPoolOptions, Postgres},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::{ACQUIRE_TIMEOUT, IDLE_BEFORE_PING, quiet_options, renewal::Renewal};

/// A connection that was idle must answer in so long, or it is replaced.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// A server that has not answered a statement after so long is gone: it ends statements sooner by itself.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Said on each new connection, by the simple protocol and not as it starts up: some poolers refuse parameters
/// there. Time-outs are never longer than the server's owner wants them:
///
/// - whoever asked is to be told in time that a lock or a statement takes too long,
/// - a replica that was stopped within a transaction must not hold its row locks against the others.
///
/// A plan is kept until its tables are analyzed anew: one that was made while a table was small must not read
/// all of it when it has grown.
const SESSION: &str = "\
    SET default_transaction_isolation = 'read committed'; \
    SET enable_seqscan = off; \
    SET jit = off; \
    SELECT set_config(own.name, own.value, false) FROM (VALUES \
        ('lock_timeout', '1500'), \
        ('statement_timeout', '4000'), \
        ('idle_in_transaction_session_timeout', '10000')) AS own (name, value) \
    JOIN pg_settings AS theirs ON theirs.name = own.name \
    WHERE theirs.setting = '0' OR theirs.setting::bigint > own.value::bigint";

/// As the address says, but for what the gateway wants of each connection.
pub(super) fn connect_options(options: PgConnectOptions) -> PgConnectOptions {
    options
        // Results come in binary; poolers do not know it.
        .extra_float_digits(None)
        .application_name(env!("CARGO_PKG_NAME"))
        .disable_statement_logging()
}

async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SESSION).execute(connection).await.map(drop)
}

pub(super) fn options(url: &str, max_connections: u32, renewal: &Arc<Renewal>) -> ConnectOptions {
    let renewal = Arc::clone(renewal);
    let mut options = quiet_options(url);
    options
        .max_connections(max_connections)
        // One stood a moment ago.
        .connect_lazy(true)
        .map_sqlx_postgres_opts(connect_options)
        .map_sqlx_postgres_pool_opts(move |pool| pool_options(pool, &renewal));
    options
}

fn pool_options(pool: PoolOptions<Postgres>, renewal: &Arc<Renewal>) -> PoolOptions<Postgres> {
    let (acquired, released) = (Arc::clone(renewal), Arc::clone(renewal));
    pool.test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(set_up(connection)))
        .before_acquire(move |connection, metadata| {
            let is_outdated = acquired.is_outdated(metadata.age);
            Box::pin(async move { Ok(!is_outdated && is_there(connection, metadata).await) })
        })
        .after_release(move |_, metadata| Box::pin(ready(Ok(!released.is_outdated(metadata.age)))))
}

/// Whether the server is, as far as is to be made sure of.
async fn is_there(connection: &mut PgConnection, metadata: PoolConnectionMetadata) -> bool {
    metadata.idle_for < IDLE_BEFORE_PING
        || timeout(PING_WITHIN, connection.ping())
            .await
            .is_ok_and(|answered| answered.is_ok())
}

/// The connection that hears notifications, with none behind it in reserve.
///
/// # Errors
/// The database's.
pub async fn listener(url: &SecretString) -> Result<PgListener, sqlx::Error> {
    let options = connect_options(PgConnectOptions::from_str(url.expose_secret())?);
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    Ok(listener)
}
