//! HTTP: routes, requests as the GraphQL-over-HTTP specification has them, and what surrounds them.

pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod excerpt;
pub(crate) mod framing;
pub(crate) mod handlers;
pub(crate) mod health;
pub(crate) mod hints;
pub(crate) mod media;
pub(crate) mod page;
pub(crate) mod request_id;
pub(crate) mod response;
pub(crate) mod router;
pub(crate) mod scope;
pub(crate) mod written;
