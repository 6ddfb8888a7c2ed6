//! The beginning of a disconnection in the database.

use uuid::Uuid;

use super::{
    change::{Change, Guard},
    error::StoreError,
    retry::retry,
    table::Store,
};
use crate::{
    audit::{self, Origin},
    connections::removal::{self, Noted},
    operations::{
        model::{Event, Operation},
        state::{Observation, transition},
    },
    platform::database::{self, Transaction},
};

/// A disconnection that has begun.
#[derive(Debug, Default)]
pub(in crate::operations) struct Disconnection {
    /// The operation that it canceled, with the event of that.
    pub(in crate::operations) canceled: Option<(Operation, Event)>,
    /// The removal of the connection's session; none when the user is not connected.
    pub(in crate::operations) noted: Option<Noted>,
}

impl Store {
    /// Cancels the user's operation in flight and notes the connection's session for removal, both or
    /// neither. The request is recorded, unless the removal was asked for before.
    pub(in crate::operations) async fn begin_disconnection(
        &self,
        user_id: Uuid,
        origin: &Origin,
        polls: impl Fn(Operation) -> Operation,
    ) -> Result<Disconnection, StoreError> {
        retry(&self.metrics, || {
            self.begin_disconnection_once(user_id, origin, &polls)
        })
        .await
    }

    async fn begin_disconnection_once(
        &self,
        user_id: Uuid,
        origin: &Origin,
        polls: impl Fn(Operation) -> Operation,
    ) -> Result<Disconnection, StoreError> {
        let transaction = database::begin(&self.database).await?;
        let marked = removal::mark(&transaction, user_id).await?;
        let mut disconnection = Disconnection::default();
        if let Some(operation) = self.in_flight_in(&transaction, user_id).await?.map(polls) {
            disconnection.canceled = self.cancel_in(&transaction, &operation, origin).await?;
        }
        if let Some(connection) = marked {
            let now = self.clock.now();
            // An attempt to renew it that was given up may still be under way at Intuned.
            let noting = removal::note_connection(&transaction, connection, now, self.timeout);
            let noted = noting.await?;
            if let Noted::Now(_) = noted {
                let requested = audit::Event::new(user_id, audit::Kind::DisconnectRequested);
                let requested = requested.by(origin);
                self.trail.record(&transaction, requested).await?;
            }
            disconnection.noted = Some(noted);
        }
        transaction.commit().await?;
        Ok(disconnection)
    }

    async fn cancel_in(
        &self,
        transaction: &Transaction,
        operation: &Operation,
        origin: &Origin,
    ) -> Result<Option<(Operation, Event)>, StoreError> {
        let Ok(Some(canceled)) = transition(&operation.state, Observation::CanceledByUser) else {
            return Ok(None);
        };
        let change = Change {
            current: operation,
            state: canceled,
            guard: Guard::Sequence(origin),
            id: self.random.uuid(),
        };
        self.apply_in(transaction, &change).await.map(Some)
    }
}
