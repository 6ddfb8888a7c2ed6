//! Questions about the schema: an answer is long, so one question at a time is worked on, which leaves the
//! other cores to everybody else.

use std::{future::poll_fn, mem, pin::pin, task::Poll};

use tokio::sync::Semaphore;

/// Lets one question about the schema at a time be worked on.
#[derive(Debug)]
pub(crate) struct IntrospectionTurn(Semaphore);

impl Default for IntrospectionTurn {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl IntrospectionTurn {
    /// Runs `execution`, each step of it when it is its turn.
    pub(crate) async fn run<T>(&self, execution: impl Future<Output = T>) -> T {
        let mut execution = pin!(execution);
        loop {
            let turn = self.0.acquire().await;
            let polled = poll_fn(|cx| Poll::Ready(execution.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(response) = polled {
                return response;
            }
            // What else it asks for may take long: nobody waits for that.
            woken().await;
        }
    }
}

/// Waits for what the task was to be woken for.
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
