//! For whoever watches over the process: is it alive, and can it serve.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest that [`Readiness`] may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks at what the gateway needs; answers the names of those parts that do not work, none when it is
/// ready to serve.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<&'static str>> + Send + Sync>;

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
    let failing = if health.shutdown.is_cancelled() {
        vec!["stopping"]
    } else {
        let look = timeout(LONGEST, (health.readiness)());
        look.await.unwrap_or_else(|_| vec!["timeout"])
    };
    if failing.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ok" })))
    } else {
        let body = json!({ "status": "unavailable", "failing": failing });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}
