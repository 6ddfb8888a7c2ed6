//! The audit trail of each user: what was done with the account and when, for its owner to read.
//!
//! What changes something is recorded in the transaction of the change; what only reads, or must cost
//! whoever asks no time, is noted and written a moment later. Nothing in a trail is secret or was
//! typed by anybody.

mod metrics;
mod notes;
mod page;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use entity::{Millis, audit_event};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    QueryTrait,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::{Runtime, database::Database};

use ambient::{Clock, Random, first_uuid_at};
pub use metrics::{AuditMetrics, DropReason};
use notes::Notes;

pub use entity::{audit_event::Kind, operation::FailureCode};
pub use page::{DEFAULT_PAGE, LONGEST_PAGE, Page};

/// How often events that are too old are looked for.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// How many of them are deleted at once, so that no transaction grows long.
const PRUNE_AT_ONCE: u64 = 1000;

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as it is known.
    pub client_address: Option<IpAddr>,
    /// The request, as the log names it.
    pub request_id: Option<Arc<str>>,
}

impl Origin {
    /// The client's address for limits, which take one that is not known for one client.
    pub fn address(&self) -> IpAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.client_address.unwrap_or(unknown)
    }
}

/// From this address, by no request that has a name.
impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self {
            client_address: Some(address),
            request_id: None,
        }
    }
}

/// Something that was done with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose account it is.
    pub user_id: Uuid,
    /// What was done.
    pub kind: Kind,
    /// Who asked for it; empty when the gateway did it by itself.
    pub origin: Origin,
    /// The operation that it belongs to.
    pub operation_id: Option<Uuid>,
    /// Why connecting ended without success.
    pub failure_code: Option<FailureCode>,
}

impl Event {
    /// Something that the gateway did by itself.
    pub fn new(user_id: Uuid, kind: Kind) -> Self {
        Self {
            user_id,
            kind,
            origin: Origin::default(),
            operation_id: None,
            failure_code: None,
        }
    }

    /// The same, asked for by `origin`.
    pub fn by(self, origin: &Origin) -> Self {
        Self {
            origin: origin.clone(),
            ..self
        }
    }
}

/// How trails are kept.
#[derive(Clone, Debug)]
pub struct TrailConfig {
    /// For how long (setting `AUDIT_RETENTION`).
    pub retention: Duration,
    /// What is counted of what is not kept.
    pub metrics: AuditMetrics,
}

impl TrailConfig {
    /// Kept for `retention`, with what is dropped counted in `metrics`.
    pub fn new(retention: Duration, metrics: AuditMetrics) -> Self {
        Self { retention, metrics }
    }
}

/// Writes and reads the trails. Clones share everything.
#[derive(Clone, Debug)]
pub struct Trail {
    database: Database,
    clock: Arc<dyn Clock>,
    random: Random,
    notes: Notes,
}

impl Trail {
    /// Writes what is noted, and deletes what is too old, for as long as the runtime lasts.
    pub fn start(config: TrailConfig, runtime: &Runtime) -> Self {
        let TrailConfig { retention, metrics } = config;
        let (notes, receiver) = Notes::new(metrics.clone());
        let trail = Self {
            database: runtime.database.clone(),
            clock: runtime.clock.clone(),
            random: runtime.random.clone(),
            notes,
        };
        let Runtime {
            database,
            tasks,
            shutdown,
            ..
        } = runtime.clone();
        tasks.spawn(notes::write(database, receiver, metrics, shutdown.clone()));
        tasks.spawn(trail.clone().prune(retention, shutdown));
        trail
    }

    /// Records `event`: in a transaction, it stands exactly when the change stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(
        &self,
        transaction: &impl ConnectionTrait,
        event: Event,
    ) -> Result<(), DbErr> {
        audit_event::Entity::insert(self.row(event))
            .exec_without_returning(transaction)
            .await?;
        Ok(())
    }

    /// The same under an id of the caller's, once, however often it is recorded: the acknowledgement of a
    /// COMMIT may have been lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_once(
        &self,
        transaction: &impl ConnectionTrait,
        id: Uuid,
        event: Event,
    ) -> Result<(), DbErr> {
        let row = audit_event::ActiveModel {
            id: Set(id),
            ..self.row(event)
        };
        audit_event::Entity::insert(row)
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
        Ok(())
    }

    /// Has `event` written a moment later: for what changes nothing. A process that dies meanwhile
    /// loses it, and when too many wait it is dropped.
    pub fn note(&self, event: Event) {
        self.notes.put(event.user_id, self.row(event));
    }

    /// The row of `event`, for a write that it belongs to.
    pub fn row(&self, event: Event) -> audit_event::ActiveModel {
        let now = self.clock.now();
        let Origin {
            client_address,
            request_id,
        } = event.origin;
        audit_event::ActiveModel {
            id: Set(self.random.uuid_at(now)),
            user_id: Set(event.user_id),
            kind: Set(event.kind),
            occurred_at: Set(Millis(now)),
            client_address: Set(client_address.map(|address| address.to_canonical().to_string())),
            request_id: Set(request_id.map(|id| id.to_string())),
            operation_id: Set(event.operation_id),
            failure_code: Set(event.failure_code),
        }
    }

    async fn prune(self, retention: Duration, shutdown: CancellationToken) {
        let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        let mut looks = interval(self.random.jitter(PRUNE_EVERY, 0.2));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            match shutdown
                .run_until_cancelled(self.prune_once(retention))
                .await
            {
                Some(Err(error)) => tracing::warn!(%error, "old audit events were not deleted"),
                Some(Ok(())) => {}
                None => return,
            }
        }
    }

    async fn prune_once(&self, retention: TimeDelta) -> Result<(), DbErr> {
        let Some(before) = self.clock.now().checked_sub_signed(retention) else {
            return Ok(());
        };
        // Ids sort by time, and have an index.
        let before = first_uuid_at(before);
        loop {
            let old = audit_event::Entity::find()
                .select_only()
                .column(audit_event::Column::Id)
                .filter(audit_event::Column::Id.lt(before))
                .limit(PRUNE_AT_ONCE)
                .into_query();
            let pruned = audit_event::Entity::delete_many()
                .filter(audit_event::Column::Id.in_subquery(old))
                .exec(&self.database)
                .await?;
            if pruned.rows_affected < PRUNE_AT_ONCE {
                return Ok(());
            }
        }
    }
}
