//! No credential is stored, logged or told: what must stay secret is looked for everywhere.

use std::fs;

use intuned_gateway::{
    settings::{LogFormat, LogSettings},
    telemetry,
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use secrecy::ExposeSecret;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{API_KEY, Backend, Log, Setup, TestApp, eventually};

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
    let mut answers = Vec::new();
    let sign_up = "mutation($i: SignUpInput!) { signUp(input: $i) { token } }";
    let input = json!({ "i": { "email": "a@example.com", "password": ACCOUNT_PASSWORD } });
    let signed_up = app.api.send(sign_up, input.clone()).await;
    let token = signed_up["data"]["signUp"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    answers.push(app.api.send(sign_up, input).await);
    let user = app.api.signed_in(&token);

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
    let answers = json!(answers).to_string();
    for secret in [
        PASSWORD,
        PASSCODE,
        PROXY_PASSWORD,
        ACCOUNT_PASSWORD,
        API_KEY,
        &token,
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
