//! Faults: scripted failures of calls.

use std::{
    collections::{HashMap, VecDeque},
    future::{self, Future},
    io,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::time::Instant;

/// Kind of call.
#[expect(missing_docs, reason = "named as Intuned's clients name them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    CreateStart,
    CreateResult,
    CreateResume,
    One,
    All,
    Delete,
    RunSync,
    RunStart,
    RunResult,
    ValidateStart,
    ValidateResult,
    UpdateStart,
    UpdateResult,
}

/// Failure of a call.
#[derive(Clone, Debug)]
pub struct Fault {
    delay: Duration,
    after_work: bool,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
enum Outcome {
    Correct,
    Answer {
        status: StatusCode,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: String,
    },
    Drop,
    Hang,
}

impl Fault {
    /// Responds with this status, without doing the work. An invalid status is sent as 500.
    pub fn answer(status: u16) -> Self {
        Self::outcome(Outcome::Answer {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: String::new(),
        })
    }

    /// Breaks the connection off within the response, without doing the work.
    pub fn drop() -> Self {
        Self::outcome(Outcome::Drop)
    }

    /// Never responds, and does not do the work.
    pub fn hang() -> Self {
        Self::outcome(Outcome::Hang)
    }

    /// Responds correctly after a delay.
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::outcome(Outcome::Correct)
        }
    }

    /// Adds a delay before everything else.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Does the work before the failure.
    pub fn after_work(mut self) -> Self {
        self.after_work = true;
        self
    }

    /// Adds a header to the response; an invalid one is left out.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Outcome::Answer { headers, .. } = &mut self.outcome
            && let (Ok(name), Ok(value)) = (name.parse(), value.parse())
        {
            headers.push((name, value));
        }
        self
    }

    /// Adds a body to the response.
    pub fn with_body(mut self, text: impl Into<String>) -> Self {
        if let Outcome::Answer { body, .. } = &mut self.outcome {
            *body = text.into();
        }
        self
    }

    /// Responds to a call, whose work is `work`, or does not respond.
    pub(super) async fn respond(self, work: impl Future<Output = Response>) -> Response {
        tokio::time::sleep(self.delay).await;
        if let Outcome::Correct = self.outcome {
            return work.await;
        }
        if self.after_work {
            work.await;
        }
        match self.outcome {
            Outcome::Correct | Outcome::Hang => future::pending().await,
            Outcome::Drop => {
                let cut = Err::<&str, _>(io::Error::from(io::ErrorKind::ConnectionReset));
                Body::from_stream(stream::iter([Ok("{\"status\":"), cut])).into_response()
            }
            Outcome::Answer {
                status,
                headers,
                body,
            } => {
                let mut response = (status, body).into_response();
                response.headers_mut().extend(headers);
                response
            }
        }
    }

    fn outcome(outcome: Outcome) -> Self {
        Self {
            delay: Duration::ZERO,
            after_work: false,
            outcome,
        }
    }
}

/// Returns one of a flaky account's failures in turn; none after the last.
///
/// `pause` is the value of `Retry-After`.
pub(super) fn flaky(number: usize, pause: Duration) -> Option<Fault> {
    let seconds = pause.as_secs_f64().ceil().to_string();
    match number {
        0 => Some(Fault::answer(502).with_body("<html>Bad Gateway</html>")),
        1 => Some(Fault::answer(429).with_header("retry-after", &seconds)),
        2 => Some(Fault::drop()),
        3 => Some(Fault::answer(200).with_body("<html>Just a moment...</html>")),
        4 => Some(Fault::answer(503).with_header("retry-after", &seconds)),
        5 => Some(Fault::answer(500)),
        _ => None,
    }
}

/// Rate limit on all calls of one key.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Calls in each second.
    pub each_second: usize,
    /// Value of `Retry-After` for calls beyond the limit, in whole seconds.
    pub retry_after: Duration,
}

/// Scripted faults and counts of calls.
#[derive(Debug, Default)]
pub(super) struct Script {
    calls: HashMap<Call, usize>,
    faults: HashMap<Call, VecDeque<Fault>>,
    limit: Option<RateLimit>,
    /// Times of calls that count against the limit.
    recent_calls: VecDeque<Instant>,
}

impl Script {
    pub(super) fn calls(&self, call: Call) -> usize {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    pub(super) fn push(&mut self, call: Call, times: usize, fault: &Fault) {
        let faults = self.faults.entry(call).or_default();
        faults.extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(super) fn limit(&mut self, limit: RateLimit) {
        self.limit = Some(limit);
    }

    /// Counts a call, and returns its fault, if it has one.
    pub(super) fn next(&mut self, call: Call, now: Instant) -> Option<Fault> {
        *self.calls.entry(call).or_default() += 1;
        let scripted = self.faults.get_mut(&call).and_then(VecDeque::pop_front);
        scripted.or_else(|| self.check_limit(now))
    }

    fn check_limit(&mut self, now: Instant) -> Option<Fault> {
        let limit = self.limit?;
        let second = Duration::from_secs(1);
        let is_past = |at: &Instant| now.saturating_duration_since(*at) >= second;
        while self.recent_calls.front().is_some_and(is_past) {
            self.recent_calls.pop_front();
        }
        if self.recent_calls.len() < limit.each_second {
            self.recent_calls.push_back(now);
            return None;
        }
        let seconds = limit.retry_after.as_secs().to_string();
        Some(Fault::answer(429).with_header("retry-after", &seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_over_the_limit_get_429_for_a_second() {
        let mut script = Script::default();
        script.limit(RateLimit {
            each_second: 2,
            retry_after: Duration::from_secs(10),
        });
        let mut is_answered = || script.next(Call::One, Instant::now()).is_none();
        assert!(is_answered());
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(is_answered());
        assert!(!is_answered());
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(is_answered());
        assert!(!is_answered());
        assert_eq!(script.calls(Call::One), 5);
    }
}
