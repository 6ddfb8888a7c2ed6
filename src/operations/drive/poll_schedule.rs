//! The schedule by which Intuned is asked about an operation.

use std::time::Duration;

use crate::operations::state::State;

/// The waits of driving operations.
#[derive(Clone, Copy, Debug)]
pub struct PollSchedule {
    /// Pause between two polls at first (setting `INTUNED_POLL_INTERVAL`).
    pub poll_interval: Duration,
    /// Pause before the first look for a session whose creation was not confirmed; each further one
    /// is twice as long.
    pub first_look: Duration,
    /// After Intuned has gone on showing a request for so long although it was answered, the answer
    /// counts as lost, and the user is asked again. At least twice as long as one request to Intuned may
    /// take.
    pub answer_patience: Duration,
}

/// After this many looks in vain, a session whose creation was never confirmed counts as not made.
/// When the first pause is a second they take a minute.
pub(super) const SETTLING_LOOKS: u32 = 5;

/// After this many polls in a row to which Intuned answers that it does not know the creation, the
/// operation has failed.
pub(super) const FORGOTTEN_POLLS: u32 = 3;

impl PollSchedule {
    /// The pause before the next look at an operation that last changed `since_change` ago. A sign-in that
    /// takes long, or waits for the user, is asked about less often.
    pub(super) fn pause(&self, state: &State, since_change: Duration) -> Duration {
        let interval = self.poll_interval;
        let factor = match state {
            State::RequestedMoreInfo { .. } => 3,
            _ if since_change < interval * 30 => 1,
            _ if since_change < interval * 120 => 2,
            _ => 5,
        };
        interval * factor
    }

    /// The pause before the `look`th look (from 0) for a session whose creation was never confirmed: it
    /// may come late, so the looks spread.
    pub(super) fn settling_pause(&self, look: u32) -> Duration {
        self.first_look * 2_u32.saturating_pow(look.min(SETTLING_LOOKS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: PollSchedule = PollSchedule {
        poll_interval: Duration::from_secs(1),
        first_look: Duration::from_secs(1),
        answer_patience: Duration::from_secs(10),
    };

    #[test]
    fn long_sign_in_is_asked_about_less_often() {
        let pause = |since| SCHEDULE.pause(&State::Starting, Duration::from_secs(since));
        let pauses = [0, 29, 30, 119, 120].map(|since| pause(since).as_secs());
        assert_eq!(pauses, [1, 1, 2, 2, 5]);
    }

    #[test]
    fn looks_for_an_unconfirmed_session_spread_up_to_a_bound() {
        let pauses = [0, 1, 4, 5, 6].map(|look| SCHEDULE.settling_pause(look).as_secs());
        assert_eq!(pauses, [1, 2, 16, 32, 32]);
    }
}
