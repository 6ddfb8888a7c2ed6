//! The bus between replicas: Postgres's LISTEN and NOTIFY, on one connection for each replica.
//! A note is a hint; whoever misses one finds what it was about in the table.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use entity::operation;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect,
    Statement,
    sea_query::{Func, FunctionCall, IntoCondition},
};
use secrecy::SecretString;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    bus::Bus,
    note::Note,
    poller::Command,
    store::{Store, StoreError},
};

pub(super) const CHANNEL: &str = "intuned_gateway_operations";
/// How often what is followed here is compared with the table.
const LOOK_AT_FOLLOWED_EVERY: Duration = Duration::from_secs(1);
/// The same for what is driven here, which may be very many, while notifications are heard.
const LOOK_AT_DRIVEN_EVERY: Duration = Duration::from_secs(5);
/// Both with one process, where nothing is lost on the way.
const LOOK_ALONE_EVERY: Duration = Duration::from_secs(30);
/// How often progress goes out.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How often replicas say what is followed on them, and for how long that holds.
const SAY_FOLLOWED_EVERY: Duration = Duration::from_secs(5);
const FOLLOWED_FOR: Duration = Duration::from_secs(15);
/// New followers within this time are announced together, and without the others.
const GATHER_FOLLOWERS: Duration = Duration::from_millis(50);
const IDS_IN_A_QUERY: usize = 1000;

/// Tells the other replicas of a change, as part of the statement that makes it on Postgres.
pub(super) fn announcement(by: Uuid, id: Uuid, sequence: i32) -> FunctionCall {
    let note = Note::Changed { by, id, sequence };
    Func::cust("pg_notify").args([CHANNEL.into(), note.to_string().into()])
}

async fn notify(database: &impl ConnectionTrait, note: &Note) -> Result<(), DbErr> {
    if database.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    tell(database, CHANNEL, &note.to_string()).await
}

/// Notifies whoever listens on a channel.
pub(super) async fn tell(
    database: &impl ConnectionTrait,
    channel: &str,
    text: &str,
) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_notify($1, $2)",
        [channel.into(), text.into()],
    );
    database.execute_raw(statement).await?;
    Ok(())
}

/// This replica's side of the exchange.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) store: Store,
    bus: Bus,
    poller: mpsc::Sender<Command>,
    /// Operations driven here that are followed elsewhere: until when, and the polls told last.
    wanted: Arc<Mutex<HashMap<Uuid, Wanted>>>,
    /// Wakes when somebody begins to follow here.
    followed: Arc<Notify>,
    /// Whether notifications are heard.
    pub(super) listening: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    until: Instant,
    told: i32,
}

impl Exchange {
    pub(super) fn new(store: Store, bus: Bus, poller: mpsc::Sender<Command>) -> Self {
        let followed = bus.new_followers();
        Self {
            store,
            bus,
            poller,
            wanted: Arc::default(),
            followed,
            listening: Arc::default(),
        }
    }

    /// Whether notifications are heard; with one process there are none to hear.
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
            || self.store.database.get_database_backend() != DbBackend::Postgres
    }

    /// Works until `shutdown`. With one process there is nobody to exchange anything with.
    pub(super) async fn run(self, url: SecretString, shutdown: CancellationToken) {
        if self.store.database.get_database_backend() != DbBackend::Postgres {
            let look = self.look(LOOK_ALONE_EVERY, LOOK_ALONE_EVERY);
            shutdown.run_until_cancelled(Box::pin(look)).await;
            return;
        }
        let all = async {
            tokio::join!(
                self.listen(&url),
                self.look(LOOK_AT_FOLLOWED_EVERY, LOOK_AT_DRIVEN_EVERY),
                self.say_what_is_followed(),
                self.send_progress(),
            )
        };
        shutdown.run_until_cancelled(Box::pin(all)).await;
    }

    pub(super) async fn hear_text(&self, text: &str) {
        if let Some(note) = Note::parse(text) {
            self.hear(note).await;
        } else {
            tracing::debug!("a notification was not understood");
        }
    }

    async fn hear(&self, note: Note) {
        match note {
            Note::Changed { by, .. } if by == self.store.replica => {}
            Note::Changed { id, sequence, .. } => {
                self.tell_poller(id).await;
                if self.bus.is_behind(id, sequence)
                    && let Some(changed_at) = self.catch_up(id).await
                {
                    let lag = self.store.clock.now() - changed_at;
                    self.store.metrics.heard(lag);
                }
            }
            Note::Followed(ids) => {
                let mut wanted = self.wanted();
                let until = Instant::now() + FOLLOWED_FOR;
                for id in ids.into_iter().filter(|id| self.bus.is_driven_here(*id)) {
                    wanted
                        .entry(id)
                        .and_modify(|wanted| wanted.until = until)
                        .or_insert(Wanted { until, told: 0 });
                }
            }
            Note::Polled(polls) => {
                for (id, polls) in polls {
                    if !self.bus.is_driven_here(id) {
                        self.bus.publish_polls(id, polls, self.store.clock.now());
                    }
                }
            }
        }
    }

    async fn tell_poller(&self, id: Uuid) {
        if self.bus.is_driven_here(id) {
            // Without a poller the process is shutting down.
            self.poller.send(Command::Changed(id)).await.ok();
        }
    }

    /// Wakes the followers of an operation that changed elsewhere, with its last change where that
    /// is all they miss. Answers when it last changed.
    async fn catch_up(&self, id: Uuid) -> Option<DateTime<Utc>> {
        self.try_catch_up(id)
            .await
            .inspect_err(|error| {
                tracing::warn!(operation.id = %id, %error, "a change made elsewhere could not be read; looking again");
            })
            .ok()?
    }

    async fn try_catch_up(&self, id: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Some(operation) = self.store.get(id).await? else {
            return Ok(None);
        };
        let changes = self.store.changes_after(id, operation.sequence - 1).await?;
        match <[_; 1]>::try_from(changes) {
            Ok([change]) if change.sequence == operation.sequence => {
                self.bus.publish(&operation, change);
            }
            _ => self.bus.wake(&operation),
        }
        Ok(Some(operation.updated_at))
    }

    /// Makes sure, without any notification, that neither the poller nor a follower is behind the
    /// table for long.
    async fn look(&self, followed_every: Duration, driven_every: Duration) {
        let (mut followed, mut driven) = (interval(followed_every), interval(driven_every));
        followed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        driven.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = tokio::select! {
                _ = followed.tick() => {
                    if !self.is_listening() {
                        driven.reset_immediately();
                    }
                    self.look_at_followed().await
                }
                _ = driven.tick() => self.look_at_driven().await,
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "operations could not be looked up");
            }
        }
    }

    /// Wakes the followers of operations of which they do not know the last change.
    async fn look_at_followed(&self) -> Result<(), DbErr> {
        for ids in self.bus.followed().chunks(IDS_IN_A_QUERY) {
            let which = operation::Column::Id.is_in(ids.iter().copied());
            for (id, sequence) in self.positions(which).await? {
                if self.bus.is_behind(id, sequence) {
                    self.store.metrics.found();
                    self.catch_up(id).await;
                }
            }
        }
        Ok(())
    }

    /// Tells the poller of operations that are no longer as it knows them.
    async fn look_at_driven(&self) -> Result<(), DbErr> {
        let driven = self.bus.driven();
        if driven.is_empty() {
            return Ok(());
        }
        let own = operation::Column::Owner.eq(self.store.replica);
        let own = self.positions(own).await?;
        let own: HashMap<Uuid, i32> = own.into_iter().collect();
        for (id, sequence) in driven {
            if own.get(&id).is_none_or(|now| *now > sequence) {
                self.tell_poller(id).await;
            }
        }
        Ok(())
    }

    /// Operations, each with the number of its last change.
    async fn positions(&self, which: impl IntoCondition) -> Result<Vec<(Uuid, i32)>, DbErr> {
        operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            .column(operation::Column::Sequence)
            .filter(which)
            .into_tuple()
            .all(&self.store.database)
            .await
    }

    async fn say_what_is_followed(&self) {
        let mut all_anew = interval(SAY_FOLLOWED_EVERY);
        all_anew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = HashSet::new();
        loop {
            tokio::select! {
                _ = all_anew.tick() => said.clear(),
                () = self.followed.notified() => sleep(GATHER_FOLLOWERS).await,
            }
            let followed: HashSet<_> = self.bus.followed_from_elsewhere().into_iter().collect();
            let news: Vec<_> = followed.difference(&said).copied().collect();
            self.send(Note::followed(&news)).await;
            said = followed;
        }
    }

    /// Sends the polls of operations that are followed elsewhere, many to one notification.
    async fn send_progress(&self) {
        let mut ticks = interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let news = self.progress();
            self.send(Note::polled(&news)).await;
        }
    }

    fn progress(&self) -> Vec<(Uuid, i32)> {
        let mut wanted = self.wanted();
        let now = Instant::now();
        wanted.retain(|_, wanted| wanted.until > now);
        let mut news = Vec::new();
        for (id, wanted) in wanted.iter_mut() {
            if let Some(polls) = self.bus.polls(*id).filter(|polls| *polls > wanted.told) {
                wanted.told = polls;
                news.push((*id, polls));
            }
        }
        news
    }

    async fn send(&self, notes: impl Iterator<Item = Note>) {
        for note in notes {
            if let Err(error) = notify(&self.store.database, &note).await {
                tracing::debug!(%error, "a note to the other replicas was not sent");
            }
        }
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
