//! Network: listener, admission, hosts and client addresses, and the connections.

pub(crate) mod admission;
pub mod allowed_hosts;
pub(crate) mod connection;
pub(crate) mod drain;
pub mod forwarded;
pub mod host;
pub(crate) mod limiter;
pub(crate) mod write_timeout;

pub use allowed_hosts::{AllowedHost, AllowedHosts};
pub use forwarded::TrustedProxies;
pub use host::Host;
