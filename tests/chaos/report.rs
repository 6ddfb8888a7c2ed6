//! What was found.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

/// What must not be; clones share the list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Violations(Arc<Mutex<BTreeMap<&'static str, Vec<String>>>>);

const KINDS: [&str; 3] = ["lost", "duplicated", "contradictory"];
/// So many of a kind are told in full.
const SHOWN: usize = 10;

impl Violations {
    /// Something that was promised is not there.
    pub(crate) fn lost(&self, what: String) {
        self.add(KINDS[0], what);
    }

    /// Something happened twice.
    pub(crate) fn duplicated(&self, what: String) {
        self.add(KINDS[1], what);
    }

    /// Two tell different stories.
    pub(crate) fn contradictory(&self, what: String) {
        self.add(KINDS[2], what);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn add(&self, kind: &'static str, what: String) {
        self.0.lock().unwrap().entry(kind).or_default().push(what);
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let violations = self.0.lock().unwrap();
        let count = |kind| violations.get(kind).map_or(0, Vec::len);
        let counts = KINDS.map(|kind| format!("{kind} {}", count(kind)));
        f.write_str(&counts.join(", "))?;
        for (kind, found) in &*violations {
            for what in found.iter().take(SHOWN) {
                write!(f, "\n  {kind}: {what}")?;
            }
        }
        Ok(())
    }
}
