//! Properties that hold for every operation, whatever happens to it and in whichever order.

use proptest::prelude::*;

use super::*;
use intuned_client::{Question, UpstreamFailure};

/// Stands for what the user typed, or for any other of Intuned's own words.
const CANARY: &str = "canary-words";

fn id(prefix: &'static str) -> impl Strategy<Value = String> {
    (0..3).prop_map(move |number| format!("{prefix}{number}"))
}

fn request() -> impl Strategy<Value = InfoRequest> {
    let question = prop_oneof![
        Just(Question::Otp),
        Just(Question::Choice(vec!["a".into(), "b".into()])),
    ];
    (id("q"), question).prop_map(|(id, question)| InfoRequest {
        id,
        message: "Enter it".into(),
        question,
    })
}

fn failure() -> impl Strategy<Value = UpstreamFailure> {
    let words = prop::sample::select(vec![
        None,
        Some("auth"),
        Some("billing"),
        Some("execution"),
        Some("script-timeout"),
        Some("create-attempts-failed"),
        Some(CANARY),
    ]);
    (words.clone(), words, any::<Option<bool>>()).prop_map(|(code, category, retryable)| {
        UpstreamFailure {
            code: code.map(str::to_owned),
            category: category.map(str::to_owned),
            retryable,
            reference: None,
            message: CANARY.into(),
        }
    })
}

fn result() -> impl Strategy<Value = CreateResult> {
    prop_oneof![
        Just(CreateResult::Pending),
        Just(CreateResult::InProgress),
        request().prop_map(CreateResult::RequestedMoreInfo),
        id("s").prop_map(|auth_session_id| CreateResult::Done { auth_session_id }),
        failure().prop_map(CreateResult::Failed),
        failure().prop_map(CreateResult::Canceled),
        Just(CreateResult::Unknown {
            status: CANARY.into()
        }),
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    let status = prop::sample::select(vec![
        None,
        Some(AuthSessionStatus::Pending),
        Some(AuthSessionStatus::Ready),
        Some(AuthSessionStatus::Expired),
    ]);
    // What ends an operation comes seldom, so that the others have their say.
    prop_oneof![
        4 => id("up").prop_map(|upstream_id| Observation::Started { upstream_id }),
        12 => result().prop_map(Observation::Polled),
        2 => status.prop_map(Observation::Session),
        4 => id("q").prop_map(|request_id| Observation::Answered { request_id }),
        2 => request().prop_map(Observation::AnswerUndelivered),
        1 => Just(Observation::Forgotten),
        1 => Just(Observation::Astray),
        1 => Just(Observation::CanceledByUser),
        1 => Just(Observation::TimedOut),
    ]
}

/// The distance that an operation has come; being asked and going on are the same.
fn progress(state: &State) -> u8 {
    match state.status() {
        Status::Starting => 0,
        Status::Pending => 1,
        Status::InProgress | Status::RequestedMoreInfo => 2,
        Status::Done | Status::Failed | Status::Canceled => 3,
    }
}

/// Every state that the observations lead through, each one a change.
fn states(observations: Vec<Observation>) -> Vec<(Observation, State)> {
    let mut changes = Vec::new();
    let mut state = State::Starting;
    for observation in observations {
        if let Ok(Some(next)) = transition(&state, observation.clone()) {
            state = next.clone();
            changes.push((observation, next));
        }
    }
    changes
}

proptest! {
    #[test]
    fn operation_only_moves_forward_and_every_change_differs(observations in prop::collection::vec(observation(), 0..40)) {
        let mut before = State::Starting;
        for (_, state) in states(observations) {
            prop_assert_ne!(&state, &before);
            prop_assert!(progress(&state) >= progress(&before), "{:?} after {:?}", state, before);
            before = state;
        }
    }

    #[test]
    fn first_end_stands(
        observations in prop::collection::vec(observation(), 0..40),
        more in prop::collection::vec(observation(), 1..20),
    ) {
        let ended = states(observations).into_iter().find(|(_, state)| state.has_ended());
        if let Some((_, state)) = ended {
            for observation in more {
                prop_assert_eq!(transition(&state, observation), Ok(None));
            }
        }
    }

    #[test]
    fn upstream_id_stays_from_confirmed_start_to_end(observations in prop::collection::vec(observation(), 0..40)) {
        let states = states(observations);
        let ways = states.iter().filter_map(|(_, state)| state.watch()).map(|watch| &watch.upstream_id);
        // By its session until a start that was confirmed late is known, at most once.
        let mut ways = ways.skip_while(|way| way.is_none());
        if let Some(first) = ways.next() {
            prop_assert!(ways.all(|way| way == first));
        }
        for (_, state) in &states {
            prop_assert_eq!(state.watch().is_some(), progress(state) > 0 && !state.has_ended());
        }
    }

    #[test]
    fn answered_request_is_asked_again_only_when_its_answer_was_lost(observations in prop::collection::vec(observation(), 0..60)) {
        let mut answered: Option<String> = None;
        for (observation, state) in states(observations) {
            match (&observation, &state) {
                (Observation::Answered { request_id }, _) => answered = Some(request_id.clone()),
                (Observation::AnswerUndelivered(_), _) => answered = None,
                (_, State::RequestedMoreInfo { request, .. }) => {
                    prop_assert_ne!(Some(&request.id), answered.as_ref());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn only_intuned_or_its_session_makes_an_operation_done(observations in prop::collection::vec(observation(), 0..40)) {
        for (observation, state) in states(observations) {
            if state == State::Done {
                let told = matches!(
                    observation,
                    Observation::Polled(CreateResult::Done { .. })
                        | Observation::Session(Some(AuthSessionStatus::Ready))
                );
                prop_assert!(told, "{:?}", observation);
            }
        }
    }

    #[test]
    fn words_of_intuned_are_never_told(observations in prop::collection::vec(observation(), 0..40)) {
        for (_, state) in states(observations) {
            prop_assert!(!state.message().contains(CANARY));
            let printed = format!("{state:?}");
            prop_assert!(!printed.contains(CANARY));
        }
    }
}
