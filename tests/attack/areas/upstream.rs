//! What a hostile or broken Intuned answers, and what of it reaches a client.

use std::time::Duration;

use intuned_simulator::{Call, Fault};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    reply::DEADLINE,
    report::Outcome,
    send::read_anew,
    stage::{CANARY, Stage},
    support::{Api, Backend},
};

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::with(backend, |config| {
        config.intuned.request_timeout = Duration::from_secs(1);
    })
    .await;
    let mut outcome = Outcome::default();
    for (number, (name, body, due)) in polls().into_iter().enumerate() {
        let user = stage.app.user(&format!("poll{number}@example.com")).await;
        stage
            .app
            .intuned
            .script(Call::CreateResult, 1, &Fault::answer(200).with_body(body));
        outcome.case(
            &format!("a poll answered by {name}"),
            ended(&stage, &user, due).await,
        );
    }
    for (number, (name, fault)) in broken().into_iter().enumerate() {
        let user = stage.app.user(&format!("broken{number}@example.com")).await;
        stage.app.intuned.script(Call::CreateResult, 1, &fault);
        outcome.case(
            &format!("a poll that is {name}"),
            ended(&stage, &user, Due::Done).await,
        );
    }
    for (number, (name, body)) in starts().into_iter().enumerate() {
        let user = stage.app.user(&format!("start{number}@example.com")).await;
        stage
            .app
            .intuned
            .script(Call::CreateStart, 1, &Fault::answer(201).with_body(body));
        outcome.case(
            &format!("a start answered by {name}"),
            ended(&stage, &user, Due::Fails).await,
        );
    }
    let connected = stage.app.user("connected@example.com").await;
    outcome.case(
        "an honest start",
        ended(&stage, &connected, Due::Done).await,
    );
    for (name, fault) in sessions() {
        stage.app.intuned.script(Call::One, 3, &fault);
        let answer = connected
            .send("{ me { email connection { id status } } }", json!({}))
            .await;
        let kept = answer["data"]["me"]["connection"]["id"].is_string()
            && answer["data"]["me"]["connection"]["status"].is_null();
        outcome.case(
            &format!("a session's status that is {name}"),
            told(&answer, kept),
        );
        while stage.app.intuned.calls(Call::One) % 3 != 0 {
            connected
                .send("{ me { connection { status } } }", json!({}))
                .await;
        }
    }
    stage.finish(&mut outcome).await;
    stage.stop().await;
    outcome
}

/// What must become of the operation.
enum Due {
    /// It is waited out, and the sign-in ends well.
    Done,
    /// It ends without success.
    Fails,
    /// The user is asked in these words.
    Asks(&'static str),
}

/// Connects, follows to the end or to a question, and looks at all that was told.
async fn ended(stage: &Stage, user: &Api, due: Due) -> Result<(), String> {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    let follow = async {
        loop {
            let now = user.operation(id).await;
            if matches!(
                now["status"].as_str(),
                Some("DONE" | "FAILED" | "CANCELED" | "REQUESTED_MORE_INFO")
            ) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let now = timeout(DEADLINE, follow)
        .await
        .map_err(|_| "it goes on and on")?;
    let mut socket = stage.app.socket(user).await;
    socket.follow("1", id, Some(0)).await;
    let first = socket.event().await.unwrap_or_default();
    let asked = &now["infoRequest"]["message"];
    let fits = match due {
        Due::Done => now["status"] == "DONE",
        Due::Fails => matches!(now["status"].as_str(), Some("FAILED" | "CANCELED")),
        Due::Asks(message) => asked == message,
    };
    user.cancel(id).await;
    told(&json!([now, first]), fits)
}

fn told(answer: &Value, fits: bool) -> Result<(), String> {
    let text = answer.to_string();
    let clean = !text.contains(CANARY);
    (fits && clean)
        .then_some(())
        .ok_or_else(|| text.chars().take(1500).collect())
}

#[rustfmt::skip]
fn polls() -> Vec<(&'static str, String, Due)> {
    let own = |name, body: &str, due| (name, body.to_owned(), due);
    let failed = |name, fields: Value| {
        let mut body = json!({ "status": "failed", "message": "canary-pw was typed into <input>" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (name, body.to_string(), Due::Fails)
    };
    let asks = |name, message: &str, cleaned| {
        let details = json!({ "requestType": "otp", "action": "request_more_info", "messageToUser": message });
        (name, json!({ "status": "requested_more_info", "id": "q1", "details": details }).to_string(), Due::Asks(cleaned))
    };
    let odd = |name, details: Value| (name, json!({ "status": "requested_more_info", "id": "q1", "details": details }).to_string(), Due::Done);
    vec![
        own("nothing", "", Due::Done),
        own("HTML", "<html>canary-x</html>", Due::Done),
        own("half an object", "{\"status\":\"do", Due::Done),
        own("null", "null", Due::Done),
        own("a list", "[]", Due::Done),
        own("an empty object", "{}", Due::Done),
        own("a status that is a number", "{\"status\":7}", Due::Done),
        own("an unknown status", "{\"status\":\"a-new-one\"}", Due::Done),
        own("an unknown status with line ends", "{\"status\":\"x\\r\\n2026 INFO forged\"}", Due::Done),
        own("two statuses", "{\"status\":\"done\",\"status\":\"pending\"}", Due::Done),
        own("done without a session", "{\"status\":\"done\"}", Due::Done),
        own("done with a path for a session", "{\"status\":\"done\",\"authSessionId\":\"..\"}", Due::Done),
        own("done with NUL in the session", "{\"status\":\"done\",\"authSessionId\":\"a\\u0000b\"}", Due::Done),
        own("done with a session of 300 bytes", &json!({ "status": "done", "authSessionId": "x".repeat(300) }).to_string(), Due::Done),
        own("JSON nested 100,000 deep", &"[".repeat(100_000), Due::Done),
        own("texts in texts that a JSON library reads anew, 1,500 deep", &read_anew(15, 100), Due::Done),
        own("2 MB", &" ".repeat(2_000_000), Due::Done),
        own("invalid escapes", "{\"status\":\"\\ud800\"}", Due::Done),
        failed("a failure that repeats what was typed", json!({})),
        failed("a failure whose code repeats it", json!({ "error": "canary-pw" })),
        failed("a failure of 1.x that repeats it", json!({ "error": { "message": "canary-pw", "code": "canary-pw", "category": "canary-pw", "details": { "a": "canary-pw" } } })),
        failed("a failure of odd types", json!({ "message": 7, "error": [1], "reason": "x", "statusCode": "x" })),
        failed("a failure with HTML", json!({ "message": "<script>canary-x</script>" })),
        own("a cancellation that repeats what was typed", "{\"status\":\"canceled\",\"message\":\"canary-pw\",\"reason\":{\"type\":\"canary-pw\",\"message\":\"canary-pw\"}}", Due::Fails),
        asks("a question", "Enter the code", "Enter the code"),
        asks("a question with NUL", "Enter\0 it", "Enter it"),
        asks("a question with an escape", "Enter \u{1b}[31mit\u{7}", "Enter [31mit"),
        asks("a question that turns the text around", "Enter \u{202e}ti\u{202c}\u{2066}", "Enter ti"),
        asks("a question of several lines", "Enter it.\r\nSoon.\u{85}", "Enter it.\nSoon."),
        asks("a question in many words", LONG, SHORTENED),
        own("a question that is cut in a character", r#"{"status":"requested_more_info","id":"q1","details":{"requestType":"otp","messageToUser":"Enter \ud83d"}}"#, Due::Asks("Enter \u{fffd}")),
        own("a question beside a number too large", r#"{"x":1e400,"status":"requested_more_info","id":"q1","details":{"requestType":"otp","messageToUser":"Enter it","x":[-1e999]}}"#, Due::Asks("Enter it")),
        odd("a question of no type", json!({ "messageToUser": "x" })),
        odd("a question of an unknown type", json!({ "requestType": "canary-x" })),
        odd("a choice of nothing", json!({ "requestType": "multiple_choice", "choices": [] })),
        odd("a choice of numbers", json!({ "requestType": "multiple_choice", "choices": [1, 2] })),
        odd("a choice with NUL", json!({ "requestType": "multiple_choice", "choices": ["a\0"] })),
        odd("a choice of 10,000", json!({ "requestType": "multiple_choice", "choices": vec!["x"; 10_000] })),
        odd("a choice of 100 KB", json!({ "requestType": "multiple_choice", "choices": ["x".repeat(100_000)] })),
        odd("a question that is text", json!("canary-x")),
    ]
}

/// 3,000 letters, and what is left of them.
const LONG: &str = include_str!("long.txt");
const SHORTENED: &str = include_str!("shortened.txt");

#[rustfmt::skip]
fn broken() -> Vec<(&'static str, Fault)> {
    vec![
        ("cut off", Fault::drop()),
        ("never answered", Fault::hang()),
        ("redirected", Fault::answer(302).with_header("location", "http://169.254.169.254/canary-x")),
        ("redirected for good", Fault::answer(308).with_header("location", "http://canary.example/")),
        ("said to be compressed", Fault::answer(200).with_header("content-encoding", "gzip").with_body("\u{1f}\u{8b}\u{8}")),
        ("answered 500", Fault::answer(500).with_body("canary-x")),
        ("answered 503 for a long time", Fault::answer(503).with_header("retry-after", "0")),
        ("answered 429", Fault::answer(429).with_header("retry-after", "0")),
        ("answered 429 until a date gone by", Fault::answer(429).with_header("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")),
        ("answered 404 once", Fault::answer(404)),
        ("answered 204", Fault::answer(204)),
        ("answered 418", Fault::answer(418).with_body("canary-x")),
        ("answered with a cookie", Fault::answer(200).with_header("set-cookie", "canary-x=1").with_body("{}")),
    ]
}

#[rustfmt::skip]
fn starts() -> Vec<(&'static str, &'static str)> {
    vec![
        ("a failure", "{\"status\":\"failed\",\"message\":\"canary-x\"}"),
        ("a path for an id", "{\"status\":\"started\",\"operationId\":\"../../x\\u0000\"}"),
    ]
}

#[rustfmt::skip]
fn sessions() -> Vec<(&'static str, Fault)> {
    vec![
        ("HTML", Fault::answer(200).with_body("<html>canary-x")),
        ("unknown", Fault::answer(200).with_body("{\"id\":\"x\",\"status\":\"CANARY\"}")),
        ("a number", Fault::answer(200).with_body("{\"id\":\"x\",\"status\":1}")),
        ("a list", Fault::answer(200).with_body("[{\"id\":\"x\",\"status\":\"READY\"}]")),
        ("a redirect", Fault::answer(301).with_header("location", "http://canary.example/")),
        ("refused", Fault::answer(403).with_body("canary-x")),
    ]
}
