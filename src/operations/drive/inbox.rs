//! The inbox of an operation's task, with room for one command.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::command::Command;

/// The last command that a task was given.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    command: Mutex<Option<Command>>,
    arrived: Notify,
}

impl Inbox {
    /// Commands the task, in place of what it has not handled yet.
    pub(super) fn put(&self, command: Command) {
        let mut last = self.lock();
        // A change is noticed by whoever writes next, too: it must not push out anything else.
        if last.is_none() || !matches!(command, Command::Reload(_)) {
            *last = Some(command);
        }
        drop(last);
        self.arrived.notify_one();
    }

    /// The command that arrived, if any did.
    pub(super) fn take(&self) -> Option<Command> {
        self.lock().take()
    }

    /// Waits until something may have arrived.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Command>> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;

    const RELOAD: Command = Command::Reload(Uuid::nil());

    #[test]
    fn last_command_stays_and_reload_pushes_nothing_out() {
        let inbox = Inbox::default();
        for command in [RELOAD, Command::LeaseExpired, RELOAD] {
            inbox.put(command);
        }
        assert!(matches!(inbox.take(), Some(Command::LeaseExpired)));
        assert!(inbox.take().is_none());
        inbox.put(Command::LeaseExpired);
        inbox.put(Command::Stop);
        assert!(matches!(inbox.take(), Some(Command::Stop)));
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_command_is_not_waited_for() {
        let inbox = Inbox::default();
        inbox.put(RELOAD);
        let second = Duration::from_secs(1);
        timeout(second, inbox.arrival()).await.unwrap();
        timeout(second, inbox.arrival()).await.unwrap_err();
    }
}
