//! Client addresses behind reverse proxies.
//!
//! Proxies send them in `X-Forwarded-For`. Anyone can send that header, so it is read only from trusted
//! proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Upper bound of proxies in a row.
const MAX_HOPS: usize = 16;

/// Reverse proxies that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Returns the first untrusted address on the way back from `peer`.
    ///
    /// An entry that is no address ends the search: the client is then the proxy that wrote it.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.take(MAX_HOPS) {
            let Some(address) = address(entry) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// Tells whether a trusted `peer` says that the client uses https.
    ///
    /// Each proxy in a row adds the protocol that it was reached by, so one entry is enough.
    pub(crate) fn is_behind_tls(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(X_FORWARDED_PROTO).iter();
        self.trusts(peer)
            && lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(is_tls))
    }

    /// Tells whether the address is one of a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Recognizes the protocols within TLS, too: some proxies name those.
fn is_tls(protocol: &[u8]) -> bool {
    let protocol = protocol.trim_ascii();
    protocol.eq_ignore_ascii_case(b"https") || protocol.eq_ignore_ascii_case(b"wss")
}

/// Parses the address of an entry, with or without a port; IPv6 may be in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = text.parse().ok();
    address
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
        .or_else(bracketed)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:aaaa::/48"];
        let trusted = TrustedProxies(trusted.map(|network| network.parse().unwrap()).into());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[rstest]
    // Without a trusted proxy the header is ignored.
    #[case("192.0.2.1", &["198.51.100.1"], "192.0.2.1")]
    #[case("::1", &["198.51.100.1"], "::1")]
    #[case("10.0.0.1", &[], "10.0.0.1")]
    #[case("10.0.0.1", &["198.51.100.1"], "198.51.100.1")]
    #[case("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1")]
    #[case("2001:db8:aaaa::1", &["2001:db8::7"], "2001:db8::7")]
    // Entries of the client's own are on the left.
    #[case("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1")]
    #[case("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1")]
    #[case("10.0.0.1", &["203.0.113.9, 198.51.100.1", "10.0.0.2,10.0.0.3"], "198.51.100.1")]
    #[case("10.0.0.1", &["198.51.100.1,2001:db8:aaaa::2"], "198.51.100.1")]
    #[case("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2")]
    // Forms of addresses.
    #[case("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1")]
    #[case("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7")]
    #[case("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7")]
    #[case("10.0.0.1", &["  \t198.51.100.1\t "], "198.51.100.1")]
    #[case("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1")]
    #[case("10.0.0.1", &["::ffff:10.0.0.2"], "10.0.0.2")]
    // Garbage hides the entries on its left.
    #[case("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1")]
    #[case("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2")]
    #[case("10.0.0.1", &["198.51.100.1,"], "10.0.0.1")]
    #[case("10.0.0.1", &[""], "10.0.0.1")]
    #[case("10.0.0.1", &["198.51.100.1:99999"], "10.0.0.1")]
    #[case("10.0.0.1", &["198.51.100.1; drop table"], "10.0.0.1")]
    #[case("10.0.0.1", &["ünïcode"], "10.0.0.1")]
    #[case("10.0.0.1", &["010.1.1.1"], "10.0.0.1")]
    fn client_is_the_nearest_untrusted_address(
        #[case] peer: &str,
        #[case] lines: &[&str],
        #[case] expected: &str,
    ) {
        assert_eq!(client(peer, lines), expected);
    }

    #[rstest]
    #[case("10.0.0.1", &["https"], true)]
    #[case("::ffff:10.0.0.1", &["HTTPS"], true)]
    #[case("10.0.0.1", &["wss"], true)]
    #[case("10.0.0.1", &["https, http"], true)]
    #[case("10.0.0.1", &["http", "https"], true)]
    #[case("10.0.0.1", &["http"], false)]
    #[case("10.0.0.1", &["ws"], false)]
    #[case("10.0.0.1", &["httpsx"], false)]
    #[case("10.0.0.1", &[], false)]
    #[case("192.0.2.1", &["https"], false)]
    fn trusted_proxy_reports_https(
        #[case] peer: &str,
        #[case] lines: &[&str],
        #[case] expected: bool,
    ) {
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let lines = lines.iter().map(|line| line.parse().unwrap());
        let headers: HeaderMap = lines.map(|line| (X_FORWARDED_PROTO, line)).collect();
        assert_eq!(
            trusted.is_behind_tls(peer.parse().unwrap(), &headers),
            expected
        );
    }

    #[test]
    fn forwarded_list_is_followed_for_a_few_hops() {
        let proxies = "10.0.0.9, ".repeat(MAX_HOPS);
        let line = format!("198.51.100.1, {proxies}10.0.0.9");
        assert_eq!(client("10.0.0.1", &[&line]), "10.0.0.9");
        assert_eq!(client("10.0.0.1", &[&"x".repeat(60_000)]), "10.0.0.1");
    }
}
