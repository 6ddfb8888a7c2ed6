//! The one poller of the process: has all of its operations driven, each in a small task that tokio's timer
//! wheel wakes, with bounded concurrency. Who follows an operation makes no difference to it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};
use uuid::Uuid;

use super::{
    driver::{Driver, Step},
    inbox::{Inbox, Order},
    model::{Credentials, Operation},
    state::Failure,
    worker::{Tracked, Worker},
};
use trace_context::TraceContext;

/// After shutdown has begun, work under way may take this long.
const DRAIN: Duration = Duration::from_secs(5);

/// What the poller is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Hand a new operation's credentials to Intuned and drive it from then on; it belongs to what the
    /// request did that began it.
    Start(Box<(Operation, Credentials, TraceContext)>),
    /// Drive an operation that was taken over.
    Recover(Box<Operation>),
    /// Drive nothing of what was driven so far: the lease ran out.
    Lapsed,
    /// A user's command has changed the operation.
    Changed(Uuid),
}

/// Drives operations until told to stop.
#[derive(Debug)]
pub(super) struct Poller {
    worker: Arc<Worker>,
    commands: mpsc::Receiver<Command>,
    /// Those of the operations' drivers.
    inboxes: HashMap<Uuid, Arc<Inbox>>,
    drivers: JoinSet<Uuid>,
    /// Bounds how many drivers look at once. Starts have a bound of their own: one may wait for half a
    /// minute, and must not hold up the looks.
    looks: Arc<Semaphore>,
}

impl Poller {
    pub(super) fn new(worker: Worker, commands: mpsc::Receiver<Command>, max_looks: usize) -> Self {
        Self {
            worker: Arc::new(worker),
            commands,
            inboxes: HashMap::new(),
            drivers: JoinSet::new(),
            looks: Arc::new(Semaphore::new(max_looks)),
        }
    }

    /// Works until `shutdown`, then lets work under way come to its end.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(command) = self.commands.recv() => self.obey(command),
                Some(ended) = self.drivers.join_next() => self.ended(ended),
                else => break,
            }
        }
        self.drain().await;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(start) => {
                let (operation, credentials, trail) = *start;
                self.start(operation, credentials, &trail);
            }
            Command::Recover(operation) => match self.inboxes.get(&operation.id) {
                Some(inbox) => inbox.put(Order::Recover(operation)),
                None => self.recover(*operation),
            },
            Command::Lapsed => self.tell_all(|| Order::LetGo),
            Command::Changed(id) => {
                if let Some(inbox) = self.inboxes.get(&id) {
                    inbox.put(Order::Reload);
                }
            }
        }
    }

    fn start(&mut self, operation: Operation, credentials: Credentials, trail: &TraceContext) {
        let id = operation.id;
        if self.inboxes.contains_key(&id) {
            // It was taken over before this was heard of, and is settled as after a crash.
            tracing::warn!(operation.id = %id, "a start was not sent: the operation was taken over");
            return;
        }
        let trail = trail.child(span(id, trail.request_id()));
        let driver = self.driver(operation, Failure::start_lost);
        let first = Step::Start(Box::new(credentials));
        self.drivers.spawn(trail.instrument(driver.drive(first)));
    }

    fn recover(&mut self, operation: Operation) {
        let trail = TraceContext::new(span(operation.id, None), None);
        let driver = self.driver(operation, Failure::interrupted);
        let first = driver.spread();
        self.drivers.spawn(trail.instrument(driver.drive(first)));
    }

    fn driver(&mut self, operation: Operation, lost: fn() -> Failure) -> Box<Driver> {
        let inbox = Arc::<Inbox>::default();
        self.inboxes.insert(operation.id, Arc::clone(&inbox));
        Box::new(Driver {
            tracked: Tracked::new(operation, lost, &self.worker),
            worker: Arc::clone(&self.worker),
            looks: Arc::clone(&self.looks),
            inbox,
        })
    }

    /// A driver has ended, and may not have heard what it was told last.
    fn ended(&mut self, ended: Result<Uuid, JoinError>) {
        let id = match ended {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "a driver of an operation broke off");
                return;
            }
        };
        let inbox = self.inboxes.remove(&id);
        match inbox.and_then(|inbox| inbox.take()) {
            Some(Order::Recover(operation)) => self.recover(*operation),
            _ => self.worker.bus.forget_driven(id),
        }
    }

    fn tell_all(&self, order: impl Fn() -> Order) {
        self.inboxes.values().for_each(|inbox| inbox.put(order()));
    }

    async fn drain(&mut self) {
        self.looks.close();
        // Starts that are not begun end, which is written down like everything else.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Command::Start(_) = command {
                self.obey(command);
            }
        }
        self.tell_all(|| Order::Stop);
        let ended = async { while self.drivers.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            tracing::warn!(left = self.drivers.len(), "work was left unfinished");
        }
    }
}

/// Around all that is done for an operation while it is driven here.
fn span(id: Uuid, request_id: Option<&str>) -> Span {
    info_span!(parent: None, "operation", operation.id = %id, request_id)
}
