//! What is heard, read leniently: fields that are not known are passed over, and odd optional ones
//! count as absent.

use async_graphql_value::ConstValue;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Value;

use super::failures::Failure;
use crate::intuned::{
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
    status: SessionStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum SessionStatus {
    Pending,
    Ready,
    Expired,
}

/// The answer of `create.result`.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum CreateAnswer {
    Pending,
    InProgress,
    RequestedMoreInfo {
        id: String,
        details: Details,
    },
    #[serde(rename_all = "camelCase")]
    Done {
        auth_session_id: String,
    },
    Failed(Failure),
    Canceled(Failure),
}

/// What `requested_more_info` asks for.
#[derive(Deserialize)]
#[serde(tag = "requestType", rename_all = "snake_case")]
enum Details {
    #[serde(rename_all = "camelCase")]
    Otp {
        #[serde(default, deserialize_with = "lenient")]
        message_to_user: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    MultipleChoice {
        #[serde(default, deserialize_with = "lenient")]
        message_to_user: Option<String>,
        choices: Vec<String>,
    },
}

/// The answer of `run.sync` and `run.result`.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum RunAnswer {
    Completed {
        #[serde(default, deserialize_with = "plain")]
        result: Value,
    },
    Failed(Failure),
    Canceled(Failure),
    /// `pending`, `started`, and whatever else may come before an end.
    #[serde(other)]
    Unfinished,
}

/// JSON as it is. A `Value` that reads itself takes what stands under one certain key for JSON in a text
/// and reads it anew, so that an answer could be nested without bounds.
pub(super) fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let value = ConstValue::deserialize(deserializer)?;
    value.into_json().map_err(D::Error::custom)
}

/// None for a field of another shape than the one that is known: a detail that makes no sense must
/// not hide the status that it came with.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = plain(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(in crate::intuned) enum RunEnd {
    Completed(Value),
    /// `status_code`: of the first generation alone.
    Failed {
        failure: UpstreamFailure,
        status_code: Option<u16>,
    },
    Canceled(UpstreamFailure),
}

/// Reads the answer of `create.start`.
pub(in crate::intuned) fn read_create_started(body: &[u8]) -> Result<String, IntunedError> {
    let answer: CreateStarted = fields(json(body)?, "no operation id")?;
    usable_id(answer.operation_id, "no operation id")
}

/// Reads the answer of `run.start`.
pub(in crate::intuned) fn read_run_started(body: &[u8]) -> Result<String, IntunedError> {
    let answer: RunStarted = fields(json(body)?, "no run id")?;
    usable_id(answer.run_id, "no run id")
}

/// Reads the answer of `one`.
pub(in crate::intuned) fn read_session(body: &[u8]) -> Result<AuthSessionStatus, IntunedError> {
    let answer: AuthSession = fields(json(body)?, "no known session status")?;
    Ok(match answer.status {
        SessionStatus::Pending => AuthSessionStatus::Pending,
        SessionStatus::Ready => AuthSessionStatus::Ready,
        SessionStatus::Expired => AuthSessionStatus::Expired,
    })
}

/// Reads the answer of `create.result`.
pub(in crate::intuned) fn read_create_result(body: &[u8]) -> Result<CreateResult, IntunedError> {
    // What is in order is read at once: there may be ten thousand a second. A list would do for serde.
    if body.starts_with(b"{")
        && let Some(result) = serde_json::from_slice(body).ok().and_then(known_result)
    {
        return Ok(result);
    }
    let body = json(body)?;
    let status = status_word(&body)?;
    let result = serde_json::from_value(body).ok().and_then(known_result);
    Ok(result.unwrap_or(CreateResult::Unknown { status }))
}

/// None for one that makes no sense.
fn known_result(answer: CreateAnswer) -> Option<CreateResult> {
    match answer {
        CreateAnswer::Pending => Some(CreateResult::Pending),
        CreateAnswer::InProgress => Some(CreateResult::InProgress),
        CreateAnswer::RequestedMoreInfo { id, details } => {
            info_request(id, details).map(CreateResult::RequestedMoreInfo)
        }
        CreateAnswer::Done { auth_session_id } => {
            is_usable_id(&auth_session_id).then_some(CreateResult::Done { auth_session_id })
        }
        CreateAnswer::Failed(failure) => Some(CreateResult::Failed(failure.into())),
        CreateAnswer::Canceled(failure) => Some(CreateResult::Canceled(failure.into())),
    }
}

/// Postgres stores texts of every character but this one.
const NUL: char = '\0';

/// The longest message that is shown to a user, in characters; the rest is cut off.
const MAX_MESSAGE: usize = 2000;

/// Choices that are offered at once, and the bytes of one: what an answer may have.
const MAX_CHOICES: usize = 100;
const MAX_CHOICE: usize = 1024;

fn info_request(id: String, details: Details) -> Option<InfoRequest> {
    let (message, question) = match details {
        Details::Otp { message_to_user } => (message_to_user, Question::Otp),
        Details::MultipleChoice {
            message_to_user,
            choices,
        } => (message_to_user, Question::Choice(choices)),
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
        message: shown(&message.unwrap_or_default()),
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

/// Reads the answer of `run.sync` or `run.result`; none while the run goes on.
pub(in crate::intuned) fn read_run(body: &[u8]) -> Result<Option<RunEnd>, IntunedError> {
    let body = json(body)?;
    status_word(&body)?;
    Ok(match fields(body, "a run that makes no sense")? {
        RunAnswer::Completed { result } => Some(RunEnd::Completed(result)),
        RunAnswer::Failed(failure) => Some(RunEnd::Failed {
            status_code: failure.status_code,
            failure: failure.into(),
        }),
        RunAnswer::Canceled(failure) => Some(RunEnd::Canceled(failure.into())),
        RunAnswer::Unfinished => None,
    })
}

/// Checks that the body is JSON, whatever it says.
pub(in crate::intuned) fn json(body: &[u8]) -> Result<Value, IntunedError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    plain(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|_| IntunedError::Unreadable { reason: "no JSON" })
}

fn fields<T: DeserializeOwned>(body: Value, missing: &'static str) -> Result<T, IntunedError> {
    serde_json::from_value(body).map_err(|_| IntunedError::Unreadable { reason: missing })
}

/// The status word, cut and cleaned until it is fit for a log.
fn status_word(body: &Value) -> Result<String, IntunedError> {
    let status = body
        .get("status")
        .and_then(Value::as_str)
        .ok_or(IntunedError::Unreadable {
            reason: "no status",
        })?;
    Ok(status
        .chars()
        .filter(char::is_ascii_graphic)
        .take(64)
        .collect())
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
pub(in crate::intuned) fn is_usable_id(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && id.len() <= 255 && !id.chars().any(char::is_control)
}
