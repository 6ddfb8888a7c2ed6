//! Any bytes in the place of Intuned's answers.

#![expect(
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use written_json::WrittenJson;

use super::{
    CreateResult, Question, UpstreamFailure, transport,
    wire::{
        is_usable_id, read_create_result, read_create_started, read_run, read_run_started,
        read_session,
    },
};

/// One body, read as the answer of every call: nothing that is read escapes its bounds. Returns what it says of a
/// sign-in. `check` panics where a text repeats what it must not.
pub fn read_everything(data: &[u8], check: fn(&str)) -> Option<CreateResult> {
    retry_after(data);
    let data = match WrittenJson::parse(data.to_vec()) {
        Ok(data) => data,
        Err(error) => {
            check(&format!("{error:?} {error}"));
            return None;
        }
    };
    let data = &data;
    for id in [read_create_started(data), read_run_started(data)]
        .into_iter()
        .flatten()
    {
        assert!(is_usable_id(&id) && !id.contains('\0') && id.len() <= 255);
    }
    for error in [
        read_session(data, "s").err(),
        read_run(data, Some("r")).err(),
        read_create_started(data).err(),
        read_create_result(data).err(),
    ] {
        check(&format!("{error:?}"));
    }
    let result = read_create_result(data);
    match &result {
        Ok(result) => bounded(result, check),
        Err(error) => assert!(error.is_transient(), "a bad answer is waited out"),
    }
    result.ok()
}

fn bounded(result: &CreateResult, check: fn(&str)) {
    match result {
        CreateResult::RequestedMoreInfo(request) => {
            assert!(is_usable_id(&request.id));
            let odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
            assert!(!request.message.contains(odd) && request.message.chars().count() <= 2000);
            if let Question::Choice(choices) = &request.question {
                assert!((1..=100).contains(&choices.len()));
                assert!(choices.iter().all(|choice| !choice.contains('\0')));
            }
        }
        CreateResult::Done { auth_session_id } => assert!(is_usable_id(auth_session_id)),
        CreateResult::Unknown { status } => {
            assert!(status.len() <= 64 && status.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        CreateResult::Failed(failure) | CreateResult::Canceled(failure) => {
            check(&format!("{:?}", unreferring(failure)));
        }
        CreateResult::Pending | CreateResult::InProgress => {}
    }
}

/// Without the correlation id, which is shown as it came: what has the shape of one.
fn unreferring(failure: &UpstreamFailure) -> UpstreamFailure {
    let reference = failure.reference.as_deref().unwrap_or_default();
    let of_words = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    assert!(reference.len() <= 128 && reference.bytes().all(of_words));
    UpstreamFailure {
        reference: None,
        ..failure.clone()
    }
}

fn retry_after(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    let wait = transport::retry_after(&headers, DateTime::UNIX_EPOCH);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_mins(1)));
}
