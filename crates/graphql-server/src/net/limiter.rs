//! Concurrency limiter: limits the open resources of each holder.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the open resources of each holder. Clones share the counts.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter<K>(Arc<Mutex<HashMap<K, usize>>>);

/// Permit for one open resource.
#[derive(Debug)]
pub(crate) struct Permit<K: Copy + Eq + Hash> {
    holder: K,
    limiter: ConcurrencyLimiter<K>,
}

impl<K> Default for ConcurrencyLimiter<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for ConcurrencyLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Eq + Hash> ConcurrencyLimiter<K> {
    /// Acquires a permit; none when the holder has `limit` of them.
    pub(crate) fn acquire(&self, holder: K, limit: usize) -> Option<Permit<K>> {
        let mut open = self.lock();
        let count = open.get(&holder).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        open.insert(holder, count + 1);
        Some(Permit {
            holder,
            limiter: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.limiter.lock().entry(self.holder) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_a_limit_and_dropped_permits_are_forgotten() {
        let limiter = ConcurrencyLimiter::default();
        let first = limiter.acquire('a', 2);
        let second = limiter.acquire('a', 2);
        assert!(first.is_some() && second.is_some());
        assert!(limiter.acquire('a', 2).is_none() && limiter.acquire('b', 2).is_some());
        drop(first);
        assert!(limiter.acquire('a', 2).is_some());
        drop(second);
        assert!(limiter.lock().is_empty());
    }
}
