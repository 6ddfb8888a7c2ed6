//! Beginning to connect a user's account.

use trace_context::TraceContext;
use uuid::Uuid;

use super::Operations;
use crate::{
    audit::Origin,
    operations::{
        drive::{Command, Start},
        error::OperationError,
        input, metric_labels,
        model::{Credentials, Event, Operation},
        state::{Failure, Observation},
        store::Inserted,
    },
    platform::crash::{self, Point},
};

/// The outcome of a wish to connect.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The operation that connects the account.
    pub operation: Operation,
    /// True when it begins with this; else it was begun before, with the same idempotency key.
    pub is_new: bool,
}

impl Operations {
    /// Makes sure that [`Operations::connect`] would accept these.
    ///
    /// # Errors
    /// [`OperationError::Input`].
    pub fn check_input(
        credentials: &Credentials,
        idempotency_key: Option<&str>,
    ) -> Result<(), OperationError> {
        input::check_credentials(credentials)?;
        input::check_idempotency_key(idempotency_key)
    }

    /// The operation that a repeat with this key is answered with; none when [`Operations::connect`] would begin anew.
    ///
    /// # Errors
    /// The errors of [`Operations::connect`].
    pub async fn begun(
        &self,
        user_id: Uuid,
        credentials: &Credentials,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Operation>, OperationError> {
        // In this order: what is in flight may be what the key has begun just now.
        let busy = self.store.in_flight(user_id).await?;
        let key = idempotency_key.map(|text| self.fingerprints.key(text, credentials));
        if let Some(key) = key
            && let Some(repeated) = self.store.by_idempotency_key(user_id, &key).await?
        {
            return Ok(Some(repeated));
        }
        match busy {
            Some(busy) => Err(OperationError::InProgress {
                operation_id: busy.id,
            }),
            None => Ok(None),
        }
    }

    /// Begins to connect or re-connect the user's account and returns at once.
    ///
    /// # Errors
    /// [`OperationError::Input`], [`OperationError::InProgress`], [`StoreError::KeyReused`](crate::operations::StoreError::KeyReused), or the database's.
    pub async fn connect(
        &self,
        user_id: Uuid,
        mut credentials: Credentials,
        idempotency_key: Option<String>,
        origin: Origin,
    ) -> Result<Connected, OperationError> {
        Self::check_input(&credentials, idempotency_key.as_deref())?;
        // As it was given: which proxy stands in for none is the operator's choice.
        let key = idempotency_key.map(|text| self.fingerprints.key(&text, &credentials));
        credentials.proxy = self.proxies.choose(credentials.proxy)?;
        let this = self.clone();
        self.to_its_end(async move {
            crash::at(Point::BeforeRow);
            let _turn = this.turn(user_id).await?;
            match this.store.insert(user_id, key.as_ref(), &origin).await? {
                Inserted::Busy(operation_id) => Err(OperationError::InProgress { operation_id }),
                Inserted::Repeat(operation) => Ok(Connected {
                    operation,
                    is_new: false,
                }),
                Inserted::New(operation, event) => {
                    crash::at(Point::AfterRow);
                    Ok(Connected {
                        operation: this.hand_over(operation, event, credentials).await,
                        is_new: true,
                    })
                }
            }
        })
        .await
    }

    /// Hands a new operation to the supervisor. Answers it as it is then.
    async fn hand_over(
        &self,
        operation: Operation,
        event: Event,
        credentials: Credentials,
    ) -> Operation {
        metric_labels::started(&self.store.metrics, &operation);
        tracing::info!(operation.id = %operation.id, operation.kind = ?operation.kind, "an operation began");
        self.bus.note_driven(&operation);
        self.bus.publish(&operation, event);
        let start = Box::new(Start {
            operation: operation.clone(),
            credentials,
            trace: TraceContext::current(),
        });
        if self.tell(Command::Start(start)).await.is_ok() {
            return operation;
        }
        // Shutting down, and nothing was sent.
        tracing::warn!(operation.id = %operation.id, "an operation was not handed to Intuned any more");
        let interrupted = Observation::StartFailed(Failure::interrupted());
        let by_itself = Origin::default();
        let ended = self.change(&operation, interrupted, &by_itself).await;
        self.bus.forget_driven(operation.id);
        ended.unwrap_or(operation)
    }
}
