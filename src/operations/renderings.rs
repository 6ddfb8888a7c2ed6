//! What followers of the same event share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many ways of showing one event are remembered; further ones are made anew for each follower.
const MOST: usize = 8;

/// One event as it is shown, in as many ways as its followers ask for: each is made once.
#[derive(Debug, Default)]
pub struct Renderings(Mutex<Vec<(u64, Bytes)>>);

impl Renderings {
    /// What was made for `way`, a number that stands for one way to show any event.
    pub fn get(&self, way: u64) -> Option<Bytes> {
        let made = self.lock();
        let found = made.iter().find(|(other, _)| *other == way);
        found.map(|(_, bytes)| bytes.clone())
    }

    /// Remembers what was made.
    pub fn put(&self, way: u64, bytes: Bytes) {
        let mut made = self.lock();
        // Two may have made it at once.
        let is_known = made.iter().any(|(other, _)| *other == way);
        if !is_known && made.len() < MOST {
            made.push((way, bytes));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
