//! Which runs are watched, by Intuned's ids of them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The runs that are watched. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches(Arc<Mutex<HashSet<String>>>);

/// A run that is watched until this is dropped.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    watches: &'a Watches,
    run_id: String,
}

impl Watches {
    /// Begins to watch the run; none when somebody else does, who then got another's run, or the other way
    /// round.
    pub(super) fn begin(&self, run_id: &str) -> Option<Watch<'_>> {
        let is_new = self.lock().insert(run_id.to_owned());
        is_new.then(|| Watch {
            watches: self,
            run_id: run_id.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.watches.lock().remove(&self.run_id);
    }
}
