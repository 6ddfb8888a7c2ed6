//! A program's own way out: which proxy its connections go through, and which certificates it trusts.

mod causes;

use std::{fmt, sync::Arc};

use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect};

pub use causes::{Seldom, innermost};

/// How connections leave. Clients that are built with it name themselves and follow no redirects.
#[derive(Clone, Default)]
pub struct Outbound {
    /// The name of the program, as it tells it; none for nothing.
    user_agent: Option<&'static str>,
    /// For https addresses; none for straight there.
    proxy: Option<Arc<Proxy>>,
    /// The only certificate authorities to trust; none for those of the system.
    authorities: Option<Arc<[Certificate]>>,
}

impl Outbound {
    /// As `user_agent` through `proxy`, trusting `authorities`.
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

/// Without the proxy's address: it may hold a password.
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
