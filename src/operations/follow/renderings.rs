//! Renderings that followers of the same event share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use written_json::WrittenJson;

/// The most ways of showing one event that are remembered; further ones are made anew for each follower.
const MOST: usize = 8;

/// One event as it is shown, in as many ways as its followers ask for: each is made once.
#[derive(Debug, Default)]
pub struct Renderings(Mutex<Vec<(u64, WrittenJson)>>);

impl Renderings {
    /// The rendering for `way`, a number that stands for one way to show any event.
    pub fn get(&self, way: u64) -> Option<WrittenJson> {
        let made = self.lock();
        let found = made.iter().find(|(other, _)| *other == way);
        found.map(|(_, json)| json.clone())
    }

    /// Remembers a rendering.
    pub fn put(&self, way: u64, json: WrittenJson) {
        let mut made = self.lock();
        // Two may have made it at once.
        let is_known = made.iter().any(|(other, _)| *other == way);
        if !is_known && made.len() < MOST {
            made.push((way, json));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, WrittenJson)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
