//! Causes of failed requests, for operators.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Upper bound of a cause's length in characters.
const MAX_LENGTH: usize = 300;
/// Time until the same cause is logged again.
const PERIOD: Duration = Duration::from_mins(1);

/// Returns the root cause of an error.
///
/// Examples are an unknown name, a refused connection, or an untrusted certificate. Outer causes repeat
/// the address, which may hold secrets.
pub fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let words = cause.to_string();
    let words = words.chars().filter(|letter| !letter.is_control());
    words.take(MAX_LENGTH).collect()
}

/// Rate limiter of log messages: logs the same cause once in a while.
#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<HashMap<&'static str, Instant>>);

impl LogLimiter {
    /// Tells whether the cause should be logged now.
    pub fn should_log(&self, cause: &'static str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = logged.get(cause).is_none_or(|at| now - *at >= PERIOD);
        if is_due {
            logged.insert(cause, now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn same_cause_is_logged_once_a_minute() {
        let limiter = LogLimiter::default();
        assert!(limiter.should_log("unreachable"));
        assert!(limiter.should_log("broken"));
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(!limiter.should_log("unreachable"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(limiter.should_log("unreachable"));
        assert!(!limiter.should_log("unreachable"));
    }
}
