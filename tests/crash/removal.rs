//! Deaths while a connection is removed.

use intuned_simulator::Call;
use rstest::rstest;
use serde_json::json;

use crate::{database::Backend, stage::Stage};

const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

#[rstest]
#[tokio::test]
async fn a_removal_carries_on_until_both_sides_are_clean(
    #[values("removal-noted", "removal-deleted")] point: &str,
    #[values(true, false)] repeated: bool,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut stage = Stage::set(backend).await;
    let operation = stage.user.connect("Admin", "admin123").await;
    let told = stage.follow(operation["id"].as_str().unwrap(), 0).await;
    stage.die_at(point).await;
    let answer = stage.user.try_send(DISCONNECT, json!({})).await;
    assert!(answer.is_err(), "the gateway died: {answer:?}");
    stage.died().await;
    let left = stage.tables().await;
    assert_eq!(
        (left.connections.len(), left.removals.len()),
        (1, 1),
        "{left:#?}"
    );
    let stands = usize::from(point == "removal-noted");
    assert_eq!(stage.intuned.sessions().len(), stands);

    stage.start_again().await;
    if repeated {
        let answer = stage.user.data(DISCONNECT, json!({})).await;
        assert_eq!(answer["disconnectOrangeHrm"]["disconnected"], true);
        let answer = stage.user.data(DISCONNECT, json!({})).await;
        assert_eq!(answer["disconnectOrangeHrm"]["disconnected"], false);
    } else {
        stage.let_time_pass().await;
    }
    stage.check(&told).await;
    assert!(stage.tables().await.connections.is_empty());
    assert!(stage.intuned.sessions().is_empty());
    assert_eq!(stage.intuned.calls(Call::CreateStart), 1);
}
