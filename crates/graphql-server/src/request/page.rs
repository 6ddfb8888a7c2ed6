//! Web page that sends a request: its origin, and whether it reaches the server over https.
//!
//! TLS usually ends at a proxy in front of the server.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::net::host::{HTTP, HTTPS, Host};

/// Header that browsers set where they reach the server over https or on the same machine.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Page that sends a request, by the request's headers.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    headers: &'a HeaderMap,
    /// Tells whether a trusted proxy says that the client uses https.
    behind_tls: bool,
    /// Other origins whose pages may use the server.
    allowed_origins: &'a [HeaderValue],
}

/// Refusal of credentials that come from a page of another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pages of this origin may not use the credentials that come with their requests")]
pub struct ForeignPage;

impl<'a> Page<'a> {
    /// Creates the page of a request with these headers.
    pub(crate) fn new(
        headers: &'a HeaderMap,
        behind_tls: bool,
        allowed_origins: &'a [HeaderValue],
    ) -> Self {
        Self {
            headers,
            behind_tls,
            allowed_origins,
        }
    }

    /// Returns the headers of the request.
    pub fn headers(self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the page's origin, if the request names it.
    ///
    /// Browsers leave it out of a GET to the same origin, and of links and images.
    pub fn origin(self) -> Option<&'a HeaderValue> {
        self.headers.get(header::ORIGIN)
    }

    /// Tells whether the page was loaded over plain http.
    pub fn is_plain(self) -> bool {
        self.origin()
            .is_some_and(|origin| has_scheme(origin, "http://"))
    }

    /// Tells whether the server is certainly reached over https.
    pub fn is_https(self) -> bool {
        let is_https = match self.origin() {
            Some(origin) => has_scheme(origin, "https://"),
            None => self.has_fetch_metadata_of_https() || self.has_https_referer(),
        };
        is_https || self.behind_tls
    }

    /// Tells whether the origin is neither the server's own nor allowed.
    ///
    /// CORS covers neither sockets nor requests whose response the page need not read.
    pub fn is_foreign(self) -> bool {
        let mut origins = self.headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(_), Some(_)) => true,
            (Some(origin), None) if self.allowed_origins.contains(origin) => false,
            (Some(origin), None) => !self.is_same_origin(origin) || !self.is_same_site(),
            (None, _) => !self.is_same_site(),
        }
    }

    /// Tells whether the origin is the server's own. Other schemes, such as those of extensions, never
    /// are.
    fn is_same_origin(self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok();
        let Some((scheme, authority)) = origin.and_then(|origin| origin.split_once("://")) else {
            return false;
        };
        let default = match scheme {
            "https" => HTTPS,
            "http" if !self.behind_tls => HTTP,
            _ => return false,
        };
        let (origin, host) = (Host::parse(authority), self.host());
        matches!((origin, host), (Some(origin), Some(host)) if origin.is_same(host, default))
    }

    /// Tells whether no header says that the request is from another site or scheme.
    fn is_same_site(self) -> bool {
        let site = self.headers.get(SEC_FETCH_SITE);
        site.is_none_or(|site| site == "same-origin" || site == "none")
    }

    fn has_fetch_metadata_of_https(self) -> bool {
        self.headers.contains_key(SEC_FETCH_SITE) && !self.may_be_local()
    }

    /// Tells whether the browser may run on the server's machine.
    ///
    /// A proxy in front may send a loopback address as the host. Where all allowed origins are https, a
    /// loopback address means such a proxy.
    fn may_be_local(self) -> bool {
        let is_local = |host: Host<'_>| host.is_loopback() || host.is_subdomain_of("localhost");
        let mut allowed = self.allowed_origins.iter();
        let all_https = allowed.len() > 0 && allowed.all(|origin| has_scheme(origin, "https://"));
        self.host().is_some_and(is_local) && !all_https
    }

    fn has_https_referer(self) -> bool {
        let referer = self.headers.get(header::REFERER);
        referer.is_some_and(|referer| has_scheme(referer, "https://"))
    }

    fn host(self) -> Option<Host<'a>> {
        let host = self.headers.get(header::HOST)?;
        Host::parse(host.to_str().ok()?)
    }
}

fn has_scheme(value: &HeaderValue, scheme: &str) -> bool {
    value.as_bytes().starts_with(scheme.as_bytes())
}
