//! When a delivery that failed is tried again, and when it is given up.

use std::time::Duration;

use chrono::TimeDelta;

use ambient::Random;

const FIRST: Duration = Duration::from_secs(5);
const FACTOR: f64 = 3.0;
const LONGEST: Duration = Duration::from_hours(6);
const JITTER: f64 = 0.2;

/// A delivery that was not taken for this long is dead.
pub(super) const GIVE_UP_AFTER: TimeDelta = TimeDelta::days(3);

/// The pause after the try numbered `attempt`, from 1: seconds at first, hours in the end. A receiver
/// may ask for a longer one.
pub(super) fn pause(attempt: i32, asked: Option<Duration>, random: &Random) -> Duration {
    let growth = FACTOR.powi(attempt.saturating_sub(1));
    let seconds = (FIRST.as_secs_f64() * growth).min(LONGEST.as_secs_f64());
    let pause = random.jitter(Duration::from_secs_f64(seconds), JITTER);
    pause.max(asked.unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_seconds_to_hours() {
        let random = Random::from_seed(1);
        for (attempt, seconds) in [(1, 5.0), (2, 15.0), (3, 45.0), (8, 10_935.0), (9, 21_600.0)] {
            let pause = pause(attempt, None, &random).as_secs_f64();
            assert!(
                (seconds * 0.8..=seconds * 1.2).contains(&pause),
                "{attempt}: {pause}"
            );
        }
        for attempt in [100, i32::MAX] {
            assert!(pause(attempt, None, &random) <= LONGEST.mul_f64(1.2));
        }
    }

    #[test]
    fn receivers_may_ask_for_more() {
        let random = Random::from_seed(1);
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)), &random);
        assert_eq!(asked(600), Duration::from_mins(10));
        assert!(asked(0) >= Duration::from_secs(4));
        assert_eq!(asked(u64::MAX), LONGEST);
    }
}
