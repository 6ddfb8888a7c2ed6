//! Operations that ended long ago.

use chrono::TimeDelta;
use entity::{operation, operation_event};
use intuned_gateway::platform::database;
use rstest::rstest;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, PaginatorTrait};
use uuid::Uuid;

use crate::support::{Backend, TestApp, eventually};

/// More than one batch.
const OLD: u128 = 1200;

#[rstest]
#[tokio::test]
async fn operations_that_ended_long_ago_are_deleted_with_their_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    eventually("done", async || {
        user.operation(operation["id"].as_str().unwrap()).await["status"] == "DONE"
    })
    .await;
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let done = operation::Entity::find()
        .one(&database)
        .await
        .unwrap()
        .unwrap();
    let changes = operation_event::Entity::find()
        .all(&database)
        .await
        .unwrap();
    let retention = TimeDelta::from_std(app.config.operations.retention).unwrap();
    // The last of them ended late.
    for number in 1..=OLD + 1 {
        let mut old = done.clone();
        old.id = Uuid::from_u128(number);
        if number <= OLD {
            old.ended_at = done.ended_at.map(|at| (at.0 - retention).into());
        }
        let change = operation_event::Model {
            operation_id: old.id,
            ..changes[0].clone()
        };
        let old = old.into_active_model().reset_all();
        operation::Entity::insert(old)
            .exec_without_returning(&database)
            .await
            .unwrap();
        let change = change.into_active_model().reset_all();
        operation_event::Entity::insert(change)
            .exec_without_returning(&database)
            .await
            .unwrap();
    }
    app.restart().await;
    eventually("the old ones are gone", async || {
        operation::Entity::find().count(&database).await.unwrap() == 2
    })
    .await;
    let kept = operation_event::Entity::find()
        .count(&database)
        .await
        .unwrap();
    assert_eq!(kept, changes.len() as u64 + 1);
    app.finish().await;
}
