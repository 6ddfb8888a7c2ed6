//! How much waits to be delivered, for those who run the gateway.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::courier::Courier;

/// Looks from time to time, as often as for what is due, until `shutdown`.
pub(super) async fn watch(courier: Courier, shutdown: CancellationToken) {
    let looks = async {
        loop {
            match courier.queue.backlog().await {
                Ok(backlog) => {
                    let now = courier.clock.now();
                    let oldest = backlog.oldest.map_or(now, |oldest| oldest.0);
                    courier.metrics.waiting(backlog.waiting, now - oldest);
                }
                Err(error) => {
                    tracing::warn!(%error, "webhooks that wait could not be counted");
                }
            }
            sleep(courier.random.jitter(courier.look_every, 0.2)).await;
        }
    };
    shutdown.run_until_cancelled(looks).await;
}
