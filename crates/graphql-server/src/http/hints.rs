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
const OTHERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// Hints to the operator.
#[derive(Debug)]
pub(crate) struct Hints {
    wording: Wording,
    untrusted_proxy: AtomicBool,
    silent_proxy: AtomicBool,
    origins: Seldom,
    hosts: Seldom,
}

impl Hints {
    /// Creates hints of which none was logged.
    pub(crate) fn new(wording: Wording) -> Self {
        Self {
            wording,
            untrusted_proxy: AtomicBool::new(false),
            silent_proxy: AtomicBool::new(false),
            origins: Seldom::default(),
            hosts: Seldom::default(),
        }
    }

    /// Logs an untrusted proxy once, and a trusted proxy without `X-Forwarded-For` once.
    pub(super) fn proxied(&self, headers: &HeaderMap, peer: IpAddr, trusted: bool) {
        let told = if trusted {
            &self.silent_proxy
        } else {
            &self.untrusted_proxy
        };
        if told.load(Ordering::Relaxed) {
            return;
        }
        let forwarded = headers.contains_key(X_FORWARDED_FOR);
        let otherwise = OTHERS.iter().any(|name| headers.contains_key(name));
        let is_news = if trusted {
            otherwise && !forwarded
        } else {
            otherwise || forwarded
        };
        if !is_news || told.swap(true, Ordering::Relaxed) {
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
        if self.origins.is_news(origin) {
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
        if self.hosts.is_news(host) {
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
const MOST: usize = 8;

/// Rate limiter of log messages: each text once in a period, and a few different texts.
#[derive(Debug, Default)]
struct Seldom(Mutex<Vec<(Instant, Box<str>)>>);

impl Seldom {
    fn is_news(&self, what: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(at, _)| at.elapsed() < PERIOD);
        let is_news = told.len() < MOST && !told.iter().any(|(_, other)| **other == *what);
        if is_news {
            told.push((Instant::now(), what.into()));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_once_a_minute_and_of_others_a_few() {
        let seldom = Seldom::default();
        assert!(seldom.is_news("a"));
        assert!(!seldom.is_news("a"));
        advance(Duration::from_secs(59)).await;
        assert!(!seldom.is_news("a"));
        let others = (0..1000).filter(|n| seldom.is_news(&n.to_string()));
        assert_eq!(others.count(), MOST - 1);
        advance(Duration::from_secs(1)).await;
        assert!(seldom.is_news("a"));
        assert!(!seldom.is_news("a"));
    }
}
