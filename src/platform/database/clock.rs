//! The database's clock, the one that replicas share.
//!
//! Each replica goes by it in all that it writes and compares, and tells it by its monotonic clock between two
//! looks: a machine whose clock is wrong, or jumps, locks nobody out and ends nothing early.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr,
    sea_query::{Expr, Query},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Database;
use ambient::{Clock, Random};

/// How often it is looked at, give or take a fifth.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Pause after a look, however far the machine's clock goes astray.
const PAUSE: Duration = Duration::from_secs(1);
/// A machine's clock that is so far from the monotonic one was set, or the machine slept.
const ASTRAY: TimeDelta = TimeDelta::seconds(1);
/// A difference that no operator need hear of.
const UNREMARKABLE: TimeDelta = TimeDelta::seconds(10);
/// What rounding to milliseconds and the time to note an answer may come to.
const ROUNDING: TimeDelta = TimeDelta::milliseconds(5);

/// The database's own clock, in milliseconds since the Unix epoch: the one clock that replicas share. Read
/// once for a statement, or what is compared with it could not be looked up in an index.
pub fn clock(database: &impl ConnectionTrait) -> Expr {
    Expr::cust(match database.get_database_backend() {
        DbBackend::Postgres => {
            "(SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint))"
        }
        _ => "(SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER))",
    })
}

/// Tells the time by the database's clock.
#[derive(Debug)]
pub struct SharedClock {
    known: RwLock<Known>,
    /// The machine's: that it jumps is a reason to look.
    own: Arc<dyn Clock>,
    astray: Notify,
}

/// The time at one instant, by either clock.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    time: DateTime<Utc>,
    own: DateTime<Utc>,
}

/// A look at the database's clock, and how far it may be off.
#[derive(Clone, Copy, Debug)]
struct Look {
    known: Known,
    uncertainty: TimeDelta,
}

impl SharedClock {
    /// Reads the database's clock. `own` is the machine's.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(database: &Database, own: Arc<dyn Clock>) -> Result<Self, DbErr> {
        let Look { known, .. } = look(database, &*own).await?;
        let ahead = known.own - known.time;
        if ahead.abs() > UNREMARKABLE {
            tracing::warn!(
                seconds_ahead = ahead.num_seconds(),
                "this machine's clock is wrong; the database's is gone by"
            );
        }
        Ok(Self {
            known: RwLock::new(known),
            own,
            astray: Notify::new(),
        })
    }

    /// Looks at the database's clock from time to time, until `shutdown`.
    pub async fn keep(
        self: Arc<Self>,
        database: Database,
        random: Random,
        shutdown: CancellationToken,
    ) {
        let looks = async {
            loop {
                sleep(PAUSE).await;
                let pause = random.jitter(LOOK_EVERY, 0.2);
                // Either is a reason.
                let _ = timeout(pause, self.astray.notified()).await;
                match look(&database, &*self.own).await {
                    Ok(look) => self.learn(look),
                    Err(error) => {
                        tracing::warn!(%error, "the database's clock could not be read; trying again");
                    }
                }
            }
        };
        shutdown.run_until_cancelled(looks).await;
    }

    /// Takes the look for the truth, unless what is known is as good.
    fn learn(&self, Look { known, uncertainty }: Look) {
        let mut last = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let reckoned = last.time_at(known.at);
        let time = if (known.time - reckoned).abs() <= uncertainty {
            reckoned
        } else {
            known.time
        };
        *last = Known { time, ..known };
    }
}

impl Clock for SharedClock {
    fn now(&self) -> DateTime<Utc> {
        let known = *self.known.read().unwrap_or_else(PoisonError::into_inner);
        let time = known.time_at(Instant::now());
        let passed = time - known.time;
        let own_passed = self.own.now() - known.own;
        if (own_passed - passed).abs() > ASTRAY {
            self.astray.notify_one();
        }
        time.trunc_subsecs(3)
    }
}

impl Known {
    fn time_at(&self, instant: Instant) -> DateTime<Utc> {
        self.time + (instant - self.at)
    }
}

async fn look(database: &Database, own: &dyn Clock) -> Result<Look, DbErr> {
    let asked = Instant::now();
    let now = Query::select().expr(clock(database)).take();
    let row = database.query_one(&now).await?;
    let at = Instant::now();
    let nothing = || DbErr::RecordNotFound("the database tells no time".to_owned());
    let millis: i64 = row.ok_or_else(nothing)?.try_get_by_index(0)?;
    let read = DateTime::from_timestamp_millis(millis).ok_or_else(nothing)?;
    // It was read at some time between.
    let half = TimeDelta::from_std((at - asked) / 2).unwrap_or_default();
    Ok(Look {
        known: Known {
            at,
            time: read + half,
            own: own.now(),
        },
        uncertainty: half + ROUNDING,
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::platform::database;
    use ambient::SystemClock;

    /// The machine's clock, which shows what it is told to.
    #[derive(Debug)]
    struct Told(RwLock<DateTime<Utc>>);

    impl Clock for Told {
        fn now(&self) -> DateTime<Utc> {
            *self.0.read().unwrap()
        }
    }

    async fn connect() -> Database {
        let url = "sqlite::memory:".into();
        database::connect(&url, 1).await.unwrap()
    }

    fn is_near(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
        (one - other).abs() < TimeDelta::seconds(5)
    }

    #[tokio::test]
    async fn a_machine_whose_clock_is_wrong_tells_the_database_s_time() {
        for minutes in [-20, 20] {
            let wrong = SystemClock.now() + TimeDelta::minutes(minutes);
            let own = Arc::new(Told(RwLock::new(wrong)));
            let shared = SharedClock::read(&connect().await, own).await.unwrap();
            assert!(is_near(shared.now(), SystemClock.now()));
        }
    }

    #[tokio::test]
    async fn time_passes_by_the_monotonic_clock_however_the_machine_s_jumps() {
        let own = Arc::new(Told(RwLock::new(SystemClock.now())));
        let shared = SharedClock::read(&connect().await, own.clone()).await;
        let shared = shared.unwrap();
        tokio::time::pause();
        let before = shared.now();
        *own.0.write().unwrap() += TimeDelta::minutes(20);
        assert_eq!(shared.now(), before);
        advance(Duration::from_secs(3)).await;
        assert_eq!(shared.now() - before, TimeDelta::seconds(3));
        *own.0.write().unwrap() -= TimeDelta::days(20);
        assert_eq!(shared.now() - before, TimeDelta::seconds(3));
        // That is a reason to look.
        timeout(PAUSE, shared.astray.notified()).await.unwrap();
    }

    #[tokio::test]
    async fn a_look_corrects_what_was_reckoned_wrongly_and_leaves_what_was_not() {
        let database = connect().await;
        let shared = SharedClock::read(&database, Arc::new(SystemClock)).await;
        let shared = shared.unwrap();
        for (off, uncertainty, corrected) in [(4000, 10, true), (4, 10, false), (-4000, 10, true)] {
            let before = *shared.known.read().unwrap();
            let off = TimeDelta::milliseconds(off);
            let known = Known {
                time: before.time + off,
                ..before
            };
            let uncertainty = TimeDelta::milliseconds(uncertainty);
            shared.learn(Look { known, uncertainty });
            let learnt = shared.known.read().unwrap().time - before.time;
            assert_eq!(learnt, if corrected { off } else { TimeDelta::zero() });
        }
    }

    #[tokio::test]
    async fn it_is_looked_at_again_once_the_machine_s_clock_was_set() {
        let database = connect().await;
        let own = Arc::new(Told(RwLock::new(SystemClock.now())));
        let shared = SharedClock::read(&database, own.clone()).await.unwrap();
        let shared = Arc::new(shared);
        // As if the database's had been set meanwhile.
        shared.known.write().unwrap().time -= TimeDelta::hours(1);
        let shutdown = CancellationToken::new();
        let keeping = shared.clone();
        let keeping = keeping.keep(database, Random::from_seed(1), shutdown.clone());
        let keeping = tokio::spawn(keeping);
        *own.0.write().unwrap() -= TimeDelta::hours(1);
        let corrected = async {
            while !is_near(shared.now(), SystemClock.now()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LOOK_EVERY / 2, corrected).await.unwrap();
        shutdown.cancel();
        keeping.await.unwrap();
    }
}
