//! Which addresses a webhook may be sent to. An address that only means something within a network
//! would let whoever controls the endpoint's name reach what is not meant for the internet.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Url};

/// Whether the address is one on the public internet. An IPv6 address that stands for an IPv4 one
/// (mapped, 6to4, NAT64) is as public as that.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Blocks that are not of the public internet, each with the length of its prefix.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by a carrier's customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, where clouds have their metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4, which are no more
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let mut special = SPECIAL_V4.iter();
    !special.any(|(block, length)| (address.to_bits() ^ block.to_bits()) >> (32 - length) == 0)
}

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Mapped, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Protocol assignments and Teredo, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Of all the others, unicast addresses are given out in this block alone.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Whether the address's host is a name, which is looked at when it is resolved, or a public address.
pub fn has_public_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(_)) => true,
        Some(Host::Ipv4(address)) => is_public_v4(address),
        Some(Host::Ipv6(address)) => is_public_v6(address),
        None => false,
    }
}

/// Resolves names to public addresses alone. The client connects to what this returns and looks
/// nothing up by itself, so a name that changes in between gains nothing.
#[derive(Debug)]
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                let refused = "the name has no public address; see WEBHOOK_ALLOW_PRIVATE";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.1.1.1")]
    #[case("100.63.255.255")]
    #[case("100.128.0.0")]
    #[case("172.15.255.255")]
    #[case("172.32.0.0")]
    #[case("192.0.1.1")]
    #[case("198.17.255.255")]
    #[case("198.20.0.0")]
    #[case("223.255.255.255")]
    #[case("2606:4700:4700::1111")]
    #[case("2001:4860:4860::8888")]
    #[case("::ffff:1.1.1.1")]
    #[case("64:ff9b::1.1.1.1")]
    #[case("2002:101:101::1")]
    fn public_addresses(#[case] address: IpAddr) {
        assert!(is_public(address));
    }

    #[rstest]
    #[case("0.0.0.0")]
    #[case("0.1.2.3")]
    #[case("10.0.0.1")]
    #[case("100.64.0.1")]
    #[case("100.127.255.255")]
    #[case("127.0.0.1")]
    #[case("127.255.255.254")]
    #[case("169.254.169.254")]
    #[case("172.16.0.1")]
    #[case("172.31.255.255")]
    #[case("192.0.0.1")]
    #[case("192.0.2.1")]
    #[case("192.88.99.1")]
    #[case("192.168.1.1")]
    #[case("198.18.0.1")]
    #[case("198.19.255.255")]
    #[case("198.51.100.1")]
    #[case("203.0.113.1")]
    #[case("224.0.0.1")]
    #[case("240.0.0.1")]
    #[case("255.255.255.255")]
    #[case("::")]
    #[case("::1")]
    #[case("::10.0.0.1")]
    #[case("::ffff:127.0.0.1")]
    #[case("::ffff:169.254.169.254")]
    #[case("64:ff9b::10.0.0.1")]
    #[case("64:ff9b:1::1.1.1.1")]
    #[case("100::1")]
    #[case("2001::1")]
    #[case("2001:db8::1")]
    #[case("2002:7f00:1::1")]
    #[case("2002:a00:1::1")]
    #[case("3fff::1")]
    #[case("5f00::1")]
    #[case("fc00::1")]
    #[case("fd12:3456::1")]
    #[case("fe80::1")]
    #[case("fec0::1")]
    #[case("ff02::1")]
    fn addresses_that_mean_something_within_a_network(#[case] address: IpAddr) {
        assert!(!is_public(address));
    }

    #[rstest]
    #[case("https://example.com/hook", true)]
    #[case("https://1.1.1.1/", true)]
    #[case("https://127.0.0.1/", false)]
    #[case("https://2130706433/", false)]
    #[case("https://0x7f.1/", false)]
    #[case("https://[::1]/", false)]
    #[case("https://[::ffff:10.0.0.1]/", false)]
    fn hosts_that_are_addresses(#[case] url: Url, #[case] public: bool) {
        assert_eq!(has_public_host(&url), public);
    }

    #[tokio::test]
    async fn names_of_this_machine_are_refused() {
        let resolved = PublicResolver.resolve("localhost".parse().unwrap()).await;
        let refused = resolved.err().expect("refused").to_string();
        assert!(refused.contains("WEBHOOK_ALLOW_PRIVATE"), "{refused}");
    }
}
