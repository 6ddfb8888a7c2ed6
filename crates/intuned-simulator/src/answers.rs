//! Response bodies of both API generations.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    SessionStatus, SimulatedGeneration, SimulatedSession,
    accounts::CHOICES,
    step::{Cause, Step},
    task::Task,
};
use SimulatedGeneration::{One, Two};

/// Builds the response of `create.result`, `update.result` and `validate.result`.
pub(super) fn operation(generation: SimulatedGeneration, task: &Task) -> Value {
    match (task.current, generation) {
        (Step::Queue(_), _) | (Step::Work(_), One) => json!({"status": "pending"}),
        (Step::Work(_), Two) => json!({"status": "in_progress", "runId": task.run_id}),
        (Step::AskPasscode, _) => info_request(
            task,
            &json!({
                "requestType": "otp",
                "action": "request_more_info",
                "messageToUser": "Enter the passcode that was sent to you",
            }),
        ),
        (Step::AskChoice, _) => info_request(
            task,
            &json!({
                "requestType": "multiple_choice",
                "action": "request_more_info",
                "messageToUser": "How do you want to receive the passcode?",
                "choices": CHOICES,
            }),
        ),
        (Step::Succeed, _) => json!({"status": "done", "authSessionId": task.session_id}),
        (Step::Fail(cause), One) => json!({
            "status": "failed",
            "error": "auth-session-creation-failed",
            "message": cause.message(),
        }),
        (Step::Fail(cause), Two) => failed(task, cause),
    }
}

/// Response of `run.sync` and `run.result`.
#[derive(Serialize)]
pub(super) struct Run {
    #[serde(flatten)]
    fields: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<RunResult>,
}

/// Result of a successful run.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum RunResult {
    Claims(Value),
    /// JSON as text, of any depth and with any digits.
    Text(Box<RawValue>),
}

/// Builds the response of `run.sync` and `run.result`; `result` is that of a successful run.
pub(super) fn run(
    generation: SimulatedGeneration,
    task: &Task,
    result: impl FnOnce() -> RunResult,
) -> Run {
    let mut fields = match (task.current, generation) {
        (Step::Succeed, One) => json!({"status": "completed", "statusCode": 200}),
        (Step::Succeed, Two) => json!({"status": "completed"}),
        (Step::Fail(cause), One) => json!({
            "status": "failed",
            "error": "run-failed",
            "message": cause.message(),
            "statusCode": 401,
        }),
        (Step::Fail(cause), Two) => failed(task, cause),
        (Step::Work(_), Two) => json!({"status": "started"}),
        _ => json!({"status": "pending"}),
    };
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("runId".to_owned(), json!(task.run_id));
    }
    Run {
        fields,
        result: (task.current == Step::Succeed).then(result),
    }
}

/// Builds the response of `one`, and each item of that of `all`.
pub(super) fn session(generation: SimulatedGeneration, session: &SimulatedSession) -> Value {
    let SimulatedSession { id, status } = session;
    let status: &SessionStatus = status;
    match generation {
        One => json!({"id": id, "status": status}),
        Two => json!({"id": id, "status": status, "type": "CREDENTIALS"}),
    }
}

fn info_request(task: &Task, details: &Value) -> Value {
    json!({
        "status": "requested_more_info",
        "id": task.info_request_id,
        "details": details,
    })
}

fn failed(task: &Task, cause: Cause) -> Value {
    let message = cause.message();
    let (code, category) = match cause {
        Cause::Terminated => {
            return json!({
                "status": "canceled",
                "message": message,
                "reason": {"type": "terminated", "message": message},
            });
        }
        Cause::SessionExpired => ("auth-check-failed", "auth"),
        Cause::Rejected | Cause::WrongAnswers => ("create-attempts-failed", "auth"),
        Cause::NobodyAnswered | Cause::CannotAsk => ("create-attempts-failed", "user"),
    };
    json!({
        "status": "failed",
        "message": message,
        "error": {
            "message": message,
            "code": code,
            "category": category,
            "retirable": false,
            "correlation_id": task.run_id,
        },
    })
}

impl Cause {
    fn message(self) -> &'static str {
        match self {
            Self::Rejected => "OrangeHRM answered: Invalid credentials",
            Self::WrongAnswers => "The passcode was wrong too many times",
            Self::NobodyAnswered => "Nobody answered in time",
            Self::CannotAsk => "The sign-in asked for a passcode, and nobody can be asked for one",
            Self::SessionExpired => "The auth session has expired",
            Self::Terminated => "The sign-in was terminated",
        }
    }
}
