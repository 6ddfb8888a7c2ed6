//! A pooler between the gateway and Postgres.

use intuned_gateway::platform::database::{self, DatabaseError};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::support::{
    API_KEY, Api, Backend, PgBouncer, Process, Proxy, Setup, TestApp, TestDatabase, eventually,
    process,
    socket::{DEADLINE, Socket},
};

/// What cannot be mended by waiting is told at once.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The line for `PgBouncer`'s settings that the documentation has.
fn recipe() -> String {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/production.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let start = docs.find("`ignore_startup_parameters = ").unwrap() + 1;
    docs[start..].split('`').next().unwrap().to_owned()
}

/// Also with parameters of the operator's own in the address.
#[rstest]
#[case::as_documented(true, Some("options=-c%20work_mem%3D8MB"))]
#[case::as_it_comes(false, None)]
#[tokio::test]
async fn a_gateway_works_behind_session_pooling(
    #[case] follows_recipe: bool,
    #[case] parameters: Option<&str>,
) {
    let setup = Setup {
        delay_scale: 0.1,
        ..Setup::default()
    };
    let mut app = TestApp::with(Backend::Postgres, setup).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let mut settings = vec!["pool_mode = session"];
    let recipe = recipe();
    settings.extend(follows_recipe.then_some(&*recipe));
    let mut pooler = PgBouncer::start(app.database.url.expose_secret(), &settings).await;
    pooler.url.set_query(parameters);
    let base_url = app.config.intuned.base_url.as_str();
    let settings = process::settings(pooler.url.as_str(), base_url, API_KEY);
    let mut driving = Process::spawn(&settings);
    let mut followed = Process::spawn(&settings);
    let user = user.at(&driving.ready().await);
    let elsewhere = followed.ready().await;
    eventually("both are ready", async || {
        is_ready(&user.url).await && is_ready(&elsewhere).await
    })
    .await;
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = Socket::open(&elsewhere, user.token.as_deref()).await;
    let id = operation["id"].as_str().unwrap();
    socket.follow("1", id, Some(0)).await;
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");
    let other = Api::new(&user.url).sign_up("b@example.com").await;
    let me = other.data("{ me { email } }", json!({})).await;
    assert_eq!(me["me"]["email"], "b@example.com");
    for gateway in [&mut driving, &mut followed] {
        gateway.stop().await;
    }
    app.finish().await;
}

async fn is_ready(url: &str) -> bool {
    let url = url.replace("/graphql", "/health/ready");
    reqwest::get(url).await.unwrap().status().is_success()
}

#[rstest]
#[case::a_parameter_that_is_refused(
    "pool_mode = session",
    Some("options=-c%20work_mem%3D8MB"),
    "ignore_startup_parameters"
)]
#[case::transaction_pooling("pool_mode = transaction", None, "use session pooling")]
#[case::statement_pooling("pool_mode = statement", None, "use session pooling")]
#[tokio::test]
async fn a_pooler_that_will_not_do_is_told_at_once(
    #[case] mode: &str,
    #[case] parameters: Option<&str>,
    #[case] what_to_do: &str,
) {
    let created = TestDatabase::create(Backend::Postgres).await;
    let mut pooler = PgBouncer::start(created.url.expose_secret(), &[mode]).await;
    pooler.url.set_query(parameters);
    let url = pooler.url.as_str().into();
    let error = timeout(TOLD_WITHIN, database::connect(&url, 10)).await;
    let error = error.expect("told at once").unwrap_err();
    assert!(error.to_string().contains(what_to_do), "{error}");
    let refused = matches!(error, DatabaseError::Refused(_) | DatabaseError::Shared);
    assert!(refused, "{error:?}");
}

/// As over a long way, on which each answer takes its time.
#[rstest]
#[case::transaction_pooling("pool_mode = transaction", true)]
#[case::session_pooling("pool_mode = session", false)]
#[tokio::test]
async fn what_a_slow_address_leads_to_is_found_out(#[case] mode: &str, #[case] is_shared: bool) {
    let created = TestDatabase::create(Backend::Postgres).await;
    let pooler = PgBouncer::start(created.url.expose_secret(), &[mode]).await;
    let (proxy, url) = Proxy::before(&pooler.url).await;
    proxy.set_late(250);
    let connected = timeout(DEADLINE, database::connect(&url.as_str().into(), 10)).await;
    match connected.unwrap() {
        Err(DatabaseError::Shared) => assert!(is_shared),
        other => assert!(other.is_ok() && !is_shared, "{other:?}"),
    }
}

/// Each replica has one at least, and starts with no more.
#[tokio::test]
async fn where_there_is_no_room_for_a_second_connection_the_gateway_starts_with_one() {
    let created = TestDatabase::create(Backend::Postgres).await;
    let only = ["pool_mode = session", "default_pool_size = 1"];
    let pooler = PgBouncer::start(created.url.expose_secret(), &only).await;
    let url = pooler.url.as_str().into();
    let connected = timeout(DEADLINE, database::connect(&url, 1)).await;
    assert!(connected.unwrap().is_ok());
}

/// The pooler may be up before Postgres is.
#[tokio::test]
async fn a_pooler_whose_server_is_not_there_yet_is_waited_for() {
    let created = TestDatabase::create(Backend::Postgres).await;
    let mut url: url::Url = created.url.expose_secret().parse().unwrap();
    url.set_port(Some(1)).unwrap();
    let pooler = PgBouncer::start(url.as_str(), &["pool_mode = session"]).await;
    let url = pooler.url.as_str().into();
    let waiting = timeout(TOLD_WITHIN, database::connect(&url, 10)).await;
    assert!(waiting.is_err(), "{waiting:?}");
}
