//! Fuzz targets: what users type into a sign-in, what replicas tell each other, and what Intuned answers.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use secrecy::ExposeSecret;

use super::{
    error::OperationError,
    input::{self, check_credentials},
    message::Message,
    model::Credentials,
    proxy::ProxyPolicy,
    state::{Observation, State, Watch, transition},
};
use crate::fuzzing::assert_no_canary;
use intuned_client::{InfoRequest, Question};

/// An answer to an info request, credentials, a proxy or a message between replicas, as the first byte
/// chooses. Lines are separate values.
pub fn answer(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => to_request(&text),
        1 => credentials(&text),
        2 => proxy(&text),
        _ => {
            if let Some(message) = Message::parse(&text) {
                assert_eq!(Message::parse(&message.to_string()), Some(message));
            }
        }
    }
}

fn to_request(text: &str) {
    let mut lines = text.split('\n');
    let input = lines.next().unwrap_or_default();
    let choices: Vec<String> = lines.map(str::to_owned).collect();
    let request = |question| InfoRequest {
        id: "1".into(),
        message: String::new(),
        question,
    };
    let passcode = input::answer(&request(Question::Otp), input.into());
    if let Ok(passcode) = &passcode {
        let passcode = passcode.expose_secret();
        assert!((1..=1024).contains(&passcode.len()));
        assert_eq!(passcode.trim(), passcode);
        let again = input::answer(&request(Question::Otp), passcode.into());
        assert_eq!(again.unwrap_or_default().expose_secret(), passcode);
    }
    assert!(passcode.is_ok() || input.trim().is_empty() || input.len() > 1024 || !input.is_ascii());
    let offered = choices.iter().any(|choice| choice == input);
    let choice = input::answer(&request(Question::Choice(choices)), input.into());
    assert_eq!(choice.is_ok(), offered);
    if let Ok(choice) = &choice {
        assert_eq!(choice.expose_secret(), input);
    }
    [passcode, choice].into_iter().for_each(refused_in_silence);
}

fn credentials(text: &str) {
    let (username, password) = text.split_once('\n').unwrap_or((text, text));
    let credentials = Credentials {
        username: username.into(),
        password: password.into(),
        proxy: None,
    };
    assert_no_canary(&format!("{credentials:?}"));
    let checked = check_credentials(&credentials);
    let fits = |text: &str| (1..=1024).contains(&text.len());
    assert_eq!(checked.is_ok(), fits(username) && fits(password));
    refused_in_silence(checked);
}

fn proxy(text: &str) {
    let policy = ProxyPolicy {
        allow_user_proxy: true,
        default: None,
    };
    let chosen = policy.choose(Some(text.into()));
    if let Ok(Some(proxy)) = &chosen {
        assert_eq!(proxy.expose_secret(), text, "it is passed on as it came");
        let scheme = text.trim().get(..7).unwrap_or_default();
        assert!(scheme.eq_ignore_ascii_case("http://"), "{scheme}");
    }
    refused_in_silence(chosen);
    let forbidden = ProxyPolicy::default().choose(Some(text.into()));
    assert!(forbidden.is_err());
}

fn refused_in_silence<T>(outcome: Result<T, OperationError>) {
    if let Err(error) = outcome {
        assert_no_canary(&format!("{error} {error:?}"));
    }
}

/// A body of Intuned's: whatever it is, an operation that polls it goes on or ends in words of the gateway's own.
pub fn upstream(data: &[u8]) {
    let Some(result) = intuned_client::fuzz::read_everything(data, assert_no_canary) else {
        return;
    };
    for state in under_way() {
        let observation = Observation::Polled(result.clone());
        let next = transition(&state, observation);
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
