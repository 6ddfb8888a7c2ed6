//! What questions about the schema cost: an answer is long, so one question at a time is worked on, which
//! leaves the other cores to everybody else, and an answer that can only be the same is told again.

use std::{future::poll_fn, mem, pin::pin, task::Poll};

use async_graphql::{Response, Value};
use moka::sync::Cache;
use tokio::sync::Semaphore;

use crate::{
    graphql::documents::{DocumentHash, Introspection},
    json::WrittenJson,
};

/// Bytes of answers that are kept, about.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

/// What the cache needs for each of them.
const OVERHEAD: usize = 500;

/// Answers questions about the schema.
#[derive(Debug)]
pub(crate) struct Introspections {
    /// JSON by the document that asks for it.
    kept: Cache<DocumentHash, WrittenJson>,
    turn: Semaphore,
}

impl Default for Introspections {
    fn default() -> Self {
        let weigh = |hash: &DocumentHash, answer: &WrittenJson| {
            u32::try_from(hash.len() + answer.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            kept: Cache::builder()
                .max_capacity(KEPT_BYTES)
                .weigher(weigh)
                .build(),
            turn: Semaphore::new(1),
        }
    }
}

impl Introspections {
    /// What `execution` answers, or would.
    pub(crate) async fn answer(
        &self,
        introspection: &Introspection,
        execution: impl Future<Output = Response>,
    ) -> Response {
        let mut execution = pin!(execution);
        loop {
            if let Some(kept) = self.kept(Some(introspection)) {
                return kept;
            }
            let turn = self.turn.acquire().await;
            // Somebody else may have asked the same just now.
            if let Some(kept) = self.kept(Some(introspection)) {
                return kept;
            }
            let polled = poll_fn(|cx| Poll::Ready(execution.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(response) = polled {
                return self.keep(introspection, response);
            }
            // What else it asks for may take long: nobody waits for that.
            woken().await;
        }
    }

    /// What was answered to the same before.
    pub(crate) fn kept(&self, introspection: Option<&Introspection>) -> Option<Response> {
        let Some(Introspection::Alone(hash)) = introspection else {
            return None;
        };
        Some(Response::new(self.kept.get(hash)?))
    }

    fn keep(&self, introspection: &Introspection, mut response: Response) -> Response {
        if let Introspection::Alone(hash) = introspection
            && matches!(response.data, Value::Object(_))
            && response.errors.is_empty()
            && let Ok(json) = WrittenJson::of(mem::take(&mut response.data))
        {
            self.kept.insert(*hash, json.clone());
            response.data = json.into();
        }
        response
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
    use std::{
        cell::Cell,
        future::{pending, ready},
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    const ALONE: Introspection = Introspection::Alone([1; 32]);

    fn schema(name: &str) -> Response {
        let data = serde_json::json!({ "__schema": { "name": name } });
        Response::new(Value::from_json(data).expect("a value"))
    }

    fn json(response: Response) -> String {
        let json = WrittenJson::of(response.data).expect("JSON");
        json.as_str().to_owned()
    }

    #[tokio::test]
    async fn what_was_told_once_is_told_again() {
        let introspections = Introspections::default();
        let first = introspections.answer(&ALONE, ready(schema("a"))).await;
        let again = introspections.answer(&ALONE, pending()).await;
        assert_eq!(json(first), r#"{"__schema":{"name":"a"}}"#);
        assert_eq!(json(again), r#"{"__schema":{"name":"a"}}"#);
        let other = Introspection::Alone([2; 32]);
        let other = introspections.answer(&other, ready(schema("b"))).await;
        assert_eq!(json(other), r#"{"__schema":{"name":"b"}}"#);
    }

    #[tokio::test]
    async fn what_may_differ_is_asked_again() {
        let introspections = Introspections::default();
        for name in ["a", "b"] {
            let answer = introspections.answer(&Introspection::Mixed, ready(schema(name)));
            assert!(json(answer.await).contains(name));
        }
        let failed = Response::from_errors(vec![async_graphql::ServerError::new("no", None)]);
        let refused = introspections.answer(&ALONE, ready(failed)).await;
        assert!(refused.is_err());
        let asked = introspections.answer(&ALONE, ready(schema("a"))).await;
        assert!(json(asked).contains('a'));
    }

    #[tokio::test]
    async fn all_who_ask_the_same_at_once_are_answered_once() {
        let introspections = Introspections::default();
        let executed = Cell::new(0);
        let ask = || {
            introspections.answer(&ALONE, async {
                executed.set(executed.get() + 1);
                schema("a")
            })
        };
        tokio::join!(ask(), ask(), ask());
        assert_eq!(executed.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_something_else_holds_nobody_up() {
        let introspections = Introspections::default();
        let slow = introspections.answer(&Introspection::Mixed, async {
            sleep(Duration::from_mins(1)).await;
            schema("slow")
        });
        let quick = async {
            sleep(Duration::from_secs(1)).await;
            let quick = introspections.answer(&Introspection::Mixed, ready(schema("quick")));
            timeout(Duration::from_secs(1), quick).await
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert!(json(slow).contains("slow") && quick.is_ok());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let introspections = Introspections::default();
        let long = "x".repeat(300_000);
        for number in 0..100 {
            let other = Introspection::Alone([number; 32]);
            introspections.answer(&other, ready(schema(&long))).await;
        }
        introspections.kept.run_pending_tasks();
        let kept = introspections.kept.weighted_size();
        assert!((300_000..=KEPT_BYTES).contains(&kept), "{kept}");
    }
}
