//! Store of sessions and tasks.

use std::{collections::HashMap, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    SimulatedGeneration,
    accounts::{self, Conduct},
    step::{Cause, Step},
    task::{Kind, NotAsked, Plan, Task},
};
use ambient::Random;

/// Status of a session, as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SessionStatus {
    /// Sign-in is under way.
    Pending,
    /// Ready for runs.
    Ready,
    /// Expired.
    Expired,
}

/// An auth session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedSession {
    /// Id, chosen by its creator.
    pub id: String,
    /// Status.
    pub status: SessionStatus,
}

#[derive(Debug)]
struct Session {
    /// Successful sign-in; none before the first one.
    signed_in: Option<SignedIn>,
    /// Id of the sign-in that is under way.
    sign_in: Option<String>,
}

#[derive(Debug)]
struct SignedIn {
    conduct: Conduct,
    expires_at: Option<Instant>,
}

impl Session {
    fn status(&self, now: Instant) -> SessionStatus {
        match &self.signed_in {
            None => SessionStatus::Pending,
            Some(signed_in) => match signed_in.expires_at {
                Some(end) if end <= now => SessionStatus::Expired,
                _ => SessionStatus::Ready,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Store {
    generation: SimulatedGeneration,
    delay_scale: f64,
    random: Random,
    sessions: HashMap<String, Session>,
    tasks: HashMap<String, Task>,
}

/// Error for an unknown id.
#[derive(Debug)]
pub(super) struct Unknown;

impl Store {
    pub(super) fn new(generation: SimulatedGeneration, delay_scale: f64, random: Random) -> Self {
        Self {
            generation,
            delay_scale,
            random,
            sessions: HashMap::new(),
            tasks: HashMap::new(),
        }
    }

    /// Starts a sign-in and returns the task's id. Another one for the session is terminated.
    pub(super) fn sign_in(
        &mut self,
        kind: Kind,
        session_id: Option<&str>,
        username: &SecretString,
        password: &SecretString,
        now: Instant,
    ) -> String {
        let conduct = accounts::conduct(username.expose_secret(), password.expose_secret());
        let can_ask = self.generation == SimulatedGeneration::One;
        let session_id = match session_id {
            Some(id) => id.to_owned(),
            None => self.random.uuid().to_string(),
        };
        let plan = Plan {
            kind,
            session_id: session_id.clone(),
            conduct,
            steps: conduct.sign_in(can_ask),
        };
        let task_id = self.begin(plan, now);
        let session = self.sessions.entry(session_id).or_insert(Session {
            signed_in: None,
            sign_in: None,
        });
        if let Some(earlier) = session.sign_in.replace(task_id.clone()) {
            self.terminate(&earlier);
        }
        task_id
    }

    /// Starts a validation of a session.
    pub(super) fn validate(&mut self, session_id: &str, now: Instant) -> Result<String, Unknown> {
        self.begin_within(Kind::Validate, session_id, now)
    }

    /// Starts a run within a session.
    pub(super) fn run(&mut self, session_id: &str, now: Instant) -> Result<String, Unknown> {
        self.begin_within(Kind::Run, session_id, now)
    }

    /// Polls a task, if it is of this kind and, where one is named, of this session.
    pub(super) fn poll(
        &mut self,
        kind: Kind,
        session_id: Option<&str>,
        task_id: &str,
        now: Instant,
    ) -> Result<&Task, Unknown> {
        let task = self.tasks.get(task_id).ok_or(Unknown)?;
        if task.kind != kind || session_id.is_some_and(|id| id != task.session_id) {
            return Err(Unknown);
        }
        self.advance(task_id, now)
    }

    fn advance(&mut self, task_id: &str, now: Instant) -> Result<&Task, Unknown> {
        let task = self.tasks.get_mut(task_id).ok_or(Unknown)?;
        task.poll(now, &self.random);
        if task.kind.is_sign_in() && task.has_ended() {
            update_session(&mut self.sessions, task_id, task, now, self.delay_scale);
        }
        Ok(task)
    }

    /// Returns the number of the fault that is due when a task is polled.
    pub(super) fn next_fault(&mut self, task_id: &str) -> Option<usize> {
        self.tasks.get_mut(task_id)?.next_fault()
    }

    /// Passes the user's answer to a sign-in.
    pub(super) fn answer(
        &mut self,
        task_id: &str,
        info_request_id: &str,
        input: &SecretString,
        now: Instant,
    ) -> Result<Result<(), NotAsked>, Unknown> {
        let task = self.tasks.get_mut(task_id).ok_or(Unknown)?;
        Ok(task.answer(info_request_id, input.expose_secret(), now, &self.random))
    }

    /// Tells whether there is a session with this id.
    pub(super) fn has_session(&self, session_id: &str) -> bool {
        self.sessions.contains_key(session_id)
    }

    /// Returns a session's status, and polls its sign-in.
    pub(super) fn status(
        &mut self,
        session_id: &str,
        now: Instant,
    ) -> Result<SessionStatus, Unknown> {
        let session = self.sessions.get(session_id).ok_or(Unknown)?;
        if let Some(task_id) = session.sign_in.clone() {
            self.advance(&task_id, now)?;
        }
        let session = self.sessions.get(session_id).ok_or(Unknown)?;
        Ok(session.status(now))
    }

    pub(super) fn sessions(&self, now: Instant) -> Vec<SimulatedSession> {
        let show = |(id, session): (&String, &Session)| SimulatedSession {
            id: id.clone(),
            status: session.status(now),
        };
        self.sessions.iter().map(show).collect()
    }

    pub(super) fn delete(&mut self, session_id: &str) -> Result<(), Unknown> {
        let session = self.sessions.remove(session_id).ok_or(Unknown)?;
        if let Some(task_id) = session.sign_in {
            self.terminate(&task_id);
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, session_id: &str, now: Instant) -> bool {
        let session = self.sessions.get_mut(session_id);
        match session.and_then(|session| session.signed_in.as_mut()) {
            Some(signed_in) => {
                signed_in.expires_at = Some(now);
                true
            }
            None => false,
        }
    }

    /// Starts a task that succeeds if the session is ready.
    fn begin_within(
        &mut self,
        kind: Kind,
        session_id: &str,
        now: Instant,
    ) -> Result<String, Unknown> {
        let session = self.sessions.get(session_id).ok_or(Unknown)?;
        let end = match session.status(now) {
            SessionStatus::Ready => Step::Succeed,
            SessionStatus::Pending | SessionStatus::Expired => Step::Fail(Cause::SessionExpired),
        };
        let signed_in = session.signed_in.as_ref();
        let conduct = signed_in.map_or(Conduct::Plain, |signed_in| signed_in.conduct);
        let steps = vec![
            Step::Queue(Duration::from_millis(500)),
            Step::Work(Duration::from_millis(2_500)),
            end,
        ];
        let plan = Plan {
            kind,
            session_id: session_id.to_owned(),
            conduct,
            steps,
        };
        Ok(self.begin(plan, now))
    }

    fn begin(&mut self, plan: Plan, now: Instant) -> String {
        let scale = |time| self.scaled(time);
        let task = Task::new(plan, scale, now, &self.random);
        // A run has the same id as its task.
        let id = task.run_id.clone();
        self.tasks.insert(id.clone(), task);
        id
    }

    fn terminate(&mut self, task_id: &str) {
        if let Some(task) = self.tasks.get_mut(task_id) {
            task.end(Cause::Terminated);
        }
    }

    pub(super) fn scaled(&self, time: Duration) -> Duration {
        scaled(time, self.delay_scale)
    }
}

/// Updates a session with the result of its sign-in, once.
fn update_session(
    sessions: &mut HashMap<String, Session>,
    task_id: &str,
    task: &Task,
    now: Instant,
    delay_scale: f64,
) {
    let Some(session) = sessions.get_mut(&task.session_id) else {
        return;
    };
    if session.sign_in.as_deref() != Some(task_id) {
        return;
    }
    session.sign_in = None;
    if task.current == Step::Succeed {
        let lifetime = task.conduct.lifetime();
        session.signed_in = Some(SignedIn {
            conduct: task.conduct,
            expires_at: lifetime.map(|time| now + scaled(time, delay_scale)),
        });
    } else if session.signed_in.is_none() {
        sessions.remove(&task.session_id);
    }
}

/// Scales a duration. An invalid factor counts as 0, and the longest result is a day.
fn scaled(time: Duration, scale: f64) -> Duration {
    let scaled = Duration::try_from_secs_f64(time.as_secs_f64() * scale).unwrap_or_default();
    scaled.min(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn store(delay_scale: f64) -> Store {
        Store::new(SimulatedGeneration::Two, delay_scale, Random::from_seed(1))
    }

    fn sign_in(store: &mut Store, username: &str) -> String {
        let (username, password) = (username.into(), "admin123".into());
        store.sign_in(
            Kind::Create,
            Some("s"),
            &username,
            &password,
            Instant::now(),
        )
    }

    fn step(store: &mut Store, task_id: &str) -> Step {
        let task = store.poll(Kind::Create, None, task_id, Instant::now());
        task.unwrap().current
    }

    #[tokio::test(start_paused = true)]
    async fn slow_account_takes_a_minute() {
        let mut store = store(1.0);
        let task = sign_in(&mut store, "slow");
        assert!(matches!(step(&mut store, &task), Step::Queue(_)));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(matches!(step(&mut store, &task), Step::Work(_)));
        }
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            step(&mut store, &task);
        }
        assert_eq!(step(&mut store, &task), Step::Succeed);
    }

    #[tokio::test(start_paused = true)]
    async fn session_of_the_expires_account_ends_after_a_minute() {
        let mut store = store(1.0);
        let task = sign_in(&mut store, "expires");
        while step(&mut store, &task) != Step::Succeed {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::advance(Duration::from_secs(59)).await;
        let status = store.status("s", Instant::now()).unwrap();
        assert_eq!(status, SessionStatus::Ready);
        tokio::time::advance(Duration::from_secs(1)).await;
        let status = store.status("s", Instant::now()).unwrap();
        assert_eq!(status, SessionStatus::Expired);
    }

    #[rstest]
    #[case(0.0, 0)]
    #[case(0.5, 30)]
    #[case(2.0, 120)]
    #[case(-1.0, 0)]
    #[case(f64::NAN, 0)]
    #[case(f64::INFINITY, 0)]
    #[case(1e12, 86_400)]
    fn delays_are_scaled(#[case] scale: f64, #[case] seconds: u64) {
        let scaled = store(scale).scaled(Duration::from_mins(1));
        assert_eq!(scaled, Duration::from_secs(seconds));
    }
}
