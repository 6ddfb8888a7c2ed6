//! No credential is stored, logged, traced, counted or told: what must stay secret is looked for everywhere.

use std::fs;

use intuned_gateway::{
    platform::telemetry,
    settings::{LogFormat, LogSettings},
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    support::{
        API_KEY, Api, Backend, Collector, Log, Process, Receiver, Setup, TestApp, WEBHOOK_SECRET,
        canaries, eventually, places, process,
    },
    telemetry::free_address,
};

const PASSWORD: &str = "canary-password-91c4";
const PASSCODE: &str = "canary-passcode-2e7b";
const PROXY_PASSWORD: &str = "canary-proxy-5d0a";
const ACCOUNT_PASSWORD: &str = "canary-account-c83f";

/// Every value of every table, as text.
async fn dump(backend: Backend, url: &str) -> String {
    let database = Database::connect(url).await.unwrap();
    let tables = [
        "users",
        "sessions",
        "connections",
        "operations",
        "operation_events",
        "session_removals",
        "replicas",
        "webhook_deliveries",
        "audit_events",
    ];
    let mut text = String::new();
    for table in tables {
        let (backend, sql) = match backend {
            Backend::Sqlite => (DbBackend::Sqlite, format!("SELECT * FROM {table}")),
            Backend::Postgres => (
                DbBackend::Postgres,
                format!("SELECT row_to_json(t)::text AS row FROM {table} t"),
            ),
        };
        let rows = database
            .query_all_raw(Statement::from_string(backend, sql))
            .await
            .unwrap();
        for row in rows {
            for column in row.column_names() {
                if let Ok(Some(value)) = row.try_get::<Option<String>>("", &column) {
                    text.push_str(&value);
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// What came of it.
struct Played {
    /// The user's session token.
    token: String,
    answers: Vec<Value>,
}

/// Uses each secret once, and gets wrong what can be got wrong with it.
async fn play(api: &Api) -> Played {
    let mut answers = Vec::new();
    let sign_up = "mutation($i: SignUpInput!) { signUp(input: $i) { token } }";
    let input = json!({ "i": { "email": "a@example.com", "password": ACCOUNT_PASSWORD } });
    let signed_up = api.send(sign_up, input.clone()).await;
    let token = signed_up["data"]["signUp"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    answers.push(api.send(sign_up, input).await);
    let user = api.signed_in(&token);

    let proxy = format!("http://me:{PROXY_PASSWORD}@proxy.test:3128");
    let rejected = user
        .connect_with(json!({ "username": "Admin", "password": PASSWORD, "proxy": proxy }))
        .await;
    let id = rejected["data"]["connectOrangeHrm"]["operation"]["id"]
        .as_str()
        .unwrap();
    eventually("rejected", async || {
        user.operation(id).await["status"] == "FAILED"
    })
    .await;
    answers.push(rejected.clone());

    // Wrongly typed, misspelt, cut short: errors that are tempted to repeat their input.
    let inline = format!(
        "mutation {{ connectOrangeHrm(input: {{ username: \"Admin\", password: \"{PASSWORD}\" }}) {{ operation {{ ix }} }} }}"
    );
    let cut = inline.trim_end_matches([' ', '}']);
    for query in [inline.as_str(), cut] {
        answers.push(user.send(query, json!({})).await);
    }
    answers.push(
        user.connect_with(json!({ "username": 7, "password": [PASSWORD] }))
            .await,
    );
    answers.push(
        user.connect_with(json!({ "username": "", "password": PASSWORD }))
            .await,
    );
    let bad_proxy = format!("socks://me:{PROXY_PASSWORD}@proxy.test");
    answers.push(
        user.connect_with(json!({ "username": "Admin", "password": PASSWORD, "proxy": bad_proxy }))
            .await,
    );

    let operation = user.connect("passcode", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("asked", async || {
        user.operation(id).await["infoRequest"].is_object()
    })
    .await;
    let request = user.operation(id).await["infoRequest"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    answers.push(user.resume(id, &request, PASSCODE).await);
    answers.push(user.resume(id, "another", PASSCODE).await);
    user.cancel(id).await;
    Played { token, answers }
}

#[rstest]
#[tokio::test]
async fn nothing_shows_a_secret(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let log = Log::new();
    let settings = LogSettings {
        format: LogFormat::Text,
        filter: "trace".into(),
    };
    let layer = telemetry::layer(&settings, false, log.clone()).unwrap();
    // The gateway runs on this thread.
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let setup = Setup {
        configure: |config| config.operations.proxies.allow_user_proxy = true,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let played = play(&app.api).await;
    let stored = dump(backend, app.config.database_url.expose_secret()).await;
    assert!(
        stored.contains("a@example.com"),
        "the dump shows what is stored"
    );

    let mut files = Vec::new();
    for entry in app
        .database
        .directory
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
    {
        files.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let debug = format!("{:?}", app.config);
    app.finish().await;

    let logged = log.text();
    assert!(
        logged.contains("an operation changed"),
        "the log shows what is logged: {logged}"
    );
    let answers = json!(played.answers).to_string();
    for secret in [
        PASSWORD,
        PASSCODE,
        PROXY_PASSWORD,
        ACCOUNT_PASSWORD,
        API_KEY,
        &played.token,
    ] {
        for (place, text) in [
            ("log", &logged),
            ("database", &stored),
            ("answers", &answers),
            ("settings", &debug),
        ] {
            assert!(!text.contains(secret), "{secret} stands in the {place}");
        }
        let in_files = files
            .windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes());
        assert!(!in_files, "{secret} stands in a file");
    }
}

/// The program itself, as it is run: what it writes on stderr and stdout, the spans that it sends to a
/// collector, its metrics, its database, and what it tells an endpoint. All of these go through the sieve.
#[rstest]
#[tokio::test]
async fn a_process_shows_no_secret(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.stop().await;
    let (collector, tracing) = Collector::start().await;
    let receiver = Receiver::start().await;
    let metrics = free_address();
    let database_url = app.config.database_url.expose_secret();
    let base_url = app.config.intuned.base_url.as_str();
    let mut settings = process::settings(database_url, base_url, API_KEY);
    settings.extend(tracing);
    settings.extend([
        ("ALLOW_USER_PROXY", "true".to_owned()),
        ("METRICS_ADDR", metrics.clone()),
        ("RUST_LOG", "trace".to_owned()),
        ("WEBHOOK_ALLOW_PRIVATE", "true".to_owned()),
        ("WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("WEBHOOK_URL", receiver.url.clone()),
    ]);
    let mut gateway = Process::spawn(&settings);
    let api = Api::new(&gateway.ready().await);
    let played = play(&api).await;
    let user = api.signed_in(&played.token);
    user.connect("Admin", "admin123").await;
    receiver.until(1).await;

    let page = reqwest::get(format!("http://{metrics}/metrics")).await;
    let page = page.unwrap().text().await.unwrap();
    assert!(page.contains("webhook_deliveries_total"), "{page}");
    places::sieve_database(backend, &app.database).await;
    gateway.stop().await;
    for request in receiver.received() {
        canaries::sieve("a webhook", format!("{request:?}").as_bytes());
    }
    let names: Vec<_> = collector.spans().into_iter().map(|it| it.name).collect();
    for name in ["request", "graphql", "operation", "upstream call"] {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not in {names:?}"
        );
    }
    let log = gateway.log();
    assert!(log.contains("\"level\":\"DEBUG\"") || log.contains("\"level\":\"TRACE\""));
    // The token is not one that every test knows, but for how it begins.
    for (place, text) in [
        ("log", &log),
        ("spans", &collector.text()),
        ("metrics", &page),
    ] {
        assert!(
            !text.contains(&played.token),
            "the token stands in the {place}"
        );
    }
    app.finish().await;
}
