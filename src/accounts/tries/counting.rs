//! Tries of many at once are counted together, so that those of one client do not wait for each other's
//! lock on its row.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use async_graphql::dataloader::Loader;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, tries};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryTrait,
    sea_query::{CaseStatement, Expr, InsertStatement, OnConflict, Query},
};
use uuid::Uuid;

use super::Bucket;
use crate::{platform::batch_loader::BatchLoader, platform::database::Database};

/// How many rows one statement changes.
const MOST_ROWS: usize = 32;

/// The most that a stored instant may be ahead of what the window allows: replicas' clocks differ by less. No
/// try can have reached more, but one by another clock or with another window.
const CLOCKS_DIFFER_BY: TimeDelta = TimeDelta::minutes(1);

/// Counts tries, by ids of those who are counted.
#[derive(Debug)]
pub(super) struct Counting {
    batches: BatchLoader<Try, TryCounter>,
    next_number: AtomicU64,
}

/// One try, which is like no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Try {
    bucket: Bucket,
    now: DateTime<Utc>,
    number: u64,
}

/// So many tries of one who is counted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    bucket: Bucket,
    tries: usize,
}

/// Counts the tries of a batch.
struct TryCounter(Database);

impl Loader<Try> for TryCounter {
    type Value = bool;
    type Error = DbErr;

    async fn load(&self, tries: &[Try]) -> Result<HashMap<Try, bool>, DbErr> {
        count(&self.0, tries).await
    }
}

impl Counting {
    pub(super) fn new(database: Database) -> Self {
        Self {
            batches: BatchLoader::new(TryCounter(database)),
            next_number: AtomicU64::new(0),
        }
    }

    /// Counts one more try, and tells whether the bucket had room for it.
    pub(super) async fn take(&self, bucket: Bucket, now: DateTime<Utc>) -> Result<bool, DbErr> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let one = Try {
            bucket,
            now,
            number,
        };
        let taken = self.batches.load_one(one).await?;
        Ok(taken.unwrap_or_default())
    }
}

/// Which of the tries the limits allow. Those with one window have a statement together.
async fn count(database: &Database, tries: &[Try]) -> Result<HashMap<Try, bool>, DbErr> {
    let mut allowed = HashMap::with_capacity(tries.len());
    let mut by_window: HashMap<TimeDelta, BTreeMap<Uuid, Vec<Try>>> = HashMap::new();
    for one in tries {
        let Bucket { id, limit } = one.bucket;
        let by_id = by_window.entry(limit.window).or_default();
        by_id.entry(id).or_default().push(*one);
    }
    for by_id in by_window.into_values() {
        let now = by_id.values().flatten().map(|one| one.now).max();
        let now = now.unwrap_or_default();
        let all = |tries: &Vec<Try>| {
            let bucket = tries.first()?.bucket;
            let tries = tries.len();
            Some(Wanted { bucket, tries })
        };
        let wanted: Vec<_> = by_id.values().filter_map(all).collect();
        let taken = take(database, now, &wanted).await?;
        for (wanted, tries) in wanted.into_iter().zip(by_id.into_values()) {
            let granted = if taken.contains(&wanted.bucket.id) {
                wanted.tries
            } else {
                take_fewer(database, now, wanted).await?
            };
            let numbered = tries.into_iter().enumerate();
            allowed.extend(numbered.map(|(number, one)| (one, number < granted)));
        }
    }
    Ok(allowed)
}

/// How many tries there is room for, where there was none for all at once. They are taken.
async fn take_fewer(
    database: &Database,
    now: DateTime<Utc>,
    wanted: Wanted,
) -> Result<usize, DbErr> {
    let mut granted = 0;
    let mut step = wanted.tries.next_power_of_two() / 2;
    while step > 0 {
        let some = Wanted {
            tries: step,
            ..wanted
        };
        let fits = granted + step < wanted.tries;
        if fits && !take(database, now, &[some]).await?.is_empty() {
            granted += step;
        }
        step /= 2;
    }
    Ok(granted)
}

/// Takes so many tries for each, who have one window: all of one's or none. Those that there was room for.
async fn take(
    database: &Database,
    now: DateTime<Utc>,
    wanted: &[Wanted],
) -> Result<HashSet<Uuid>, DbErr> {
    let window = wanted.first().map(|one| one.bucket.limit.window);
    let window = window.unwrap_or_default();
    let rows: Vec<_> = wanted
        .iter()
        .filter_map(|wanted| row(*wanted, now))
        .collect();
    let mut taken = HashSet::with_capacity(rows.len());
    let mut rest = &*rows;
    while !rest.is_empty() {
        // Few lengths, so that few statements are to be prepared.
        let length = MOST_ROWS.min(1 << rest.len().ilog2());
        let (rows, others) = rest.split_at(length);
        for row in database.query_all(&taking(rows, window, now)).await? {
            taken.insert(row.try_get_by_index(0)?);
        }
        rest = others;
    }
    Ok(taken)
}

/// None when there is never room for so many.
fn row(wanted: Wanted, now: DateTime<Utc>) -> Option<tries::ActiveModel> {
    let Bucket { id, limit } = wanted.bucket;
    let all = limit.each.checked_mul(i32::try_from(wanted.tries).ok()?)?;
    (all <= limit.window).then(|| tries::ActiveModel {
        id: Set(id),
        settles_at: Set(Millis(now + all)),
    })
}

/// One statement, so that of tries on several replicas none is lost; in the order of the ids, so that
/// replicas do not wait for each other in a circle.
fn taking(rows: &[tries::ActiveModel], window: TimeDelta, now: DateTime<Utc>) -> InsertStatement {
    let column = tries::Column::SettlesAt;
    let settles_at = || Expr::col((tries::Entity, column));
    let more = || Expr::col(("excluded", column)).sub(now.timestamp_millis());
    let latest = now + window;
    let is_to_come = settles_at()
        .gt(Millis(now))
        .and(settles_at().lte(Millis(latest + CLOCKS_DIFFER_BY)));
    let unsettled = CaseStatement::new()
        .case(is_to_come, settles_at())
        .finally(Millis(now));
    let with_more = Expr::Case(Box::new(unsettled)).add(more());
    let so_many_more = OnConflict::column(tries::Column::Id)
        .value(column, with_more.clone())
        .action_and_where(with_more.lte(Millis(latest)))
        .to_owned();
    tries::Entity::insert_many(rows.to_vec())
        .on_conflict(so_many_more)
        .into_query()
        .returning(Query::returning().column(tries::Column::Id))
        .take()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use rstest::rstest;

    use super::{super::bucket::Limit, *};
    use crate::platform::database;

    async fn counting() -> Counting {
        let database = database::connect(&"sqlite::memory:".into(), 1)
            .await
            .unwrap();
        database::migrate(&database).await.unwrap();
        Counting::new(database)
    }

    async fn allowed(
        counting: &Counting,
        tries: &[(u128, Limit)],
        now: DateTime<Utc>,
    ) -> Vec<bool> {
        let take = |(id, limit): &(u128, Limit)| {
            let (id, limit) = (Uuid::from_u128(*id), *limit);
            let taken = counting.take(Bucket { id, limit }, now);
            async { taken.await.unwrap() }
        };
        join_all(tries.iter().map(take)).await
    }

    #[rstest]
    #[case::one(1)]
    #[case::some(5)]
    #[case::all_but_one(6)]
    #[case::all(7)]
    #[case::one_more(8)]
    #[case::many_more(300)]
    #[tokio::test]
    async fn of_many_at_once_so_many_are_allowed(#[case] at_once: usize) {
        let counting = counting().await;
        let limit = Limit::new("client", 7, Duration::from_secs(70));
        let now = DateTime::UNIX_EPOCH;
        let tries = vec![(1, limit); at_once];
        for left in [7, 7_usize.saturating_sub(at_once)] {
            let allowed = allowed(&counting, &tries, now).await;
            let allowed = allowed.into_iter().filter(|allowed| *allowed).count();
            assert_eq!(allowed, left.min(at_once));
        }
        // One comes back after the other.
        let later = now + limit.each * 2;
        assert!(allowed(&counting, &tries, later).await.contains(&true));
    }

    #[tokio::test]
    async fn those_who_are_counted_together_are_counted_apart() {
        let counting = counting().await;
        let limit = |tries| Limit::new("client", tries, Duration::from_mins(1));
        let now = DateTime::UNIX_EPOCH;
        let mut tries = vec![(1, limit(1)), (2, limit(2)), (1, limit(1))];
        tries.extend((100..200).map(|id| (id, limit(1))));
        let first = allowed(&counting, &tries, now).await;
        assert_eq!(first[..3], [true, true, false]);
        assert!(first[3..].iter().all(|allowed| *allowed));
        let second = allowed(&counting, &tries, now).await;
        assert_eq!(second[..3], [false, true, false]);
        assert!(!second[3..].contains(&true));
    }

    #[tokio::test]
    async fn what_no_try_can_have_reached_counts_for_nothing() {
        let counting = counting().await;
        let limit = Limit::new("client", 3, Duration::from_mins(15));
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let ahead = now + TimeDelta::minutes(20);
        let tries = [(1, limit); 4];
        assert_eq!(
            allowed(&counting, &tries, ahead).await,
            [true, true, true, false]
        );
        assert_eq!(
            allowed(&counting, &tries, now).await,
            [true, true, true, false]
        );
        // Clocks that differ a little leave a full bucket full.
        let behind = now - TimeDelta::seconds(50);
        assert_eq!(allowed(&counting, &[(1, limit)], behind).await, [false]);
    }
}
