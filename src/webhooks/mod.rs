//! Tells an endpoint of the operator's what happens to connections, by the Standard Webhooks
//! specification (<https://www.standardwebhooks.com>): signed, at least once, and in order for each
//! connection.
//!
//! What is to be told is written in the transaction of what happened (the [`Outbox`]). Whichever
//! replica takes a delivery up first has it to itself for a while, sends it, and writes down what
//! came of it. `docs/webhooks.md` tells receivers what to expect.

mod address;
mod backlog;
mod courier;
mod metrics;
mod outbox;
mod queue;
mod schedule;
mod sender;
mod signature;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Notify;
use url::Url;

use self::{courier::Courier, queue::Queue, sender::Sender};
use crate::platform::Runtime;

pub use metrics::WebhookMetrics;
use outbound::Outbound;

pub use address::{has_public_host, is_public};
pub use entity::webhook_delivery::Kind;
pub use outbox::{ConnectionEvent, Outbox};
pub use signature::{SigningKey, SigningKeyError};

/// Who is told, and how.
#[derive(Clone)]
pub struct WebhooksConfig {
    /// Where deliveries are sent (setting `WEBHOOK_URL`).
    pub url: Url,
    /// What they are signed with (setting `WEBHOOK_SECRET`): with all of these, so that a receiver
    /// may change from one to another.
    pub keys: Vec<SigningKey>,
    /// Whether the endpoint may be at a private address (setting `WEBHOOK_ALLOW_PRIVATE`).
    pub allow_private: bool,
    /// The way there, past the proxy.
    pub outbound: Outbound,
    /// How long the endpoint may take to answer.
    pub timeout: Duration,
    /// For how long a delivery is left to the replica that has taken it up; longer than `timeout`.
    pub lease: Duration,
    /// How often deliveries that are due are looked for.
    pub look_every: Duration,
}

/// Without the address: its path may be all that keeps others from using it.
impl fmt::Debug for WebhooksConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhooksConfig")
            .field("host", &self.url.host_str())
            .field("keys", &self.keys.len())
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

impl WebhooksConfig {
    /// With ten seconds for an answer, and a look every five.
    pub fn new(url: Url, keys: Vec<SigningKey>, allow_private: bool) -> Self {
        Self {
            url,
            keys,
            allow_private,
            outbound: Outbound::default(),
            timeout: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            look_every: Duration::from_secs(5),
        }
    }
}

/// Delivers what is put into the outbox that is returned, for as long as the runtime lasts. Without `config`
/// nobody is told, and the outbox is closed.
///
/// # Errors
/// That the HTTP client could not be built.
pub fn start(
    config: Option<WebhooksConfig>,
    metrics: WebhookMetrics,
    runtime: &Runtime,
) -> Result<Outbox, reqwest::Error> {
    let Some(config) = config else {
        return Ok(Outbox::closed());
    };
    let Runtime {
        database,
        clock,
        random,
        tasks,
        shutdown,
    } = runtime.clone();
    let filled = Arc::new(Notify::new());
    let outbox = Outbox::new(random.clone(), filled.clone());
    let queue = Queue {
        database,
        lease: config.lease,
    };
    let courier = Courier {
        queue,
        look_every: config.look_every,
        metrics,
        sender: Arc::new(Sender::new(config, clock.clone())?),
        filled,
        clock,
        random,
    };
    tasks.spawn(backlog::watch(courier.clone(), shutdown.clone()));
    tasks.spawn(courier.run(shutdown));
    Ok(outbox)
}
