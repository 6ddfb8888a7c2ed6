//! Any bytes in the place of Intuned's answers.

#![expect(
    clippy::panic,
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
use crate::{
    fuzzing::assert_no_canary,
    operations::state::{Observation, State, Watch, observe},
};

/// One body, read as the answer of every call: nothing that is read escapes its bounds, and whatever
/// it is, an operation that polls it goes on or ends in words of the gateway's own.
pub fn upstream(data: &[u8]) {
    retry_after(data);
    let data = match WrittenJson::check(data.to_vec()) {
        Ok(data) => data,
        Err(error) => return assert_no_canary(&format!("{error:?} {error}")),
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
        assert_no_canary(&format!("{error:?}"));
    }
    match read_create_result(data) {
        Ok(result) => polled(&result),
        Err(error) => assert!(error.is_transient(), "a bad answer is waited out"),
    }
}

fn polled(result: &CreateResult) {
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
            assert_no_canary(&format!("{:?}", unreferring(failure)));
        }
        CreateResult::Pending | CreateResult::InProgress => {}
    }
    for state in under_way() {
        let observation = Observation::Polled(result.clone());
        let next = observe(&state, observation);
        let Ok(next) = next else {
            panic!("a poll's answer makes no sense while {state:?}");
        };
        if let Some(next) = next {
            assert_ne!(next, state);
            assert_no_canary(&next.message());
            if let State::Failed(failure) | State::Canceled(failure) = &next {
                assert_no_canary(&format!("{:?} {}", failure.code, failure.message));
            }
        }
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

/// States in which Intuned is polled.
fn under_way() -> [State; 3] {
    let watch = |answered: Option<&str>| Watch {
        upstream_id: Some("up".into()),
        answered: answered.map(str::to_owned),
    };
    [
        State::Pending(watch(None)),
        State::InProgress(watch(None)),
        State::InProgress(watch(Some("q1"))),
    ]
}

fn retry_after(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    let wait = transport::retry_after(&headers, DateTime::UNIX_EPOCH);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_mins(1)));
}
