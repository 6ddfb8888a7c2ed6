//! What the transports hand to resolvers with each request.

use std::{fmt, net::IpAddr, sync::Arc};

use async_graphql::Context;

use super::{
    documents::Document, error::ApiError, loaders::RequestStatuses, session_cookie::SessionCookie,
};
use crate::{
    accounts::{Caller, Profile},
    audit::Origin,
};

/// All that is known of a request. It is one value, because one is made for every request.
#[derive(Debug)]
pub struct RequestContext {
    /// Who sent it, if it carries a valid session.
    pub caller: Option<Caller>,
    /// What it is called.
    pub request_id: RequestId,
    /// Where it came from.
    pub peer: PeerAddress,
    /// How it stands to the session's cookie; none where no cookie can be set.
    pub(crate) cookie: Option<SessionCookie>,
    /// The caller as they were read with their session, where that was just now.
    pub(crate) profile: Option<Arc<Profile>>,
    /// What it asks for; none where a transport told nothing of it.
    pub(super) document: Option<Arc<Document>>,
    /// What Intuned was asked; none for a subscription, which outlives what it answered.
    pub(super) statuses: Option<RequestStatuses>,
}

impl RequestContext {
    /// Of a request that nothing else is known of.
    pub fn new(caller: Option<Caller>, request_id: RequestId, peer: PeerAddress) -> Self {
        Self {
            caller,
            request_id,
            peer,
            cookie: None,
            profile: None,
            document: None,
            statuses: None,
        }
    }

    /// Of a request for this document.
    #[must_use]
    pub fn for_document(mut self, document: &Arc<Document>) -> Self {
        self.document = Some(Arc::clone(document));
        self
    }

    /// Of a request that asks Intuned for each status once.
    pub(crate) fn remembering_statuses(mut self) -> Self {
        self.statuses = Some(RequestStatuses::default());
        self
    }
}

/// Names a request in answers and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub(crate) Arc<str>);

impl RequestId {
    /// The id as text: at most 64 letters, digits, dots, hyphens and underscores.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RequestId {
    fn from(id: &str) -> Self {
        Self(id.into())
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

/// The request at hand; none where a transport told nothing of it.
pub(super) fn request<'a>(context: &Context<'a>) -> Option<&'a RequestContext> {
    context.data_opt::<RequestContext>()
}

/// The id of the request at hand.
pub(super) fn request_id<'a>(context: &Context<'a>) -> &'a str {
    request(context).map_or("-", |request| request.request_id.as_str())
}

/// Where the request at hand came from, for limits and for the audit trail.
pub(super) fn origin(context: &Context<'_>) -> Origin {
    let request = request(context);
    Origin {
        client_address: request.map(|request| request.peer.0),
        request_id: request.map(|request| request.request_id.0.clone()),
    }
}

/// Who sent the request, if it carries a valid session.
pub(super) fn caller(context: &Context<'_>) -> Option<Caller> {
    request(context)?.caller
}

/// Who sent the request, which needs a valid session.
pub(super) fn require_caller(context: &Context<'_>) -> Result<Caller, ApiError> {
    caller(context).ok_or_else(ApiError::unauthenticated)
}
