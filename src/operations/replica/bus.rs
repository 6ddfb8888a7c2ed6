//! The bus between replicas: Postgres's LISTEN and NOTIFY, on one connection for each replica.
//! A message is a hint; whoever misses one finds what it was about in the table.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use entity::operation;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::IntoCondition,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;

use super::wanted::Wanted;
use crate::operations::{
    drive::Command,
    follow::LocalBus,
    message::{Message, PollCount},
    store::{CHANNEL, Store, StoreError, notify},
};

/// The pause between two looks at what is followed here.
const LOOK_AT_FOLLOWED_EVERY: Duration = Duration::from_secs(1);
/// The pause between two looks at what is driven here, which may be very many, while notifications are heard.
const LOOK_AT_DRIVEN_EVERY: Duration = Duration::from_secs(5);
/// The pause between both with one process, where nothing is lost on the way.
const LOOK_ALONE_EVERY: Duration = Duration::from_secs(30);
/// The pause between two messages of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Replicas say so often what is followed on them, and it holds for so long.
const SAY_FOLLOWED_EVERY: Duration = Duration::from_secs(5);
const FOLLOWED_FOR: Duration = Duration::from_secs(15);
/// New followers within this time are announced together, and without the others.
const GATHER_FOLLOWERS: Duration = Duration::from_millis(50);
const IDS_IN_A_QUERY: usize = 1000;

/// This replica's side of the bus between replicas. Clones share everything.
#[derive(Clone, Debug)]
pub(in crate::operations) struct ReplicaBus {
    pub(super) store: Store,
    bus: LocalBus,
    supervisor: mpsc::Sender<Command>,
    /// Operations driven here that are followed elsewhere.
    wanted: Wanted,
    /// Wakes when somebody begins to follow here.
    followed: Arc<Notify>,
    /// True while notifications are heard.
    pub(super) listening: Arc<AtomicBool>,
}

impl ReplicaBus {
    pub(in crate::operations) fn new(
        store: Store,
        bus: LocalBus,
        supervisor: mpsc::Sender<Command>,
    ) -> Self {
        let followed = bus.new_followers();
        Self {
            store,
            bus,
            supervisor,
            wanted: Wanted::default(),
            followed,
            listening: Arc::default(),
        }
    }

    /// Tells whether notifications are heard; with one process there are none to hear.
    pub(in crate::operations) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed) || self.is_alone()
    }

    /// Makes sure, with or without notifications, that nobody here is behind the table, and tells the other
    /// replicas what they want to know.
    pub(super) async fn work(&self) {
        if self.is_alone() {
            return self.look(LOOK_ALONE_EVERY, LOOK_ALONE_EVERY).await;
        }
        tokio::join!(
            self.look(LOOK_AT_FOLLOWED_EVERY, LOOK_AT_DRIVEN_EVERY),
            self.say_what_is_followed(),
            self.send_progress(),
        );
    }

    /// Hears what another replica says.
    pub(super) async fn hear_text(&self, text: &str) {
        if let Some(message) = Message::parse(text) {
            self.hear(message).await;
        } else {
            tracing::debug!("a notification was not understood");
        }
    }

    async fn hear(&self, message: Message) {
        match message {
            Message::Changed { by, .. } if by == self.store.replica => {}
            Message::Changed { id, sequence, .. } => {
                self.tell_supervisor(id).await;
                if self.bus.is_behind(id, sequence)
                    && let Some(changed_at) = self.catch_up(id).await
                {
                    let lag = self.store.clock.now() - changed_at;
                    self.store.metrics.heard(lag);
                }
            }
            Message::Followed(ids) => {
                let driven_here = ids.into_iter().filter(|id| self.bus.is_driven_here(*id));
                self.wanted.extend(driven_here, FOLLOWED_FOR);
            }
            Message::Polled(polls) => {
                for PollCount { id, polls } in polls {
                    if !self.bus.is_driven_here(id) {
                        self.bus.publish_polls(id, polls, self.store.clock.now());
                    }
                }
            }
        }
    }

    async fn tell_supervisor(&self, id: Uuid) {
        if self.bus.is_driven_here(id) {
            // Without a supervisor the process is shutting down.
            self.supervisor.send(Command::Reload(id)).await.ok();
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

    /// Makes sure, without any notification, that neither the supervisor nor a follower is behind the
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

    /// Tells the supervisor of operations that are no longer as it knows them.
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
                self.tell_supervisor(id).await;
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
            self.send(Message::followed(&news)).await;
            said = followed;
        }
    }

    /// Sends the polls of operations that are followed elsewhere, many to one notification.
    async fn send_progress(&self) {
        let mut ticks = interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let news = self.wanted.news(|id| self.bus.polls(id));
            self.send(Message::polled(&news)).await;
        }
    }

    async fn tell_replicas(&self, message: &Message) -> Result<(), DbErr> {
        if self.is_alone() {
            return Ok(());
        }
        notify(&self.store.database, CHANNEL, &message.to_string()).await
    }

    /// Tells whether there can be no other replica.
    pub(super) fn is_alone(&self) -> bool {
        self.store.database.get_database_backend() != DbBackend::Postgres
    }

    async fn send(&self, messages: impl Iterator<Item = Message>) {
        for message in messages {
            if let Err(error) = self.tell_replicas(&message).await {
                tracing::debug!(%error, "a message to the other replicas was not sent");
            }
        }
    }
}
