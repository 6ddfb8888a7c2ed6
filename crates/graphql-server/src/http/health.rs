//! Health checks of the process: is it alive, and can it serve.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Time limit of [`Readiness`].
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a result is shared: anybody may ask, and each check costs a look at the database.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// Checks the server's dependencies and returns the problems; none when the server can serve.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<Problem>> + Send + Sync>;

/// Reason that the server cannot serve. Anybody may read it, so it is a fixed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Part that does not work.
    pub part: &'static str,
    /// Description of the problem.
    pub problem: &'static str,
}

const STOPPING: Problem = Problem {
    part: "process",
    problem: "The gateway is stopping.",
};
const SLOW: Problem = Problem {
    part: "process",
    problem: "Looking took too long.",
};

/// Time and result of the last check.
type LastCheck = (Instant, Vec<Problem>);

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    shutdown: CancellationToken,
    /// Last check; the lock is held while a check runs.
    last: Arc<Mutex<Option<LastCheck>>>,
}

impl Health {
    /// Returns the result of the last check, or checks again.
    async fn check(&self) -> Vec<Problem> {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((at, problems)) = &*last
            && at.elapsed() < CACHE_TIME
        {
            return problems.clone();
        }
        // A task of its own: a client that leaves at once must not cause one check after another.
        let readiness = Arc::clone(&self.readiness);
        let check = tokio::spawn(async move {
            let checked = timeout(CHECK_TIMEOUT, readiness()).await;
            let problems = checked.unwrap_or_else(|_| vec![SLOW]);
            *last = Some((Instant::now(), problems.clone()));
            problems
        });
        check.await.unwrap_or_else(|_| vec![SLOW])
    }
}

const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// Tells whether the path is a health check. Monitors use the address, whatever its host names are.
pub(crate) fn is_health_check(path: &str) -> bool {
    matches!(path, LIVE | READY)
}

/// Creates the routes `/health/live` and `/health/ready`.
pub(crate) fn routes(readiness: Readiness, shutdown: CancellationToken) -> Router {
    let health = Health {
        readiness,
        shutdown,
        last: Arc::default(),
    };
    Router::new()
        .route(LIVE, get(async || Json(json!({ "status": "ok" }))))
        .route(READY, get(ready))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let problems = if health.shutdown.is_cancelled() {
        vec![STOPPING]
    } else {
        health.check().await
    };
    if problems.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ok" })))
    } else {
        let problems = problems.iter();
        let problems: Map<_, _> = problems
            .map(|Problem { part, problem }| ((*part).to_owned(), json!(problem)))
            .collect();
        let body = json!({ "status": "unavailable", "problems": problems });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::FutureExt;
    use tokio::time::sleep;

    use super::*;

    fn health(readiness: Readiness) -> Health {
        Health {
            readiness,
            shutdown: CancellationToken::new(),
            last: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn health_checks_within_a_second_share_a_result() {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&checks);
        let health = health(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let check = sleep(Duration::from_millis(100));
            check.map(|()| vec![STOPPING]).boxed()
        }));
        // One client that leaves at once, and others that come meanwhile and later.
        assert!(timeout(Duration::ZERO, health.check()).await.is_err());
        let found = tokio::join!(health.check(), health.check());
        assert_eq!(found, (vec![STOPPING], vec![STOPPING]));
        sleep(Duration::from_millis(999)).await;
        health.check().await;
        assert_eq!(checks.load(Ordering::Relaxed), 1);
        sleep(Duration::from_millis(1)).await;
        health.check().await;
        assert_eq!(checks.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_health_check_is_a_problem() {
        let hangs = health(Arc::new(|| std::future::pending().boxed()));
        assert_eq!(hangs.check().await, [SLOW]);
        let fine = health(Arc::new(|| ready(Vec::new()).boxed()));
        assert_eq!(fine.check().await, []);
    }
}
