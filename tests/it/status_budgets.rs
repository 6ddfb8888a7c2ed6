//! A page that asks for the status again and again: its user's budget bounds what Intuned is asked, and the
//! page is answered all the same, whichever replicas its requests come to.

use std::time::Duration;

use entity::tries;
use futures_util::future::join_all;
use intuned_gateway::{
    accounts::{Budget, ReadBudgets},
    app::AppConfig,
    connections::StatusKeeping,
};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{
    Database, DatabaseConnection, EntityTrait,
    sea_query::{Expr, ExprTrait},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::{API_KEY, Api, Backend, Process, Setup, TestApp, eventually, process};

const STATUS: &str = "{ me { connection { status } } }";

async fn connects(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

async fn status(user: &Api) -> Value {
    user.data(STATUS, json!({})).await["me"]["connection"]["status"].clone()
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

/// As if all tries that are counted by now were used up.
async fn use_up_budgets(database: &DatabaseConnection, window: Duration) {
    let column = tries::Column::SettlesAt;
    let millis = i64::try_from(window.as_millis()).unwrap();
    // What was counted settles within the window, as of now.
    tries::Entity::update_many()
        .col_expr(column, Expr::col(column).add(millis))
        .exec(database)
        .await
        .unwrap();
}

/// Asks each of the replicas in turn, so often at this pace, and is answered each time.
async fn asks_in_turn(replicas: &[Api], times: usize, pace: Duration) {
    let mut pace = interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for replica in replicas.iter().cycle().take(times) {
        pace.tick().await;
        assert_eq!(status(replica).await, "READY");
    }
}

/// The program's own limits and times, with a budget that is used up already.
#[tokio::test]
async fn a_page_that_asks_once_a_second_is_never_refused_whichever_replicas_it_asks() {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    connects(&user).await;
    app.stop().await;
    let database_url = app.config.database_url.expose_secret();
    let base_url = app.config.intuned.base_url.as_str();
    let mut settings = process::settings(database_url, base_url, API_KEY);
    settings.retain(|(name, _)| *name != "STATUS_TRIES");
    let mut processes: Vec<_> = (0..4).map(|_| Process::spawn(&settings)).collect();
    let urls = join_all(processes.iter().map(Process::ready)).await;
    let replicas: Vec<_> = urls.iter().map(|url| user.at(url)).collect();

    assert_eq!(status(&replicas[0]).await, "READY");
    use_up_budgets(&database(&app).await, Duration::from_secs(58)).await;
    let (asked, begun) = (app.intuned.calls(Call::One), Instant::now());
    asks_in_turn(&replicas, 12, Duration::from_secs(1)).await;
    let refilled = begun.elapsed().as_secs() / 2 + 1;
    let asked = app.intuned.calls(Call::One) - asked;
    assert!((1..=refilled).contains(&(asked as u64)), "{asked}");
    for process in &mut processes {
        process.stop().await;
    }
    app.finish().await;
}

/// All times are a tenth of the program's.
#[tokio::test]
async fn pages_of_one_user_on_many_replicas_have_intuned_asked_within_the_budget() {
    let setup = Setup {
        configure: |config| {
            config.accounts.reads.statuses = Budget {
                tries: 30,
                window: Duration::from_secs(6),
            };
            config.connections.statuses = Some(StatusKeeping {
                fresh_for: Duration::from_millis(200),
                fallback_for: Duration::from_secs(6),
            });
        },
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let user = app.user("a@example.com").await;
    connects(&user).await;
    let others = [
        app.replica().await,
        app.replica().await,
        app.replica().await,
    ];
    let mut replicas: Vec<_> = others.iter().map(|other| other.user(&user)).collect();
    replicas.push(user);

    let (before, begun) = (app.intuned.calls(Call::One), Instant::now());
    let pages = (0..3).map(|_| asks_in_turn(&replicas, 120, Duration::from_millis(100)));
    join_all(pages).await;
    let asked = app.intuned.calls(Call::One) - before;
    let allowed = 30 + begun.elapsed().as_millis() / 200 + 1;
    assert!(asked as u128 <= allowed, "{asked} of {allowed}");
    for other in others {
        other.finish().await;
    }
    app.finish().await;
}

fn three(config: &mut AppConfig) {
    config.accounts.reads = ReadBudgets {
        runs: Budget::ANY,
        statuses: Budget {
            tries: 3,
            window: Duration::from_mins(15),
        },
    };
    config.connections.statuses = Some(StatusKeeping {
        fresh_for: Duration::from_millis(1),
        fallback_for: Duration::from_mins(15),
    });
}

async fn is_refused(user: &Api) {
    assert_eq!(user.error_code(STATUS, json!({})).await, "RATE_LIMITED");
}

#[rstest]
#[tokio::test]
async fn the_last_status_serves_in_the_place_of_a_refusal_until_the_account_is_connected_anew(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: three,
        ..Setup::default()
    };
    let mut app = TestApp::with(backend, setup).await;
    let mut user = app.user("a@example.com").await;
    connects(&user).await;
    let before = app.intuned.calls(Call::One);
    for _ in 0..10 {
        assert_eq!(status(&user).await, "READY");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(app.intuned.calls(Call::One) - before, 3);
    app.restart().await;
    user.url.clone_from(&app.api.url);
    assert_eq!(status(&user).await, "READY");
    connects(&user).await;
    is_refused(&user).await;
    assert_eq!(app.intuned.calls(Call::One) - before, 3);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_status_serves_in_the_place_of_a_refusal_once_the_connection_has_expired(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: three,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    connects(&user).await;
    for _ in 0..4 {
        assert_eq!(status(&user).await, "READY");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let expired = json!({ "status": "failed", "error": { "category": "auth" } });
    let expired = Fault::answer(200).with_body(expired.to_string());
    app.intuned.script(Call::RunResult, 1, &expired);
    let claims = "{ me { connection { claims } } }";
    let code = user.error_code(claims, json!({})).await;
    assert_eq!(code, "CONNECTION_EXPIRED");
    is_refused(&user).await;
    // A run that ends well takes it back, and all that was heard of before with it.
    user.data(claims, json!({})).await;
    is_refused(&user).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_status_that_is_older_than_the_window_serves_nobody(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| {
            three(config);
            config.connections.statuses = Some(StatusKeeping {
                fresh_for: Duration::from_millis(1),
                fallback_for: Duration::from_secs(2),
            });
        },
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    connects(&user).await;
    for _ in 0..4 {
        assert_eq!(status(&user).await, "READY");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    eventually("too old", async || {
        let answer = user.send(STATUS, json!({})).await;
        answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    })
    .await;
    app.finish().await;
}
