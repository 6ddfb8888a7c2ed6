//! Sign-ins whose creation at Intuned does not tell how they went: their auth session is asked for instead.

use super::{
    super::{
        model::Operation,
        pace::{SETTLING_LOOKS, settling_pause},
        state::{Kind, Observation, State},
    },
    Next, Tracked, Worker,
};
use intuned_client::{AuthSessionStatus, CreateResult};

/// Whether the answer is that a session was made that nobody asked for: an answer to somebody else's question,
/// perhaps. It says nothing of this operation.
pub(super) fn is_astray(operation: &Operation, result: &CreateResult) -> bool {
    matches!(result, CreateResult::Done { auth_session_id } if *auth_session_id != operation.auth_session_id)
}

impl Worker {
    /// For want of an upstream id: the session that was to be made tells how far it is.
    pub(super) async fn ask_for_session(&self, tracked: &mut Tracked) -> Next {
        if tracked.operation.kind == Kind::Reconnect {
            // Its old session would answer for itself.
            let lost = Observation::StartFailed((tracked.lost)());
            return self.take(tracked, lost).await;
        }
        let id = tracked.operation.auth_session_id.clone();
        match self.intuned.session_in_making(&id).await {
            Ok(status) => {
                tracked.faults = 0;
                tracked.looks += 1;
                let in_vain = tracked.operation.state == State::Starting
                    && tracked.looks > SETTLING_LOOKS
                    && matches!(status, Some(AuthSessionStatus::Expired) | None);
                let observation = if in_vain {
                    Observation::StartFailed((tracked.lost)())
                } else {
                    Observation::Session(status)
                };
                self.take(tracked, observation).await
            }
            Err(error) => self.fault(tracked, &error),
        }
    }

    /// Intuned has said that the creation made a session that was not asked for. Whose that is nobody knows: it
    /// is neither read nor deleted. Whether the one that was asked for stands tells itself, unless it is that of
    /// a re-connect, which may be as it was before. What stays so for several looks fails.
    pub(super) async fn went_astray(&self, tracked: &mut Tracked) -> Next {
        let operation = &tracked.operation;
        if tracked.astray == 0 {
            tracing::error!(
                operation.id = %operation.id,
                "Intuned answered a sign-in with a session that was not asked for; it is not taken"
            );
        }
        let mut is_being_made = false;
        if operation.kind == Kind::Connect {
            let status = self.intuned.session_in_making(&operation.auth_session_id);
            match status.await {
                Ok(ready @ Some(AuthSessionStatus::Ready)) => {
                    return self.take(tracked, Observation::Session(ready)).await;
                }
                Ok(status) => is_being_made = status == Some(AuthSessionStatus::Pending),
                Err(error) => return self.fault(tracked, &error),
            }
        }
        let pause = settling_pause(tracked.astray, self.pace.first_look);
        tracked.astray = tracked.astray.saturating_add(1);
        if tracked.astray > SETTLING_LOOKS && !is_being_made {
            return self.take(tracked, Observation::Astray).await;
        }
        self.progress(
            tracked,
            "Intuned's answer was about another sign-in; looking again.".into(),
        );
        let next = self.again(tracked, None);
        next.map(|next| next.max(pause))
    }
}
