//! How long to wait before asking again.

use std::time::Duration;

use ambient::Random;

/// No wait is longer, whoever asks for it.
pub(super) const MAX_DELAY: Duration = Duration::from_mins(1);

/// Exponential back-off as Intuned's own clients do it: 500 ms at first, half as much again each
/// time, at most 60 s; `Retry-After`, where sent, wins.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    factor: f64,
}

impl Backoff {
    /// The one way to back off.
    pub const fn new() -> Self {
        Self {
            first: Duration::from_millis(500),
            factor: 1.5,
        }
    }

    /// The wait after the failure numbered `attempt`, counted from 0. Without `retry_after` it is
    /// jittered by a fifth, so that many who failed together do not come back together.
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>, random: &Random) -> Duration {
        // To be asked for no wait at all is no reason to hammer.
        if let Some(asked) = retry_after.filter(|asked| !asked.is_zero()) {
            return asked.min(MAX_DELAY);
        }
        let growth = self.factor.powf(f64::from(attempt));
        let seconds = (self.first.as_secs_f64() * growth).min(MAX_DELAY.as_secs_f64());
        random
            .jitter(Duration::from_secs_f64(seconds), 0.2)
            .min(MAX_DELAY)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_half_and_is_capped() {
        let random = Random::from_seed(1);
        for (attempt, millis) in [(0, 500.0), (1, 750.0), (2, 1125.0), (3, 1687.5)] {
            for _ in 0..100 {
                let delay = Backoff::new().delay(attempt, None, &random).as_secs_f64() * 1000.0;
                assert!(
                    (millis * 0.8..=millis * 1.2).contains(&delay),
                    "{attempt}: {delay}"
                );
            }
        }
        for attempt in [12, 100, u32::MAX] {
            let delay = Backoff::new().delay(attempt, None, &random);
            assert!(
                (Duration::from_secs(34)..=MAX_DELAY).contains(&delay),
                "{attempt}: {delay:?}"
            );
        }
    }

    #[test]
    fn is_jittered() {
        let random = Random::from_seed(1);
        let draws: Vec<_> = (0..10)
            .map(|_| Backoff::new().delay(3, None, &random))
            .collect();
        assert!(draws.iter().any(|draw| draw != &draws[0]));
    }

    #[test]
    fn retry_after_wins_within_the_cap() {
        let random = Random::from_seed(1);
        let delay = |asked| Backoff::new().delay(7, Some(Duration::from_secs(asked)), &random);
        assert!(delay(0) > Duration::from_secs(1), "its own back-off stays");
        assert_eq!(delay(3), Duration::from_secs(3));
        assert_eq!(delay(3600), MAX_DELAY);
    }
}
