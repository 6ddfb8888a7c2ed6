use rstest::rstest;

use super::*;
use intuned_client::{Question, UpstreamFailure};

fn watch(answered: Option<&str>) -> Watch {
    Watch {
        upstream_id: Some("up".into()),
        answered: answered.map(str::to_owned),
    }
}

fn by_session() -> Watch {
    Watch {
        upstream_id: None,
        answered: None,
    }
}

fn otp(id: &str) -> InfoRequest {
    InfoRequest {
        id: id.into(),
        message: "Enter the code".into(),
        question: Question::Otp,
    }
}

fn asked(id: &str) -> State {
    State::RequestedMoreInfo {
        watch: watch(None),
        request: otp(id),
    }
}

fn done() -> State {
    State::Done
}

fn upstream_failure(category: Option<&str>, code: Option<&str>) -> UpstreamFailure {
    UpstreamFailure {
        code: code.map(str::to_owned),
        category: category.map(str::to_owned),
        retryable: None,
        reference: Some("the-reference".into()),
        message: "hunter2 was typed".into(),
    }
}

fn polled(result: CreateResult) -> Observation {
    Observation::Polled(result)
}

fn session(status: Option<AuthSessionStatus>) -> Observation {
    Observation::Session(status)
}

fn all_states() -> Vec<State> {
    vec![
        State::Starting,
        State::Pending(watch(None)),
        State::InProgress(watch(None)),
        State::InProgress(watch(Some("q1"))),
        State::InProgress(by_session()),
        asked("q1"),
        done(),
        State::Failed(Failure::start_lost()),
        State::Canceled(Failure::canceled_by_user()),
    ]
}

fn all_observations() -> Vec<Observation> {
    let mut observations = vec![
        Observation::Started {
            upstream_id: "up".into(),
        },
        Observation::StartFailed(Failure::start_lost()),
        Observation::Forgotten,
        Observation::Astray,
        Observation::Answered {
            request_id: "q1".into(),
        },
        Observation::AnswerUndelivered(otp("q1")),
        Observation::CanceledByUser,
        Observation::TimedOut,
    ];
    observations.extend(
        [
            CreateResult::Pending,
            CreateResult::InProgress,
            CreateResult::RequestedMoreInfo(otp("q1")),
            CreateResult::RequestedMoreInfo(otp("q2")),
            CreateResult::Done {
                auth_session_id: "session".into(),
            },
            CreateResult::Failed(upstream_failure(None, None)),
            CreateResult::Canceled(upstream_failure(None, None)),
            CreateResult::Unknown {
                status: "new".into(),
            },
        ]
        .map(polled),
    );
    observations.extend(
        [
            None,
            Some(AuthSessionStatus::Pending),
            Some(AuthSessionStatus::Ready),
            Some(AuthSessionStatus::Expired),
        ]
        .map(session),
    );
    observations
}

#[test]
fn ended_operation_stays_as_it_is() {
    for state in all_states().into_iter().filter(State::has_ended) {
        for observation in all_observations() {
            assert_eq!(
                transition(&state, observation.clone()),
                Ok(None),
                "{state:?} {observation:?}"
            );
        }
    }
}

#[test]
fn operation_in_flight_can_be_canceled_and_times_out() {
    for state in all_states().into_iter().filter(|state| !state.has_ended()) {
        let canceled = transition(&state, Observation::CanceledByUser)
            .unwrap()
            .unwrap();
        assert_eq!(canceled.status(), Status::Canceled);
        let timed_out = transition(&state, Observation::TimedOut).unwrap().unwrap();
        let State::Failed(failure) = timed_out else {
            panic!("{timed_out:?}")
        };
        assert_eq!(failure.code, FailureCode::TimedOut);
        assert!(failure.retryable);
    }
}

#[test]
fn every_state_and_observation_is_decided_without_empty_changes() {
    for state in all_states() {
        for observation in all_observations() {
            match transition(&state, observation.clone()) {
                Ok(Some(next)) => assert_ne!(next, state, "{observation:?}"),
                Ok(None) => {}
                Err(invalid) => assert!(!invalid.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn failure_message_repeats_no_word_of_intuned() {
    for state in all_states() {
        for observation in all_observations() {
            if let Ok(Some(next)) = transition(&state, observation) {
                assert!(!next.message().contains("hunter2"), "{next:?}");
            }
        }
    }
}

#[test]
fn poll_before_confirmed_start_is_invalid() {
    assert!(transition(&State::Starting, polled(CreateResult::Pending)).is_err());
    assert!(transition(&State::Starting, Observation::Forgotten).is_err());
    let answered = Observation::Answered {
        request_id: "q1".into(),
    };
    assert!(transition(&State::Starting, answered).is_err());
}

#[rstest]
#[case::started(State::Starting, Observation::Started { upstream_id: "up".into() }, Some(State::Pending(watch(None))))]
#[case::refused(
    State::Starting,
    Observation::StartFailed(Failure::start_lost()),
    Some(State::Failed(Failure::start_lost()))
)]
#[case::settled(State::Starting, session(Some(AuthSessionStatus::Ready)), Some(done()))]
#[case::settling(
    State::Starting,
    session(Some(AuthSessionStatus::Pending)),
    Some(State::InProgress(by_session()))
)]
#[case::not_seen_yet(State::Starting, session(None), None)]
#[case::expired_is_not_made(State::Starting, session(Some(AuthSessionStatus::Expired)), None)]
#[case::confirmed_late(
    State::InProgress(by_session()),
    Observation::Started { upstream_id: "up".into() },
    Some(State::InProgress(watch(None)))
)]
#[case::still_made(
    State::InProgress(by_session()),
    session(Some(AuthSessionStatus::Pending)),
    None
)]
#[case::made(
    State::InProgress(by_session()),
    session(Some(AuthSessionStatus::Ready)),
    Some(done())
)]
#[case::gone(
    State::InProgress(by_session()),
    session(None),
    Some(State::Failed(Failure::start_lost()))
)]
#[case::still_pending(State::Pending(watch(None)), polled(CreateResult::Pending), None)]
#[case::begun(
    State::Pending(watch(None)),
    polled(CreateResult::InProgress),
    Some(State::InProgress(watch(None)))
)]
#[case::asks_at_once(
    State::Pending(watch(None)),
    polled(CreateResult::RequestedMoreInfo(otp("q1"))),
    Some(asked("q1"))
)]
#[case::asks(
    State::InProgress(watch(None)),
    polled(CreateResult::RequestedMoreInfo(otp("q1"))),
    Some(asked("q1"))
)]
#[case::still_asks(asked("q1"), polled(CreateResult::RequestedMoreInfo(otp("q1"))), None)]
#[case::asks_anew(
    asked("q1"),
    polled(CreateResult::RequestedMoreInfo(otp("q2"))),
    Some(asked("q2"))
)]
#[case::answered(asked("q1"), Observation::Answered { request_id: "q1".into() }, Some(State::InProgress(watch(Some("q1")))))]
#[case::answer_is_taken_in(
    State::InProgress(watch(Some("q1"))),
    polled(CreateResult::RequestedMoreInfo(otp("q1"))),
    None
)]
#[case::answer_was_wrong(State::InProgress(watch(Some("q1"))), polled(CreateResult::RequestedMoreInfo(otp("q2"))), Some(State::RequestedMoreInfo { watch: watch(Some("q1")), request: otp("q2") }))]
#[case::answer_lost(
    State::InProgress(watch(Some("q1"))),
    Observation::AnswerUndelivered(otp("q1")),
    Some(asked("q1"))
)]
#[case::moved_on(
    State::InProgress(watch(None)),
    Observation::AnswerUndelivered(otp("q1")),
    None
)]
#[case::first_generation_goes_on(
    State::InProgress(watch(Some("q1"))),
    polled(CreateResult::Pending),
    None
)]
#[case::answered_elsewhere(
    asked("q1"),
    polled(CreateResult::Pending),
    Some(State::InProgress(watch(None)))
)]
#[case::done(State::InProgress(watch(None)), polled(CreateResult::Done { auth_session_id: "session".into() }), Some(done()))]
#[case::unknown(State::InProgress(watch(None)), polled(CreateResult::Unknown { status: "new".into() }), None)]
#[case::forgotten(
    State::Pending(watch(None)),
    Observation::Forgotten,
    Some(State::Failed(Failure::forgotten()))
)]
#[case::astray(
    State::InProgress(watch(None)),
    Observation::Astray,
    Some(State::Failed(Failure::astray()))
)]
#[case::ended(
    asked("q1"),
    polled(CreateResult::Canceled(upstream_failure(None, None))),
    Some(State::Canceled(verdict::of_canceled(&upstream_failure(None, None))))
)]
fn observation_leads_to_the_expected_state(
    #[case] state: State,
    #[case] observation: Observation,
    #[case] expected: Option<State>,
) {
    assert_eq!(transition(&state, observation), Ok(expected));
}

#[test]
fn answer_to_another_request_is_invalid() {
    let stale = Observation::Answered {
        request_id: "q0".into(),
    };
    assert!(transition(&asked("q1"), stale).is_err());
}

#[rstest]
#[case(Some("auth"), None, FailureCode::SignInRejected, false)]
#[case(
    Some("user"),
    Some("script-execution-exception"),
    FailureCode::SignInRejected,
    false
)]
#[case(None, None, FailureCode::SignInRejected, false)]
#[case(
    Some("execution"),
    Some("create-attempts-failed"),
    FailureCode::SignInRejected,
    false
)]
#[case(Some("infrastructure"), None, FailureCode::UpstreamError, true)]
#[case(Some("billing"), None, FailureCode::UpstreamError, false)]
#[case(
    Some("execution"),
    Some("script-process-crashed"),
    FailureCode::UpstreamError,
    true
)]
#[case(None, Some("internal-server-error"), FailureCode::UpstreamError, true)]
#[case(Some("a-new-one"), Some("a-new-one"), FailureCode::UpstreamError, true)]
#[case(Some("execution"), Some("a-new-one"), FailureCode::UpstreamError, true)]
#[case(None, Some("a-new-one"), FailureCode::SignInRejected, false)]
#[case(
    Some("infrastructure"),
    Some("api-access-disabled"),
    FailureCode::UpstreamError,
    false
)]
fn rejected_sign_in_differs_from_trouble_at_intuned(
    #[case] category: Option<&str>,
    #[case] code: Option<&str>,
    #[case] expected: FailureCode,
    #[case] retryable: bool,
) {
    let failure = upstream_failure(category, code);
    let told = failed(failure.clone());
    assert_eq!((told.code, told.retryable), (expected, retryable));
    assert_eq!(told.reference.as_deref(), Some("the-reference"));
    for said in [true, false] {
        let told = failed(UpstreamFailure {
            retryable: Some(said),
            ..failure.clone()
        });
        assert_eq!((told.code, told.retryable), (expected, said));
        let discourages = told.message.contains("does not help");
        assert_eq!(
            discourages,
            told.code == FailureCode::UpstreamError && !said
        );
    }
}

fn failed(failure: UpstreamFailure) -> Failure {
    let failed = polled(CreateResult::Failed(failure));
    let Ok(Some(State::Failed(failure))) = transition(&State::InProgress(watch(None)), failed)
    else {
        panic!("not failed")
    };
    failure
}

#[rstest]
#[case("terminated", None, true)]
#[case("a-new-one", None, true)]
#[case("api-access-disabled", None, false)]
#[case("terminated", Some(false), false)]
#[case("api-access-disabled", Some(true), true)]
fn cancellation_by_intuned_tells_whether_to_retry(
    #[case] code: &str,
    #[case] said: Option<bool>,
    #[case] retryable: bool,
) {
    let canceled = polled(CreateResult::Canceled(UpstreamFailure {
        retryable: said,
        ..upstream_failure(None, Some(code))
    }));
    let Ok(Some(State::Canceled(told))) = transition(&asked("q1"), canceled) else {
        panic!("not canceled")
    };
    assert_eq!(told.code, FailureCode::CanceledUpstream);
    assert_eq!(told.retryable, retryable);
    assert_eq!(told.message.contains("does not help"), !retryable);
    assert_eq!(told.reference.as_deref(), Some("the-reference"));
}
