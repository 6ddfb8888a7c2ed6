//! Reads that gather: while some are under way, what others want to know is collected, and asked for
//! in one statement when it is their turn. Whoever is alone does not wait.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::{sync::oneshot, task::yield_now, time::timeout};
use uuid::Uuid;

/// Statements under way at once. The more there are, the fewer ask together.
const AT_ONCE: usize = 1;

/// How often others have their turn at most before a statement goes out.
const TURNS: usize = 4;

/// How long a statement may take before those who wait for it are told that it failed: one that hangs
/// must not hold up everybody.
const LONGEST: Duration = Duration::from_secs(10);

/// Keys that one statement asks for.
const MOST: usize = 256;

type Found<K, V> = Result<HashMap<K, V>, DbErr>;
type Read<K, V> = dyn Fn(Vec<K>) -> BoxFuture<'static, Found<K, V>> + Send + Sync;
type Asking<V> = oneshot::Sender<Result<Option<V>, DbErr>>;

/// Reads values by key, many keys to a statement. Clones gather together.
///
/// A value is read after it was asked for, never before: nobody gets one that was under way already.
pub(crate) struct Gather<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    read: Box<Read<K, V>>,
    queue: Mutex<Queue<K, V>>,
}

struct Queue<K, V> {
    waiting: Vec<(K, Asking<V>)>,
    under_way: usize,
}

impl<K, V> Clone for Gather<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Gather<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

impl<K, V> Gather<K, V>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// `read` finds the values of some keys, each key given once; keys that have none are left out.
    pub(crate) fn new<F>(read: impl Fn(Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Found<K, V>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            read: Box::new(move |keys| Box::pin(read(keys))),
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                under_way: 0,
            }),
        }))
    }

    /// The key's value, if it has one.
    ///
    /// # Errors
    /// The database's: the same for all who were asked for together.
    pub(crate) async fn one(&self, key: K) -> Result<Option<V>, DbErr> {
        let (asking, answer) = oneshot::channel();
        let may_start = {
            let mut queue = self.0.lock();
            queue.waiting.push((key, asking));
            let may_start = queue.under_way < AT_ONCE;
            queue.under_way += usize::from(may_start);
            may_start
        };
        if may_start {
            tokio::spawn(work(Turn::new(&self.0)));
        }
        let given_up = || DbErr::Custom(String::from("a read was given up"));
        answer.await.unwrap_or_else(|_| Err(given_up()))
    }
}

/// Reads until nobody waits.
async fn work<K, V>(mut turn: Turn<K, V>)
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    loop {
        turn.gather().await;
        let Some(mut batch) = turn.next_batch() else {
            return;
        };
        // Those who have gone need no answer.
        batch.retain(|(_, asking)| !asking.is_closed());
        let mut keys: Vec<K> = Vec::with_capacity(batch.len());
        let mut known = HashSet::with_capacity(batch.len());
        keys.extend(
            batch
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| known.insert(*key)),
        );
        if keys.is_empty() {
            continue;
        }
        let found = timeout(LONGEST, (turn.inner.read)(keys))
            .await
            .unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));
        for (key, asking) in batch {
            let value = found.as_ref().map(|found| found.get(&key).cloned());
            asking.send(value.map_err(Clone::clone)).ok();
        }
    }
}

impl<K, V> Inner<K, V> {
    fn lock(&self) -> MutexGuard<'_, Queue<K, V>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one statement under way.
struct Turn<K, V> {
    inner: Arc<Inner<K, V>>,
    is_over: bool,
}

impl<K, V> Turn<K, V> {
    fn new(inner: &Arc<Inner<K, V>>) -> Self {
        Self {
            inner: Arc::clone(inner),
            is_over: false,
        }
    }

    /// Lets others ask, too: all that can run now and, as long as more of them come, whom the network brings
    /// meanwhile.
    async fn gather(&self) {
        let mut waiting = 1;
        for _ in 0..TURNS {
            yield_now().await;
            let now = self.inner.lock().waiting.len();
            if now <= waiting {
                return;
            }
            waiting = now;
        }
    }

    /// Those who wait; without any, the turn is over: who asks from then on begins another.
    fn next_batch(&mut self) -> Option<Vec<(K, Asking<V>)>> {
        let mut queue = self.inner.lock();
        if queue.waiting.is_empty() {
            queue.under_way -= 1;
            self.is_over = true;
            return None;
        }
        if queue.waiting.len() <= MOST {
            return Some(mem::take(&mut queue.waiting));
        }
        Some(queue.waiting.drain(..MOST).collect())
    }
}

impl<K, V> Drop for Turn<K, V> {
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
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Finds ten times the key, for even keys, each time that the semaphore lets it.
    fn tens() -> (Gather<u32, u32>, Arc<Semaphore>, Batches) {
        let (gate, batches) = (Arc::new(Semaphore::new(0)), Batches::default());
        let (opened, seen) = (Arc::clone(&gate), Arc::clone(&batches));
        let gather = Gather::new(move |keys: Vec<u32>| {
            seen.lock().unwrap().push(keys.clone());
            let opened = Arc::clone(&opened);
            async move {
                opened.acquire().await.unwrap().forget();
                let even = keys.into_iter().filter(|key| key % 2 == 0);
                Ok(even.map(|key| (key, key * 10)).collect())
            }
        });
        (gather, gate, batches)
    }

    #[tokio::test]
    async fn what_is_asked_meanwhile_goes_out_together_and_once() {
        let (gather, gate, batches) = tens();
        let asked = [1, 2, 3, 4, 4, 5].map(|key| {
            let gather = gather.clone();
            async move { gather.one(key).await.unwrap() }
        });
        let under_way = {
            let gather = gather.clone();
            tokio::spawn(async move { gather.one(6).await })
        };
        while batches.lock().unwrap().len() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        let answers = tokio::spawn(join_all(asked));
        while gather.0.lock().waiting.len() < 6 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(AT_ONCE + 1);
        let answers = answers.await.unwrap();
        assert_eq!(answers, [None, Some(20), None, Some(40), Some(40), None]);
        assert_eq!(under_way.await.unwrap().unwrap(), Some(60));
        let batches = batches.lock().unwrap();
        assert_eq!(*batches, [vec![6], vec![1, 2, 3, 4, 5]]);
    }

    #[tokio::test]
    async fn an_error_is_everybodys_and_a_panic_hangs_nobody() {
        let gather = Gather::new(|keys: Vec<u32>| async move {
            assert!(keys != [13], "a panic that the test asks for");
            Err::<HashMap<u32, u32>, _>(DbErr::Custom(String::from("broken")))
        });
        assert_eq!(
            gather.one(1).await.unwrap_err().to_string(),
            "Custom Error: broken"
        );
        assert!(gather.one(13).await.is_err());
        assert_eq!(
            gather.one(1).await.unwrap_err().to_string(),
            "Custom Error: broken"
        );
    }

    #[tokio::test]
    async fn who_asks_while_a_turn_ends_is_answered() {
        let (gather, gate, _) = tens();
        gather.0.lock().under_way = 1;
        let mut ending = Turn::new(&gather.0);
        assert!(ending.next_batch().is_none());
        let asking = {
            let gather = gather.clone();
            tokio::spawn(async move { gather.one(2).await })
        };
        while gather.0.lock().under_way == 0 {
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
