//! A batch loader across requests: while one load is under way, the keys that others want are collected, and
//! loaded together when it is their turn. Nobody who is alone waits.
//!
//! It runs what async-graphql's `DataLoader` runs within a request: implementations of its [`Loader`].

use std::{
    collections::HashSet,
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_graphql::dataloader::Loader;
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::{sync::oneshot, task::yield_now, time::timeout};
use uuid::Uuid;

/// Loads under way at once. The more there are, the fewer keys go together.
const CONCURRENCY: usize = 1;

/// Times that other tasks run, at most, before a batch goes out.
const YIELDS: usize = 4;

/// The longest that a load may take before all who wait for it are told that it failed: one that hangs must
/// not hold up everybody.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Keys of one batch.
const MAX_BATCH: usize = 256;

type Reply<V> = oneshot::Sender<Result<Option<V>, DbErr>>;

/// Loads values by key, many keys at a time. Clones share the batches.
///
/// A value is loaded after it was asked for, never before: nobody gets one that was under way already.
pub(crate) struct BatchLoader<K: Key, L: DatabaseLoader<K>>(Arc<Inner<K, L>>);

/// A key that values are loaded by.
pub(crate) trait Key: Copy + Eq + Hash + Send + Sync + 'static {}

impl<K: Copy + Eq + Hash + Send + Sync + 'static> Key for K {}

/// A loader that fails as the database does.
pub(crate) trait DatabaseLoader<K: Key>: Loader<K, Error = DbErr> {}

impl<K: Key, L: Loader<K, Error = DbErr>> DatabaseLoader<K> for L {}

struct Inner<K: Key, L: DatabaseLoader<K>> {
    loader: L,
    queue: Mutex<Queue<K, L::Value>>,
}

struct Queue<K, V> {
    waiting: Vec<(K, Reply<V>)>,
    under_way: usize,
}

impl<K: Key, L: DatabaseLoader<K>> Clone for BatchLoader<K, L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key, L: DatabaseLoader<K>> fmt::Debug for BatchLoader<K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLoader").finish_non_exhaustive()
    }
}

impl<K: Key, L: DatabaseLoader<K>> BatchLoader<K, L> {
    /// Loads by `loader`, which is given each key of a batch once.
    pub(crate) fn new(loader: L) -> Self {
        Self(Arc::new(Inner {
            loader,
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                under_way: 0,
            }),
        }))
    }

    /// The key's value, if it has one.
    ///
    /// # Errors
    /// The loader's: the same for all keys of the batch.
    pub(crate) async fn load_one(&self, key: K) -> Result<Option<L::Value>, DbErr> {
        let (reply, answer) = oneshot::channel();
        let may_start = {
            let mut queue = self.0.lock();
            queue.waiting.push((key, reply));
            let may_start = queue.under_way < CONCURRENCY;
            queue.under_way += usize::from(may_start);
            may_start
        };
        if may_start {
            tokio::spawn(load_batches(Turn::new(&self.0)));
        }
        let given_up = || DbErr::Custom(String::from("a read was given up"));
        answer.await.unwrap_or_else(|_| Err(given_up()))
    }
}

/// Loads until nobody waits.
async fn load_batches<K: Key, L: DatabaseLoader<K>>(mut turn: Turn<K, L>) {
    loop {
        turn.collect().await;
        let Some(mut batch) = turn.next_batch() else {
            return;
        };
        // Those who have gone need no answer.
        batch.retain(|(_, reply)| !reply.is_closed());
        let mut known = HashSet::with_capacity(batch.len());
        let keys = batch.iter().map(|(key, _)| *key);
        let keys: Vec<K> = keys.filter(|key| known.insert(*key)).collect();
        if keys.is_empty() {
            continue;
        }
        let loaded = timeout(TIMEOUT, turn.inner.loader.load(&keys)).await;
        let loaded = loaded.unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));
        for (key, reply) in batch {
            let value = loaded.as_ref().map(|loaded| loaded.get(&key).cloned());
            reply.send(value.map_err(Clone::clone)).ok();
        }
    }
}

impl<K: Key, L: DatabaseLoader<K>> Inner<K, L> {
    fn lock(&self) -> MutexGuard<'_, Queue<K, L::Value>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one load under way.
struct Turn<K: Key, L: DatabaseLoader<K>> {
    inner: Arc<Inner<K, L>>,
    is_over: bool,
}

impl<K: Key, L: DatabaseLoader<K>> Turn<K, L> {
    fn new(inner: &Arc<Inner<K, L>>) -> Self {
        Self {
            inner: Arc::clone(inner),
            is_over: false,
        }
    }

    /// Lets others ask, too: all that can run now and, as long as more of them come, whom the network brings
    /// meanwhile.
    async fn collect(&self) {
        let mut waiting = 1;
        for _ in 0..YIELDS {
            yield_now().await;
            let now = self.inner.lock().waiting.len();
            if now <= waiting {
                return;
            }
            waiting = now;
        }
    }

    /// Those who wait; without any, the turn is over: who asks from then on begins another.
    fn next_batch(&mut self) -> Option<Vec<(K, Reply<L::Value>)>> {
        let mut queue = self.inner.lock();
        if queue.waiting.is_empty() {
            queue.under_way -= 1;
            self.is_over = true;
            return None;
        }
        if queue.waiting.len() <= MAX_BATCH {
            return Some(mem::take(&mut queue.waiting));
        }
        Some(queue.waiting.drain(..MAX_BATCH).collect())
    }
}

impl<K: Key, L: DatabaseLoader<K>> Drop for Turn<K, L> {
    fn drop(&mut self) {
        // Only a panic ends a turn early; to be told is better than to wait for the next one.
        if !self.is_over {
            let mut queue = self.inner.lock();
            queue.under_way -= 1;
            queue.waiting.clear();
        }
    }
}

/// `ids`, the last repeated up to a power of two: a dozen statements to prepare instead of one for
/// each number of ids.
pub(crate) fn padded(ids: &[Uuid]) -> Vec<Uuid> {
    let mut padded = ids.to_vec();
    if let Some(last) = ids.last() {
        padded.resize(ids.len().next_power_of_two(), *last);
    }
    padded
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Finds ten times the key, for even keys, each time that the gate lets it.
    #[derive(Clone)]
    struct Tens {
        gate: Arc<Semaphore>,
        batches: Batches,
    }

    impl Loader<u32> for Tens {
        type Value = u32;
        type Error = DbErr;

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, u32>, DbErr> {
            self.batches.lock().unwrap().push(keys.to_vec());
            self.gate.acquire().await.unwrap().forget();
            let even = keys.iter().filter(|key| *key % 2 == 0);
            Ok(even.map(|key| (*key, key * 10)).collect())
        }
    }

    fn tens() -> (BatchLoader<u32, Tens>, Tens) {
        let tens = Tens {
            gate: Arc::new(Semaphore::new(0)),
            batches: Batches::default(),
        };
        (BatchLoader::new(tens.clone()), tens)
    }

    /// Fails, and panics for the key 13.
    struct Broken;

    impl Loader<u32> for Broken {
        type Value = u32;
        type Error = DbErr;

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, u32>, DbErr> {
            assert!(keys != [13], "a panic that the test asks for");
            Err(DbErr::Custom(String::from("broken")))
        }
    }

    #[tokio::test]
    async fn keys_that_wait_are_loaded_together_and_once() {
        let (loader, Tens { gate, batches }) = tens();
        let asked = [1, 2, 3, 4, 4, 5].map(|key| {
            let loader = loader.clone();
            async move { loader.load_one(key).await.unwrap() }
        });
        let under_way = {
            let loader = loader.clone();
            tokio::spawn(async move { loader.load_one(6).await })
        };
        while batches.lock().unwrap().len() < CONCURRENCY {
            tokio::task::yield_now().await;
        }
        let answers = tokio::spawn(join_all(asked));
        while loader.0.lock().waiting.len() < 6 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(CONCURRENCY + 1);
        let answers = answers.await.unwrap();
        assert_eq!(answers, [None, Some(20), None, Some(40), Some(40), None]);
        assert_eq!(under_way.await.unwrap().unwrap(), Some(60));
        let batches = batches.lock().unwrap();
        assert_eq!(*batches, [vec![6], vec![1, 2, 3, 4, 5]]);
    }

    #[tokio::test]
    async fn an_error_is_every_keys_and_a_panic_hangs_nobody() {
        let loader = BatchLoader::new(Broken);
        assert_eq!(
            loader.load_one(1).await.unwrap_err().to_string(),
            "Custom Error: broken"
        );
        assert!(loader.load_one(13).await.is_err());
        assert_eq!(
            loader.load_one(1).await.unwrap_err().to_string(),
            "Custom Error: broken"
        );
    }

    #[tokio::test]
    async fn a_key_that_comes_while_a_turn_ends_is_loaded() {
        let (loader, Tens { gate, .. }) = tens();
        loader.0.lock().under_way = 1;
        let mut ending = Turn::new(&loader.0);
        assert!(ending.next_batch().is_none());
        let asking = {
            let loader = loader.clone();
            tokio::spawn(async move { loader.load_one(2).await })
        };
        while loader.0.lock().under_way == 0 {
            tokio::task::yield_now().await;
        }
        drop(ending);
        gate.add_permits(1);
        assert_eq!(asking.await.unwrap().unwrap(), Some(20));
    }

    #[test]
    fn ids_are_padded_to_few_sizes() {
        let ids = |count: u128| (0..count).map(Uuid::from_u128).collect::<Vec<_>>();
        assert_eq!(padded(&[]).len(), 0);
        assert_eq!(padded(&ids(1)).len(), 1);
        assert_eq!(padded(&ids(5)).len(), 8);
        assert_eq!(padded(&ids(1024)).len(), 1024);
        assert_eq!(padded(&ids(5)).last(), ids(5).last());
    }
}
