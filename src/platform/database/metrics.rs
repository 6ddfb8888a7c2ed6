//! Statements, and the pool of connections.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Database, PoolSize};
use crate::platform::metrics::{Durations, narrow, sampled};

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
    pub(crate) fn register(registry: &mut Registry) -> Self {
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
    pub fn measure(&self, database: &mut Database) {
        let statements = self.statements.clone();
        database.measure(move |info| {
            let labels = StatementLabels {
                verb: verb(&info.statement.sql),
                result: if info.failed { "error" } else { "ok" },
            };
            let took = info.elapsed.as_secs_f64();
            statements.get_or_create(&labels).observe(took);
        });
    }

    /// Tries out from time to time how long a connection is waited for, until dropped.
    pub async fn probe(&self, database: Database) {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let started = Instant::now();
            match database.probe().await {
                Ok(()) => self.acquire.observe(started.elapsed().as_secs_f64()),
                Err(_) => {
                    self.acquire_timeouts.inc();
                }
            }
        }
    }
}

/// Shows how many connections the pool has, of how many that it may have.
pub fn watch_pool(registry: &mut Registry, database: Database) {
    registry.register_collector(sampled(
        "database_connections",
        "Connections to the database: idle, in use, and the most that may be open (max)",
        Some("state"),
        move || {
            let PoolSize { open, idle, max } = database.size();
            [
                ("idle", f64::from(idle)),
                ("in_use", f64::from(open.saturating_sub(idle))),
                ("max", f64::from(max)),
            ]
        },
    ));
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
