//! Hints at settings that may be missing. Whoever sends requests can cause them, so they are few.

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

/// Other headers of proxies that say for whom a request is.
const OTHERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// The hints that the operator has been given.
#[derive(Debug)]
pub(crate) struct Hints {
    wording: Wording,
    untrusted_proxy: AtomicBool,
    silent_proxy: AtomicBool,
    origins: Seldom,
    hosts: Seldom,
}

impl Hints {
    /// None given so far.
    pub(crate) fn new(wording: Wording) -> Self {
        Self {
            wording,
            untrusted_proxy: AtomicBool::new(false),
            silent_proxy: AtomicBool::new(false),
            origins: Seldom::default(),
            hosts: Seldom::default(),
        }
    }

    /// Tells once of a proxy that is not trusted, and once of a trusted one that is not understood.
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

    /// Tells of a page that may not read an answer, or may not use its cookie.
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

    /// Tells of a request for a host that is not the server's.
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

/// How long it stays told.
const PERIOD: Duration = Duration::from_mins(1);

/// Different things that are told within it.
const MOST: usize = 8;

/// What was told lately: the same thing is told once in a while, and only so many different ones.
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
