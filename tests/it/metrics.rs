//! What Prometheus reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use entity::{Millis, webhook_delivery};
use intuned_gateway::app::AppError;
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use sea_orm::{ColumnTrait, Database, EntityTrait, QueryFilter, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{API_KEY, Backend, Receiver, Reply, Setup, TestApp, eventually};

/// What one reading shows.
pub(crate) struct Reading {
    pub(crate) text: String,
    samples: BTreeMap<String, f64>,
}

impl Reading {
    /// Reads and checks the form: each sample belongs to a metric with a help text and a type.
    pub(crate) async fn of(app: &TestApp) -> Self {
        let url = format!("http://{}/metrics", app.metrics_address().unwrap());
        let answer = reqwest::get(url).await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = answer.text().await.unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        assert!(text.ends_with("# EOF\n"), "{text}");
        Self {
            samples: samples.collect(),
            text,
        }
    }

    /// Zero when there is none.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        let sample = format!("intuned_gateway_{sample}");
        self.samples.get(&sample).copied().unwrap_or_default()
    }

    /// The metrics' names as queries have them, each with its help text.
    pub(crate) fn metrics(&self) -> BTreeMap<&str, &str> {
        let helps = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP "));
        helps.map(|help| help.split_once(' ').unwrap()).collect()
    }
}

/// However long the queue of those who are to ask Intuned, who gives up is let go of at once.
#[tokio::test]
async fn an_operation_that_waits_for_its_turn_is_let_go_of() {
    let setup = Setup {
        configure: |config| {
            config.operations.max_concurrency = 1;
            config.intuned.request_timeout = Duration::from_mins(2);
        },
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let (first, second) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    let asked = [
        app.asked(&first, "passcode").await,
        app.asked(&second, "passcode").await,
    ];
    // One of them has the only turn from now on.
    let hangs = Fault::delay(Duration::from_secs(100));
    app.intuned.script(Call::CreateResult, 9, &hangs);
    let asks = app.intuned.calls(Call::CreateResult);
    eventually("one asks", async || {
        app.intuned.calls(Call::CreateResult) > asks
    })
    .await;
    for (user, asked) in [&first, &second].into_iter().zip(&asked) {
        user.cancel(&asked.id).await;
    }
    eventually("the other is let go of", async || {
        let driven = r#"operations{status="requested_more_info"}"#;
        (Reading::of(&app).await.value(driven) - 1.0).abs() < 0.1
    })
    .await;
    drop(asked);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_sign_in_can_be_followed_in_metrics(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    // What the replica looks for by itself takes one from time to time.
    eventually("no connection is in use", async || {
        Reading::of(&app)
            .await
            .value(r#"database_connections{state="in_use"}"#)
            == 0.0
    })
    .await;
    let before = Reading::of(&app).await;
    for (sample, expected) in [
        (
            r#"graphql_requests_total{kind="mutation",operation="signUp",outcome="ok"}"#,
            1.0,
        ),
        (
            r#"graphql_requests_total{kind="query",operation="me",outcome="ok"}"#,
            0.0,
        ),
        ("password_hash_duration_seconds_count", 1.0),
        ("password_hashes_pending", 0.0),
        (r#"operations_ended_total{status="done",failure=""}"#, 0.0),
    ] {
        assert!(
            (before.value(sample) - expected).abs() < 0.1,
            "{sample}\n{}",
            before.text
        );
    }

    let mut asked = app.asked(&user, "passcode").await;
    let during = Reading::of(&app).await;
    for (sample, expected) in [
        ("websockets_open", 1.0),
        (r#"subscriptions_open{transport="websocket"}"#, 1.0),
        (r#"operations{status="requested_more_info"}"#, 1.0),
        (r#"operations_started_total{kind="connect"}"#, 1.0),
        (
            r#"upstream_call_duration_seconds_count{call="create.start",result="ok"}"#,
            1.0,
        ),
    ] {
        assert!(
            (during.value(sample) - expected).abs() < 0.1,
            "{sample}\n{}",
            during.text
        );
    }
    let answered = user.resume(&asked.id, &asked.request, PASSCODE).await;
    assert!(answered.get("errors").is_none(), "{answered:#}");
    asked.socket.until("DONE").await;
    drop(asked);
    eventually("the socket's end is counted", async || {
        Reading::of(&app).await.value("websockets_open") == 0.0
    })
    .await;

    let after = Reading::of(&app).await;
    for (sample, expected) in [
        (r#"operations{status="requested_more_info"}"#, 0.0),
        (r#"operations_ended_total{status="done",failure=""}"#, 1.0),
        (r#"operation_duration_seconds_count{status="done"}"#, 1.0),
        (r#"operation_polls_total{result="done"}"#, 1.0),
        (
            r#"graphql_requests_total{kind="subscription",operation="operationStatus",outcome="ok"}"#,
            1.0,
        ),
        (r#"subscriptions_open{transport="websocket"}"#, 0.0),
    ] {
        assert!(
            (after.value(sample) - expected).abs() < 0.1,
            "{sample}\n{}",
            after.text
        );
    }
    assert!(
        after.value(r#"database_statement_duration_seconds_count{verb="insert",result="ok"}"#)
            > 3.0
    );
    assert!(after.value("operation_poll_lateness_seconds_count") > 0.0);
    assert!(after.value(r#"http_requests_total{status="101"}"#) > 0.0);
    app.finish().await;
}

#[tokio::test]
async fn requests_are_told_apart_by_what_they_ask_for_and_how_they_ended() {
    let app = TestApp::start(Backend::Sqlite).await;
    let ask = async |query: &str| app.api.send(query, json!({})).await;
    ask("query Anything { me { id } }").await;
    ask("query Else { me { id } __typename }").await;
    ask("{ a: me { id } b: operation(id: 1) { id } }").await;
    ask("mutation { cancelOperation(operationId: 1) { operation { id } } }").await;
    ask("{ me { nothing } }").await;
    ask("{ nothing ").await;
    let reading = Reading::of(&app).await;
    for (sample, expected) in [
        (
            r#"graphql_requests_total{kind="query",operation="me",outcome="ok"}"#,
            2.0,
        ),
        (
            r#"graphql_requests_total{kind="query",operation="other",outcome="UNAUTHENTICATED"}"#,
            1.0,
        ),
        (
            r#"graphql_requests_total{kind="mutation",operation="cancelOperation",outcome="UNAUTHENTICATED"}"#,
            1.0,
        ),
        (
            r#"graphql_requests_total{kind="query",operation="me",outcome="GRAPHQL_VALIDATION_FAILED"}"#,
            1.0,
        ),
        (
            r#"graphql_requests_total{kind="unknown",operation="unknown",outcome="GRAPHQL_PARSE_FAILED"}"#,
            1.0,
        ),
        (
            r#"graphql_request_duration_seconds_count{kind="query",operation="me"}"#,
            3.0,
        ),
    ] {
        assert!(
            (reading.value(sample) - expected).abs() < 0.1,
            "{sample}\n{}",
            reading.text
        );
    }
    for name in ["Anything", "Else"] {
        assert!(
            !reading.text.contains(name),
            "clients' names are as many as they like"
        );
    }
    app.finish().await;
}

#[tokio::test]
async fn each_gateway_counts_for_itself() {
    let (one, other) = (
        TestApp::start(Backend::Sqlite).await,
        TestApp::start(Backend::Sqlite).await,
    );
    one.user("a@example.com").await;
    let sign_ups = r#"graphql_requests_total{kind="mutation",operation="signUp",outcome="ok"}"#;
    assert!(Reading::of(&one).await.value(sign_ups) > 0.5);
    assert!(Reading::of(&other).await.value(sign_ups) < 0.5);
    one.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn what_is_counted_has_a_help_text_and_a_conventional_name() {
    let app = TestApp::start(Backend::Sqlite).await;
    let reading = Reading::of(&app).await;
    let metrics = reading.metrics();
    assert!(metrics.len() > 25, "{metrics:?}");
    for (name, help) in metrics {
        assert!(help.len() > 20, "{name}: {help}");
        assert!(
            name.starts_with("intuned_gateway_") || name.starts_with("process_"),
            "{name}"
        );
        for unit in ["_ms", "_millis", "_minutes", "_kb"] {
            assert!(!name.ends_with(unit), "{name} is in base units");
        }
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(reading.samples[name] > 0.0, "{name}");
    }
    app.finish().await;
}

#[tokio::test]
async fn without_an_address_nothing_is_shown_and_a_taken_one_is_told() {
    let setup = Setup {
        configure: |config| config.metrics = None,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    assert_eq!(app.metrics_address(), None);
    let other = TestApp::start(Backend::Sqlite).await;
    let taken = other.metrics_address().unwrap();
    let mut config = (*app.config).clone();
    config.metrics = Some(taken);
    let error = TestApp::try_start(config).await.unwrap_err();
    assert!(matches!(error, AppError::Metrics { address, .. } if address == taken));
    assert!(error.to_string().contains("METRICS_ADDR"), "{error}");
    app.finish().await;
    other.finish().await;
    // It went with the gateway.
    assert!(std::net::TcpListener::bind(taken).is_ok());
}

#[tokio::test]
async fn metrics_hold_no_secrets() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("canary@example.com").await;
    let operation = user.connect("canary-username", "canary-password").await;
    let id = operation["id"].as_str().unwrap();
    eventually("it ends", async || {
        user.operation(id).await["status"] == "FAILED"
    })
    .await;
    let text = Reading::of(&app).await.text;
    let token = user.token.as_deref().unwrap();
    for secret in ["canary", API_KEY, token, id] {
        assert!(!text.contains(secret), "{secret}");
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn webhooks_are_counted_by_what_came_of_them_and_what_waits_is_seen(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Hang, Reply::Status(503)]);
    let mut webhooks = receiver.config();
    // Long enough to be seen to wait.
    webhooks.timeout = Duration::from_millis(500);
    let setup = Setup {
        webhooks: Some(webhooks),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let database = Database::connect(app.config.database_url.expose_secret());
    let database = database.await.unwrap();
    let deliveries = |event: &str, outcome: &str| {
        format!(r#"webhook_deliveries_total{{event="connection.{event}",outcome="{outcome}"}}"#)
    };
    let counts = async |sample: &str, count: f64| {
        eventually(sample, async || {
            (Reading::of(&app).await.value(sample) - count).abs() < 0.1
        })
        .await;
    };
    // Tried again at once, and given up if it happened so long ago.
    let hurry = async |age: chrono::TimeDelta| {
        let deliveries = webhook_delivery::Entity::find().all(&database).await;
        let occurred_at = deliveries.unwrap()[0].occurred_at.0 - age;
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::DueAt, Expr::value(0))
            .col_expr(
                webhook_delivery::Column::OccurredAt,
                Expr::value(Millis(occurred_at)),
            )
            .filter(webhook_delivery::Column::SettledAt.is_null())
            .exec(&database)
            .await
            .unwrap();
    };
    counts("webhooks_waiting", 0.0).await;

    let user = app.user("a@example.com").await;
    user.connect("Admin", "admin123").await;
    counts("webhooks_waiting", 1.0).await;
    counts(&deliveries("created", "failed"), 1.0).await;
    hurry(chrono::TimeDelta::hours(1)).await;
    counts(&deliveries("created", "failed"), 2.0).await;
    eventually("it has waited for an hour", async || {
        Reading::of(&app).await.value("webhook_oldest_age_seconds") > 3000.0
    })
    .await;
    receiver.script([Reply::Status(404)]);
    hurry(chrono::TimeDelta::days(3)).await;
    counts(&deliveries("created", "dead"), 1.0).await;
    counts("webhooks_waiting", 0.0).await;
    counts("webhook_oldest_age_seconds", 0.0).await;

    user.data(
        "mutation { disconnectOrangeHrm { disconnected } }",
        json!({}),
    )
    .await;
    counts(&deliveries("removed", "delivered"), 1.0).await;
    let reading = Reading::of(&app).await;
    assert!((reading.value("webhook_delay_seconds_count") - 1.0).abs() < 0.1);
    assert!(reading.value("webhook_delay_seconds_sum") < 60.0);
    assert!(reading.value(&deliveries("created", "delivered")) < 0.1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn tries_that_are_refused_are_counted_by_kind_and_limit(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| {
            config.accounts.tries.for_each_address = 2;
            config.accounts.tries.for_each_client = 5;
        },
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let query = |field: &str, kind: &str| {
        format!("mutation($i: {kind}Input!) {{ {field}(input: $i) {{ token }} }}")
    };
    let (sign_in, sign_up) = (query("signIn", "SignIn"), query("signUp", "SignUp"));
    let code = async |query: &str, email: &str| {
        let input = json!({ "i": { "email": email, "password": "wrong horse" } });
        app.api.error_code(query, input).await
    };
    for refused in [false, false, true, true] {
        let code = code(&sign_in, "a@example.com").await;
        assert_eq!(code == "RATE_LIMITED", refused, "{code}");
    }
    // Refused ones by the address have been counted for the client.
    code(&sign_in, "b@example.com").await;
    assert_eq!(code(&sign_up, "c@example.com").await, "RATE_LIMITED");
    let reading = Reading::of(&app).await;
    for (kind, limit, count) in [
        ("password", "address", 2.0),
        ("password", "client", 0.0),
        ("sign_up", "address", 0.0),
        ("sign_up", "client", 1.0),
    ] {
        let sample = format!(r#"tries_refused_total{{kind="{kind}",limit="{limit}"}}"#);
        assert!(
            (reading.value(&sample) - count).abs() < 0.1,
            "{sample}\n{}",
            reading.text
        );
        assert!(reading.text.contains(&sample), "it begins at zero");
    }
    app.finish().await;
}

/// Somebody guesses in the one case, and in the other users share an address.
#[rstest]
#[tokio::test]
async fn sign_ins_that_are_refused_although_they_succeed_are_counted_apart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.accounts.tries.sign_ins_for_each_client = 2,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    app.user("a@example.com").await;
    app.user("b@example.com").await;
    let sign_up = "mutation($i: SignUpInput!) { signUp(input: $i) { token } }";
    let input = json!({ "i": { "email": "c@example.com", "password": "correct horse battery" } });
    assert_eq!(app.api.error_code(sign_up, input).await, "RATE_LIMITED");
    let reading = Reading::of(&app).await;
    for (limit, count) in [("client", 0.0), ("client_sign_ins", 1.0)] {
        let sample = format!(r#"tries_refused_total{{kind="sign_up",limit="{limit}"}}"#);
        assert!(
            (reading.value(&sample) - count).abs() < 0.1,
            "{sample}\n{}",
            reading.text
        );
        assert!(reading.text.contains(&sample), "it begins at zero");
    }
    app.finish().await;
}

/// The metrics that a file names, without what a query adds to a name.
fn named_in(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let metrics =
        words.filter(|word| word.starts_with("intuned_gateway_") || word.starts_with("process_"));
    metrics.map(|name| base(name).to_owned()).collect()
}

fn base(name: &str) -> &str {
    let suffixes = ["_total", "_bucket", "_count", "_sum", "_info"];
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    base.unwrap_or(name)
}

#[tokio::test]
async fn the_dashboard_the_alerts_and_the_docs_name_what_is_shown() {
    let app = TestApp::start(Backend::Sqlite).await;
    let reading = Reading::of(&app).await;
    let shown: BTreeSet<String> = reading
        .metrics()
        .keys()
        .map(|name| (*name).to_owned())
        .collect();
    let documented = named_in("docs/metrics.md");
    assert_eq!(documented, shown);
    for file in [
        "deploy/grafana/dashboard.json",
        "deploy/prometheus/alerts.yml",
    ] {
        let named = named_in(file);
        assert!(named.len() > 8, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&shown).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn the_lag_of_notifications_is_measured_where_a_change_is_followed() {
    let app = TestApp::start(Backend::Postgres).await;
    let other = app.replica().await;
    let user = app.user("a@example.com").await;
    let operation = other.user(&user).connect("passcode", "admin123").await;
    let mut socket = app.socket(&user).await;
    socket
        .follow("1", operation["id"].as_str().unwrap(), None)
        .await;
    socket.until("REQUESTED_MORE_INFO").await;
    other
        .user(&user)
        .cancel(operation["id"].as_str().unwrap())
        .await;
    socket.until("CANCELED").await;
    let reading = Reading::of(&app).await;
    let heard = reading.value("bus_lag_seconds_count");
    let found = reading.value("bus_changes_found_total");
    assert!(heard + found > 0.5, "{}", reading.text);
    other.finish().await;
    app.finish().await;
}
