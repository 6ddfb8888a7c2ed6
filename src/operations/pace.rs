//! How often Intuned is asked about an operation.

use std::time::Duration;

use super::state::State;

/// The waits of driving operations.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
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

/// The pause before the next look at an operation that last changed `since_change` ago. `interval`
/// is the setting `INTUNED_POLL_INTERVAL`. A sign-in that takes long, or waits for the user, is
/// asked about less often.
pub(super) fn pause(state: &State, since_change: Duration, interval: Duration) -> Duration {
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
pub(super) fn settling_pause(look: u32, first: Duration) -> Duration {
    first * 2_u32.saturating_pow(look.min(SETTLING_LOOKS))
}

/// After this many looks in vain, a session whose creation was never confirmed counts as not made.
/// When the first pause is a second they take a minute.
pub(super) const SETTLING_LOOKS: u32 = 5;

/// After this many polls in a row to which Intuned answers that it does not know the creation, the
/// operation has failed.
pub(super) const FORGOTTEN_POLLS: u32 = 3;
