//! Statuses that serve for a while: on this replica from memory, on all of them from the database. So a page
//! that asks often is answered, whichever replicas its requests come to.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use entity::{
    Millis, connection,
    kept_status::{self, Status as Told},
};
use moka::sync::Cache;
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait, sea_query::OnConflict};

use super::Version;
use crate::platform::database::{self, Database};
use ambient::Clock;
use intuned_client::AuthSessionStatus;

/// The most that are kept in memory.
const IN_MEMORY: u64 = 100_000;

/// The times for which statuses serve.
#[derive(Clone, Copy, Debug)]
pub struct StatusKeeping {
    /// In the place of asking Intuned.
    pub fresh_for: Duration,
    /// In the place of a refusal, when the budget for asking (settings `STATUS_TRIES` and `STATUS_WINDOW`) is
    /// used up.
    pub fallback_for: Duration,
}

/// The last statuses of connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct KeptStatuses {
    keeping: StatusKeeping,
    in_memory: Cache<Version, AuthSessionStatus>,
    database: Database,
    clock: Arc<dyn Clock>,
}

/// A status that some replica was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptStatus {
    pub(super) status: AuthSessionStatus,
    age: TimeDelta,
    keeping: StatusKeeping,
}

impl KeptStatuses {
    pub(super) fn new(keeping: StatusKeeping, database: Database, clock: Arc<dyn Clock>) -> Self {
        let in_memory = Cache::builder()
            .max_capacity(IN_MEMORY)
            .time_to_live(keeping.fresh_for)
            .build();
        Self {
            keeping,
            in_memory,
            database,
            clock,
        }
    }

    /// A fresh one of this replica's.
    pub(super) fn in_memory(&self, version: &Version) -> Option<AuthSessionStatus> {
        self.in_memory.get(version)
    }

    /// The last one of any replica's.
    pub(super) async fn last(
        &self,
        connection: &connection::Model,
    ) -> Result<Option<KeptStatus>, DbErr> {
        let found = kept_status::Entity::find_by_id(connection.id)
            .one(&self.database)
            .await?;
        let version = Version::of(connection).to_string();
        let found = found.filter(|kept| kept.version == version);
        Ok(found.map(|kept| KeptStatus {
            status: loaded(kept.status),
            // Of a time to come it is when the clock was set back: it says as little as one of long ago.
            age: (self.clock.now() - kept.told_at.0).abs(),
            keeping: self.keeping,
        }))
    }

    /// Takes note of what Intuned has just said.
    pub(super) async fn keep(&self, connection: &connection::Model, status: AuthSessionStatus) {
        let version = Version::of(connection);
        let row = kept_status::ActiveModel {
            connection_id: Set(connection.id),
            version: Set(version.to_string()),
            status: Set(stored(status)),
            told_at: Set(Millis(self.clock.now())),
        };
        self.in_memory.insert(version, status);
        let the_last = OnConflict::column(kept_status::Column::ConnectionId)
            .update_columns([
                kept_status::Column::Version,
                kept_status::Column::Status,
                kept_status::Column::ToldAt,
            ])
            .to_owned();
        let written = kept_status::Entity::insert(row)
            .on_conflict(the_last)
            .exec_without_returning(&self.database)
            .await;
        match written {
            // It has been disconnected meanwhile.
            Err(error) if database::is_foreign_key_violation(&error) => {}
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, %error, "a status was not kept for other replicas");
            }
            Ok(_) => {}
        }
    }

    /// Takes back what Intuned has said of it.
    pub(super) async fn forget(&self, connection: &connection::Model) -> Result<(), DbErr> {
        kept_status::Entity::delete_by_id(connection.id)
            .exec(&self.database)
            .await?;
        Ok(())
    }
}

impl KeptStatus {
    /// Tells whether it serves in the place of asking Intuned.
    pub(super) fn is_fresh(self) -> bool {
        self.is_within(self.keeping.fresh_for)
    }

    /// Tells whether it serves in the place of a refusal.
    pub(super) fn is_fallback(self) -> bool {
        self.is_within(self.keeping.fallback_for)
    }

    fn is_within(self, span: Duration) -> bool {
        self.age.to_std().is_ok_and(|age| age < span)
    }
}

/// The status as the table has it.
fn stored(status: AuthSessionStatus) -> Told {
    match status {
        AuthSessionStatus::Pending => Told::Pending,
        AuthSessionStatus::Ready => Told::Ready,
        AuthSessionStatus::Expired => Told::Expired,
    }
}

/// The status that the table has.
fn loaded(told: Told) -> AuthSessionStatus {
    match told {
        Told::Pending => AuthSessionStatus::Pending,
        Told::Ready => AuthSessionStatus::Ready,
        Told::Expired => AuthSessionStatus::Expired,
    }
}
