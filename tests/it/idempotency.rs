//! Idempotency keys: repeats are told from other wishes under the same key.

use entity::operation;
use futures_util::future::join_all;
use intuned_gateway::platform::database;
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{EntityTrait, sea_query::Expr};
use serde_json::{Value, json};

use crate::support::{Api, Backend, Setup, TestApp};

const REUSED: &str = "IDEMPOTENCY_KEY_REUSED";

fn input(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password, "idempotencyKey": "key" })
}

/// The operation's id, or else the error's code.
async fn connect(user: &Api, input: Value) -> String {
    let answer = user.connect_with(input).await;
    let id = &answer["data"]["connectOrangeHrm"]["operation"]["id"];
    let code = &answer["errors"][0]["extensions"]["code"];
    let told = id.as_str().or(code.as_str());
    told.unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}

#[rstest]
#[tokio::test]
async fn a_key_that_is_repeated_with_other_input_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let first = connect(&user, input("passcode", "admin123")).await;
    for round in ["while it is in flight", "after its end"] {
        let same = input("passcode", "admin123");
        assert_eq!(connect(&user, same).await, first, "{round}");
        // A password is no part of what is kept.
        let retyped = input("passcode", "another");
        assert_eq!(connect(&user, retyped).await, first, "{round}");
        let answer = user.connect_with(input("Admin", "admin123")).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], REUSED, "{round}");
        assert_eq!(error["extensions"]["field"], "idempotencyKey");
        assert!(error["message"].as_str().unwrap().contains("new key"));
        user.cancel(&first).await;
    }
    // Each user has keys of their own.
    let other = app.user("b@example.com").await;
    let theirs = connect(&other, input("Admin", "admin123")).await;
    assert_ne!(theirs, REUSED);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn another_proxy_is_other_input(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.operations.proxies.allow_user_proxy = true,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let by = |proxy: &str| {
        let mut input = input("passcode", "admin123");
        input["proxy"] = json!(proxy);
        input
    };
    let first = connect(&user, by("http://me:one@mine.test:3128")).await;
    let again = connect(&user, by("http://me:two@mine.test:3128")).await;
    assert_eq!(again, first, "the proxy's password is no part of it");
    let other = connect(&user, by("http://me:one@other.test:3128")).await;
    assert_eq!(other, REUSED);
    assert_eq!(connect(&user, input("passcode", "admin123")).await, REUSED);
    user.cancel(&first).await;
    app.finish().await;
}

/// What decides is the index, whoever comes to it second.
#[tokio::test]
async fn of_two_wishes_under_one_key_at_once_on_two_replicas_one_is_refused() {
    let app = TestApp::start(Backend::Postgres).await;
    let second = app.replica().await;
    for number in 0..10 {
        let user = app.user(&format!("{number}@example.com")).await;
        let elsewhere = second.user(&user);
        let (one, other) = (input("Admin", "admin123"), input("slow", "admin123"));
        let wishes = [(&user, one), (&elsewhere, other)];
        let told = join_all(wishes.map(|(user, input)| connect(user, input))).await;
        let refused = told.iter().filter(|told| *told == REUSED);
        assert_eq!(refused.count(), 1, "{told:?}");
        let begun = told.iter().find(|told| *told != REUSED).unwrap();
        user.cancel(begun).await;
    }
    second.finish().await;
    app.finish().await;
}

#[rstest]
#[case::of_a_release_before(None)]
#[case::by_another_secret(Some("00000000.00"))]
#[tokio::test]
async fn what_cannot_be_compared_is_a_repeat(
    #[case] kept: Option<&str>,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let first = connect(&user, input("passcode", "admin123")).await;
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    operation::Entity::update_many()
        .col_expr(
            operation::Column::InputFingerprint,
            Expr::value(kept.map(str::to_owned)),
        )
        .exec(&database)
        .await
        .unwrap();
    assert_eq!(connect(&user, input("Admin", "admin123")).await, first);
    user.cancel(&first).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_secret_that_was_changed_refuses_no_repeat(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let mut user = app.user("a@example.com").await;
    let wait = Fault::answer(200).with_body(r#"{"status":"pending"}"#);
    app.intuned.script(Call::CreateResult, 9999, &wait);
    let first = connect(&user, input("Admin", "admin123")).await;
    app.config.operations.secret = "another secret of 32 bytes or more".into();
    app.restart().await;
    user.url.clone_from(&app.api.url);
    assert_eq!(connect(&user, input("Admin", "admin123")).await, first);
    user.cancel(&first).await;
    app.finish().await;
}
