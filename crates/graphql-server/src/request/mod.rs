//! Requests: what they carry, where they come from, and why they are refused.

pub(crate) mod credentials;
pub(crate) mod error;
pub(crate) mod parameters;

use std::{fmt, net::IpAddr, sync::Arc};

/// The request at hand: its name, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// The name of the request in answers and logs.
    pub id: RequestId,
    /// The address of the client, as far as proxies that are trusted tell it.
    pub client: IpAddr,
    /// Tells whether a proxy that is trusted says that the client came over https.
    pub behind_tls: bool,
}

/// Names a request in answers and logs. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text: at most 64 letters, digits, dots, hyphens and underscores.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl From<&str> for RequestId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for RequestId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
