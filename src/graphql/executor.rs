//! Runs requests against the schema, each query and mutation with loaders of its own.

use std::sync::Arc;

use async_graphql::{BatchRequest, BatchResponse, Data, Executor, Request, Response};
use futures_util::stream::BoxStream;

use super::{GatewaySchema, loaders::RequestStatuses};
use crate::connections::Connections;

/// What the transports execute requests with.
#[derive(Clone)]
pub struct GatewayExecutor {
    schema: GatewaySchema,
    connections: Connections,
}

impl GatewayExecutor {
    /// Executes against `schema`.
    pub fn new(schema: GatewaySchema, connections: Connections) -> Self {
        Self {
            schema,
            connections,
        }
    }
}

impl Executor for GatewayExecutor {
    async fn execute(&self, request: Request) -> Response {
        let statuses = RequestStatuses::new(self.connections.clone());
        self.schema.execute(request.data(statuses)).await
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
        Executor::execute_stream(&self.schema, request, session_data)
    }
}
