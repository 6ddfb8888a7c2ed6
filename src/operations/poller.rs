//! The one poller of the process: drives all of its operations from a delay queue, with bounded
//! concurrency. Who follows an operation makes no difference to it.

use std::{collections::HashMap, mem, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::{
    sync::CancellationToken,
    time::{DelayQueue, delay_queue},
};
use tracing::{Span, info_span};
use uuid::Uuid;

use super::{
    model::{Credentials, Operation},
    state::Failure,
    worker::{Job, Next, Tracked, Worker},
};
use crate::telemetry::Trail;

/// After shutdown has begun, work under way may take this long.
const DRAIN: Duration = Duration::from_secs(5);

/// Pause before an operation is looked at again that a defect was met with.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// What the poller is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Hand a new operation's credentials to Intuned and drive it from then on; it belongs to what the
    /// request did that began it.
    Start(Box<(Operation, Credentials, Trail)>),
    /// Drive an operation that was taken over.
    Recover(Box<Operation>),
    /// Drive nothing of what was driven so far: the lease ran out.
    Lapsed,
    /// A user's command has changed the operation.
    Changed(Uuid),
}

/// What happened to an operation while it was being worked on.
#[derive(Debug)]
enum Meanwhile {
    Nothing,
    /// A user's command has changed it.
    Changed,
    /// The lease ran out.
    Lapsed,
    /// It was taken over anew.
    Recovered(Box<Operation>),
}

/// Drives operations until told to stop.
#[derive(Debug)]
pub(super) struct Poller {
    worker: Arc<Worker>,
    commands: mpsc::Receiver<Command>,
    max_jobs: usize,
    queue: DelayQueue<Uuid>,
    waiting: HashMap<Uuid, (delay_queue::Key, Box<Tracked>)>,
    busy: HashMap<Uuid, Meanwhile>,
    jobs: JoinSet<(Box<Tracked>, Next)>,
    /// Apart from the others, which they must not hold up: a start may wait for half a minute.
    starts: JoinSet<(Box<Tracked>, Next)>,
}

impl Poller {
    pub(super) fn new(worker: Worker, commands: mpsc::Receiver<Command>, max_jobs: usize) -> Self {
        Self {
            worker: Arc::new(worker),
            commands,
            max_jobs,
            queue: DelayQueue::new(),
            waiting: HashMap::new(),
            busy: HashMap::new(),
            jobs: JoinSet::new(),
            starts: JoinSet::new(),
        }
    }

    /// Works until `shutdown`, then lets work under way come to its end.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let may_work = self.jobs.len() < self.max_jobs;
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(command) = self.commands.recv() => self.obey(command),
                Some(Ok(done)) = self.jobs.join_next() => self.put_back(done),
                Some(Ok(done)) = self.starts.join_next() => self.put_back(done),
                Some(due) = self.queue.next(), if may_work => self.look(&due),
                else => break,
            }
        }
        self.drain().await;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(start) => {
                let (operation, credentials, trail) = *start;
                let trail = trail.branch(span(operation.id, trail.request_id()));
                let lost = Failure::start_lost();
                let tracked = Tracked::new(operation, lost, &self.worker.store, trail);
                self.work(Box::new(tracked), Job::Start(credentials));
            }
            Command::Recover(operation) => self.recover(operation),
            Command::Lapsed => self.lapse(),
            Command::Changed(id) => {
                if let Some((key, tracked)) = self.waiting.remove(&id) {
                    self.queue.remove(&key);
                    self.work(tracked, Job::Reload);
                } else if let Some(meanwhile @ Meanwhile::Nothing) = self.busy.get_mut(&id) {
                    *meanwhile = Meanwhile::Changed;
                }
            }
        }
    }

    /// Lets go of everything but what its owner keeps: starts.
    fn lapse(&mut self) {
        self.queue.clear();
        for (id, (_, mut tracked)) in mem::take(&mut self.waiting) {
            if tracked.operation.is_starting_here() {
                tracked.outdated = true;
                self.wait(tracked, self.worker.pace.poll_interval);
            } else {
                self.worker.bus.forget_driven(id);
            }
        }
        self.busy
            .values_mut()
            .for_each(|meanwhile| *meanwhile = Meanwhile::Lapsed);
    }

    fn recover(&mut self, operation: Box<Operation>) {
        let id = operation.id;
        if let Some(meanwhile) = self.busy.get_mut(&id) {
            *meanwhile = Meanwhile::Recovered(operation);
            return;
        }
        if let Some((key, _)) = self.waiting.remove(&id) {
            self.queue.remove(&key);
        }
        self.worker.bus.note_driven(&operation);
        let trail = Trail::new(span(id, None), None);
        let lost = Failure::interrupted();
        let tracked = Tracked::new(*operation, lost, &self.worker.store, trail);
        // Spread, so that a restart does not end in one burst of polls.
        let within = self.worker.pace.poll_interval.max(Duration::from_secs(1));
        let pause = self.worker.store.random.jitter(within / 2, 1.0);
        self.wait(Box::new(tracked), pause);
    }

    fn look(&mut self, due: &delay_queue::Expired<Uuid>) {
        let id = *due.get_ref();
        let late_by = Instant::now().saturating_duration_since(due.deadline());
        self.worker.store.metrics.looked(late_by);
        if let Some((_, tracked)) = self.waiting.remove(&id) {
            self.work(tracked, Job::Look);
        }
    }

    fn put_back(&mut self, (tracked, next): (Box<Tracked>, Next)) {
        let id = tracked.operation.id;
        let meanwhile = self.busy.remove(&id).unwrap_or(Meanwhile::Nothing);
        match (meanwhile, next) {
            (Meanwhile::Recovered(operation), _) => self.recover(operation),
            // Only a start is kept by its owner.
            (Meanwhile::Lapsed, Some(_)) => self.work(tracked, Job::Reload),
            (Meanwhile::Nothing, Some(pause)) => self.wait(tracked, pause),
            (Meanwhile::Changed, Some(pause)) => {
                self.wait(tracked, pause);
                self.obey(Command::Changed(id));
            }
            (Meanwhile::Lapsed, None) => self.worker.bus.forget_driven(id),
            (Meanwhile::Nothing | Meanwhile::Changed, None) => {}
        }
    }

    fn wait(&mut self, tracked: Box<Tracked>, pause: Duration) {
        let id = tracked.operation.id;
        let key = self.queue.insert(id, pause);
        self.waiting.insert(id, (key, tracked));
    }

    fn work(&mut self, mut tracked: Box<Tracked>, job: Job) {
        let id = tracked.operation.id;
        let worker = Arc::clone(&self.worker);
        self.busy.insert(id, Meanwhile::Nothing);
        let jobs = match job {
            Job::Start(_) => &mut self.starts,
            Job::Look | Job::Reload => &mut self.jobs,
        };
        let trail = tracked.trail.clone();
        jobs.spawn(trail.follow(async move {
            let next = AssertUnwindSafe(worker.work(&mut tracked, job))
                .catch_unwind()
                .await;
            // A defect that one operation brings out must not take the others down with it.
            let next = next.unwrap_or_else(|_| {
                tracing::error!(operation.id = %id, "a panic while working on an operation");
                tracked.outdated = true;
                Some(AFTER_PANIC)
            });
            (tracked, next)
        }));
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN;
        // Starts that are not begun end, which is written down like everything else.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Command::Start(_) = command {
                self.obey(command);
            }
        }
        let ended = async {
            while self.jobs.join_next().await.is_some() {}
            while self.starts.join_next().await.is_some() {}
        };
        if timeout_at(deadline, ended).await.is_err() {
            let left = self.jobs.len() + self.starts.len();
            tracing::warn!(left, "work was left unfinished");
        }
    }
}

/// Around all that is done for an operation while it is driven here.
fn span(id: Uuid, request_id: Option<&str>) -> Span {
    info_span!(parent: None, "operation", operation.id = %id, request_id)
}
