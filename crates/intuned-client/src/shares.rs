//! What each kind of call may take of Intuned, and for how long it is not to be called: so that those who
//! read cannot stop those who sign in.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::IntunedError;

/// Reads that may be under way at once. Each is short.
const READS_AT_ONCE: usize = 64;
/// Runs that may be under way at once which last as long as one request does, and that may be minutes.
const RUNS_AT_ONCE: usize = 512;
/// Removals that may be under way at once.
const REMOVALS_AT_ONCE: usize = 16;
/// For so long a call waits for others of its kind to end.
const SEAT_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest hold of what users can ask for as often as they like.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Makes an auth session: starts, polls and settling looks. Whoever drives operations bounds them, and asks
    /// for the hold.
    SignIn,
    /// Passes on what a user answers. Whoever does so keeps what a 429 asks for, for that sign-in alone.
    Answer,
    /// Deletes an auth session.
    Removal,
    /// Reads a status, or starts a run and looks at it.
    Read,
    /// Runs in one request, which lasts as long as the run.
    LongRead,
}

/// Why a call was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Intuned asked to be left alone for so much longer.
    Held(Duration),
    /// Too many of its kind were under way.
    Busy,
}

/// The shares of one API key, on this replica.
#[derive(Debug)]
pub(super) struct Shares {
    sign_ins: Hold,
    removals: Hold,
    reads: Hold,
    removal_seats: Semaphore,
    read_seats: Semaphore,
    run_seats: Semaphore,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self {
            sign_ins: Hold::default(),
            removals: Hold::default(),
            reads: Hold::default(),
            removal_seats: Semaphore::new(REMOVALS_AT_ONCE),
            read_seats: Semaphore::new(READS_AT_ONCE),
            run_seats: Semaphore::new(RUNS_AT_ONCE),
        }
    }

    /// Until when such calls are not to be sent; none once that is over. What holds sign-ins holds all.
    pub(super) fn held_until(&self, purpose: Purpose) -> Option<Instant> {
        let own = self.hold(purpose).until();
        own.max(self.sign_ins.until())
    }

    /// A seat for one call, until it is dropped. Sign-ins and answers to them need none.
    pub(super) async fn admit(
        &self,
        purpose: Purpose,
    ) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        let seats = match purpose {
            Purpose::SignIn | Purpose::Answer => return Ok(None),
            Purpose::Removal => &self.removal_seats,
            Purpose::Read => &self.read_seats,
            Purpose::LongRead => &self.run_seats,
        };
        self.check_hold(purpose)?;
        let seat = timeout(SEAT_PATIENCE, seats.acquire()).await;
        let seat = seat.ok().and_then(Result::ok).ok_or(Refusal::Busy)?;
        // It may have begun meanwhile.
        self.check_hold(purpose)?;
        Ok(Some(seat))
    }

    /// Intuned has answered such a call with 429.
    pub(super) fn turned_away(&self, purpose: Purpose, retry_after: Option<Duration>) {
        let wait = match purpose {
            Purpose::Answer => None,
            Purpose::SignIn => retry_after,
            Purpose::Removal | Purpose::Read | Purpose::LongRead => {
                Some(retry_after.unwrap_or_default().max(SHORTEST_HOLD))
            }
        };
        if let Some(wait) = wait {
            self.hold(purpose).extend(Instant::now() + wait);
        }
    }

    /// Whether such calls may be sent, as of now.
    pub(super) fn check_hold(&self, purpose: Purpose) -> Result<(), Refusal> {
        self.held_until(purpose).map_or(Ok(()), |until| {
            let left = until.saturating_duration_since(Instant::now());
            Err(Refusal::Held(left))
        })
    }

    fn hold(&self, purpose: Purpose) -> &Hold {
        match purpose {
            Purpose::SignIn | Purpose::Answer => &self.sign_ins,
            Purpose::Removal => &self.removals,
            Purpose::Read | Purpose::LongRead => &self.reads,
        }
    }
}

impl Purpose {
    /// Its name, for metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Answer => "answer",
            Self::Removal => "removal",
            Self::Read => "read",
            Self::LongRead => "run",
        }
    }
}

impl Refusal {
    /// Its name, for metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Busy => "busy",
        }
    }
}

impl From<Refusal> for IntunedError {
    fn from(refusal: Refusal) -> Self {
        let retry_after = match refusal {
            Refusal::Held(left) => Some(left),
            Refusal::Busy => None,
        };
        Self::RateLimited { retry_after }
    }
}

/// Until when Intuned asked to be left alone.
#[derive(Debug, Default)]
struct Hold(Mutex<Option<Instant>>);

impl Hold {
    fn until(&self) -> Option<Instant> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// A later end wins over an earlier one.
    fn extend(&self, until: Instant) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(until).max(*held);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TEN: Duration = Duration::from_secs(10);
    const ALL: [Purpose; 5] = [
        Purpose::SignIn,
        Purpose::Answer,
        Purpose::Removal,
        Purpose::Read,
        Purpose::LongRead,
    ];

    #[rstest]
    #[case::sign_ins(Purpose::SignIn, &ALL)]
    #[case::answers(Purpose::Answer, &[])]
    #[case::removals(Purpose::Removal, &[Purpose::Removal])]
    #[case::reads(Purpose::Read, &[Purpose::Read, Purpose::LongRead])]
    #[case::long_reads(Purpose::LongRead, &[Purpose::Read, Purpose::LongRead])]
    #[tokio::test(start_paused = true)]
    async fn a_429_holds_its_own_kind_and_one_to_a_sign_in_holds_all(
        #[case] turned_away: Purpose,
        #[case] held: &[Purpose],
    ) {
        let shares = Shares::new();
        shares.turned_away(turned_away, Some(TEN));
        for purpose in ALL {
            let until = shares.held_until(purpose);
            assert_eq!(until.is_some(), held.contains(&purpose), "{purpose:?}");
        }
        tokio::time::advance(TEN).await;
        assert!(ALL.map(|purpose| shares.held_until(purpose)) == [None; 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_in_a_hold_is_told_at_once_how_long_it_lasts() {
        let shares = Shares::new();
        shares.turned_away(Purpose::Read, Some(TEN));
        tokio::time::advance(Duration::from_secs(4)).await;
        let refused = shares.admit(Purpose::Read).await.unwrap_err();
        assert_eq!(refused, Refusal::Held(Duration::from_secs(6)));
        assert!(shares.admit(Purpose::SignIn).await.is_ok());
        assert!(shares.admit(Purpose::Removal).await.is_ok());
    }

    #[rstest]
    #[case::none(None)]
    #[case::zero(Some(Duration::ZERO))]
    #[tokio::test(start_paused = true)]
    async fn a_429_that_asks_for_no_pause_holds_reads_for_a_second_and_sign_ins_not(
        #[case] retry_after: Option<Duration>,
    ) {
        let shares = Shares::new();
        shares.turned_away(Purpose::SignIn, retry_after);
        assert_eq!(shares.held_until(Purpose::Read), None);
        shares.turned_away(Purpose::Read, retry_after);
        let refused = shares.admit(Purpose::Read).await.unwrap_err();
        assert_eq!(refused, Refusal::Held(SHORTEST_HOLD));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_each_other_not_for_ever_and_leave_the_others_alone() {
        let shares = Shares::new();
        let mut seats = Vec::new();
        for _ in 0..READS_AT_ONCE {
            seats.push(shares.admit(Purpose::Read).await.unwrap());
        }
        let begun = Instant::now();
        let refused = shares.admit(Purpose::Read).await.unwrap_err();
        assert_eq!((refused, begun.elapsed()), (Refusal::Busy, SEAT_PATIENCE));
        for purpose in [Purpose::SignIn, Purpose::Removal, Purpose::LongRead] {
            assert!(shares.admit(purpose).await.is_ok(), "{purpose:?}");
        }
        let (waiting, ()) = tokio::join!(shares.admit(Purpose::Read), async {
            drop(seats.pop());
        });
        assert!(waiting.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_has_waited_is_not_sent_into_a_hold() {
        let shares = Shares::new();
        let mut seats = Vec::new();
        for _ in 0..READS_AT_ONCE {
            seats.push(shares.admit(Purpose::Read).await.unwrap());
        }
        let (waiting, ()) = tokio::join!(shares.admit(Purpose::Read), async {
            shares.turned_away(Purpose::Read, Some(TEN));
            seats.clear();
        });
        assert_eq!(waiting.unwrap_err(), Refusal::Held(TEN));
    }
}
