//! HTTP: media types, responses, CORS, health checks, and the scope of a request.

pub(crate) mod cors;
pub(crate) mod excerpt;
pub(crate) mod framing;
pub(crate) mod graphql_request;
pub(crate) mod health;
pub(crate) mod hints;
pub(crate) mod json_body;
pub(crate) mod media;
pub(crate) mod request_id;
pub(crate) mod response;
pub(crate) mod scope;
