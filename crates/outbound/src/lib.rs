//! Outbound HTTP connections: their proxy and the certificates that they trust.

mod causes;

use std::{fmt, sync::Arc};

use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect};

pub use causes::{LogLimiter, root_cause};

/// Settings of outbound connections. Clients with them name themselves and follow no redirects.
#[derive(Clone, Default)]
pub struct Outbound {
    /// Value of `User-Agent`; none for no header.
    user_agent: Option<&'static str>,
    /// Proxy for https addresses; none for direct connections.
    proxy: Option<Arc<Proxy>>,
    /// Trusted certificate authorities; none for those of the system.
    authorities: Option<Arc<[Certificate]>>,
}

impl Outbound {
    /// Creates settings with a user agent, a proxy, and trusted authorities.
    pub fn new(
        user_agent: &'static str,
        proxy: Option<Proxy>,
        authorities: Option<Vec<Certificate>>,
    ) -> Self {
        Self {
            user_agent: Some(user_agent),
            proxy: proxy.map(Arc::new),
            authorities: authorities.map(Arc::from),
        }
    }

    /// Starts to build a client, which uses the proxy if there is one.
    pub fn client(&self) -> ClientBuilder {
        match &self.proxy {
            Some(proxy) => self.direct_client().proxy(Proxy::clone(proxy)),
            None => self.direct_client(),
        }
    }

    /// Starts to build a client without a proxy, which can choose among the addresses of a name itself.
    pub fn direct_client(&self) -> ClientBuilder {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy();
        let client = match self.user_agent {
            Some(name) => client.user_agent(name),
            None => client,
        };
        match &self.authorities {
            Some(authorities) => client.tls_certs_only(authorities.to_vec()),
            None => client,
        }
    }
}

/// Leaves out the proxy's address, which may hold a password.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("user_agent", &self.user_agent)
            .field("proxy", &self.proxy.is_some())
            .field(
                "authorities",
                &self.authorities.as_ref().map(|all| all.len()),
            )
            .finish()
    }
}
