//! Introspection, one request at a time.
//!
//! Responses are long, so this leaves the other cores to other requests.

use std::{future::poll_fn, mem, pin::pin, task::Poll};

use tokio::sync::Semaphore;

/// Lets one introspection request be worked on at a time.
#[derive(Debug)]
pub(crate) struct IntrospectionLock(Semaphore);

impl Default for IntrospectionLock {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl IntrospectionLock {
    /// Polls `execution` only while no other introspection is polled.
    pub(crate) async fn run<T>(&self, execution: impl Future<Output = T>) -> T {
        let mut execution = pin!(execution);
        loop {
            let permit = self.0.acquire().await;
            let polled = poll_fn(|cx| Poll::Ready(execution.as_mut().poll(cx))).await;
            drop(permit);
            if let Poll::Ready(response) = polled {
                return response;
            }
            // The lock is free while the execution waits for other data.
            yield_until_woken().await;
        }
    }
}

/// Yields until the task is woken.
async fn yield_until_woken() {
    let mut waited = false;
    poll_fn(|_| {
        if mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{future::ready, time::Duration};

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_execution_does_not_hold_the_lock() {
        let lock = IntrospectionLock::default();
        let slow = lock.run(async {
            sleep(Duration::from_mins(1)).await;
            "slow"
        });
        let quick = async {
            sleep(Duration::from_secs(1)).await;
            timeout(Duration::from_secs(1), lock.run(ready("quick"))).await
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!((slow, quick.ok()), ("slow", Some("quick")));
    }
}
