//! Runs requests: against the schema, whose answers it completes, but for the events of subscriptions that
//! were compiled.

use std::{any::TypeId, sync::Arc};

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Request, Response, SchemaBuilder, ValidationMode,
};
use futures_util::{StreamExt, stream::BoxStream};

use super::{
    GatewaySchema, Mutation, Query, RequestContext, Subscriptions,
    compiled::drive,
    completion::{Asked, Types},
};

/// What the transports execute requests with.
#[derive(Clone)]
pub struct GatewayExecutor {
    schema: GatewaySchema,
    /// The same for documents that were found valid before.
    trusting: GatewaySchema,
    types: Arc<Types>,
}

impl GatewayExecutor {
    /// Executes against the schema that `build` makes.
    pub fn new(build: impl Fn() -> SchemaBuilder<Query, Mutation, Subscriptions>) -> Self {
        Self {
            schema: build().finish(),
            trusting: build().validation_mode(ValidationMode::Fast).finish(),
            types: Arc::new(Types::of_the_schema()),
        }
    }
}

impl Executor for GatewayExecutor {
    async fn execute(&self, request: Request) -> Response {
        let Some(document) = context(&request).and_then(|context| context.document.as_ref()) else {
            return self.schema.execute(request).await;
        };
        let asked = Asked::new(document, &request);
        let schema = if document.was_found_valid() {
            &self.trusting
        } else {
            &self.schema
        };
        asked.complete(&self.types, schema.execute(request).await)
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
        let Some((context, document)) =
            context(&request).and_then(|context| Some((context, context.document.as_ref()?)))
        else {
            return Executor::execute_stream(&self.schema, request, session_data);
        };
        if let Some(events) = &document.events {
            let (events, request_id) = (Arc::clone(events), context.request_id.clone());
            return drive(&self.schema, request, request_id, events);
        }
        let (asked, types) = (Asked::new(document, &request), Arc::clone(&self.types));
        Executor::execute_stream(&self.schema, request, session_data)
            .map(move |response| asked.complete(&types, response))
            .boxed()
    }
}

fn context(request: &Request) -> Option<&RequestContext> {
    let context = request.data.get(&TypeId::of::<RequestContext>())?;
    context.downcast_ref()
}
