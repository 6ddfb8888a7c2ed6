//! Executor: runs requests against the schema, and completes the responses.

use std::{fmt, sync::Arc};

use async_graphql::{
    Executor, ObjectType, Request, Response, Schema, SchemaBuilder, SubscriptionType,
    ValidationMode,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};

use super::completion::CompletionRequest;
use crate::document::{Document, PreparedDocument, SchemaTypes};

/// Runs requests against one schema. Clones share it.
#[derive(Clone)]
pub struct SchemaExecutor(Arc<dyn Execute>);

impl SchemaExecutor {
    /// Creates an executor for the schema that `build` makes and its types.
    pub fn new<Query, Mutation, Subscription>(
        build: impl Fn() -> SchemaBuilder<Query, Mutation, Subscription>,
        types: SchemaTypes,
    ) -> Self
    where
        Query: ObjectType + 'static,
        Mutation: ObjectType + 'static,
        Subscription: SubscriptionType + 'static,
    {
        Self(Arc::new(TypedExecutor {
            schema: build().finish(),
            prevalidated: build().validation_mode(ValidationMode::Fast).finish(),
            types,
        }))
    }

    /// Creates an executor that does not use a schema.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn from_executor(executor: impl Execute + 'static) -> Self {
        Self(Arc::new(executor))
    }

    /// Runs a query or a mutation of the document.
    pub fn execute(
        &self,
        request: Request,
        prepared: &PreparedDocument,
    ) -> BoxFuture<'_, Response> {
        let document = Arc::clone(&prepared.document);
        self.0.execute(prepared.with_document(request), document)
    }

    /// Runs a subscription of the document.
    pub fn execute_stream(
        &self,
        request: Request,
        prepared: &PreparedDocument,
    ) -> BoxStream<'static, Response> {
        let request = prepared.with_document(request);
        self.0.execute_stream(request, &prepared.document)
    }
}

impl fmt::Debug for SchemaExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaExecutor").finish_non_exhaustive()
    }
}

/// Executor for any root types.
pub(crate) trait Execute: Send + Sync {
    fn execute(&self, request: Request, document: Arc<Document>) -> BoxFuture<'_, Response>;

    fn execute_stream(
        &self,
        request: Request,
        document: &Arc<Document>,
    ) -> BoxStream<'static, Response>;
}

struct TypedExecutor<Query, Mutation, Subscription> {
    schema: Schema<Query, Mutation, Subscription>,
    /// Schema for documents that are known to be valid: it validates only the parts that depend on the
    /// request.
    prevalidated: Schema<Query, Mutation, Subscription>,
    types: SchemaTypes,
}

impl<Query, Mutation, Subscription> Execute for TypedExecutor<Query, Mutation, Subscription>
where
    Query: ObjectType + 'static,
    Mutation: ObjectType + 'static,
    Subscription: SubscriptionType + 'static,
{
    fn execute(&self, request: Request, document: Arc<Document>) -> BoxFuture<'_, Response> {
        let schema = if document.is_known_valid() {
            &self.prevalidated
        } else {
            &self.schema
        };
        let completion = CompletionRequest::new(&document, &request);
        // Boxed once, because it is large.
        async move { completion.complete(&self.types, schema.execute(request).await) }.boxed()
    }

    fn execute_stream(
        &self,
        request: Request,
        document: &Arc<Document>,
    ) -> BoxStream<'static, Response> {
        let completion = CompletionRequest::new(document, &request);
        let types = self.types.clone();
        Executor::execute_stream(&self.schema, request, None)
            .map(move |response| completion.complete(&types, response))
            .boxed()
    }
}
