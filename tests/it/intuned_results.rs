//! What runs bring, passed on by the Intuned client as it came, up to a limit.

use std::time::Duration;

use intuned_client::{ApiGeneration, IntunedClient, IntunedConfig, IntunedError, RunError};
use rstest::rstest;
use serde_json::json;
use wiremock::{MockServer, ResponseTemplate};

use crate::{
    intuned_runs::{self, call, run, run_within, running},
    intuned_support::{Then, client_with, config, raw_server},
    support::Log,
};

/// A client that passes on so many bytes, of either way to run.
fn limited(server: &MockServer, api: ApiGeneration, result_limit: usize) -> IntunedClient {
    client_with(IntunedConfig {
        result_limit,
        ..config(&server.uri(), api)
    })
}

/// A server whose run, started and watched or at once, ends with this answer.
async fn ending(answer: &ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(intuned_runs::answer(201, &json!({"runId": "r"})))
        .mount(&server)
        .await;
    for (verb, rest) in [("POST", "run"), ("GET", "run/r/result")] {
        call(verb, rest)
            .respond_with(answer.clone())
            .expect(0..=1)
            .mount(&server)
            .await;
    }
    server
}

#[rstest]
#[case::that_fits(1000, true)]
#[case::a_byte_too_long(1001, false)]
#[case::longer_than_an_answer_may_be(3 << 20, false)]
#[tokio::test]
async fn a_result_is_passed_on_up_to_the_limit(
    #[case] length: usize,
    #[case] is_passed_on: bool,
    #[values(ApiGeneration::Auto, ApiGeneration::V0_3)] api: ApiGeneration,
) {
    let result = format!("\"{}\"", "x".repeat(length - 2));
    // What stands around it does not count.
    let body = format!(
        r#"{{"more": "{}", "status": "completed", "result" : {result} }}"#,
        "y".repeat(2000)
    );
    let server = ending(&ResponseTemplate::new(200).set_body_string(body)).await;
    let ended = run(&limited(&server, api, 1000)).await;
    let too_large = RunError::TooLarge { limit: 1000 };
    assert_eq!(
        ended,
        if is_passed_on {
            Ok(result)
        } else {
            Err(too_large)
        }
    );
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_off_while_it_comes() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let begun = "{\"status\":\"completed\",\"result\":\"".to_owned() + &"x".repeat(3 << 20);
    let answer = format!("{head}{:x}\r\n{begun}\r\n", begun.len());
    // The rest never comes, and nobody waits for it.
    let origin = raw_server(answer, Then::Hang).await;
    let client = client_with(config(&origin, ApiGeneration::V0_3));
    let too_large = RunError::TooLarge { limit: 2 << 20 };
    assert_eq!(run(&client).await, Err(too_large));
}

#[rstest]
#[case::order(r#"{"z":1,"a":{"y":2,"b":3},"m":4}"#)]
#[case::more_digits_than_a_number_has("12345678901234567890123")]
#[case::a_zero_at_the_end("[1.10, 1e2, -0.0]")]
#[case::a_number_too_large("1e400")]
#[case::blanks("{ \"a\" :\n\t[ 1 ]\r\n}")]
#[case::names_that_come_twice(r#"{"a":1,"a":2}"#)]
#[case::escapes(r#""\u0041\/\ud83d\ude00\\ud83d""#)]
#[tokio::test]
async fn a_result_is_passed_on_as_it_came(
    #[case] result: &str,
    #[values(
        r#"{"status":"completed","result":RESULT}"#,
        r#" {"result":1, "\u0072esul\u0074":RESULT,"more":[1e999],"status":7,"status":"complete\u0064"} "#
    )]
    body: &str,
) {
    let body = body.replace("RESULT", result);
    let server = ending(&ResponseTemplate::new(200).set_body_string(body)).await;
    let client = client_with(config(&server.uri(), ApiGeneration::V1));
    assert_eq!(run(&client).await, Ok(result.to_owned()));
}

#[rstest]
#[case::cut(r#"{"a":"Taxi \ud83d"}"#, r#"{"a":"Taxi \ufffd"}"#)]
#[case::in_a_name(r#"{"\uDE00":1}"#, r#"{"\ufffd":1}"#)]
#[case::the_wrong_way_round(r#""\uDC00\uD800""#, r#""\ufffd\ufffd""#)]
#[tokio::test]
async fn half_a_character_is_a_character_that_is_missing(
    #[case] result: &str,
    #[case] expected: &str,
) {
    let body = format!(r#"{{"status":"completed","more":"\ud83d","result":{result}}}"#);
    let server = ending(&ResponseTemplate::new(200).set_body_string(body)).await;
    let client = client_with(config(&server.uri(), ApiGeneration::V1));
    assert_eq!(run(&client).await, Ok(expected.to_owned()));
}

#[rstest]
#[case::lists("[", "]")]
#[case::objects(r#"{"a":"#, "}")]
#[tokio::test]
async fn a_result_may_be_nested_deeply(#[case] open: &str, #[case] close: &str) {
    let result = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
    let body = format!(r#"{{"other":{result},"result":{result},"status":"completed"}}"#);
    let server = ending(&ResponseTemplate::new(200).set_body_string(body)).await;
    let client = client_with(config(&server.uri(), ApiGeneration::V1));
    assert_eq!(run(&client).await, Ok(result));
}

#[rstest]
#[case::cut_off(
    r#"{"status":"completed","result":["secret""#,
    "EOF while parsing a list at line 1 column 40"
)]
#[case::a_page("<html>secret</html>", "expected value at line 1 column 1")]
#[case::no_number(
    r#"{"status":"completed","result":NaN}"#,
    "expected value at line 1 column 32"
)]
#[tokio::test]
async fn what_is_no_json_is_given_up_soon_and_logged_with_the_cause(
    #[case] body: &str,
    #[case] cause: &str,
) {
    let log = Log::new();
    let logging = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_writer(log.clone()).finish(),
    );
    let unreadable = ResponseTemplate::new(200).set_body_string(body);
    let server = running(&[unreadable]).await;
    let client = client_with(config(&server.uri(), ApiGeneration::V1));
    let ended = run_within(&client, Duration::from_hours(1)).await;
    drop(logging);
    let error = IntunedError::Unreadable { reason: "no JSON" };
    assert_eq!(ended, Err(RunError::Intuned(error)));
    let log = log.text();
    assert!(
        log.contains("WARN") && log.contains("Intuned's answer is no JSON"),
        "{log}"
    );
    assert!(log.contains("run.result") && log.contains(cause), "{log}");
    assert!(!log.contains("secret"), "{log}");
}
