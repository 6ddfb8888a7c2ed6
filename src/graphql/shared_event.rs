//! Events that are rendered once for all who follow the same operation with the same selection.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError},
};

use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, ServerResult, Value, parser::types::Field,
    registry::Registry,
};
use bytes::Bytes;

use super::{documents::SharedWay, operation::OperationEvent};
use crate::operations::{Renderings, Update};

/// An event, and what others made of it. For a request with a [`SharedWay`] it resolves to
/// [`Value::Binary`], which no other type of the schema does: the JSON of what was selected.
pub(super) struct SharedEvent {
    event: OperationEvent,
    renderings: Option<Arc<Renderings>>,
}

impl From<Update> for SharedEvent {
    fn from(mut update: Update) -> Self {
        let renderings = update.renderings.take();
        Self {
            event: update.into(),
            renderings,
        }
    }
}

impl OutputType for SharedEvent {
    fn type_name() -> Cow<'static, str> {
        <OperationEvent as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <OperationEvent as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let way = context.data_opt::<SharedWay>().copied();
        let (Some(SharedWay(way)), Some(renderings)) = (way, &self.renderings) else {
            return self.event.resolve(context, field).await;
        };
        if let Some(made) = renderings.get(way) {
            return Ok(Value::Binary(made));
        }
        let value = self.event.resolve(context, field).await?;
        match rendered(context, &value) {
            Some(made) => {
                renderings.put(way, made.clone());
                Ok(Value::Binary(made))
            }
            None => Ok(value),
        }
    }
}

/// The value as JSON; none when some of it could not be resolved, for its errors go with it.
fn rendered(context: &ContextSelectionSet<'_>, value: &Value) -> Option<Bytes> {
    let errors = context.query_env.errors.lock();
    let is_whole = errors.unwrap_or_else(PoisonError::into_inner).is_empty();
    let json = is_whole.then(|| serde_json::to_vec(value))?;
    json.ok().map(Bytes::from)
}
