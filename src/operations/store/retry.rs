//! Trying a transaction again.

use std::{future::Future, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use super::error::StoreError;
use crate::operations::metrics::OperationMetrics;

/// The time for which the database is tried again: whoever asked is waiting.
const RETRY_FOR: Duration = Duration::from_secs(3);

/// Tries again what the database could not do for a reason that passes. Whoever has waited for somebody else's
/// lock in vain has waited for long enough.
pub(in crate::operations) async fn retry<T, F>(
    metrics: &OperationMetrics,
    attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let begun = Instant::now();
    attempt
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(50))
                .with_max_times(5)
                .with_jitter(),
        )
        .when(|error: &StoreError| {
            error.is_transient() && !error.is_locked() && begun.elapsed() < RETRY_FOR
        })
        .notify(|_, _| metrics.retried())
        .await
}
