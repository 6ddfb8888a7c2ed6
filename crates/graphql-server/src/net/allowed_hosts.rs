//! Allowed hosts: the hosts that the server answers for.

use super::host::{HTTP, HTTPS, Host};

/// Hosts that the server answers for. An empty list allows any host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(pub Vec<AllowedHost>);

/// Host that the server answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    name: String,
    /// Tells whether subdomains are meant, and not the name itself.
    subdomains: bool,
    /// Port; none for any port.
    port: Option<u16>,
}

impl AllowedHost {
    /// Parses a name or an address, with or without a port. `*.` before a name stands for its subdomains.
    pub fn parse(text: &str) -> Option<Self> {
        let (subdomains, text) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        let host = Host::parse(text).filter(|host| !subdomains || !host.is_address())?;
        Some(Self {
            name: host.name().to_owned(),
            subdomains,
            port: host.port,
        })
    }

    fn matches(&self, host: Host<'_>) -> bool {
        let is_named = if self.subdomains {
            host.is_subdomain_of(&self.name)
        } else {
            host.is_named(&self.name)
        };
        is_named && self.port.is_none_or(|port| has_port(host, port))
    }
}

impl AllowedHosts {
    /// Tells whether the server answers a request for this host, or for none.
    pub(crate) fn allow(&self, host: Option<Host<'_>>) -> bool {
        self.0.is_empty()
            || host.is_some_and(|host| self.0.iter().any(|allowed| allowed.matches(host)))
    }
}

/// Compares ports. Clients leave out the scheme's default port, and the scheme is not known here.
fn has_port(host: Host<'_>, port: u16) -> bool {
    match host.port {
        Some(named) => named == port,
        None => matches!(port, HTTP | HTTPS),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("api.example", "api.example", true)]
    #[case("api.example", "API.example:8443", true)]
    #[case("Api.Example", "api.example", true)]
    #[case("api.example", "api.example.evil.example", false)]
    #[case("api.example", "evil-api.example", false)]
    #[case("api.example", "sub.api.example", false)]
    #[case("api.example:8443", "api.example:8443", true)]
    #[case("api.example:8443", "api.example", false)]
    #[case("api.example:8443", "api.example:8444", false)]
    #[case("api.example:443", "api.example", true)]
    #[case("*.api.example", "a.api.example", true)]
    #[case("*.api.example", "A.B.Api.example:1", true)]
    #[case("*.api.example", "api.example", false)]
    #[case("*.api.example", "aapi.example", false)]
    #[case("*.api.example:8443", "a.api.example", false)]
    #[case("10.0.0.7", "10.0.0.7:8080", true)]
    #[case("[::1]", "[0:0:0:0:0:0:0:1]:8080", true)]
    #[case("[::1]", "[::2]", false)]
    fn host_is_compared_as_a_whole(
        #[case] allowed: &str,
        #[case] host: &str,
        #[case] expected: bool,
    ) {
        let hosts = AllowedHosts(vec![AllowedHost::parse(allowed).expect("a host")]);
        assert_eq!(hosts.allow(Host::parse(host)), expected);
        assert!(!hosts.allow(None));
        assert!(AllowedHosts::default().allow(Host::parse(host)));
        assert!(AllowedHosts::default().allow(None));
    }

    #[rstest]
    fn invalid_hosts_cannot_be_allowed(
        #[values(
            "",
            "*",
            "*.",
            "*.*.example",
            "a.*.example",
            "*.10.0.0.7",
            "*.[::1]",
            "::1",
            "https://a",
            "a/",
            "user@a",
            "a:b"
        )]
        text: &str,
    ) {
        assert_eq!(AllowedHost::parse(text), None);
    }
}
