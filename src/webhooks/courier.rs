//! Takes deliveries up, sends them, and writes down what came of it.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use entity::webhook_delivery::{self, Outcome};
use sea_orm::DbErr;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::metrics::WebhookMetrics;
use super::{
    queue::Queue,
    schedule::{self, GIVE_UP_AFTER},
    sender::{SendError, Sender, type_of},
};
use crate::{
    platform::crash::{self, Point},
    platform::database,
};
use ambient::{Clock, Random};

/// How many deliveries may be under way at once from each replica.
const AT_ONCE: usize = 16;
/// Deliveries that have ended are kept for this long, for those who look into it.
const KEPT: Duration = Duration::from_hours(7 * 24);
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// When the gateway stops, what is under way gets this long. What does not end by then is sent again
/// by another.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Delivers on behalf of one replica.
#[derive(Clone, Debug)]
pub(super) struct Courier {
    pub(super) queue: Queue,
    pub(super) sender: Arc<Sender>,
    /// How often to look for what is due, give or take a fifth.
    pub(super) look_every: Duration,
    /// Notified when something was put into the outbox.
    pub(super) filled: Arc<Notify>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) metrics: WebhookMetrics,
}

impl Courier {
    /// Works until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut under_way = JoinSet::new();
        let mut prune_at = Instant::now();
        while !shutdown.is_cancelled() {
            let mut free = AT_ONCE.saturating_sub(under_way.len());
            if free > 0 {
                let claimed = self.claim(free).await;
                free -= claimed.len().min(free);
                for delivery in claimed {
                    under_way.spawn(self.clone().deliver(delivery));
                }
            }
            if Instant::now() >= prune_at {
                prune_at += PRUNE_EVERY;
                if let Err(error) = self.queue.prune(KEPT).await {
                    tracing::warn!(%error, "old webhook deliveries were not deleted");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                // There may be more that is due, now that one has ended.
                Some(_) = under_way.join_next() => {}
                () = self.filled.notified(), if free > 0 => {}
                () = sleep(self.random.jitter(self.look_every, 0.2)), if free > 0 => {}
            }
        }
        let ended = async { while under_way.join_next().await.is_some() {} };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("webhook deliveries were cut off; they are sent again");
        }
    }

    async fn claim(&self, free: usize) -> Vec<webhook_delivery::Model> {
        let claimed = self.queue.claim(free as u64).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "webhook deliveries could not be looked up");
            Vec::new()
        })
    }

    async fn deliver(self, delivery: webhook_delivery::Model) {
        let sent = self.sender.send(&delivery).await;
        if sent.is_ok() {
            crash::at(Point::WebhookSent);
        }
        let written = (|| self.write_down(&delivery, &sent))
            .retry(ExponentialBuilder::default().with_jitter())
            .when(database::is_transient)
            .await;
        if let Err(error) = written {
            tracing::warn!(webhook.id = %delivery.event_id, %error, "what came of a webhook was not written; it is sent again");
        }
    }

    async fn write_down(
        &self,
        delivery: &webhook_delivery::Model,
        sent: &Result<(), SendError>,
    ) -> Result<(), DbErr> {
        let webhook_delivery::Model {
            event_id,
            kind,
            attempts,
            ..
        } = delivery;
        let kind = type_of(*kind);
        let error = match sent {
            Ok(()) => {
                let delivered = Outcome::Delivered;
                self.queue.settle(delivery.position, delivered).await?;
                let after = self.clock.now() - delivery.occurred_at.0;
                self.metrics.delivered(kind, after);
                tracing::info!(webhook.id = %event_id, kind, attempts, "a webhook was delivered");
                return Ok(());
            }
            Err(error) => error,
        };
        if self.clock.now() - delivery.occurred_at.0 >= GIVE_UP_AFTER {
            self.queue.settle(delivery.position, Outcome::Dead).await?;
            self.metrics.dead(kind);
            tracing::error!(webhook.id = %event_id, kind, attempts, %error, "a webhook was given up: nobody is told of it any more");
            return Ok(());
        }
        let pause = schedule::pause(*attempts, error.retry_after(), &self.random);
        self.queue.postpone(delivery, pause).await?;
        self.metrics.failed(kind);
        tracing::warn!(webhook.id = %event_id, kind, attempts, %error, ?pause, "a webhook was not delivered yet");
        Ok(())
    }
}
