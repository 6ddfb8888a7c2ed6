//! A user's connection to a service: what Intuned says of its session, and the claims behind it.

mod error;
mod expiry;
mod linking;
pub(crate) mod removal;
mod statuses;
mod version;

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{connection, connection::Service};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use written_json::WrittenJson;

use crate::{
    accounts::{Accounts, Read},
    audit::{self, Origin, Trail},
    platform::batch_loader::padded,
    platform::database::Database,
    platform::single_flight::SingleFlight,
    webhooks::Outbox,
};
use ambient::Clock;
use intuned_client::{AuthSessionStatus, IntunedClient, IntunedError, RunError};
use statuses::KeptStatuses;

pub use error::ReadError;
pub(crate) use linking::{SignIn, link};
pub use statuses::StatusKeeping;
pub(crate) use version::Version;

/// The project's API that lists a user's expense claims.
const GET_CLAIMS: &str = "get-claims";

/// Bytes of claims that are kept to be shown again.
const KEPT_CLAIMS_BYTES: u64 = 64 * 1024 * 1024;

/// The configuration of reading claims and statuses.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionsConfig {
    /// The longest time that a run may take (setting `CLAIMS_TIMEOUT`).
    pub claims_timeout: Duration,
    /// The time for which its result may be shown again (setting `CLAIMS_CACHE`); zero for not at all.
    pub claims_cache: Duration,
    /// The times for which a status may be; none for not at all.
    pub statuses: Option<StatusKeeping>,
}

/// The outcome of a run of `get-claims`.
pub type Claims = Result<WrittenJson, ReadError>;

/// The status of an auth session, as Intuned tells it.
pub type Status = Result<AuthSessionStatus, ReadError>;

/// The sources that connections are read from, and the records of what is found out.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Has the connections.
    pub database: Database,
    /// Has their sessions.
    pub intuned: IntunedClient,
    /// Counts what users read.
    pub accounts: Accounts,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Is told for users.
    pub trail: Trail,
    /// Is told for the operator.
    pub outbox: Outbox,
}

/// Reads connections, their status and their claims. Clones share everything.
#[derive(Clone, Debug)]
pub struct Connections {
    database: Database,
    intuned: IntunedClient,
    accounts: Accounts,
    clock: Arc<dyn Clock>,
    trail: Trail,
    outbox: Outbox,
    claims_timeout: Duration,
    kept_claims: Option<Cache<Version, WrittenJson>>,
    kept_statuses: Option<KeptStatuses>,
    claims: SingleFlight<Version, Claims>,
    statuses: SingleFlight<Version, Status>,
}

impl Connections {
    /// Reads from `sources`.
    pub fn new(config: ConnectionsConfig, sources: Sources) -> Self {
        let Sources {
            database,
            intuned,
            accounts,
            clock,
            trail,
            outbox,
        } = sources;
        let kept_statuses = config
            .statuses
            .map(|keeping| KeptStatuses::new(keeping, database.clone(), clock.clone()));
        Self {
            database,
            intuned,
            accounts,
            clock,
            trail,
            outbox,
            claims_timeout: config.claims_timeout,
            kept_claims: claims_cache(config.claims_cache),
            kept_statuses,
            claims: SingleFlight::default(),
            statuses: SingleFlight::default(),
        }
    }

    /// The users' connections, by user.
    ///
    /// # Errors
    /// The database's.
    pub async fn of_users(
        &self,
        users: &[Uuid],
    ) -> Result<HashMap<Uuid, connection::Model>, DbErr> {
        let found = connection::Entity::find()
            .filter(connection::Column::UserId.is_in(padded(users)))
            .filter(connection::Column::Service.eq(Service::OrangeHrm))
            .all(&self.database)
            .await?;
        Ok(found.into_iter().map(|row| (row.user_id, row)).collect())
    }

    /// The session's status as Intuned tells it, now or a moment ago; one that Intuned does not know has
    /// expired. Those who ask while the answer is on its way share it. When the user's budget is used up, the
    /// last answer serves on for a while.
    ///
    /// # Errors
    /// [`ReadError`]; it is not kept.
    pub async fn status(&self, connection: &connection::Model) -> Status {
        let version = Version::of(connection);
        let kept = self.kept_statuses.as_ref();
        if let Some(status) = kept.and_then(|kept| kept.in_memory(&version)) {
            return Ok(status);
        }
        let (this, connection) = (self.clone(), connection.clone());
        let finding = async move { this.find_status(&connection).await };
        let shared = self.statuses.share(version, finding).await;
        shared.unwrap_or(Err(ReadError::BrokenOff))
    }

    async fn find_status(&self, connection: &connection::Model) -> Status {
        let Some(kept) = &self.kept_statuses else {
            return self.ask_for_status(connection).await;
        };
        let last = kept.last(connection).await.map_err(ReadError::Database)?;
        if let Some(last) = last.filter(|last| last.is_fresh()) {
            return Ok(last.status);
        }
        let answer = self.ask_for_status(connection).await;
        if let Ok(status) = answer {
            kept.keep(connection, status).await;
        }
        match (answer, last) {
            (Err(ReadError::TooMuch { .. }), Some(last)) if last.is_fallback() => Ok(last.status),
            (answer, _) => answer,
        }
    }

    async fn ask_for_status(&self, connection: &connection::Model) -> Status {
        // What is not going to be sent needs no counting.
        self.intuned.check_read_hold()?;
        let user_id = connection.user_id;
        self.accounts.count_read(Read::Status, user_id).await?;
        let id = &connection.auth_session_id;
        let answer = self.intuned.auth_session_status(id).await;
        if let Err(IntunedError::RateLimited { .. }) = answer {
            self.accounts.give_back_read(Read::Status, user_id).await;
        }
        Ok(answer?.unwrap_or(AuthSessionStatus::Expired))
    }

    /// The claims that `get-claims` returns for the connection. Those who ask while a run is under way share it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn claims(&self, connection: &connection::Model, origin: &Origin) -> Claims {
        let version = Version::of(connection);
        if let Some(kept) = self.kept_claims(&version) {
            return Ok(kept);
        }
        let (this, connection, origin) = (self.clone(), connection.clone(), origin.clone());
        let running = async move { this.run_get_claims(&connection, &origin).await };
        let shared = self.claims.share(version, running).await;
        shared.unwrap_or(Err(ReadError::BrokenOff))
    }

    /// One run, counted and recorded once, whoever shares it.
    async fn run_get_claims(&self, connection: &connection::Model, origin: &Origin) -> Claims {
        self.intuned.check_read_hold().map_err(RunError::NotBegun)?;
        let user_id = connection.user_id;
        self.accounts.count_read(Read::Run, user_id).await?;
        let id = &connection.auth_session_id;
        let run = self.intuned.run(GET_CLAIMS, id, self.claims_timeout).await;
        match &run {
            Ok(claims) => {
                let read = audit::Event::new(user_id, audit::Kind::ClaimsRead);
                self.trail.note(read.by(origin));
                self.worked(connection).await;
                self.keep_claims(connection, claims);
            }
            Err(RunError::SessionExpired { .. }) => {
                self.found(connection, AuthSessionStatus::Expired).await;
            }
            Err(RunError::NotBegun(_)) => {
                self.accounts.give_back_read(Read::Run, user_id).await;
            }
            Err(_) => {}
        }
        Ok(run?)
    }

    fn keep_claims(&self, connection: &connection::Model, claims: &WrittenJson) {
        if let Some(kept) = &self.kept_claims {
            // With the run, whatever was heard before, it has not expired.
            let connection = connection::Model {
                expired_at: None,
                ..connection.clone()
            };
            kept.insert(Version::of(&connection), claims.clone());
        }
    }

    fn kept_claims(&self, version: &Version) -> Option<WrittenJson> {
        let kept = self.kept_claims.as_ref()?;
        kept.get(version).filter(|_| !version.has_expired())
    }
}

/// The cache of claims; none where nothing is to be kept.
fn claims_cache(keep_for: Duration) -> Option<Cache<Version, WrittenJson>> {
    let builder = Cache::builder()
        .max_capacity(KEPT_CLAIMS_BYTES)
        .weigher(|version: &Version, claims: &WrittenJson| {
            u32::try_from(version.len() + claims.len()).unwrap_or(u32::MAX)
        })
        .time_to_live(keep_for);
    (!keep_for.is_zero()).then(|| builder.build())
}
