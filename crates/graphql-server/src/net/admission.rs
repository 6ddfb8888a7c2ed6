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

const SERVICE_UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Admits connections up to the limits.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    connections: Arc<Semaphore>,
    addresses: ConcurrencyLimiter<IpAddr>,
    per_address: Option<usize>,
    proxies: TrustedProxies,
}

/// Permit of a connection, for as long as it lives.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    _connection: OwnedSemaphorePermit,
    _address: Option<Permit<IpAddr>>,
}

impl Admission {
    /// Admits so many connections, and so many from one address that is no trusted proxy's.
    pub(crate) fn new(
        connections: usize,
        per_address: Option<usize>,
        proxies: TrustedProxies,
    ) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            addresses: ConcurrencyLimiter::default(),
            per_address,
            proxies,
        }
    }

    /// Acquires a permit for a connection from the address; none when a limit is reached.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<ConnectionPermit> {
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let address = match (counted_address(peer), self.per_address) {
            (Some(client), Some(limit)) if !self.proxies.trusts(peer.to_canonical()) => {
                Some(self.addresses.acquire(client, limit)?)
            }
            _ => None,
        };
        Some(ConnectionPermit {
            _connection: connection,
            _address: address,
        })
    }
}

/// Responds with 503, as far as that does not block.
pub(crate) fn reject(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // An error does not matter. The socket is new, so its buffer is empty.
        let _ = stream.write(SERVICE_UNAVAILABLE);
    }
}

/// Returns the address that a connection counts for; none for loopback and private addresses.
///
/// An IPv6 client usually has a whole /64. Reverse proxies have private addresses.
fn counted_address(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        IpAddr::V4(peer) => {
            let is_private = peer.is_loopback() || peer.is_private() || peer.is_link_local();
            (!is_private).then_some(peer.into())
        }
        IpAddr::V6(peer) => {
            let is_private =
                peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local();
            let network = Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64);
            (!is_private).then_some(network.into())
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
    fn private_addresses_are_not_counted(#[case] peer: IpAddr, #[case] expected: Option<&str>) {
        let expected = expected.map(|address| address.parse().expect("an address"));
        assert_eq!(counted_address(peer), expected);
    }

    #[test]
    fn trusted_proxies_are_not_counted() {
        let proxy = [203, 0, 113, 7].into();
        let admission = Admission::new(
            100,
            Some(1),
            TrustedProxies(vec![ipnet::IpNet::from(proxy)]),
        );
        let permits = [admission.admit(proxy), admission.admit(proxy)];
        assert!(permits.iter().all(Option::is_some));
    }

    #[test]
    fn connections_are_limited_in_total_and_per_address() {
        let admission = Admission::new(3, Some(2), TrustedProxies::default());
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
