//! Statements, and the pool of connections.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};
use sea_orm::{DatabaseConnection, DbBackend};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Durations, PREFIX, narrow, sampled};

/// How often the wait for a connection is tried out.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Statements and connections.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    statements: Durations<StatementLabels>,
    acquire: Histogram,
    acquire_timeouts: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatementLabels {
    verb: &'static str,
    result: &'static str,
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        Self {
            statements: Durations::new_with_constructor(narrow),
            acquire: narrow(),
            acquire_timeouts: Counter::default(),
        }
    }
}

impl DatabaseMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "database_statement_duration",
            "How long statements took, without the wait for a connection, by verb and result",
            Unit::Seconds,
            metrics.statements.clone(),
        );
        registry.register_with_unit(
            "database_acquire_duration",
            "How long a free connection was waited for, tried out every five seconds",
            Unit::Seconds,
            metrics.acquire.clone(),
        );
        registry.register(
            "database_acquire_failures",
            "Times that no connection could be had when that was tried out",
            metrics.acquire_timeouts.clone(),
        );
        metrics
    }

    /// Has every statement of `database` and its later clones measured.
    pub fn measure(&self, database: &mut DatabaseConnection) {
        let statements = self.statements.clone();
        database.set_metric_callback(move |info| {
            let labels = StatementLabels {
                verb: verb(&info.statement.sql),
                result: if info.failed { "error" } else { "ok" },
            };
            let took = info.elapsed.as_secs_f64();
            statements.get_or_create(&labels).observe(took);
        });
    }

    /// Tries out from time to time how long a connection is waited for, until dropped.
    pub async fn probe(&self, database: DatabaseConnection) {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let started = Instant::now();
            let acquired = acquire(&database).await;
            match acquired {
                Ok(()) => self.acquire.observe(started.elapsed().as_secs_f64()),
                Err(_) => {
                    self.acquire_timeouts.inc();
                }
            }
        }
    }
}

/// Shows how many connections the pool has, of how many that it may have.
pub fn watch_pool(registry: &mut Registry, database: DatabaseConnection) {
    let registry = registry.sub_registry_with_prefix(PREFIX);
    registry.register_collector(sampled(
        "database_connections",
        "Connections to the database: idle, in use, and the most that may be open (max)",
        Some("state"),
        move || {
            let (size, idle, max) = pool(&database);
            let idle = u32::try_from(idle).unwrap_or(u32::MAX);
            [
                ("idle", f64::from(idle)),
                ("in_use", f64::from(size.saturating_sub(idle))),
                ("max", f64::from(max)),
            ]
        },
    ));
}

/// Takes a connection and gives it back.
async fn acquire(database: &DatabaseConnection) -> Result<(), sqlx::Error> {
    if database.get_database_backend() == DbBackend::Postgres {
        let pool = database.get_postgres_connection_pool();
        pool.acquire().await.map(drop)
    } else {
        let pool = database.get_sqlite_connection_pool();
        pool.acquire().await.map(drop)
    }
}

/// How many connections are open, how many of them are idle, and how many may be open.
fn pool(database: &DatabaseConnection) -> (u32, usize, u32) {
    if database.get_database_backend() == DbBackend::Postgres {
        let pool = database.get_postgres_connection_pool();
        let max = pool.options().get_max_connections();
        (pool.size(), pool.num_idle(), max)
    } else {
        let pool = database.get_sqlite_connection_pool();
        let max = pool.options().get_max_connections();
        (pool.size(), pool.num_idle(), max)
    }
}

fn verb(sql: &str) -> &'static str {
    match sql.get(..6) {
        Some("SELECT") => "select",
        Some("INSERT") => "insert",
        Some("UPDATE") => "update",
        Some("DELETE") => "delete",
        _ => "other",
    }
}
