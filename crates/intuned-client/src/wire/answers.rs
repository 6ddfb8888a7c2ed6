//! What is heard, read leniently: fields that are not known are passed over, and odd optional ones
//! count as absent.

use serde::Deserialize;
use serde_json::value::RawValue;

use written_json::{WrittenJson, lenient};

use super::failures::Failure;
use crate::{
    AuthSessionStatus, CreateResult, InfoRequest, IntunedError, Question, UpstreamFailure,
};

/// The answer of `create.start`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateStarted {
    operation_id: String,
}

/// The answer of `run.start`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunStarted {
    run_id: String,
}

/// The answer of `one`.
#[derive(Deserialize)]
struct AuthSession {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    status: SessionStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum SessionStatus {
    Pending,
    Ready,
    Expired,
}

/// What each answer about something under way has.
#[derive(Deserialize)]
struct Progress {
    #[serde(default, deserialize_with = "lenient")]
    status: Option<String>,
}

/// The fields of `requested_more_info`.
#[derive(Deserialize)]
struct MoreInfo {
    id: String,
    details: Details,
}

/// What `requested_more_info` asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    request_type: RequestType,
    #[serde(default, deserialize_with = "lenient")]
    message_to_user: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    choices: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RequestType {
    Otp,
    MultipleChoice,
}

/// The fields of a creation that is `done`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    auth_session_id: String,
}

/// The fields of a run that is `completed`.
#[derive(Deserialize)]
struct Completed<'a> {
    #[serde(default, rename = "runId", deserialize_with = "lenient")]
    run_id: Option<String>,
    /// Any JSON at all, of any depth.
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(crate) enum RunEnd {
    Completed(WrittenJson),
    /// Larger than a result may be.
    TooLarge,
    /// `status_code`: of the first generation alone.
    Failed {
        failure: UpstreamFailure,
        status_code: Option<u16>,
    },
    Canceled(UpstreamFailure),
}

/// Reads the answer of `create.start`.
pub(crate) fn read_create_started(body: &WrittenJson) -> Result<String, IntunedError> {
    let answer: CreateStarted = fields(body, "no operation id")?;
    usable_id(answer.operation_id, "no operation id")
}

/// Reads the answer of `run.start`.
pub(crate) fn read_run_started(body: &WrittenJson) -> Result<String, IntunedError> {
    let answer: RunStarted = fields(body, "no run id")?;
    usable_id(answer.run_id, "no run id")
}

/// Reads the answer of `one` about the session of this id.
pub(crate) fn read_session(
    body: &WrittenJson,
    id: &str,
) -> Result<AuthSessionStatus, IntunedError> {
    let answer: AuthSession = fields(body, "no known session status")?;
    if answer.id.is_some_and(|of| of != id) {
        return Err(astray("of another session"));
    }
    Ok(match answer.status {
        SessionStatus::Pending => AuthSessionStatus::Pending,
        SessionStatus::Ready => AuthSessionStatus::Ready,
        SessionStatus::Expired => AuthSessionStatus::Expired,
    })
}

/// Reads the answer of `create.result`.
pub(crate) fn read_create_result(body: &WrittenJson) -> Result<CreateResult, IntunedError> {
    let status = status_word(body)?;
    Ok(
        known_result(&status, body).unwrap_or(CreateResult::Unknown {
            status: loggable(&status),
        }),
    )
}

/// None for one that makes no sense.
fn known_result(status: &str, body: &WrittenJson) -> Option<CreateResult> {
    match status {
        "pending" => Some(CreateResult::Pending),
        "in_progress" => Some(CreateResult::InProgress),
        "requested_more_info" => {
            let MoreInfo { id, details } = body.read().ok()?;
            info_request(id, details).map(CreateResult::RequestedMoreInfo)
        }
        "done" => {
            let Done { auth_session_id } = body.read().ok()?;
            is_usable_id(&auth_session_id).then_some(CreateResult::Done { auth_session_id })
        }
        "failed" => Some(CreateResult::Failed(failure(body)?.into())),
        "canceled" => Some(CreateResult::Canceled(failure(body)?.into())),
        _ => None,
    }
}

fn failure(body: &WrittenJson) -> Option<Failure> {
    body.read().ok()
}

/// Postgres stores texts of every character but this one.
const NUL: char = '\0';

/// The longest message that is shown to a user, in characters; the rest is cut off.
const MAX_MESSAGE: usize = 2000;

/// Choices that are offered at once, and the bytes of one: what an answer may have.
const MAX_CHOICES: usize = 100;
const MAX_CHOICE: usize = 1024;

fn info_request(id: String, details: Details) -> Option<InfoRequest> {
    let question = match details.request_type {
        RequestType::Otp => Question::Otp,
        RequestType::MultipleChoice => Question::Choice(details.choices?),
    };
    let answerable = match &question {
        Question::Otp => true,
        Question::Choice(choices) => {
            (1..=MAX_CHOICES).contains(&choices.len())
                && choices
                    .iter()
                    .all(|choice| choice.len() <= MAX_CHOICE && !choice.contains(NUL))
        }
    };
    (answerable && is_usable_id(&id)).then(|| InfoRequest {
        id,
        message: shown(&details.message_to_user.unwrap_or_default()),
        question,
    })
}

/// Intuned's words as they are shown: lines of text, no control characters, nothing that turns the
/// direction of what follows, and not without end.
fn shown(message: &str) -> String {
    let turns = |character| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown: String = message
        .chars()
        .filter(|character| {
            matches!(character, '\n' | '\t') || !(character.is_control() || turns(*character))
        })
        .take(MAX_MESSAGE + 1)
        .collect();
    if shown.chars().count() > MAX_MESSAGE {
        shown = shown.chars().take(MAX_MESSAGE - 1).chain(['…']).collect();
    }
    shown
}

/// Reads the answer of `run.sync`, or of `run.result` about the run of this id; none while the run goes on.
pub(crate) fn read_run(
    body: &WrittenJson,
    id: Option<&str>,
) -> Result<Option<RunEnd>, IntunedError> {
    const NO_SENSE: &str = "a run that makes no sense";
    Ok(match status_word(body)?.as_str() {
        "completed" => {
            let Completed { run_id, result } = fields(body, NO_SENSE)?;
            // What another run brought is nobody's to see.
            if run_id.is_some_and(|of| id.is_some_and(|id| of != id)) {
                return Err(astray("of another run"));
            }
            let result = result.map_or_else(WrittenJson::null, WrittenJson::from_raw_value);
            Some(RunEnd::Completed(result))
        }
        "failed" => {
            let failure: Failure = fields(body, NO_SENSE)?;
            Some(RunEnd::Failed {
                status_code: failure.status_code,
                failure: failure.into(),
            })
        }
        "canceled" => {
            let reason: Failure = fields(body, NO_SENSE)?;
            Some(RunEnd::Canceled(reason.into()))
        }
        // `pending`, `started`, and whatever else may come before an end.
        _ => None,
    })
}

/// An answer about something else than what was asked about.
fn astray(reason: &'static str) -> IntunedError {
    tracing::error!(
        "an answer of Intuned's is {reason} than the one that it was asked about; it counts for nothing"
    );
    IntunedError::Unreadable { reason }
}

fn fields<'a, T: Deserialize<'a>>(
    body: &'a WrittenJson,
    missing: &'static str,
) -> Result<T, IntunedError> {
    let unreadable = IntunedError::Unreadable { reason: missing };
    body.read().map_err(|_| unreadable)
}

fn status_word(body: &WrittenJson) -> Result<String, IntunedError> {
    const NO_STATUS: IntunedError = IntunedError::Unreadable {
        reason: "no status",
    };
    let Progress { status } = body.read().map_err(|_| NO_STATUS)?;
    status.ok_or(NO_STATUS)
}

/// The status word, cut and cleaned until it is fit for a log.
fn loggable(status: &str) -> String {
    let letters = status.chars().filter(char::is_ascii_graphic);
    letters.take(64).collect()
}

fn usable_id(id: String, missing: &'static str) -> Result<String, IntunedError> {
    if is_usable_id(&id) {
        Ok(id)
    } else {
        Err(IntunedError::Unreadable { reason: missing })
    }
}

/// Whether an id can be stored and be a segment of a path. `.` and `..` would lead elsewhere, and
/// so would they with control characters in between, which URLs drop.
pub(crate) fn is_usable_id(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && id.len() <= 255 && !id.chars().any(char::is_control)
}
