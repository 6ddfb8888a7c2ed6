//! Idempotency keys.

use serde_json::{Value, json};

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::by_alice,
    stage::Stage,
    support::{Api, Backend},
};

const CONNECT: &str =
    "mutation($i: ConnectOrangeHrmInput!) { connectOrangeHrm(input: $i) { operation { id } } }";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let mut outcome = play(&stage, refused()).await;
    for key in [
        "key",
        "' OR 1=1 --",
        "<b>",
        "\u{202e}key",
        "Schl\u{fc}ssel",
        &"k".repeat(255),
        "../../x",
        "%00",
        "{}",
        "a key",
    ] {
        let alices = connect(&stage.alice, "slow", key).await;
        let again = connect(&stage.alice, "slow", key).await;
        let other = reused(&stage.alice, "Admin", key).await;
        let bobs = connect(&stage.bob, "slow", key).await;
        let fits = alices.is_string() && again == alices && bobs.is_string() && bobs != alices;
        outcome.case(
            &format!("the key {key:?} with other input"),
            (other == "IDEMPOTENCY_KEY_REUSED")
                .then_some(())
                .ok_or_else(|| other.to_string()),
        );
        outcome.case(
            &format!("the key {key:?} of two users"),
            fits.then_some(())
                .ok_or_else(|| format!("{alices} {again} {bobs}")),
        );
        for (user, id) in [(&stage.alice, &alices), (&stage.bob, &bobs)] {
            user.cancel(id.as_str().unwrap_or_default()).await;
        }
        let after = connect(&stage.alice, "slow", key).await;
        outcome.case(
            &format!("the key {key:?} after the end"),
            (after == alices)
                .then_some(())
                .ok_or_else(|| after.to_string()),
        );
    }
    stage.stop().await;
    outcome
}

async fn connect(user: &Api, account: &str, key: &str) -> Value {
    send(user, account, key).await["data"]["connectOrangeHrm"]["operation"]["id"].take()
}

async fn reused(user: &Api, account: &str, key: &str) -> Value {
    send(user, account, key).await["errors"][0]["extensions"]["code"].take()
}

async fn send(user: &Api, account: &str, key: &str) -> Value {
    let input = json!({ "username": account, "password": "admin123", "idempotencyKey": key });
    user.connect_with(input).await
}

#[rustfmt::skip]
fn refused() -> Vec<Case> {
    let with = |name: &str, key: Value, due: Due| {
        let input = json!({ "i": { "username": "Admin", "password": "canary-pw", "idempotencyKey": key } });
        case(format!("a key {name}"), by_alice(CONNECT, &input), due)
    };
    let bad = || Due::Error(200, "BAD_USER_INPUT");
    vec![
        with("of nothing", json!(""), bad()),
        with("of 256 bytes", json!("k".repeat(256)), bad()),
        with("of 500 KB", json!("k".repeat(500_000)), bad()),
        with("with NUL", json!("a\0b"), bad()),
        with("with CR LF", json!("a\r\nb"), bad()),
        with("with an escape", json!("\u{1b}[31m"), bad()),
        with("with a C1 control", json!("a\u{85}b"), bad()),
        with("that is a number", json!(7), Due::NoData),
        with("that is a list", json!(["a"]), Due::NoData),
        with("that is an object", json!({ "a": "b" }), Due::NoData),
    ]
}
