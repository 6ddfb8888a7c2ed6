//! Subscriptions whose events are written without async-graphql.
//!
//! async-graphql validates a subscription, coerces its arguments and calls the resolver. The events
//! themselves are written by what the document's selection was compiled to, so that one costs little
//! more than the write to the socket, and a follower that waits holds little more than its place.
//! Selections that cannot be compiled (directives, or fields that are asked of Intuned) go all the way
//! through async-graphql.

mod drive;
mod fields;
mod selection;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_graphql::{
    Name, Pos, Request,
    parser::types::{ExecutableDocument, OperationType, Selection as Selected},
};
use entity::connection;
use futures_util::stream::{self, BoxStream, StreamExt};
use graphql_server::{RequestInfo, document::DocumentExtension, execute::ExecutionResult};
use written_json::WrittenJson;

pub(super) use drive::Handover;

use self::{
    fields::EventType,
    selection::{Selection, SelectionSets},
};
use super::GatewaySchema;
use crate::operations::{Event, Operation, Update};

/// The subscription that can be compiled.
const OPERATION_STATUS: &str = "operationStatus";

/// Numbers what documents select.
static WAYS: AtomicU64 = AtomicU64::new(0);

/// What a document selects from the events of an operation.
#[derive(Debug)]
pub(super) struct CompiledEvents {
    /// Stands for this way to show an event, wherever its JSON is shared.
    way: u64,
    /// What the client calls the subscription's field, and where it stands.
    field: Name,
    position: Pos,
    /// `{"field":`, as it stands before each event.
    opening: Vec<u8>,
    event: Selection<Shown>,
    reads_connection: bool,
}

/// What is kept with a document whose events are compiled.
pub(super) fn keep(document: &ExecutableDocument) -> Option<DocumentExtension> {
    let events = CompiledEvents::compile(document)?;
    Some(Arc::new(events))
}

/// The events of a subscription with whose document [`keep`] kept something.
pub(super) fn events(
    kept: &DocumentExtension,
    schema: &GatewaySchema,
    request: Request,
    info: &RequestInfo,
) -> BoxStream<'static, ExecutionResult> {
    match Arc::clone(kept).downcast() {
        Ok(events) => drive::drive(schema, request, info.id.clone(), events),
        Err(_) => stream::empty().boxed(),
    }
}

/// An event, with what is not in it by itself.
#[derive(Debug)]
struct Shown {
    update: Update,
    /// What the operation has made, where it is selected and stands.
    connection: Option<connection::Model>,
}

impl Shown {
    fn event(&self) -> &Event {
        &self.update.event
    }

    fn operation(&self) -> &Operation {
        &self.update.operation
    }
}

impl CompiledEvents {
    /// None when the document is something else, or selects what has to be resolved. It has to be within
    /// the limits, for fragments are followed; whether it is valid is seen to elsewhere.
    pub(super) fn compile(document: &ExecutableDocument) -> Option<Self> {
        let mut operations = document.operations.iter();
        let (Some((_, operation)), None) = (operations.next(), operations.next()) else {
            return None;
        };
        let [root] = operation.node.selection_set.node.items.as_slice() else {
            return None;
        };
        let Selected::Field(root) = &root.node else {
            return None;
        };
        let is_plain = operation.node.ty == OperationType::Subscription
            && operation.node.directives.is_empty()
            && root.node.directives.is_empty()
            && root.node.name.node == OPERATION_STATUS;
        if !is_plain {
            return None;
        }
        let field = root.node.response_key().node.clone();
        let sets = SelectionSets::new(document, &root.node.selection_set.node);
        let event = sets.compile::<EventType>()?;
        Some(Self {
            way: WAYS.fetch_add(1, Ordering::Relaxed),
            opening: selection::opening('{', &field)?,
            position: root.pos,
            field,
            event,
            reads_connection: sets.reads_connection(),
        })
    }

    /// `data` as it is answered for the event.
    fn write(&self, shown: &Shown) -> serde_json::Result<WrittenJson> {
        let mut json = Vec::with_capacity(256);
        json.extend_from_slice(&self.opening);
        self.event.write(shown, &mut json)?;
        json.push(b'}');
        Ok(WrittenJson::new_unchecked(json))
    }
}
