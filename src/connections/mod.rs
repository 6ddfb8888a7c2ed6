//! A user's connection to a service: what Intuned says of its session, and the claims behind it.

mod expiry;
mod single_flight;

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{connection, connection::Service};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::{
    ambient::Clock,
    audit::{self, Origin, Trail},
    database::Database,
    gather::padded,
    intuned::{AuthSessionStatus, IntunedClient, IntunedError, RunError},
    json::WrittenJson,
    webhooks::Outbox,
};
use single_flight::SingleFlight;

/// The project's API that lists a user's expense claims.
const GET_CLAIMS: &str = "get-claims";

/// Bytes of claims that are kept to be shown again.
const KEPT_CLAIMS_BYTES: u64 = 64 * 1024 * 1024;

/// How claims are read.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionsConfig {
    /// How long a run may take (setting `CLAIMS_TIMEOUT`).
    pub claims_timeout: Duration,
    /// How long its result may be shown again (setting `CLAIMS_CACHE`); zero for not at all.
    pub claims_cache: Duration,
}

/// What a run of `get-claims` brought.
pub type Claims = Result<WrittenJson, RunError>;

/// Reads connections, their status and their claims. Clones share everything.
#[derive(Clone, Debug)]
pub struct Connections {
    database: Database,
    intuned: IntunedClient,
    clock: Arc<dyn Clock>,
    trail: Trail,
    outbox: Outbox,
    claims_timeout: Duration,
    kept_claims: Option<moka::sync::Cache<String, WrittenJson>>,
    claims: SingleFlight<String, Claims>,
    statuses: SingleFlight<String, Result<AuthSessionStatus, IntunedError>>,
}

impl Connections {
    /// Reads from `database` and asks `intuned`; what is found out is told to `trail` and `outbox`.
    pub fn new(
        config: ConnectionsConfig,
        database: Database,
        intuned: IntunedClient,
        clock: Arc<dyn Clock>,
        (trail, outbox): (Trail, Outbox),
    ) -> Self {
        let kept_claims = (!config.claims_cache.is_zero()).then(|| {
            moka::sync::Cache::builder()
                .max_capacity(KEPT_CLAIMS_BYTES)
                .weigher(|id: &String, claims: &WrittenJson| {
                    u32::try_from(id.len() + claims.len()).unwrap_or(u32::MAX)
                })
                .time_to_live(config.claims_cache)
                .build()
        });
        Self {
            database,
            intuned,
            clock,
            trail,
            outbox,
            claims_timeout: config.claims_timeout,
            kept_claims,
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

    /// The session's status as Intuned tells it now; one that Intuned does not know has expired.
    /// Those who ask while the answer is on its way share it.
    ///
    /// # Errors
    /// Intuned's.
    pub async fn status(&self, auth_session_id: &str) -> Result<AuthSessionStatus, IntunedError> {
        let (intuned, id) = (self.intuned.clone(), auth_session_id.to_owned());
        self.statuses
            .share(auth_session_id.to_owned(), async move {
                let status = intuned.auth_session_status(&id).await?;
                Ok(status.unwrap_or(AuthSessionStatus::Expired))
            })
            .await
            .unwrap_or(Err(IntunedError::Broken))
    }

    /// What `get-claims` returns for the connection. Those who ask while a run is under way share it.
    ///
    /// # Errors
    /// The run's.
    pub async fn claims(&self, connection: &connection::Model, origin: &Origin) -> Claims {
        if let Some(kept) = self.kept(&connection.auth_session_id) {
            return Ok(kept);
        }
        let claims = self.run_get_claims(&connection.auth_session_id).await;
        match &claims {
            Ok(_) => {
                let read = audit::Event::new(connection.user_id, audit::Kind::ClaimsRead);
                self.trail.note(read.by(origin));
                self.worked(connection).await;
            }
            Err(RunError::SessionExpired { .. }) => {
                self.found(connection, AuthSessionStatus::Expired).await;
            }
            Err(_) => {}
        }
        claims
    }

    async fn run_get_claims(&self, auth_session_id: &str) -> Claims {
        let (this, id) = (self.clone(), auth_session_id.to_owned());
        self.claims
            .share(auth_session_id.to_owned(), async move {
                let timeout = this.claims_timeout;
                let claims = this.intuned.run(GET_CLAIMS, &id, timeout).await?;
                if let Some(kept) = &this.kept_claims {
                    kept.insert(id, claims.clone());
                }
                Ok(claims)
            })
            .await
            .unwrap_or(Err(IntunedError::Broken.into()))
    }

    fn kept(&self, auth_session_id: &str) -> Option<WrittenJson> {
        self.kept_claims.as_ref()?.get(auth_session_id)
    }
}
