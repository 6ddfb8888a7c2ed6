//! Deaths while the operator's endpoint is told of a connection.

use entity::webhook_delivery::{self, Outcome};
use rstest::rstest;
use sea_orm::{Database, EntityTrait, sea_query::Expr};
use serde_json::json;

use crate::{
    database::Backend,
    receiver::{Receiver, WEBHOOK_SECRET},
    stage::Stage,
    wait::eventually,
};

const DELETE: &str = r#"mutation { deleteAccount(password: "correct horse") { deleted } }"#;
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

/// A gateway that tells a receiver, and what is written of that.
async fn stage(backend: Backend, receiver: &Receiver) -> Stage {
    let settings = [
        ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ("WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("WEBHOOK_URL", &receiver.url),
    ];
    Stage::with(backend, &settings).await
}

async fn deliveries(stage: &Stage) -> Vec<webhook_delivery::Model> {
    let database = Database::connect(stage.database_url()).await.unwrap();
    let deliveries = webhook_delivery::Entity::find().all(&database).await;
    deliveries.unwrap()
}

/// As if the dead one's lease had run out.
async fn end_leases(stage: &Stage) {
    let database = Database::connect(stage.database_url()).await.unwrap();
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::DueAt, Expr::value(0))
        .exec(&database)
        .await
        .unwrap();
}

async fn all_delivered(stage: &Stage) {
    eventually("all are delivered", async || {
        let mut deliveries = deliveries(stage).await.into_iter();
        deliveries.all(|one| one.outcome == Some(Outcome::Delivered))
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn what_was_told_and_not_written_down_is_told_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let mut stage = stage(backend, &receiver).await;
    stage.die_at("webhook-sent").await;
    let id = stage.connect("Admin").await.unwrap();
    let mut told = stage.follow(&id, 0).await;
    stage.died().await;
    assert_eq!(receiver.received().len(), 1);
    let left = deliveries(&stage).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!((left[0].attempts, left[0].outcome), (1, None));

    end_leases(&stage).await;
    stage.start_again().await;
    let last = told.len().try_into().unwrap();
    told.extend(stage.follow(&id, last).await);
    let received = receiver.until(2).await;
    assert_eq!(received[0].body, received[1].body);
    for request in &received {
        assert_eq!(request.header("webhook-id"), left[0].event_id.to_string());
    }
    all_delivered(&stage).await;
    // And what comes after it goes on.
    stage.user.data(DISCONNECT, json!({})).await;
    assert_eq!(receiver.until(3).await[2].kind(), "connection.removed");
    all_delivered(&stage).await;
    assert_eq!(receiver.received().len(), 3);
    stage.let_time_pass().await;
    stage.check(&told).await;
}

/// The account stands after a death in the middle of its end, and its connection's end is told.
#[rstest]
#[tokio::test]
async fn the_end_of_a_connection_is_told_although_its_account_was_being_deleted(
    #[values("removal-noted", "removal-deleted")] point: &str,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let mut stage = stage(backend, &receiver).await;
    let id = stage.connect("Admin").await.unwrap();
    let told = stage.follow(&id, 0).await;
    receiver.until(1).await;
    stage.die_at(point).await;
    let answer = stage.user.try_send(DELETE, json!({})).await;
    assert!(answer.is_err(), "the gateway died: {answer:?}");
    stage.died().await;
    stage.start_again().await;
    stage.let_time_pass().await;
    let received = receiver.until(2).await;
    assert_eq!(received[1].kind(), "connection.removed");
    assert_eq!(received[0].json()["data"], received[1].json()["data"]);
    stage.check(&told).await;
    assert!(stage.tables().await.connections.is_empty());
    assert_eq!(receiver.received().len(), 2);
}
