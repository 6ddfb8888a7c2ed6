//! Hints in the log at missing settings.
//!
//! Any client can cause them, so they are rate limited.

use std::{
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, header};
use tokio::time::Instant;
use tracing::warn;

use crate::{net::forwarded::X_FORWARDED_FOR, options::Wording};

/// Other headers by which proxies name a client.
const OTHER_HEADERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// Hints to the operator.
#[derive(Debug)]
pub(crate) struct Hints {
    wording: Wording,
    untrusted_proxy: AtomicBool,
    silent_proxy: AtomicBool,
    origins: LogLimiter,
    hosts: LogLimiter,
}

impl Hints {
    /// Creates hints of which none was logged.
    pub(crate) fn new(wording: Wording) -> Self {
        Self {
            wording,
            untrusted_proxy: AtomicBool::new(false),
            silent_proxy: AtomicBool::new(false),
            origins: LogLimiter::default(),
            hosts: LogLimiter::default(),
        }
    }

    /// Logs an untrusted proxy once, and a trusted proxy without `X-Forwarded-For` once.
    pub(super) fn proxy(&self, headers: &HeaderMap, peer: IpAddr, trusted: bool) {
        let logged = if trusted {
            &self.silent_proxy
        } else {
            &self.untrusted_proxy
        };
        if logged.load(Ordering::Relaxed) {
            return;
        }
        let has_forwarded = headers.contains_key(X_FORWARDED_FOR);
        let has_other = OTHER_HEADERS.iter().any(|name| headers.contains_key(name));
        let is_due = if trusted {
            has_other && !has_forwarded
        } else {
            has_other || has_forwarded
        };
        if !is_due || logged.swap(true, Ordering::Relaxed) {
            return;
        }
        if trusted {
            warn!(
                %peer,
                "a proxy of {} sends no X-Forwarded-For, the only header that is read: all its clients count as \
                 one",
                self.wording.trusted_proxies
            );
        } else {
            warn!(
                %peer,
                "X-Forwarded-For, Forwarded and X-Real-IP are not believed from this address: all that comes \
                 from there counts as one client; if it is a proxy of yours, name it in {}",
                self.wording.trusted_proxies
            );
        }
    }

    /// Logs a page of an origin that is not allowed.
    pub(super) fn foreign_page(&self, origin: &str) {
        if self.origins.should_log(origin) {
            warn!(
                origin,
                "a page of this origin was refused; if it is yours, name it in {}, and if it is the {}'s own, \
                 have the proxy pass Host on",
                self.wording.allowed_origins,
                self.wording.server
            );
        }
    }

    /// Logs a request for a host that is not allowed.
    pub(super) fn unknown_host(&self, host: &str) {
        if self.hosts.should_log(host) {
            warn!(
                host,
                "a request for this host was refused; if it is the {}'s, name it in {}",
                self.wording.server,
                self.wording.allowed_hosts
            );
        }
    }
}

/// Time until the same text is logged again.
const PERIOD: Duration = Duration::from_mins(1);

/// Different texts in each period.
const MAX_TEXTS: usize = 8;

/// Rate limiter of log messages: each text once in a period, and a few different texts.
#[derive(Debug, Default)]
struct LogLimiter(Mutex<Vec<(Instant, Box<str>)>>);

impl LogLimiter {
    fn should_log(&self, text: &str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|(at, _)| at.elapsed() < PERIOD);
        let is_due = logged.len() < MAX_TEXTS && !logged.iter().any(|(_, other)| **other == *text);
        if is_due {
            logged.push((Instant::now(), text.into()));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn same_text_is_logged_once_a_minute_among_a_few_others() {
        let limiter = LogLimiter::default();
        assert!(limiter.should_log("a"));
        assert!(!limiter.should_log("a"));
        advance(Duration::from_secs(59)).await;
        assert!(!limiter.should_log("a"));
        let others = (0..1000).filter(|n| limiter.should_log(&n.to_string()));
        assert_eq!(others.count(), MAX_TEXTS - 1);
        advance(Duration::from_secs(1)).await;
        assert!(limiter.should_log("a"));
        assert!(!limiter.should_log("a"));
    }
}
