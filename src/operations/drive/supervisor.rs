//! The one supervisor of the process: has all of its operations driven, each in a small task that tokio's timer
//! wheel wakes, with bounded concurrency. Who follows an operation makes no difference to it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use trace_context::TraceContext;
use tracing::{Span, info_span};
use uuid::Uuid;

use super::{
    command::{Command, Start, Step},
    inbox::Inbox,
    operation_task::OperationTask,
    steps::Steps,
};
use crate::operations::{model::Operation, state::Failure};

/// After shutdown has begun, work under way may take this long.
const DRAIN: Duration = Duration::from_secs(5);

/// Drives operations until told to stop.
#[derive(Debug)]
pub(in crate::operations) struct Supervisor {
    steps: Arc<Steps>,
    commands: mpsc::Receiver<Command>,
    /// The inboxes of the operations' tasks.
    inboxes: HashMap<Uuid, Arc<Inbox>>,
    tasks: JoinSet<Uuid>,
    /// Bounds how many tasks look at once. Starts have a bound of their own: one may wait for half a
    /// minute, and must not hold up the looks.
    looks: Arc<Semaphore>,
}

impl Supervisor {
    /// Drives by `steps` what `commands` ask for.
    pub(in crate::operations) fn new(
        steps: Steps,
        commands: mpsc::Receiver<Command>,
        max_looks: usize,
    ) -> Self {
        Self {
            steps: Arc::new(steps),
            commands,
            inboxes: HashMap::new(),
            tasks: JoinSet::new(),
            looks: Arc::new(Semaphore::new(max_looks)),
        }
    }

    /// Works until `shutdown`, then lets work under way come to its end.
    pub(in crate::operations) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(command) = self.commands.recv() => self.handle(command),
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                else => break,
            }
        }
        self.drain().await;
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Start(start) => self.start(*start),
            Command::Recover(operation) => match self.inboxes.get(&operation.id) {
                Some(inbox) => inbox.put(Command::Recover(operation)),
                None => self.recover(*operation),
            },
            Command::Reload(id) => {
                if let Some(inbox) = self.inboxes.get(&id) {
                    inbox.put(Command::Reload(id));
                }
            }
            Command::LeaseExpired => self.tell_all(|| Command::LeaseExpired),
            Command::Stop => self.tell_all(|| Command::Stop),
        }
    }

    fn start(&mut self, start: Start) {
        let id = start.operation.id;
        if self.inboxes.contains_key(&id) {
            // It was taken over before this was heard of, and is settled as after a crash.
            tracing::warn!(operation.id = %id, "a start was not sent: the operation was taken over");
            return;
        }
        let trace = start.trace.child(span(id, start.trace.request_id()));
        let task = self.task(start.operation, Failure::start_lost);
        let first = Step::Start(Box::new(start.credentials));
        self.tasks.spawn(trace.instrument(task.run(first)));
    }

    fn recover(&mut self, operation: Operation) {
        let trace = TraceContext::new(span(operation.id, None), None);
        let task = self.task(operation, Failure::interrupted);
        let first = task.spread();
        self.tasks.spawn(trace.instrument(task.run(first)));
    }

    fn task(&mut self, operation: Operation, lost: fn() -> Failure) -> Box<OperationTask> {
        let inbox = Arc::<Inbox>::default();
        self.inboxes.insert(operation.id, Arc::clone(&inbox));
        Box::new(OperationTask {
            progress: self.steps.track(operation, lost),
            steps: Arc::clone(&self.steps),
            looks: Arc::clone(&self.looks),
            inbox,
        })
    }

    /// Forgets a task that has ended. It may not have handled what it was told last.
    fn ended(&mut self, ended: Result<Uuid, JoinError>) {
        let id = match ended {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "a task of an operation broke off");
                return;
            }
        };
        let inbox = self.inboxes.remove(&id);
        match inbox.and_then(|inbox| inbox.take()) {
            Some(Command::Recover(operation)) => self.recover(*operation),
            _ => self.steps.bus.forget_driven(id),
        }
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        self.inboxes.values().for_each(|inbox| inbox.put(command()));
    }

    async fn drain(&mut self) {
        self.looks.close();
        // Starts that are not begun end, which is written down like everything else.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Command::Start(start) = command {
                self.start(*start);
            }
        }
        self.handle(Command::Stop);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "work was left unfinished");
        }
    }
}

/// The span around all that is done for an operation while it is driven here.
fn span(id: Uuid, request_id: Option<&str>) -> Span {
    info_span!(parent: None, "operation", operation.id = %id, request_id)
}
