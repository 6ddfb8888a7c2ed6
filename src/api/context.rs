//! What the transports hand to resolvers with each request.

use std::sync::Arc;

use async_graphql::Context;
use graphql_server::RequestInfo;

use super::{authentication::cookie::SessionCookie, error::ApiError, loaders::RequestStatuses};
use crate::{
    accounts::{Caller, Profile},
    audit::Origin,
};

/// All that is known of a request. It is one value, because one is made for every request.
#[derive(Debug)]
pub struct RequestContext {
    /// Who sent it, if it carries a valid session.
    pub caller: Option<Caller>,
    /// Its name, and where it came from.
    pub info: RequestInfo,
    /// How it stands to the session's cookie; none where no cookie can be set.
    pub(crate) cookie: Option<SessionCookie>,
    /// The caller as they were read with their session, where that was just now.
    pub(crate) profile: Option<Arc<Profile>>,
    /// What Intuned was asked; none for a subscription, which outlives what it answered.
    pub(super) statuses: Option<RequestStatuses>,
}

impl RequestContext {
    /// Of a request that nothing else is known of.
    pub fn new(caller: Option<Caller>, info: RequestInfo) -> Self {
        Self {
            caller,
            info,
            cookie: None,
            profile: None,
            statuses: None,
        }
    }

    /// Of a request that asks Intuned for each status once.
    pub(crate) fn remembering_statuses(mut self) -> Self {
        self.statuses = Some(RequestStatuses::default());
        self
    }
}

/// The request at hand; none where a transport told nothing of it.
pub(super) fn request<'a>(context: &Context<'a>) -> Option<&'a RequestContext> {
    context.data_opt::<RequestContext>()
}

/// The id of the request at hand.
pub(super) fn request_id<'a>(context: &Context<'a>) -> &'a str {
    request(context).map_or("-", |request| request.info.id.as_str())
}

/// Where the request at hand came from, for limits and for the audit trail.
pub(super) fn origin(context: &Context<'_>) -> Origin {
    request(context).map_or_else(Origin::default, |request| origin_of(&request.info))
}

/// The origin of a request, as limits and the audit trail have it.
pub(super) fn origin_of(request: &RequestInfo) -> Origin {
    Origin {
        client_address: Some(request.client),
        request_id: Some(request.id.shared()),
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
