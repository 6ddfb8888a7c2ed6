//! Requests: their parameters, their origin, and their errors.

pub(crate) mod body;
pub(crate) mod credentials;
pub(crate) mod error;
pub(crate) mod page;
pub(crate) mod parameters;

use std::{fmt, net::IpAddr, sync::Arc};

/// Id and origin of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// Id of the request in responses and logs.
    pub id: RequestId,
    /// Address of the client, as far as trusted proxies report it.
    pub client: IpAddr,
    /// Tells whether a trusted proxy says that the client uses https.
    pub behind_tls: bool,
}

/// Id of a request in responses and logs. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the id as text: at most 64 letters, digits, dots, hyphens and underscores.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text, shared.
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
