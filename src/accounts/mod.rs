//! The gateway's own accounts: users, their passwords, and their signed-in sessions.
//!
//! A session is a row and a signed token that names it. The token is worth nothing without the row,
//! so signing out works on every replica at once.

mod cap;
mod config;
mod deletion;
mod email;
mod entry;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
pub(crate) mod keyed;
pub(crate) mod metrics;
mod passwords;
mod provider;
mod queue;
mod sessions;
mod tokens;
mod tries;
mod watch;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, session, user};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use secrecy::SecretString;
use tokio::time::sleep;
use uuid::Uuid;

use self::{
    cap::SessionCap,
    passwords::Passwords,
    provider::Provider,
    sessions::{SessionLoader, SessionWithUserLoader},
    tokens::{Subject, Tokens},
    tries::Tries,
    watch::SessionWatch,
};
use crate::{
    audit::{self, Origin, Trail},
    platform::batch_loader::{BatchLoader, padded},
    platform::database::{self, Database},
};
use ambient::{Clock, Random};

pub use self::{
    config::AccountsConfig,
    deletion::DeletionError,
    error::AccountError,
    provider::ProviderConfig,
    sessions::Profile,
    tries::{Budget, ConnectLimits, Read, ReadBudgets, TryLimits},
};
pub use argon2::Params as PasswordParams;
pub use metrics::{PasswordMetrics, PendingPassword, TryMetrics};

const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// Who sent a request: the holder of a valid session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The signed-in user.
    pub user_id: Uuid,
    /// The session that the token names.
    pub session_id: Uuid,
    /// When the token stops working by itself.
    pub expires_at: DateTime<Utc>,
}

/// Who sent a request, and who they are as of now, where that was read as well.
pub type Visit = (Caller, Option<Arc<Profile>>);

/// A fresh session and the token for it.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// For `Authorization: Bearer`.
    pub token: SecretString,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
    /// Whose it is.
    pub user: user::Model,
}

/// Opens accounts and sessions, and tells whose session a token is. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    database: Database,
    session_lifetime: TimeDelta,
    passwords: Passwords,
    tries: Arc<Tries>,
    tokens: Arc<Tokens>,
    sessions: BatchLoader<Uuid, SessionLoader>,
    visits: BatchLoader<Uuid, SessionWithUserLoader>,
    allow_sign_up: bool,
    provider: Option<Arc<Provider>>,
    watch: Arc<SessionWatch>,
    cap: SessionCap,
    trail: Option<Trail>,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

impl Accounts {
    /// `secret` signs tokens (setting `AUTH_SECRET`), `lifetime` is how long a session lasts.
    pub fn new(
        database: Database,
        secret: &SecretString,
        lifetime: Duration,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Self {
        let config = AccountsConfig::new(secret.clone(), lifetime);
        Self::build(database, &config, clock, random)
    }

    /// As [`Accounts::new`], with all that `config` says.
    ///
    /// # Errors
    /// The client that fetches the provider's keys could not be built.
    pub fn with_config(
        database: Database,
        config: &AccountsConfig,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Result<Self, reqwest::Error> {
        let accounts = Self::build(database, config, clock, random);
        let Some(provider) = config.provider.clone() else {
            return Ok(accounts);
        };
        let provider = Provider::new(provider, &accounts, &config.secret)?;
        Ok(Self {
            provider: Some(Arc::new(provider)),
            ..accounts
        })
    }

    fn build(
        database: Database,
        config: &AccountsConfig,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Self {
        let watch = Arc::<SessionWatch>::default();
        Self {
            session_lifetime: TimeDelta::from_std(config.session_lifetime)
                .unwrap_or(TimeDelta::MAX),
            passwords: Passwords::new(
                config.password_params.clone(),
                config.password_threads,
                config.passwords_waiting,
                config.password_metrics.clone(),
            ),
            tries: Arc::new(Tries::new(database.clone(), config)),
            tokens: Arc::new(Tokens::new(&config.secret)),
            sessions: BatchLoader::new(SessionLoader::new(database.clone())),
            visits: BatchLoader::new(SessionWithUserLoader::new(database.clone())),
            allow_sign_up: config.allow_sign_up,
            provider: None,
            cap: SessionCap::new(config.max_user_sessions, watch.clone()),
            watch,
            trail: None,
            database,
            clock,
            random,
        }
    }

    /// The same, with what is done recorded in `trail`.
    pub fn with_trail(self, trail: Trail) -> Self {
        Self {
            trail: Some(trail),
            ..self
        }
    }

    /// Ends the session. Its token stops working at once; open sockets hear of it through
    /// [`Accounts::session_ended`]. Ending one that has ended changes nothing.
    ///
    /// # Errors
    /// The database failed; the session stands.
    pub async fn sign_out(
        &self,
        caller: Caller,
        origin: impl Into<Origin>,
    ) -> Result<(), AccountError> {
        let origin = origin.into();
        let transaction = database::begin(&self.database).await?;
        let ended = session::Entity::delete_many()
            .filter(session::Column::Id.eq(caller.session_id))
            .filter(session::Column::UserId.eq(caller.user_id))
            .exec_with_returning(&transaction)
            .await?;
        for session in ended {
            provider::revoke_session(&transaction, &session, self.clock.now()).await?;
            let signed_out = audit::Event::new(caller.user_id, audit::Kind::SignedOut);
            self.record(&transaction, signed_out.by(&origin)).await?;
        }
        transaction.commit().await?;
        self.watch.end(caller.session_id);
        Ok(())
    }

    /// Counts an attempt to connect that is about to begin.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database failed.
    pub async fn count_connect(&self, user_id: Uuid, origin: &Origin) -> Result<(), AccountError> {
        let (client, now) = (origin.address(), self.clock.now());
        self.tries.count_connect(user_id, client, now).await
    }

    /// Gives back one that was counted and did not begin.
    pub async fn give_back_connect(&self, user_id: Uuid, origin: &Origin) {
        let client = origin.address();
        tolerate(self.tries.give_back_connect(user_id, client).await);
    }

    /// Makes sure that not too many of the user's answers have come to nothing.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database failed.
    pub async fn check_answers(&self, user_id: Uuid) -> Result<(), AccountError> {
        let now = self.clock.now();
        self.tries.check_answers(user_id, now).await
    }

    /// Counts an answer that came to nothing.
    pub async fn count_answer(&self, user_id: Uuid) {
        let counted = self.tries.count_answer(user_id, self.clock.now()).await;
        if let Err(error) = counted {
            tracing::warn!(%error, "an answer that came to nothing was not counted");
        }
    }

    /// Counts what the user is about to read from Intuned.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database failed.
    pub async fn count_read(&self, read: Read, user_id: Uuid) -> Result<(), AccountError> {
        let now = self.clock.now();
        self.tries.count_read(read, user_id, now).await
    }

    /// Gives back what was counted and certainly did not begin.
    pub async fn give_back_read(&self, read: Read, user_id: Uuid) {
        tolerate(self.tries.give_back_read(read, user_id).await);
    }

    async fn record(
        &self,
        transaction: &impl ConnectionTrait,
        event: audit::Event,
    ) -> Result<(), DbErr> {
        match &self.trail {
            Some(trail) => trail.record(transaction, event).await,
            None => Ok(()),
        }
    }

    /// Whose session the token is: one of the gateway's own, or one of the identity provider's. `origin`
    /// is who brings it, for the trail of one that is seen first.
    ///
    /// # Errors
    /// [`AccountError::InvalidToken`], [`AccountError::NoKeys`], or the database failed.
    pub async fn authenticate(&self, token: &str, origin: Origin) -> Result<Caller, AccountError> {
        let now = self.clock.now();
        let Some(subject) = self.tokens.verify(token, now) else {
            return self.known_elsewhere(token, now, &origin).await;
        };
        let session = self.sessions.load_one(subject.session_id).await?;
        let session = session.map(|session| (session.user_id, session.expires_at));
        caller(subject, session, now)
    }

    /// As [`Accounts::authenticate`], with the user as they are now, where that can be read along.
    ///
    /// # Errors
    /// [`AccountError::InvalidToken`], [`AccountError::NoKeys`], or the database failed.
    pub async fn visit(&self, token: &str, origin: Origin) -> Result<Visit, AccountError> {
        let now = self.clock.now();
        let Some(subject) = self.tokens.verify(token, now) else {
            return Ok((self.known_elsewhere(token, now, &origin).await?, None));
        };
        let standing = self.visits.load_one(subject.session_id).await?;
        let session = standing.as_ref();
        let session = session.map(|session| (session.profile.user_id, session.expires_at));
        let caller = caller(subject, session, now)?;
        Ok((caller, standing.map(|standing| standing.profile)))
    }

    /// Whose session a token is that is none of ours. Boxed, because it is large, and every request would
    /// have to find room for it.
    async fn known_elsewhere(
        &self,
        token: &str,
        now: DateTime<Utc>,
        origin: &Origin,
    ) -> Result<Caller, AccountError> {
        let provider = self.provider.as_ref().ok_or(AccountError::InvalidToken)?;
        let record = (self.trail.as_ref(), origin);
        Box::pin(provider.authenticate(token, now, record)).await
    }

    /// The users of these ids, those that there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn users(&self, ids: &[Uuid]) -> Result<Vec<user::Model>, DbErr> {
        user::Entity::find()
            .filter(user::Column::Id.is_in(padded(ids)))
            .all(&self.database)
            .await
    }

    /// Resolves once the caller's session has expired or was ended: on this replica at once,
    /// elsewhere within five seconds, as long as [`Accounts::run`] is running. The session is
    /// watched from this call on, not from the first poll, until the future is dropped.
    pub fn session_ended(&self, caller: Caller) -> impl Future<Output = ()> + Send + use<> {
        let watched = SessionWatch::watch(&self.watch, caller.session_id);
        let left = (caller.expires_at - self.clock.now())
            .to_std()
            .unwrap_or_default();
        async move {
            // Running out of time is one of the two ways in which a session ends.
            let _ = tokio::time::timeout(left, watched.ended()).await;
        }
    }

    /// Looks for sessions that were ended on other replicas and deletes rows that have expired, until
    /// dropped. Each process runs it once.
    pub async fn run(&self) {
        let clock = &*self.clock;
        tokio::join!(
            self.watch.run(&self.database, clock, &self.random),
            self.prune(),
        );
    }

    /// Deletes what is of no more use, from time to time.
    async fn prune(&self) {
        loop {
            let now = self.clock.now();
            let pruned = async {
                self.tries.prune(now).await?;
                provider::prune(&self.database, now).await
            };
            if let Err(error) = pruned.await {
                tracing::warn!(%error, "rows that are of no more use could not be deleted; trying again");
            }
            sleep(PRUNE_INTERVAL).await;
        }
    }
}

/// A count that could not be given back is no reason to turn an owner away.
fn tolerate(given_back: Result<(), DbErr>) {
    if let Err(error) = given_back {
        tracing::warn!(%error, "tries could not be given back");
    }
}

/// Who stands behind the session that a token names: its user, until it has expired.
fn caller(
    subject: Subject,
    session: Option<(Uuid, Millis)>,
    now: DateTime<Utc>,
) -> Result<Caller, AccountError> {
    let (user_id, expires_at) = session.ok_or(AccountError::InvalidToken)?;
    if user_id != subject.user_id || expires_at.0 <= now {
        return Err(AccountError::InvalidToken);
    }
    Ok(Caller {
        user_id,
        session_id: subject.session_id,
        expires_at: expires_at.0,
    })
}
