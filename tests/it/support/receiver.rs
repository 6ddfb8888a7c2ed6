//! An endpoint that takes webhooks, as a test wants it to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use intuned_gateway::webhooks::{SigningKey, WebhooksConfig};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::wait::eventually;

/// What the receiver shares with the gateway.
pub(crate) use super::canaries::WEBHOOK_SECRET;

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// How a request is answered; those that nothing was said about with 204.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    Redirect(String),
    Hang,
}

#[derive(Clone, Default)]
struct Shared {
    received: Arc<Mutex<Vec<Received>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

/// A server on a port of its own; it ends when this is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            serving,
        }
    }

    /// What a gateway needs to send here. It looks often, and a lease lasts longer than any test.
    pub(crate) fn config(&self) -> WebhooksConfig {
        let key = SigningKey::read(WEBHOOK_SECRET).unwrap();
        let mut config = WebhooksConfig::new(self.url.parse().unwrap(), vec![key], true);
        config.lease = Duration::from_hours(24);
        config.look_every = Duration::from_millis(50);
        config
    }

    /// The next requests are answered like this.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.replies.lock().unwrap().extend(replies);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so many requests have come in.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} webhooks");
        eventually(&what, async || self.received().len() >= count).await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.received.lock().unwrap().push(Received {
        path: uri.path().to_owned(),
        headers,
        body,
    });
    let reply = shared.replies.lock().unwrap().pop_front();
    match reply.unwrap_or(Reply::Status(204)) {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
        Reply::Hang => std::future::pending().await,
    }
}
