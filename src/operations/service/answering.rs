//! Passing a user's answer on to Intuned: at most once, and recorded when Intuned has taken it.

use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

use super::Operations;
use crate::{
    audit::{self, Origin},
    operations::{
        error::OperationError,
        input,
        model::Operation,
        state::{Observation, State},
        store::{StoreError, retry},
    },
    platform::crash::{self, Point},
};
use intuned_client::{InfoRequest, IntunedError};

/// A user's answer to what a sign-in asks for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The operation that asks.
    pub operation_id: Uuid,
    /// The id of the info request.
    pub request_id: String,
    /// The passcode, or the choice.
    pub input: SecretString,
}

/// A question that an answer fits.
struct Question<'a> {
    upstream_id: &'a str,
    request: &'a InfoRequest,
    /// The answer as Intuned is to have it.
    input: SecretString,
}

impl Operations {
    /// Makes sure that [`Operations::resume`] would pass this on, as of now.
    ///
    /// # Errors
    /// The errors of [`Operations::resume`].
    pub async fn check_answer(&self, user_id: Uuid, answer: &Answer) -> Result<(), OperationError> {
        let asked = self.asked(user_id, answer).await?;
        self.question(&asked, answer).map(drop)
    }

    /// Answers what the sign-in asks the user for. The answer is sent to Intuned at most once.
    ///
    /// # Errors
    /// [`OperationError::NotFound`], [`OperationError::InfoRequestStale`],
    /// [`OperationError::Input`], [`OperationError::AnswerUndelivered`], or the database's.
    pub async fn resume(
        &self,
        user_id: Uuid,
        answer: Answer,
        origin: Origin,
    ) -> Result<Operation, OperationError> {
        let this = self.clone();
        self.to_its_end(async move { this.answer(user_id, &answer, &origin).await })
            .await
    }

    async fn answer(
        &self,
        user_id: Uuid,
        answer: &Answer,
        origin: &Origin,
    ) -> Result<Operation, OperationError> {
        let turn = self.turn(user_id).await?;
        let asked = self.asked(user_id, answer).await?;
        let question = self.question(&asked, answer)?;
        let begun = Instant::now();
        let answered = self.mark_answered(&asked, &question, origin).await?;
        drop(turn);
        crash::at(Point::PasscodeMarkedBeforeSent);
        // Of now, so that it stands before what comes of the answer.
        let event_id = self.store.random.uuid_at(self.store.clock.now());
        let sending = self.intuned.resume_create_before(
            begun + self.answer_within,
            question.upstream_id,
            &question.request.id,
            &question.input,
        );
        let sent = crash::during(Point::PasscodeUnderWay, sending).await;
        crash::at(Point::AfterPasscodeSent);
        if let Err(error) = sent {
            self.not_confirmed(&answered, question.request, error, origin)
                .await?;
        }
        self.record_answer(&answered, event_id, origin).await;
        Ok(answered)
    }

    async fn asked(&self, user_id: Uuid, answer: &Answer) -> Result<Operation, OperationError> {
        let asked = self.get(user_id, answer.operation_id).await?;
        asked.ok_or(OperationError::NotFound)
    }

    /// The question, if the answer fits it and may be sent. Nothing is written down that would have to be asked
    /// for once more.
    fn question<'a>(
        &self,
        asked: &'a Operation,
        answer: &Answer,
    ) -> Result<Question<'a>, OperationError> {
        let State::RequestedMoreInfo { watch, request } = &asked.state else {
            return Err(OperationError::InfoRequestStale);
        };
        let upstream_id = watch.upstream_id.as_deref();
        let upstream_id = upstream_id.filter(|_| request.id == answer.request_id);
        let question = Question {
            upstream_id: upstream_id.ok_or(OperationError::InfoRequestStale)?,
            request,
            input: input::answer(request, answer.input.clone())?,
        };
        let held = self.intuned.check_hold();
        held.and_then(|()| self.pauses.check(asked.id))
            .map_err(OperationError::AnswerUndelivered)?;
        Ok(question)
    }

    /// Writes the answer down before it is sent: after a crash in between nobody would know whether it was.
    async fn mark_answered(
        &self,
        asked: &Operation,
        question: &Question<'_>,
        origin: &Origin,
    ) -> Result<Operation, OperationError> {
        let request_id = question.request.id.clone();
        let observation = Observation::Answered { request_id };
        match self.change(asked, observation, origin).await {
            Err(OperationError::Store(StoreError::Superseded)) => {
                Err(OperationError::InfoRequestStale)
            }
            changed => changed,
        }
    }

    /// Handles that Intuned did not confirm the answer. All is well when it may have taken it.
    async fn not_confirmed(
        &self,
        answered: &Operation,
        request: &InfoRequest,
        error: IntunedError,
        origin: &Origin,
    ) -> Result<(), OperationError> {
        let id = answered.id;
        if error.may_have_acted() {
            tracing::warn!(operation.id = %id, %error, "whether an answer reached Intuned is not known");
            return Ok(());
        }
        match error {
            IntunedError::NotFound | IntunedError::Conflict => {
                Err(OperationError::InfoRequestStale)
            }
            IntunedError::TooLate => {
                // This process was stopped, say, and the user has perhaps been asked anew.
                tracing::warn!(operation.id = %id, "an answer was not sent: too late");
                self.ask_again(answered, request, origin).await;
                Err(OperationError::InfoRequestStale)
            }
            error => {
                tracing::warn!(operation.id = %id, %error, "an answer did not reach Intuned");
                if let IntunedError::RateLimited { retry_after } = error {
                    self.pauses.begin(id, retry_after);
                }
                self.ask_again(answered, request, origin).await;
                Err(OperationError::AnswerUndelivered(error))
            }
        }
    }

    /// Has the user asked again what was answered in vain.
    async fn ask_again(&self, answered: &Operation, request: &InfoRequest, origin: &Origin) {
        let undelivered = Observation::AnswerUndelivered(request.clone());
        if let Err(error) = self.change(answered, undelivered, origin).await {
            tracing::warn!(operation.id = %answered.id, %error, "the request could not be re-opened");
        }
    }

    async fn record_answer(&self, answered: &Operation, event_id: Uuid, origin: &Origin) {
        let event = audit::Event::new(answered.user_id, audit::Kind::InfoRequestAnswered);
        let event = audit::Event {
            operation_id: Some(answered.id),
            ..event.by(origin)
        };
        let store = &self.store;
        let recorded = retry(&store.metrics, || async {
            let recording = store
                .trail
                .record_once(&store.database, event_id, event.clone());
            Ok(recording.await?)
        });
        if let Err(error) = recorded.await {
            tracing::warn!(operation.id = %answered.id, %error, "an answer was not recorded in the audit trail");
        }
    }
}
