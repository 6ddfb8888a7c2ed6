//! A concurrency limiter: bounds what each holder has open at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each holder has open. Clones share the counts.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter<K>(Arc<Mutex<HashMap<K, usize>>>);

/// A permit for one thing that is open, for as long as the permit lives.
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
    /// None when the holder has `limit` of them open already.
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
    fn each_holder_has_a_limit_and_leaves_nothing_behind() {
        let seats = ConcurrencyLimiter::default();
        let first = seats.acquire('a', 2);
        let second = seats.acquire('a', 2);
        assert!(first.is_some() && second.is_some());
        assert!(seats.acquire('a', 2).is_none() && seats.acquire('b', 2).is_some());
        drop(first);
        assert!(seats.acquire('a', 2).is_some());
        drop(second);
        assert!(seats.lock().is_empty());
    }
}
