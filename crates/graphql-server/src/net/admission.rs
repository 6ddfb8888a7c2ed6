//! Admission of connections: limits in all and for each address.

use std::{
    io::Write,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    forwarded::TrustedProxies,
    limiter::{ConcurrencyLimiter, Permit},
};
use crate::options::ServerOptions;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Admits connections up to the limits.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    addresses: ConcurrencyLimiter<IpAddr>,
    per_address: Option<usize>,
    proxies: TrustedProxies,
}

/// Permit of a connection, for as long as it lives.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    _room: OwnedSemaphorePermit,
    _address: Option<Permit<IpAddr>>,
}

impl Admission {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            room: Arc::new(Semaphore::new(options.connections)),
            addresses: ConcurrencyLimiter::default(),
            per_address: options.connections_per_address,
            proxies: options.trusted_proxies.clone(),
        }
    }

    /// Acquires a permit for a connection from the address; none when a limit is reached.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<ConnectionPermit> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let address = match (client(peer), self.per_address) {
            (Some(client), Some(limit)) if !self.proxies.trusts(peer.to_canonical()) => {
                Some(self.addresses.acquire(client, limit)?)
            }
            _ => None,
        };
        Some(ConnectionPermit {
            _room: room,
            _address: address,
        })
    }
}

/// Responds with 503, as far as that does not block.
pub(crate) fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // An error does not matter. The socket is new, so its buffer is empty.
        let _ = stream.write(FULL);
    }
}

/// Returns the address that a connection counts for; none for loopback and private addresses.
///
/// An IPv6 client usually has a whole /64. Reverse proxies have private addresses.
fn client(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        IpAddr::V4(peer) => {
            let near = peer.is_loopback() || peer.is_private() || peer.is_link_local();
            (!near).then_some(peer.into())
        }
        IpAddr::V6(peer) => {
            let near = peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local();
            let network = Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64);
            (!near).then_some(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("203.0.113.7", Some("203.0.113.7"))]
    #[case("::ffff:203.0.113.7", Some("203.0.113.7"))]
    #[case("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::"))]
    #[case("127.0.0.1", None)]
    #[case("10.1.2.3", None)]
    #[case("172.16.0.1", None)]
    #[case("192.168.1.1", None)]
    #[case("169.254.1.1", None)]
    #[case("::1", None)]
    #[case("fd00::1", None)]
    #[case("fe80::1", None)]
    #[case("::ffff:10.0.0.1", None)]
    fn clients_are_told_apart_and_near_ones_are_not_counted(
        #[case] peer: IpAddr,
        #[case] expected: Option<&str>,
    ) {
        let expected = expected.map(|address| address.parse().expect("an address"));
        assert_eq!(client(peer), expected);
    }

    #[test]
    fn trusted_proxies_are_not_counted() {
        let proxy = [203, 0, 113, 7].into();
        let admission = Admission::new(&ServerOptions {
            connections_per_address: Some(1),
            trusted_proxies: TrustedProxies(vec![ipnet::IpNet::from(proxy)]),
            ..ServerOptions::default()
        });
        let places = [admission.admit(proxy), admission.admit(proxy)];
        assert!(places.iter().all(Option::is_some));
    }

    #[test]
    fn connections_are_limited_in_all_and_by_address() {
        let admission = Admission::new(&ServerOptions {
            connections: 3,
            connections_per_address: Some(2),
            ..ServerOptions::default()
        });
        let (one, other) = ([203, 0, 113, 7].into(), [203, 0, 113, 8].into());
        let first = admission.admit(one);
        let second = admission.admit(one);
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit(one).is_none());
        let third = admission.admit(other);
        assert!(third.is_some());
        assert!(admission.admit(other).is_none());
        drop(first);
        assert!(admission.admit(one).is_some());
    }
}
