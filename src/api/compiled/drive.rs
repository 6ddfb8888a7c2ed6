//! Runs a subscription: its beginning through async-graphql, its events past it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_graphql::{Executor, PathSegment, Request, Response};
use entity::connection;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use graphql_server::{RequestId, execute::ExecutionResult};
use sea_orm::DbErr;
use tokio::time::sleep;

use super::{CompiledEvents, Shown};
use crate::{
    api::{GatewaySchema, error::IntoApiError, loaders::UserConnections},
    operations::{Follower, Operation, Update},
    platform::database,
};

/// Pause before a connection is read again when it could not be.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// Where the resolver leaves the events for those who write them by themselves.
#[derive(Clone, Default)]
pub(in crate::api) struct Handover(Arc<Mutex<Option<Box<Follower>>>>);

impl Handover {
    /// Leaves them to whoever runs the subscription.
    pub(in crate::api) fn put(&self, follower: Follower) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(follower));
    }

    fn take(&self) -> Option<Box<Follower>> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.take()
    }
}

struct Subscription {
    schema: GatewaySchema,
    request_id: RequestId,
    events: Arc<CompiledEvents>,
    stage: Stage,
}

enum Stage {
    /// async-graphql tells what is wrong with the request, or calls the resolver.
    Beginning(BoxStream<'static, Response>, Handover),
    Following(Box<Follower>),
    Over,
}

/// The answers to a request for these events.
pub(super) fn drive(
    schema: &GatewaySchema,
    request: Request,
    request_id: RequestId,
    events: Arc<CompiledEvents>,
) -> BoxStream<'static, ExecutionResult> {
    let handover = Handover::default();
    let request = request.data(handover.clone());
    let beginning = Executor::execute_stream(schema, request, None);
    let subscription = Subscription {
        schema: schema.clone(),
        request_id,
        events,
        stage: Stage::Beginning(beginning, handover),
    };
    stream::unfold(subscription, |mut subscription| async move {
        let response = subscription.next().await?;
        Some((response, subscription))
    })
    .boxed()
}

impl Subscription {
    async fn next(&mut self) -> Option<ExecutionResult> {
        if let Stage::Beginning(beginning, handover) = &mut self.stage {
            if let Some(response) = beginning.next().await {
                return Some(response.into());
            }
            self.stage = handover.take().map_or(Stage::Over, Stage::Following);
        }
        let Stage::Following(follower) = &mut self.stage else {
            return None;
        };
        let response = match follower.next().await? {
            Ok(update) => self.show(update).await,
            Err(error) => Err(self.failed(error)),
        };
        Some(response.unwrap_or_else(|failed| {
            self.stage = Stage::Over;
            failed.into()
        }))
    }

    async fn show(&mut self, mut update: Update) -> Result<ExecutionResult, Response> {
        let renderings = update.renderings.take();
        if let Some(made) = renderings
            .as_ref()
            .and_then(|made| made.get(self.events.way))
        {
            return Ok(ExecutionResult::written(made));
        }
        let connection = if self.events.reads_connection && update.operation.connection_id.is_some()
        {
            let connection = Box::pin(self.connection(&update.operation)).await;
            connection.map_err(|error| self.failed(error))?
        } else {
            None
        };
        let shown = Shown { update, connection };
        let made = self
            .events
            .write(&shown)
            .map_err(|error| self.failed(error))?;
        if let Some(renderings) = renderings {
            renderings.put(self.events.way, made.clone());
        }
        Ok(ExecutionResult::written(made))
    }

    /// What the operation has made, if it still stands.
    async fn connection(
        &mut self,
        operation: &Operation,
    ) -> Result<Option<connection::Model>, DbErr> {
        let Some(connections) = self.schema.data::<UserConnections>() else {
            return Ok(None);
        };
        loop {
            match connections.load_one(operation.user_id).await {
                Ok(found) => {
                    return Ok(found.filter(|found| Some(found.id) == operation.connection_id));
                }
                Err(error) if database::is_transient(&error) => sleep(READ_AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The last answer.
    fn failed(&self, error: impl IntoApiError) -> Response {
        let error = error.into_api_error(self.request_id.as_str());
        let error = async_graphql::Error::from(error);
        let path = vec![PathSegment::Field(self.events.field.to_string())];
        let error = error
            .into_server_error(self.events.position)
            .with_path(path);
        Response::from_errors(vec![error])
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handover").finish_non_exhaustive()
    }
}
