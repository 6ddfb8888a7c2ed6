//! Tasks that are polled for their result: sign-ins, validations and runs.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    accounts::{CHOICES, Conduct, PASSCODE},
    step::{Cause, Step},
};
use ambient::Random;

/// Time that a sign-in waits for the user.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
const MAX_WRONG_ANSWERS: u32 = 3;

/// Kind of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Update,
    Validate,
    Run,
}

impl Kind {
    /// Tells whether the task creates a session.
    pub(super) fn is_sign_in(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

/// Task that is about to start.
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) session_id: String,
    pub(super) conduct: Conduct,
    /// Unscaled steps.
    pub(super) steps: Vec<Step>,
}

/// Task that has started.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) kind: Kind,
    pub(super) session_id: String,
    pub(super) conduct: Conduct,
    /// Id in responses about a run.
    pub(super) run_id: String,
    pub(super) current: Step,
    /// Id of the open question, if the current step asks one.
    pub(super) info_request_id: String,
    remaining: VecDeque<Step>,
    since: Instant,
    was_polled: bool,
    wrong_answers: u32,
    answer_time: Duration,
    polls: usize,
}

/// Error for an answer to a question that is not open.
#[derive(Debug)]
pub(super) struct NotAsked;

impl Task {
    /// Creates a task whose steps are scaled by `scale`.
    pub(super) fn new(
        plan: Plan,
        scale: impl Fn(Duration) -> Duration,
        now: Instant,
        random: &Random,
    ) -> Self {
        let mut rest: VecDeque<_> = plan
            .steps
            .into_iter()
            .map(|step| match step {
                Step::Queue(time) => Step::Queue(scale(time)),
                Step::Work(time) => Step::Work(scale(time)),
                step => step,
            })
            .collect();
        Self {
            kind: plan.kind,
            session_id: plan.session_id,
            conduct: plan.conduct,
            run_id: random.uuid().to_string(),
            current: rest.pop_front().unwrap_or(Step::Succeed),
            info_request_id: random.uuid().to_string(),
            remaining: rest,
            since: now,
            was_polled: false,
            wrong_answers: 0,
            answer_time: scale(Duration::from_secs(1)),
            polls: 0,
        }
    }

    /// Takes the next step if it is due and the current one was reported.
    pub(super) fn poll(&mut self, now: Instant, random: &Random) {
        let elapsed = now.saturating_duration_since(self.since);
        if self.was_polled {
            match self.current {
                Step::Queue(time) | Step::Work(time) if elapsed >= time => {
                    self.advance(now, random);
                }
                Step::AskPasscode | Step::AskChoice if elapsed >= ANSWER_TIMEOUT => {
                    self.end(Cause::NobodyAnswered);
                }
                _ => {}
            }
        }
        self.was_polled = true;
    }

    /// Returns the time when the next step is due.
    pub(super) fn due(&self) -> Instant {
        match self.current {
            Step::Queue(time) | Step::Work(time) => self.since + time,
            _ => self.since,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.current, Step::Succeed | Step::Fail(_))
    }

    /// Ends the task without success, if it has not ended.
    pub(super) fn end(&mut self, cause: Cause) {
        if !self.has_ended() {
            self.current = Step::Fail(cause);
            self.remaining.clear();
        }
    }

    /// Accepts the user's answer. A wrong one is asked for again, a few times.
    pub(super) fn answer(
        &mut self,
        info_request_id: &str,
        input: &str,
        now: Instant,
        random: &Random,
    ) -> Result<(), NotAsked> {
        let is_right = match self.current {
            Step::AskPasscode => input == PASSCODE,
            Step::AskChoice => CHOICES.contains(&input),
            _ => return Err(NotAsked),
        };
        if info_request_id != self.info_request_id {
            return Err(NotAsked);
        }
        if !is_right {
            self.wrong_answers += 1;
            if self.wrong_answers == MAX_WRONG_ANSWERS {
                self.remaining.clear();
                self.remaining.push_front(Step::Fail(Cause::WrongAnswers));
            } else {
                self.remaining.push_front(self.current);
            }
            self.remaining.push_front(Step::Work(self.answer_time));
        }
        self.advance(now, random);
        Ok(())
    }

    /// Counts polls. For a flaky account, returns the number of a fault at every other one.
    pub(super) fn next_fault(&mut self) -> Option<usize> {
        let poll = self.polls;
        self.polls += 1;
        (self.conduct == Conduct::Flaky && poll % 2 == 1).then_some(poll / 2)
    }

    fn advance(&mut self, now: Instant, random: &Random) {
        if let Some(next) = self.remaining.pop_front() {
            self.current = next;
            self.since = now;
            self.was_polled = false;
            self.info_request_id = random.uuid().to_string();
        }
    }
}
