//! A database that is away for about a lease: nothing is left that nobody drives.

use std::time::Duration;

use chrono::TimeDelta;
use entity::operation;
use intuned_gateway::platform::database;
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, sea_query::Expr,
};
use uuid::Uuid;

use crate::support::{Backend, Setup, TestApp, eventually};

/// Keeps everybody else from the database.
async fn hold(app: &TestApp, stall: Duration) {
    let other = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let lock = database::begin(&other).await.unwrap();
    tokio::time::sleep(stall).await;
    lock.rollback().await.unwrap();
}

/// The lease in tests is two seconds, a sign of life comes every half second.
#[rstest]
#[tokio::test]
async fn a_stall_of_about_a_lease_is_survived(
    #[values(1500, 1900, 2000, 2100, 2300, 2700, 3500)] stall: u64,
) {
    let setup = Setup {
        delay_scale: 0.5,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("polled", async || app.intuned.calls(Call::CreateResult) > 0).await;

    hold(&app, Duration::from_millis(stall)).await;

    eventually("done", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn a_sign_in_that_began_while_the_file_was_locked_can_still_ask() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let late = Fault::delay(Duration::from_millis(500));
    app.intuned.script(Call::CreateStart, 1, &late);
    let operation = user.connect("passcode", "admin123").await;
    eventually("the start is under way", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;
    // Longer than a write is tried again at once.
    hold(&app, Duration::from_secs(8)).await;
    eventually("the user is asked", async || {
        let operation = user.operation(operation["id"].as_str().unwrap()).await;
        operation["status"] == "REQUESTED_MORE_INFO"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    user.cancel(operation["id"].as_str().unwrap()).await;
    app.finish().await;
}

#[tokio::test]
async fn what_is_owned_and_not_driven_is_taken_up() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let mut lost = operation::Entity::find()
        .one(&database)
        .await
        .unwrap()
        .unwrap();
    user.cancel(&asked.id).await;
    // As if the answer to taking it over had been lost: this replica owns what it does not know.
    lost.id = Uuid::from_u128(1);
    lost.created_at.0 -= TimeDelta::minutes(1);
    lost.epoch = 7;
    let lost = lost.into_active_model().reset_all();
    operation::Entity::insert(lost)
        .exec_without_returning(&database)
        .await
        .unwrap();
    eventually("taken up under a new epoch", async || {
        let found = operation::Entity::find_by_id(Uuid::from_u128(1));
        found.one(&database).await.unwrap().unwrap().epoch > 7
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_keep_others_from_being_taken_up(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let broken = app.user("a@example.com").await;
    let broken = app.asked(&broken, "passcode").await;
    let user = app.user("b@example.com").await;
    let mut asked = app.asked(&user, "passcode").await;
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    operation::Entity::update_many()
        .col_expr(operation::Column::Status, Expr::value("OF_A_LATER_BUILD"))
        .filter(operation::Column::Id.eq(broken.id.parse::<Uuid>().unwrap()))
        .exec(&database)
        .await
        .unwrap();
    operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(Option::<Uuid>::None))
        .col_expr(operation::Column::Epoch, Expr::value(7))
        .exec(&database)
        .await
        .unwrap();
    user.resume(&asked.id, &asked.request, PASSCODE).await;
    let events = asked.socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    app.finish().await;
}
