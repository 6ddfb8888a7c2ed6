//! Routes of the server, and the handlers of `/graphql`.

mod batch;
mod handlers;
pub(crate) mod router;
