//! For whoever watches over the process: is it alive, and can it serve.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest that [`Readiness`] may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks at what the gateway needs; answers what is wrong, nothing when it is ready to serve.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<Problem>> + Send + Sync>;

/// Why the gateway cannot serve. Anybody may read it: fixed words, and nothing of what is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The part that does not work.
    pub part: &'static str,
    /// What is wrong with it.
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

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    shutdown: CancellationToken,
}

/// `/health/live` and `/health/ready`.
pub(crate) fn routes(readiness: Readiness, shutdown: CancellationToken) -> Router {
    let health = Health {
        readiness,
        shutdown,
    };
    Router::new()
        .route(
            "/health/live",
            get(async || Json(json!({ "status": "ok" }))),
        )
        .route("/health/ready", get(ready))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let problems = if health.shutdown.is_cancelled() {
        vec![STOPPING]
    } else {
        let look = timeout(LONGEST, (health.readiness)());
        look.await.unwrap_or_else(|_| vec![SLOW])
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
