//! Sign-ins whose creation at Intuned does not tell how they went: their auth session is asked for instead.

use super::{
    super::{command::Step, poll_schedule::SETTLING_LOOKS, progress::Progress},
    Steps,
};
use crate::operations::{
    state::{Kind, Observation, State},
    wording,
};
use intuned_client::AuthSessionStatus;

impl Steps {
    /// Asks for the session that was to be made, for want of an upstream id.
    pub(super) async fn ask_for_session(&self, progress: &mut Progress) -> Step {
        if progress.operation.kind == Kind::Reconnect {
            // Its old session would answer for itself.
            let lost = Observation::StartFailed((progress.lost)());
            return self.apply(progress, lost).await;
        }
        let id = progress.operation.auth_session_id.clone();
        match self.intuned.session_in_making(&id).await {
            Ok(status) => {
                progress.faults = 0;
                progress.looks += 1;
                let in_vain = progress.operation.state == State::Starting
                    && progress.looks > SETTLING_LOOKS
                    && matches!(status, Some(AuthSessionStatus::Expired) | None);
                let observation = if in_vain {
                    Observation::StartFailed((progress.lost)())
                } else {
                    Observation::Session(status)
                };
                self.apply(progress, observation).await
            }
            Err(error) => self.fault(progress, &error),
        }
    }

    /// Intuned has said that the creation made a session that was not asked for. Whose that is nobody knows: it
    /// is neither read nor deleted. Whether the one that was asked for stands tells itself, unless it is that of
    /// a re-connect, which may be as it was before. What stays so for several looks fails.
    pub(super) async fn went_astray(&self, progress: &mut Progress) -> Step {
        let operation = &progress.operation;
        if progress.astray == 0 {
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
                    return self.apply(progress, Observation::Session(ready)).await;
                }
                Ok(status) => is_being_made = status == Some(AuthSessionStatus::Pending),
                Err(error) => return self.fault(progress, &error),
            }
        }
        let pause = self.poll_schedule.settling_pause(progress.astray);
        progress.astray = progress.astray.saturating_add(1);
        if progress.astray > SETTLING_LOOKS && !is_being_made {
            return self.apply(progress, Observation::Astray).await;
        }
        self.report(progress, wording::ASTRAY.into());
        self.reschedule_after(progress, pause)
    }
}
