//! Host of a request (RFC 9112, section 3.2).
//!
//! A request with two hosts could mean different ones to the server and to a proxy in front.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{Request, Uri, Version, header};

/// Upper bound of a name's length in DNS.
const MAX_LENGTH: usize = 255;

/// Default ports of the schemes.
pub(crate) const HTTP: u16 = 80;
pub(crate) const HTTPS: u16 = 443;

/// Host with an optional port, as in a `Host` header.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    text: &'a str,
    name: &'a str,
    /// Port; none for the default.
    pub(crate) port: Option<u16>,
}

/// Refusal of a request that names no host, several, or an invalid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request does not name one host")]
pub struct InvalidHost;

impl<'a> Host<'a> {
    /// Parses `name`, `name:port`, `address:port` or `[address]:port`, and nothing else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at_checked(end)?;
        let port = match port {
            "" => None,
            port => Some(read_port(port.strip_prefix(':')?)?),
        };
        let named = is_name(name);
        // A final dot makes a name absolute, and belongs to no address.
        let absolute = name.strip_suffix('.');
        let absolute = absolute.filter(|name| address_in(name).is_none());
        let name = absolute.unwrap_or(name);
        named.then_some(Self { text, name, port })
    }

    /// Tells whether two hosts are the same, with `default` as the default port.
    pub(crate) fn is_same(self, other: Self, default: u16) -> bool {
        let port = |host: Self| host.port.unwrap_or(default);
        self.is_named(other.name) && port(self) == port(other)
    }

    /// Compares names as DNS does, and addresses by their values.
    pub(crate) fn is_named(self, name: &str) -> bool {
        let address = self.address();
        self.name.eq_ignore_ascii_case(name) || address.is_some() && address == address_in(name)
    }

    /// Tells whether the host is a subdomain of the domain.
    pub(crate) fn is_subdomain_of(self, domain: &str) -> bool {
        let start = self.name.len().checked_sub(domain.len());
        let parts = start.and_then(|start| self.name.split_at_checked(start));
        parts.is_some_and(|(below, end)| below.ends_with('.') && end.eq_ignore_ascii_case(domain))
    }

    /// Tells whether the host can only be this machine.
    pub fn is_loopback(self) -> bool {
        let address = self.address();
        self.is_named("localhost") || address.is_some_and(|address| address.is_loopback())
    }

    /// Returns the name without the port.
    pub(crate) fn name(self) -> &'a str {
        self.name
    }

    /// Returns the host as it was sent.
    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    /// Tells whether the host is an address rather than a name.
    pub(crate) fn is_address(self) -> bool {
        self.address().is_some()
    }

    fn address(self) -> Option<IpAddr> {
        address_in(self.name)
    }
}

/// Returns the host of a request; before HTTP/1.1 there may be none.
///
/// # Errors
///
/// The request names no host, several, or an invalid one.
pub fn from_request<B>(request: &Request<B>) -> Result<Option<Host<'_>>, InvalidHost> {
    let mut headers = request.headers().get_all(header::HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => {
            let host = header.to_str().ok().and_then(Host::parse);
            Some(host.ok_or(InvalidHost)?)
        }
        (None, _) if request.version() < Version::HTTP_11 => None,
        _ => return Err(InvalidHost),
    };
    let Some((target, default)) = target(request.uri())? else {
        return Ok(header);
    };
    match header {
        Some(header) if !header.is_same(target, default) => Err(InvalidHost),
        _ => Ok(Some(target)),
    }
}

/// Returns the host in the request line, if there is one, with its default port.
fn target(uri: &Uri) -> Result<Option<(Host<'_>, u16)>, InvalidHost> {
    let Some(authority) = uri.authority() else {
        return Ok(None);
    };
    let default = match uri.scheme_str() {
        None | Some("http") => HTTP,
        Some("https") => HTTPS,
        Some(_) => return Err(InvalidHost),
    };
    let host = Host::parse(authority.as_str()).ok_or(InvalidHost)?;
    Ok(Some((host, default)))
}

fn read_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port > 0);
    port.filter(|_| digits)
}

/// Tells whether the text is a name of DNS or an address.
pub fn is_name(name: &str) -> bool {
    if name.starts_with('[') {
        return address_in(name).is_some();
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(of_name);
    name.len() <= MAX_LENGTH
        && name
            .strip_suffix('.')
            .unwrap_or(name)
            .split('.')
            .all(is_label)
}

fn address_in(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            Some(address.into())
        }
        None => name.parse().ok().filter(IpAddr::is_ipv4),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("api.example", "api.example", None)]
    #[case("Api.Example.:8080", "Api.Example", Some(8080))]
    #[case("my_api-1:65535", "my_api-1", Some(65535))]
    #[case("127.0.0.1:80", "127.0.0.1", Some(80))]
    #[case("[::1]", "[::1]", None)]
    #[case("[2001:db8::7]:443", "[2001:db8::7]", Some(443))]
    fn host_is_parsed_with_and_without_port(
        #[case] text: &str,
        #[case] name: &str,
        #[case] port: Option<u16>,
    ) {
        let host = Host::parse(text).expect("a host");
        assert_eq!((host.name(), host.port, host.text()), (name, port, text));
    }

    #[rstest]
    fn invalid_hosts_are_refused(
        #[values(
            "",
            " ",
            ".",
            "..",
            ":",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "a%62",
            "user@a",
            "user:password@a",
            "a:",
            "a:0",
            "a:+80",
            "a:-1",
            "a:65536",
            "a:80:80",
            "a:x",
            "a:80/",
            "a..b",
            ".a",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[v1.a]",
            "b\u{fc}cher.example",
            "a\\b",
            "http://a"
        )]
        text: &str,
    ) {
        assert!(Host::parse(text).is_none());
    }

    #[rstest]
    #[case("localhost", true)]
    #[case("LOCALHOST:9464", true)]
    #[case("127.0.0.1:1", true)]
    #[case("127.8.9.10", true)]
    #[case("[::1]:9464", true)]
    #[case("[0:0:0:0:0:0:0:1]", true)]
    #[case("localhost.evil.example", false)]
    #[case("evil.localhost", false)]
    #[case("127.0.0.1.evil.example", false)]
    #[case("127.1", false)]
    #[case("0.0.0.0", false)]
    #[case("[::]", false)]
    #[case("10.0.0.1", false)]
    fn loopback_hosts_are_recognized(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(Host::parse(text).expect("a host").is_loopback(), expected);
    }

    fn named(head: &[(&str, &str)], version: Version, target: &str) -> Result<String, InvalidHost> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        from_request(&request)
            .map(|host| host.map_or_else(String::new, |host| host.text().to_owned()))
    }

    #[rstest]
    #[case(&["a.example"], "/", Ok("a.example"))]
    #[case(&["a.example"], "http://A.example/graphql", Ok("A.example"))]
    #[case(&["a.example:80"], "http://a.example/", Ok("a.example"))]
    #[case(&["a.example"], "https://a.example:443/", Ok("a.example:443"))]
    #[case(&["a.example"], "http://evil.example/graphql", Err(InvalidHost))]
    #[case(&["a.example"], "http://a.example:8080/", Err(InvalidHost))]
    #[case(&["a.example"], "http://user@a.example/", Err(InvalidHost))]
    #[case(&["a.example"], "ftp://a.example/", Err(InvalidHost))]
    #[case(&["user@a.example"], "/", Err(InvalidHost))]
    #[case(&[""], "/", Err(InvalidHost))]
    #[case(&[], "/", Err(InvalidHost))]
    #[case(&[], "http://a.example/", Err(InvalidHost))]
    #[case(&["a.example", "a.example"], "/", Err(InvalidHost))]
    fn request_must_name_one_host(
        #[case] hosts: &[&str],
        #[case] target: &str,
        #[case] expected: Result<&str, InvalidHost>,
    ) {
        let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let found = named(&headers, Version::HTTP_11, target);
        assert_eq!(found.as_deref().map_err(|error| *error), expected);
    }

    #[test]
    fn http_1_0_request_may_omit_the_host() {
        assert_eq!(named(&[], Version::HTTP_10, "/"), Ok(String::new()));
        let odd = named(&[("host", "a b")], Version::HTTP_10, "/");
        assert_eq!(odd, Err(InvalidHost));
    }
}
