//! Pauses in answering: Intuned asks for one with a 429 to an answer. It is the one sign-in's alone, for its user
//! can answer again and again, which must not hold the others.

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;
use uuid::Uuid;

use intuned_client::IntunedError;

/// The shortest pause.
const SHORTEST: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST: Duration = Duration::from_mins(1);

/// The ends of pauses in which operations are not to be answered, on this replica.
#[derive(Debug)]
pub(super) struct Pauses(Cache<Uuid, Instant>);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(Cache::builder().time_to_live(LONGEST).build())
    }

    /// Begins a pause of what Intuned asked for.
    pub(super) fn begin(&self, operation_id: Uuid, retry_after: Option<Duration>) {
        let pause = retry_after.unwrap_or_default().clamp(SHORTEST, LONGEST);
        self.0.insert(operation_id, Instant::now() + pause);
    }

    /// Makes sure that the operation may be answered, as of now.
    ///
    /// # Errors
    /// [`IntunedError::RateLimited`] during a pause.
    pub(super) fn check(&self, operation_id: Uuid) -> Result<(), IntunedError> {
        let until = self.0.get(&operation_id);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            None => Ok(()),
            retry_after => Err(IntunedError::RateLimited { retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(None, 1)]
    #[case::zero(Some(0), 1)]
    #[case::some(Some(7), 7)]
    #[case::too_long(Some(61), 60)]
    #[tokio::test(start_paused = true)]
    async fn pause_holds_one_operation_and_ends(#[case] asked: Option<u64>, #[case] seconds: u64) {
        let pauses = Pauses::new();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        pauses.begin(one, asked.map(Duration::from_secs));
        assert!(pauses.check(other).is_ok());
        let refused = pauses.check(one).unwrap_err();
        let pause = Duration::from_secs(seconds);
        assert_eq!(refused.retry_after(), Some(pause));
        tokio::time::advance(pause).await;
        assert!(pauses.check(one).is_ok());
    }
}
