//! Runs requests against the schema, each query and mutation with loaders of its own.

use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, SchemaBuilder, ValidationMode,
};
use futures_util::stream::BoxStream;

use super::{
    CompiledEvents, GatewaySchema, Mutation, Query, RequestId, Subscriptions, compiled::drive,
    documents::FoundValid, loaders::RequestStatuses,
};

/// What the transports execute requests with.
#[derive(Clone)]
pub struct GatewayExecutor {
    schema: GatewaySchema,
    /// The same for documents that were found valid before.
    trusting: GatewaySchema,
}

impl GatewayExecutor {
    /// Executes against the schema that `build` makes.
    pub fn new(build: impl Fn() -> SchemaBuilder<Query, Mutation, Subscriptions>) -> Self {
        Self {
            schema: build().finish(),
            trusting: build().validation_mode(ValidationMode::Fast).finish(),
        }
    }
}

impl Executor for GatewayExecutor {
    async fn execute(&self, request: Request) -> Response {
        let schema = if request.data.contains_key(&TypeId::of::<FoundValid>()) {
            &self.trusting
        } else {
            &self.schema
        };
        let request = request.data(RequestStatuses::default());
        schema.execute(request).await
    }

    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        match batch {
            BatchRequest::Single(request) => BatchResponse::Single(self.execute(request).await),
            BatchRequest::Batch(requests) => {
                let mut responses = Vec::with_capacity(requests.len());
                for request in requests {
                    responses.push(self.execute(request).await);
                }
                BatchResponse::Batch(responses)
            }
        }
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let events = data::<Arc<CompiledEvents>>(&request);
        let request_id = data::<RequestId>(&request);
        match events {
            Some(events) => drive(&self.schema, request, request_id, events),
            None => Executor::execute_stream(&self.schema, request, session_data),
        }
    }
}

/// What the transport has put into the request.
fn data<T: Any + Clone>(request: &Request) -> Option<T> {
    let found = request.data.get(&TypeId::of::<T>())?;
    found.downcast_ref::<T>().cloned()
}
