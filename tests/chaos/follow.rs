//! A follower that comes back, on whichever replica, until the operation has ended.

use std::{sync::Arc, time::Duration};

use rand::rngs::StdRng;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{api::Api, replicas::Replicas, report::Violations, socket::Socket};

/// After so long without a word a client tries another replica.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// What a follower was told of an operation, over all of its streams.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) operation: String,
    pub(crate) events: Vec<Value>,
    /// How often it subscribed.
    pub(crate) streams: u32,
}

/// Who follows, and where.
pub(crate) struct Follower {
    pub(crate) user: Api,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) violations: Violations,
    pub(crate) random: StdRng,
}

impl Follower {
    /// Follows from after number `after`, or from how it stands, to the end. What comes is passed on
    /// as it comes.
    pub(crate) async fn follow(
        mut self,
        operation: String,
        mut after: Option<i64>,
        news: mpsc::UnboundedSender<Value>,
    ) -> Told {
        let mut told = Told {
            operation,
            events: Vec::new(),
            streams: 0,
        };
        loop {
            let Some(mut socket) = self.subscribe(&told.operation, after).await else {
                sleep(PAUSE).await;
                continue;
            };
            told.streams += 1;
            while let Ok(Ok(message)) = timeout(PATIENCE, socket.next()).await {
                if message["type"] == "complete" {
                    return told;
                }
                let event = &message["payload"]["data"]["operationStatus"];
                if event.is_null() {
                    self.refused(&told, &message);
                    break;
                }
                if event["kind"] != "PROGRESS" {
                    after = event["sequence"].as_i64();
                }
                told.events.push(event.clone());
                news.send(event.clone()).ok();
            }
            sleep(PAUSE).await;
        }
    }

    async fn subscribe(&mut self, operation: &str, after: Option<i64>) -> Option<Socket> {
        let url = self.replicas.any(&mut self.random).await;
        let opening = Socket::try_open(&url, self.user.token.as_deref());
        let mut socket = timeout(PATIENCE, opening).await.ok()??;
        let subscribed = socket.try_follow("1", operation, after).await;
        subscribed.then_some(socket)
    }

    /// A database that is away is a reason to come back, and the only one.
    fn refused(&self, told: &Told, message: &Value) {
        let payload = &message["payload"];
        let errors = payload.get("errors").unwrap_or(payload);
        if !is_no_answer(&errors[0]) {
            let operation = &told.operation;
            self.violations
                .lost(format!("a follower of {operation} was refused: {message}"));
        }
    }
}

/// Whether an error says only that the gateway cannot tell just now.
pub(crate) fn is_no_answer(error: &Value) -> bool {
    let code = error["extensions"]["code"].as_str();
    matches!(
        code,
        Some("INTERNAL" | "RATE_LIMITED" | "SERVICE_UNAVAILABLE")
    )
}
