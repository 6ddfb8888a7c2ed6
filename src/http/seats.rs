//! Counts what each holder has open, so that there can be a limit.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many seats each holder has taken. Clones share the counts.
#[derive(Debug)]
pub(crate) struct Seats<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One seat, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Seat<K: Copy + Eq + Hash> {
    holder: K,
    seats: Seats<K>,
}

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Seats<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Eq + Hash> Seats<K> {
    /// None when the holder has `limit` seats already.
    pub(crate) fn take(&self, holder: K, limit: usize) -> Option<Seat<K>> {
        let mut taken = self.lock();
        let count = taken.get(&holder).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        taken.insert(holder, count + 1);
        Some(Seat {
            holder,
            seats: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.seats.lock().entry(self.holder) {
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
        let seats = Seats::default();
        let first = seats.take('a', 2);
        let second = seats.take('a', 2);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take('a', 2).is_none() && seats.take('b', 2).is_some());
        drop(first);
        assert!(seats.take('a', 2).is_some());
        drop(second);
        assert!(seats.lock().is_empty());
    }
}
