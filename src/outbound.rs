//! The gateway's own way out: which proxy its connections go through, and which certificates it trusts.

use std::{fmt, sync::Arc};

use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect};

/// How connections leave. Clients that are built with it name themselves and follow no redirects.
#[derive(Clone, Default)]
pub struct Outbound {
    /// For https addresses; none for straight there.
    proxy: Option<Arc<Proxy>>,
    /// The only certificate authorities to trust; none for those of the system.
    authorities: Option<Arc<[Certificate]>>,
}

impl Outbound {
    /// Through `proxy` (setting `HTTPS_PROXY`), trusting `authorities` (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
    pub fn new(proxy: Option<Proxy>, authorities: Option<Vec<Certificate>>) -> Self {
        Self {
            proxy: proxy.map(Arc::new),
            authorities: authorities.map(Arc::from),
        }
    }

    /// Begins a client that goes through the proxy where there is one.
    pub fn client(&self) -> ClientBuilder {
        match &self.proxy {
            Some(proxy) => self.direct_client().proxy(Proxy::clone(proxy)),
            None => self.direct_client(),
        }
    }

    /// Begins a client that goes through no proxy: it chooses itself which of a name's addresses may be used.
    pub fn direct_client(&self) -> ClientBuilder {
        let client = Client::builder()
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .redirect(redirect::Policy::none())
            .no_proxy();
        match &self.authorities {
            Some(authorities) => client.tls_certs_only(authorities.to_vec()),
            None => client,
        }
    }
}

/// Without the proxy's address: it may hold a password.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("proxy", &self.proxy.is_some())
            .field(
                "authorities",
                &self.authorities.as_ref().map(|all| all.len()),
            )
            .finish()
    }
}
