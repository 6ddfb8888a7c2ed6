//! `Query`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use uuid::Uuid;

use super::{
    context::{caller, request, require_caller},
    error::{ApiError, OrFail},
    loaders::Users,
    operation::Operation,
    user::User,
};
use crate::operations::Operations;

/// What can be read.
pub struct Query;

/// What can be read.
#[Object]
impl Query {
    /// The signed-in user; null when the request carries no valid session.
    async fn me(&self, context: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(caller) = caller(context) else {
            return Ok(None);
        };
        let profile = request(context).and_then(|request| request.profile.as_ref());
        if let Some(profile) = profile {
            return Ok(Some(Arc::clone(profile).into()));
        }
        let users = context.data_unchecked::<Users>();
        let user = users.load_one(caller.user_id).await;
        Ok(user.or_fail(context)?.map(User::from))
    }

    /// One of the caller's own operations; null when there is none of that id, or it is someone else's.
    async fn operation(
        &self,
        context: &Context<'_>,
        id: ID,
    ) -> Result<Option<Operation>, ApiError> {
        let caller = require_caller(context)?;
        let Ok(id) = Uuid::try_parse(&id) else {
            return Ok(None);
        };
        let operations = context.data_unchecked::<Operations>();
        let operation = operations.get(caller.user_id, id).await.or_fail(context)?;
        Ok(operation.map(Operation::from))
    }
}
