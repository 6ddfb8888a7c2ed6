//! Deaths on the way from "request accepted" to "the follower knows".

use entity::operation::{FailureCode, Status};
use intuned_simulator::{Call, Fault};
use rstest::rstest;

use crate::{database::Backend, stage::Stage};

/// What becomes of an operation whose gateway dies at a point.
struct Case {
    point: &'static str,
    /// What goes wrong at Intuned, so that a request is under way when the gateway dies.
    fault: Option<(Call, Fault)>,
    /// What the table says of the operation after the death.
    left: Status,
    /// How it ends after all.
    end: Result<(), FailureCode>,
    /// How often Intuned was asked to start.
    starts: usize,
}

impl Case {
    fn done(point: &'static str, left: Status) -> Self {
        Self {
            point,
            fault: None,
            left,
            end: Ok(()),
            starts: 1,
        }
    }

    fn with(self, call: Call, fault: Fault) -> Self {
        Self {
            fault: Some((call, fault)),
            ..self
        }
    }

    fn interrupted(self, starts: usize) -> Self {
        Self {
            end: Err(FailureCode::Interrupted),
            starts,
            ..self
        }
    }
}

#[rstest]
#[case::after_row(Case::done("after-row", Status::Starting).interrupted(0))]
#[case::start_under_way(
    Case::done("start-under-way", Status::Starting)
        .with(Call::CreateStart, Fault::hang().after_work())
)]
#[case::start_lost(
    Case::done("start-under-way", Status::Starting)
        .with(Call::CreateStart, Fault::hang())
        .interrupted(1)
)]
#[case::after_start_answer(Case::done("after-start-answer", Status::Starting))]
#[case::before_upstream_id_stored(Case::done("before-upstream-id-stored", Status::Starting))]
#[case::polling(
    Case::done("polling", Status::Pending).with(Call::CreateResult, Fault::hang().after_work())
)]
#[case::after_done_read(Case::done("after-done-read", Status::Pending))]
#[case::inside_commit(Case::done("inside-commit", Status::Pending))]
#[case::after_commit(Case::done("after-commit", Status::Done))]
#[tokio::test]
async fn a_new_connection(
    #[case] case: Case,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut stage = Stage::set(backend).await;
    run(&mut stage, case).await;
    let connected = stage.tables().await.status() == Some(Status::Done);
    assert_eq!(
        stage.tables().await.connections.len(),
        usize::from(connected)
    );
}

#[rstest]
#[case::after_row(Case::done("after-row", Status::Starting).interrupted(0))]
#[case::start_under_way(
    Case::done("start-under-way", Status::Starting)
        .with(Call::CreateStart, Fault::hang().after_work())
        .interrupted(1)
)]
#[case::after_start_answer(Case::done("after-start-answer", Status::Starting).interrupted(1))]
#[case::before_upstream_id_stored(
    Case::done("before-upstream-id-stored", Status::Starting).interrupted(1)
)]
#[case::inside_commit(Case::done("inside-commit", Status::Pending))]
#[case::after_commit(Case::done("after-commit", Status::Done))]
#[tokio::test]
async fn a_connection_that_is_renewed(
    #[case] case: Case,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut stage = Stage::set(backend).await;
    let operation = stage.user.connect("Admin", "admin123").await;
    stage.follow(operation["id"].as_str().unwrap(), 0).await;
    let before = stage.tables().await.connections;
    run(&mut stage, case).await;
    let after = stage.tables().await.connections;
    assert_eq!(
        after.len(),
        1,
        "the connection stands whatever becomes of its renewal"
    );
    assert_eq!(after[0].id, before[0].id);
    assert_eq!(after[0].auth_session_id, before[0].auth_session_id);
}

#[rstest]
#[tokio::test]
async fn before_the_row_there_is_nothing_and_the_client_tries_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut stage = Stage::set(backend).await;
    stage.die_at("before-row").await;
    assert_eq!(stage.connect("Admin").await, None);
    stage.died().await;
    assert!(stage.tables().await.operations.is_empty());
    assert_eq!(stage.intuned.calls(Call::CreateStart), 0);
    stage.start_again().await;
    let id = stage.connect("Admin").await.unwrap();
    let told = stage.follow(&id, 0).await;
    stage.check(&told).await;
    assert_eq!(stage.tables().await.status(), Some(Status::Done));
    assert_eq!(stage.intuned.calls(Call::CreateStart), 1);
}

/// Dies, comes back, and comes to the end that the case tells.
async fn run(stage: &mut Stage, case: Case) {
    let starts = stage.intuned.calls(Call::CreateStart);
    if let Some((call, fault)) = &case.fault {
        stage.intuned.script(*call, 1, fault);
    }
    stage.die_at(case.point).await;
    let known = stage.connect("Admin").await;
    let mut told = match &known {
        Some(id) => stage.follow(id, 0).await,
        None => Vec::new(),
    };
    stage.died().await;
    let left = stage.tables().await;
    assert_eq!(left.status(), Some(case.left), "{left:#?}");
    assert_eq!(
        left.operations
            .iter()
            .filter(|row| row.ended_at.is_none())
            .count(),
        usize::from(case.left != Status::Done)
    );

    stage.start_again().await;
    // The key leads the client that heard nothing back to the operation that it began.
    let id = stage.connect("Admin").await.unwrap();
    assert!(known.is_none_or(|known| known == id));
    let last = told
        .last()
        .map_or(0, |event| event["sequence"].as_i64().unwrap());
    told.extend(stage.follow(&id, last).await);
    stage.check(&told).await;

    let tables = stage.tables().await;
    let ended = tables.operations.last().unwrap();
    assert_eq!(ended.failure_code, case.end.err(), "{ended:#?}");
    assert_eq!(stage.intuned.calls(Call::CreateStart) - starts, case.starts);
}
