//! Introspection, one request at a time.
//!
//! Responses are long, so this leaves the other cores to other requests.

use std::{future::poll_fn, mem, pin::pin, task::Poll};

use tokio::sync::Semaphore;

/// Lets one introspection request be worked on at a time.
#[derive(Debug)]
pub(crate) struct IntrospectionTurn(Semaphore);

impl Default for IntrospectionTurn {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl IntrospectionTurn {
    /// Polls `execution` only while no other introspection is polled.
    pub(crate) async fn run<T>(&self, execution: impl Future<Output = T>) -> T {
        let mut execution = pin!(execution);
        loop {
            let turn = self.0.acquire().await;
            let polled = poll_fn(|cx| Poll::Ready(execution.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(response) = polled {
                return response;
            }
            // The lock is free while the execution waits for other data.
            woken().await;
        }
    }
}

/// Yields until the task is woken.
async fn woken() {
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
    async fn one_that_waits_for_something_else_holds_nobody_up() {
        let turn = IntrospectionTurn::default();
        let slow = turn.run(async {
            sleep(Duration::from_mins(1)).await;
            "slow"
        });
        let quick = async {
            sleep(Duration::from_secs(1)).await;
            timeout(Duration::from_secs(1), turn.run(ready("quick"))).await
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!((slow, quick.ok()), ("slow", Some("quick")));
    }
}
