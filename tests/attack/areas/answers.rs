//! Answers to what a sign-in asks: empty, not offered, too long, stale.

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::by_alice,
    stage::Stage,
    support::Backend,
};

const RESUME: &str =
    "mutation($i: ResumeConnectionInput!) { resumeConnection(input: $i) { operation { id } } }";
const BAD: Due = Due::Error(200, "BAD_USER_INPUT");
const STALE: Due = Due::Error(200, "INFO_REQUEST_STALE");

pub(crate) async fn area(backend: Backend) -> Outcome {
    let mut stage = Stage::start(backend).await;
    let passcode = stage.app.asked(&stage.alice, "passcode").await;
    stage.names.push(("operation", passcode.id.clone()));
    stage.names.push(("request", passcode.request.clone()));
    let mut outcome = play(&stage, passcodes()).await;
    let still = stage.alice.operation(&passcode.id).await;
    outcome.case(
        "the passcode is still asked for",
        (still["status"] == "REQUESTED_MORE_INFO")
            .then_some(())
            .ok_or_else(|| still.to_string()),
    );
    stage.alice.cancel(&passcode.id).await;
    let after = play(
        &stage,
        vec![answer(
            "after the end",
            "{operation}",
            "{request}",
            "123456",
            STALE,
        )],
    )
    .await;
    outcome.cases += after.cases;
    outcome.failures.extend(after.failures);
    drop(passcode);

    let choice = stage.app.asked(&stage.alice, "choice").await;
    stage
        .names
        .retain(|(name, _)| !matches!(*name, "operation" | "request"));
    stage.names.push(("operation", choice.id.clone()));
    stage.names.push(("request", choice.request.clone()));
    let chosen = play(&stage, choices()).await;
    outcome.cases += chosen.cases;
    outcome.failures.extend(chosen.failures);
    stage.alice.cancel(&choice.id).await;
    drop(choice);
    stage.stop().await;
    outcome
}

fn answer(name: &str, operation: &str, request: &str, input: &str, due: Due) -> Case {
    let input =
        json!({ "i": { "operationId": operation, "infoRequestId": request, "input": input } });
    case(name, by_alice(RESUME, &input), due)
}

#[rustfmt::skip]
fn passcodes() -> Vec<Case> {
    let own = |name: &str, input: &str, due: Due| answer(name, "{operation}", "{request}", input, due);
    vec![
        own("an empty passcode", "", BAD),
        own("a passcode of spaces", "   ", BAD),
        own("a passcode of line ends", "\r\n\t", BAD),
        own("a passcode of a wide space", "\u{2003}\u{a0}", BAD),
        own("a passcode of 1,025 bytes", &"1".repeat(1025), BAD),
        own("a passcode of 500 KB", &"1".repeat(500_000), BAD),
        answer("another request", "{operation}", "canary", "123456", STALE),
        answer("an empty request", "{operation}", "", "123456", STALE),
        answer("a request in other letters", "{operation}", "{request}x", "123456", STALE),
        answer("a request with NUL", "{operation}", "{request}\0", "123456", STALE),
        answer("a request of 100 KB", "{operation}", &"x".repeat(100_000), "123456", STALE),
        answer("a request with SQL", "{operation}", "' OR 1=1 --", "123456", STALE),
        answer("the operation for the request", "{operation}", "{operation}", "123456", STALE),
        answer("the request for the operation", "{request}", "{request}", "123456", Due::Error(200, "NOT_FOUND")),
        answer("an operation that is no id", "x", "{request}", "123456", Due::Error(200, "NOT_FOUND")),
        answer("an empty operation", "", "{request}", "123456", Due::Error(200, "NOT_FOUND")),
        case("a passcode that is a number", by_alice(RESUME, &json!({ "i": { "operationId": "{operation}", "infoRequestId": "{request}", "input": 123_456 } })), Due::NoData),
        case("a passcode that is a list", by_alice(RESUME, &json!({ "i": { "operationId": "{operation}", "infoRequestId": "{request}", "input": ["canary-1"] } })), Due::NoData),
        case("no passcode", by_alice(RESUME, &json!({ "i": { "operationId": "{operation}", "infoRequestId": "{request}" } })), Due::NoData),
        case("a null passcode", by_alice(RESUME, &json!({ "i": { "operationId": "{operation}", "infoRequestId": "{request}", "input": null } })), Due::NoData),
    ]
}

#[rustfmt::skip]
fn choices() -> Vec<Case> {
    let own = |name: &str, input: &str| answer(name, "{operation}", "{request}", input, BAD);
    vec![
        own("a choice that is not offered", "canary-x"),
        own("no choice", ""),
        own("a choice in other letters", "email"),
        own("a choice with a space after it", "Email "),
        own("a choice with NUL after it", "Email\0"),
        own("a choice's number", "1"),
        own("both choices", "Text message,Email"),
        own("both choices as a list", "[\"Text message\",\"Email\"]"),
        own("a choice of 100 KB", &"x".repeat(100_000)),
        own("a choice in other characters", "Em\u{430}il"),
    ]
}
