//! Drives one operation: looks at it from time to time, and heeds what the poller tells.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    inbox::{Inbox, Order},
    model::{Credentials, Operation},
    worker::{Job, Next, Tracked, Worker},
};

/// Pause before an operation is looked at again that a defect was met with.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Drives one operation for as long as that is in flight here. There may be very many, so it is small: what
/// a job needs is boxed, and takes room only while it is done.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) tracked: Tracked,
    pub(super) worker: Arc<Worker>,
    /// Bounds how many look at once.
    pub(super) looks: Arc<Semaphore>,
    pub(super) inbox: Arc<Inbox>,
}

/// What is next for an operation.
pub(super) enum Step {
    /// Hand these to Intuned.
    Start(Box<Credentials>),
    /// Look at it after this pause.
    Wait(Duration),
    /// Look at it; that was due then.
    Look(Instant),
    /// Read it again.
    Reload,
    /// It is not driven here any more.
    End,
}

impl Driver {
    /// Drives the operation, beginning with this step, for as long as it is driven here. Answers its id.
    pub(super) async fn drive(mut self: Box<Self>, mut step: Step) -> Uuid {
        loop {
            step = match step {
                Step::Start(credentials) => self.work(Job::Start(credentials)).await,
                Step::Wait(pause) => self.wait(pause).await,
                Step::Look(due) => self.look(due).await,
                Step::Reload => self.work(Job::Reload).await,
                Step::End => return self.tracked.operation.id,
            }
        }
    }

    /// The first step for an operation that was taken over: a wait of varying length, so that a restart
    /// does not end in one burst of polls.
    pub(super) fn spread(&self) -> Step {
        let within = self.worker.pace.poll_interval.max(Duration::from_secs(1));
        Step::Wait(self.worker.store.random.jitter(within / 2, 1.0))
    }

    /// Waits until the pause is over, or until something is told.
    async fn wait(&mut self, pause: Duration) -> Step {
        let due = Instant::now() + pause;
        while timeout_at(due, self.inbox.arrival()).await.is_ok() {
            if let Some(order) = self.inbox.take() {
                return self.obey(order);
            }
        }
        Step::Look(due)
    }

    /// Looks at the operation, once there is room for one more who does and unless something is told first.
    async fn look(&mut self, due: Instant) -> Step {
        let looks = Arc::clone(&self.looks);
        let mut turn = pin!(looks.acquire());
        let _turn = loop {
            tokio::select! {
                biased;
                turn = &mut turn => match turn {
                    Ok(turn) => break turn,
                    // The process shuts down.
                    Err(_closed) => return Step::End,
                },
                () = self.inbox.arrival() => {
                    if let Some(order) = self.inbox.take() {
                        return self.obey(order);
                    }
                }
            }
        };
        if let Some(order) = self.inbox.take() {
            return self.obey(order);
        }
        self.worker.store.metrics.looked(due.elapsed());
        self.work(Job::Look).await
    }

    /// Heeds what was told while nothing was under way.
    fn obey(&mut self, order: Order) -> Step {
        match order {
            Order::Reload => Step::Reload,
            Order::Recover(operation) => self.recover(*operation),
            // A start is kept by its owner.
            Order::LetGo if self.tracked.operation.is_starting_here() => {
                self.tracked.outdated = true;
                Step::Wait(self.worker.pace.poll_interval)
            }
            Order::LetGo | Order::Stop => Step::End,
        }
    }

    /// Does a job. What follows depends on how it ends, and on what was told in the meantime.
    async fn work(&mut self, job: Job) -> Step {
        let next = self.try_to(job).await;
        match (self.inbox.take(), next) {
            (Some(Order::Recover(operation)), _) => self.recover(*operation),
            (Some(Order::Stop), _) | (_, None) => Step::End,
            // What is in the table tells whether it may be driven on.
            (Some(Order::LetGo | Order::Reload), Some(_)) => Step::Reload,
            (None, Some(pause)) => Step::Wait(pause),
        }
    }

    /// A defect that one operation brings out must not take the others down with it.
    async fn try_to(&mut self, job: Job) -> Next {
        let working = Box::pin(self.worker.work(&mut self.tracked, job));
        let next = AssertUnwindSafe(working).catch_unwind().await;
        next.unwrap_or_else(|_| {
            tracing::error!(operation.id = %self.tracked.operation.id, "a panic while working on an operation");
            self.tracked.outdated = true;
            Some(AFTER_PANIC)
        })
    }

    /// Goes on with the operation as it was taken over anew.
    fn recover(&mut self, operation: Operation) -> Step {
        self.tracked = self.tracked.anew(operation, &self.worker);
        self.spread()
    }
}
