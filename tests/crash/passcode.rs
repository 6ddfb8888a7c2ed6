//! Deaths while the user's answer is passed on.

use entity::operation::Status;
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use serde_json::Value;

use crate::{database::Backend, stage::Stage};

/// Follows until the user is asked, or until the end; the changes seen, and the request.
async fn until_asked(stage: &Stage, id: &str, after: i64) -> (Vec<Value>, Option<String>) {
    let mut socket = stage.socket().await;
    socket.follow("1", id, Some(after)).await;
    let mut changes = Vec::new();
    while let Some(event) = socket.event().await {
        let asks = event["status"] == "REQUESTED_MORE_INFO";
        let request = event["operation"]["infoRequest"]["id"]
            .as_str()
            .map(str::to_owned);
        if event["kind"] == "CHANGE" {
            changes.push(event);
        }
        if asks && request.is_some() {
            return (changes, request);
        }
    }
    (changes, None)
}

/// `sent` is how often an answer may have reached Intuned by the time that the gateway is back, and
/// `asked_again` whether the user has to answer anew, because Intuned goes on asking.
#[rstest]
#[case::marked("passcode-marked-before-sent", None, 0, true)]
#[case::under_way("passcode-under-way", Some(Fault::hang().after_work()), 1, false)]
#[case::lost("passcode-under-way", Some(Fault::hang()), 1, true)]
#[case::sent("after-passcode-sent", None, 1, false)]
#[tokio::test]
async fn an_answer_is_sent_at_most_once(
    #[case] point: &str,
    #[case] fault: Option<Fault>,
    #[case] sent: usize,
    #[case] asked_again: bool,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut stage = Stage::set(backend).await;
    stage.die_at(point).await;
    if let Some(fault) = &fault {
        stage.intuned.script(Call::CreateResume, 1, fault);
    }
    let operation = stage.user.connect("passcode", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    let (mut told, request) = until_asked(&stage, id, 0).await;
    let request = request.unwrap();
    let answered = stage.resume(id, &request).await;
    assert!(answered.is_none(), "the gateway died: {answered:?}");
    stage.died().await;
    let left = stage.tables().await.status();
    // Where Intuned had it, polling went on, so that the end may be written already.
    let taken_in = fault.is_some() && !asked_again && left == Some(Status::Done);
    assert!(left == Some(Status::InProgress) || taken_in, "{left:?}");

    stage.start_again().await;
    let last = told.len().try_into().unwrap();
    let (more, again) = until_asked(&stage, id, last).await;
    told.extend(more);
    assert_eq!(stage.intuned.calls(Call::CreateResume), sent);
    assert_eq!(again.is_some(), asked_again, "{told:#?}");
    if let Some(again) = again {
        assert_eq!(again, request);
        let answer = stage.user.resume(id, &again, PASSCODE).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let last = told.len().try_into().unwrap();
        told.extend(stage.follow(id, last).await);
        assert_eq!(stage.intuned.calls(Call::CreateResume), sent + 1);
    }
    stage.check(&told).await;
    assert_eq!(stage.tables().await.status(), Some(Status::Done));
    assert_eq!(stage.intuned.calls(Call::CreateStart), 1);
}
