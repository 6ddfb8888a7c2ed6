//! What the poller tells the driver of an operation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::model::Operation;

/// What a driver is told.
#[derive(Debug)]
pub(super) enum Order {
    /// A user's command has changed the operation: read it again.
    Reload,
    /// The lease ran out: somebody else may drive the operation.
    LetGo,
    /// The operation was taken over anew: drive it as it is now.
    Recover(Box<Operation>),
    /// The process shuts down.
    Stop,
}

/// Where a driver finds the last thing that it was told.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    order: Mutex<Option<Order>>,
    arrived: Notify,
}

impl Inbox {
    /// Tells the driver, in place of what it has not heeded yet.
    pub(super) fn put(&self, order: Order) {
        let mut last = self.lock();
        // A change is noticed by whoever writes next, too: it must not push out anything else.
        if last.is_none() || !matches!(order, Order::Reload) {
            *last = Some(order);
        }
        drop(last);
        self.arrived.notify_one();
    }

    /// What arrived, if anything did.
    pub(super) fn take(&self) -> Option<Order> {
        self.lock().take()
    }

    /// Waits until something may have arrived.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Order>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn what_is_told_last_counts_but_for_a_change() {
        let inbox = Inbox::default();
        for order in [Order::Reload, Order::LetGo, Order::Reload] {
            inbox.put(order);
        }
        assert!(matches!(inbox.take(), Some(Order::LetGo)));
        assert!(inbox.take().is_none());
        inbox.put(Order::LetGo);
        inbox.put(Order::Stop);
        assert!(matches!(inbox.take(), Some(Order::Stop)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrived_before_is_not_waited_for() {
        let inbox = Inbox::default();
        inbox.put(Order::Reload);
        let second = Duration::from_secs(1);
        timeout(second, inbox.arrival()).await.unwrap();
        timeout(second, inbox.arrival()).await.unwrap_err();
    }
}
