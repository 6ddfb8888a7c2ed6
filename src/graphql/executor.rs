//! Runs requests: against the schema, but for the events of subscriptions that were compiled.

use std::{any::TypeId, sync::Arc};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, SchemaBuilder, ValidationMode,
};
use futures_util::stream::BoxStream;

use super::{GatewaySchema, Mutation, Query, RequestContext, Subscriptions, compiled::drive};

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
        let schema = match context(&request) {
            Some(context) if context.found_valid => &self.trusting,
            _ => &self.schema,
        };
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
        let compiled = context(&request).and_then(|context| {
            let events = Arc::clone(context.events.as_ref()?);
            Some((events, context.request_id.clone()))
        });
        match compiled {
            Some((events, request_id)) => drive(&self.schema, request, request_id, events),
            None => Executor::execute_stream(&self.schema, request, session_data),
        }
    }
}

fn context(request: &Request) -> Option<&RequestContext> {
    let context = request.data.get(&TypeId::of::<RequestContext>())?;
    context.downcast_ref()
}
