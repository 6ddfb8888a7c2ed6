//! What the transports hand to resolvers with each request.

use std::{fmt, net::IpAddr, sync::Arc};

use async_graphql::Context;

use super::error::ApiError;
use crate::{accounts::Caller, audit::Origin};

/// Names a request in answers and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub(crate) Arc<str>);

impl RequestId {
    /// The id as text: at most 64 letters, digits, dots, hyphens and underscores.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of the client that sent the request; resolvers find it in their context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The id of the request at hand.
pub(super) fn request_id<'a>(context: &Context<'a>) -> &'a str {
    context
        .data_opt::<RequestId>()
        .map_or("-", RequestId::as_str)
}

/// Where the request at hand came from, for limits and for the audit trail.
pub(super) fn origin(context: &Context<'_>) -> Origin {
    let peer = context.data_opt::<PeerAddress>();
    let id = context.data_opt::<RequestId>();
    Origin {
        client_address: peer.map(|peer| peer.0),
        request_id: id.map(|id| id.0.clone()),
    }
}

/// Who sent the request, if it carries a valid session.
pub(super) fn caller(context: &Context<'_>) -> Option<Caller> {
    context.data_opt::<Option<Caller>>().copied().flatten()
}

/// Who sent the request, which needs a valid session.
pub(super) fn require_caller(context: &Context<'_>) -> Result<Caller, ApiError> {
    caller(context).ok_or_else(ApiError::unauthenticated)
}
