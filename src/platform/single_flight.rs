//! One piece of work for all who ask for it while it is under way.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

/// Work under way, by key. Clones share it.
#[derive(Clone)]
pub(crate) struct SingleFlight<K, V> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What comes of the work under way for `key`, or else of `work`. It runs to its end although
    /// those who asked for it have gone. None when it panicked.
    pub(crate) async fn share(
        &self,
        key: K,
        work: impl Future<Output = V> + Send + 'static,
    ) -> Option<V> {
        let flight = self
            .lock()
            .entry(key.clone())
            .or_insert_with(|| {
                let landing = self.clone();
                let flight = trace_context::spawn(async move {
                    let _landed = Landing {
                        flights: landing,
                        key,
                    };
                    work.await
                });
                flight.map(Result::ok).boxed().shared()
            })
            .clone();
        flight.await
    }

    /// What comes of the work under way for `key`; none when there is none, or it panicked.
    pub(crate) async fn join(&self, key: &K) -> Option<V> {
        let flight = self.lock().get(key).cloned();
        flight?.await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Flight<V>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the flight off the board, however it ends.
struct Landing<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    flights: SingleFlight<K, V>,
    key: K,
}

impl<K, V> Drop for Landing<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self {
            flights: Arc::default(),
        }
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn those_who_come_together_share_and_the_next_does_not() {
        let flights = SingleFlight::<&str, u32>::default();
        let runs = Arc::new(AtomicU32::new(0));
        let (land, landing) = oneshot::channel::<()>();
        let work = |wait: Option<oneshot::Receiver<()>>| {
            let runs = runs.clone();
            async move {
                if let Some(wait) = wait {
                    wait.await.unwrap();
                }
                runs.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let first = flights.share("a", work(Some(landing)));
        let second = flights.share("a", work(None));
        assert_eq!(flights.join(&"a").await, None);
        let (first, second, third, ()) = tokio::join!(first, second, flights.join(&"a"), async {
            land.send(()).unwrap();
        });
        assert_eq!([first, second, third], [Some(1); 3]);
        assert_eq!(flights.share("a", work(None)).await, Some(2));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_leaves_nothing_behind() {
        let flights = SingleFlight::<&str, u32>::default();
        let work = async { panic!("on purpose") };
        assert_eq!(flights.share("a", work).await, None);
        assert_eq!(flights.share("a", async { 1 }).await, Some(1));
    }
}
