//! Causes of failed requests, for operators.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Upper bound of a cause's length in characters.
const LONGEST: usize = 300;
/// Time until the same cause is logged again.
const PAUSE: Duration = Duration::from_mins(1);

/// Returns the innermost cause of an error.
///
/// Examples are an unknown name, a refused connection, or an untrusted certificate. Outer causes repeat
/// the address, which may hold secrets.
pub fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let words = cause.to_string();
    let words = words.chars().filter(|letter| !letter.is_control());
    words.take(LONGEST).collect()
}

/// Rate limiter of log messages: logs the same cause once in a while.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<HashMap<&'static str, Instant>>);

impl Seldom {
    /// Tells whether the cause should be logged now.
    pub fn is_due(&self, what: &'static str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = told.get(what).is_none_or(|at| now - *at >= PAUSE);
        if is_due {
            told.insert(what, now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_once_a_minute() {
        let seldom = Seldom::default();
        assert!(seldom.is_due("unreachable"));
        assert!(seldom.is_due("broken"));
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(!seldom.is_due("unreachable"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(seldom.is_due("unreachable"));
        assert!(!seldom.is_due("unreachable"));
    }
}
