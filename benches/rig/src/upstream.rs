//! A stand-in for Intuned that costs next to nothing, in this process, off the servers' core.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Where the gateway finds it, and what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// After this long a creation is done; never, when none.
    done_after: Mutex<Option<Duration>>,
    started: Mutex<HashMap<Uuid, Creation>>,
    /// When a poll was first answered that the creation is done.
    told_done: Mutex<HashMap<Uuid, Instant>>,
    polls: AtomicU64,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let project = Router::new()
            .route("/auth-sessions/create", post(create))
            .route("/auth-sessions/create/{id}/result", get(result))
            .route(
                "/auth-sessions/{id}",
                get(session).delete(async || StatusCode::NO_CONTENT),
            )
            .with_state(Arc::clone(&seen));
        let app = Router::new().nest("/{workspace}/projects/{project}", project);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on a creation is done after this long.
    pub(crate) fn done_after(&self, delay: Duration) {
        *self.seen.done_after.lock().unwrap() = Some(delay);
    }

    /// When the poll was answered that told of the end of the creation for the first time.
    pub(crate) fn told_done(&self, upstream_id: Uuid) -> Option<Instant> {
        self.seen
            .told_done
            .lock()
            .unwrap()
            .get(&upstream_id)
            .copied()
    }

    /// Forgets the creation, so that another may have its name.
    pub(crate) fn forget(&self, upstream_id: Uuid) {
        self.seen.started.lock().unwrap().remove(&upstream_id);
        self.seen.told_done.lock().unwrap().remove(&upstream_id);
    }

    /// The polls since this was last asked.
    pub(crate) fn polls(&self) -> u64 {
        self.seen.polls.swap(0, Ordering::Relaxed)
    }
}

/// A creation that was started, and the session that it makes.
#[derive(Clone, Debug)]
struct Creation {
    begun: Instant,
    session: String,
}

/// A username that is a UUID names the creation, so that whoever measures can tell them apart.
async fn create(State(seen): State<Arc<Seen>>, Json(body): Json<Value>) -> Response {
    let username = body.pointer("/parameters/username").and_then(Value::as_str);
    let id = username.and_then(|name| name.parse().ok());
    let id = id.unwrap_or_else(Uuid::new_v4);
    let session = body.get("id").and_then(Value::as_str).unwrap_or_default();
    let creation = Creation {
        begun: Instant::now(),
        session: session.to_owned(),
    };
    seen.started.lock().unwrap().insert(id, creation);
    let body = format!(r#"{{"status":"started","operationId":"{id}"}}"#);
    (StatusCode::CREATED, json(body)).into_response()
}

async fn result(
    State(seen): State<Arc<Seen>>,
    Path((_, _, id)): Path<(String, String, Uuid)>,
) -> Response {
    let now = Instant::now();
    seen.polls.fetch_add(1, Ordering::Relaxed);
    let creation = seen.started.lock().unwrap().get(&id).cloned();
    let delay = *seen.done_after.lock().unwrap();
    if let (Some(Creation { begun, session }), Some(delay)) = (creation, delay)
        && now >= begun + delay
    {
        seen.told_done.lock().unwrap().entry(id).or_insert(now);
        return json(format!(
            r#"{{"status":"done","authSessionId":"{session}"}}"#
        ));
    }
    json(String::from(
        r#"{"status":"in_progress","runId":"0c2f6f7e-run"}"#,
    ))
}

async fn session(Path((_, _, id)): Path<(String, String, String)>) -> Response {
    json(format!(r#"{{"id":"{id}","status":"READY"}}"#))
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
