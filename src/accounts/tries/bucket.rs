//! Buckets that leak, each with its limit.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use chrono::TimeDelta;
use uuid::Uuid;

/// A provider gives each of its customers at least this much of the IPv6 space.
const IPV6_NETWORK: u32 = 64;
/// And may give them this much, which is 65,536 networks.
const IPV6_SITE: u32 = 48;
/// So many times as much as one of its networks a whole site may try.
const SITE_FACTOR: u32 = 10;

/// Capacity of a bucket, and its leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Limit {
    /// Whose it is, as it is counted.
    pub(super) whose: &'static str,
    /// All that may be tried at once takes so long to be forgotten.
    pub(super) window: TimeDelta,
    /// One try takes so long.
    pub(super) each: TimeDelta,
}

/// The tries of one who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    pub(super) id: Uuid,
    pub(super) limit: Limit,
}

/// Limits on a client, and on all clients of a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientLimits {
    pub(super) own: Limit,
    pub(super) site: Limit,
}

impl Limit {
    pub(super) fn new(whose: &'static str, tries: u32, window: Duration) -> Self {
        let longest = TimeDelta::days(365);
        let window = TimeDelta::from_std(window).unwrap_or(longest).min(longest);
        let tries = i32::try_from(tries).unwrap_or(i32::MAX).clamp(1, i32::MAX);
        // The database counts in milliseconds.
        let each = (window / tries).max(TimeDelta::milliseconds(1));
        Self {
            whose,
            window: window.max(each),
            each,
        }
    }
}

impl ClientLimits {
    pub(super) fn new(tries: u32, window: Duration) -> Self {
        Self {
            own: Limit::new("client", tries, window),
            site: Limit::new("site", tries.saturating_mul(SITE_FACTOR), window),
        }
    }

    /// On what succeeds, too, which is counted besides.
    pub(super) fn of_sign_ins(tries: u32, window: Duration) -> Self {
        let mut limits = Self::new(tries, window);
        limits.own.whose = "client_sign_ins";
        limits.site.whose = "site_sign_ins";
        limits
    }
}

/// One client: an IPv4 address, or the IPv6 network that a customer is given.
pub(in crate::accounts) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(first_of(address, IPV6_NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

/// The site that an IPv6 client is part of.
pub(in crate::accounts) fn site(client: IpAddr) -> Option<Ipv6Addr> {
    match client.to_canonical() {
        IpAddr::V6(address) => Some(first_of(address, IPV6_SITE)),
        IpAddr::V4(_) => None,
    }
}

/// The first address of the network whose prefix has so many bits.
fn first_of(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    (address.to_bits() & (u128::MAX << (u128::BITS - bits))).into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("192.0.2.1", "192.0.2.1", None)]
    #[case("::ffff:192.0.2.1", "192.0.2.1", None)]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", Some("2001:db8:1::"))]
    #[case("2001:db8:1:2::", "2001:db8:1:2::", Some("2001:db8:1::"))]
    fn a_client_is_an_address_or_a_network_of_a_site(
        #[case] client: &str,
        #[case] own: &str,
        #[case] around: Option<&str>,
    ) {
        let client = client.parse().unwrap();
        assert_eq!(network(client).to_string(), own);
        let around = around.map(|site| site.parse().unwrap());
        assert_eq!(site(client), around);
    }

    #[test]
    fn a_limit_is_spread_over_its_window() {
        let limit = Limit::new("client", 10, Duration::from_mins(15));
        assert_eq!(limit.each, TimeDelta::seconds(90));
        assert_eq!(limit.window, TimeDelta::minutes(15));
        let absurd = Limit::new("client", u32::MAX, Duration::ZERO);
        assert!(absurd.each > TimeDelta::zero() && absurd.window >= absurd.each);
        assert_eq!(
            Limit::new("client", 0, Duration::from_secs(1)).each,
            TimeDelta::seconds(1)
        );
    }

    #[test]
    fn a_site_has_ten_times_as_much() {
        let limits = ClientLimits::new(300, Duration::from_mins(15));
        assert_eq!(limits.own.each, limits.site.each * 10);
        assert_eq!(limits.own.window, limits.site.window);
    }
}
