//! `Subscription`.

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt, stream};

use super::{
    compiled::Handover,
    context::{request_id, require_caller},
    error::{ApiError, IntoApiError, OrFail},
    mutation::operation_id as parse_operation_id,
    operation::OperationEvent,
};
use crate::operations::{Follower, OperationError, Operations, Update};

/// What can be followed.
pub struct Subscriptions;

/// What can be followed.
#[Subscription(name = "Subscription")]
impl Subscriptions {
    /// Follows one of the caller's own operations: first the state it is in now, then every change and,
    /// while Intuned is being polled, a progress event for each poll, until the operation ends, which
    /// completes the stream. With `afterSequence` the stream starts with every change that came after that
    /// number instead, so that a client that was cut off misses none and sees none twice. Works on
    /// whichever replica the client lands. Error code NOT_FOUND for an unknown id and for another user's.
    async fn operation_status(
        &self,
        context: &Context<'_>,
        operation_id: ID,
        after_sequence: Option<i32>,
    ) -> Result<impl Stream<Item = Result<OperationEvent, ApiError>> + use<>, ApiError> {
        let caller = require_caller(context)?;
        let id = parse_operation_id(&operation_id)?;
        let operations = context.data_unchecked::<Operations>();
        let follower = operations
            .follow(caller.user_id, id, after_sequence)
            .await
            .or_fail(context)?;
        // Whoever writes the events by themselves takes the follower; here there is nothing to tell then.
        let follower = match context.data_opt::<Handover>() {
            Some(handover) => {
                handover.put(follower);
                None
            }
            None => Some(follower),
        };
        let request_id = request_id(context).to_owned();
        Ok(updates(follower).map(move |update| {
            update
                .map(OperationEvent::from)
                .map_err(|error| error.into_api_error(&request_id))
        }))
    }
}

/// What the follower, if there is one, hears.
fn updates(
    follower: Option<Follower>,
) -> impl Stream<Item = Result<Update, OperationError>> + use<> {
    stream::unfold(follower, |follower| async {
        let mut follower = follower?;
        let update = follower.next().await?;
        Some((update, Some(follower)))
    })
}
