//! A gateway with two users on it, watched while it is attacked.

use std::{
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use intuned_gateway::{
    app::AppConfig,
    platform::telemetry,
    settings::{LogFormat, LogSettings},
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use secrecy::ExposeSecret;
use serde_json::json;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    report::Outcome,
    send::Names,
    support::{Api, Backend, Log, Setup, TestApp},
};

/// Part of every secret that a case sends.
pub(crate) const CANARY: &str = "canary-";

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Has every panic of the process counted, also of tasks that nobody waits for.
pub(crate) fn count_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(information);
    }));
}

pub(crate) struct Stage {
    pub(crate) app: TestApp,
    pub(crate) alice: Api,
    pub(crate) bob: Api,
    pub(crate) address: String,
    /// What cases may name in braces.
    pub(crate) names: Names,
    database: DatabaseConnection,
    log: Log,
    panics: usize,
    _logging: DefaultGuard,
}

impl Stage {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    pub(crate) async fn with(backend: Backend, configure: fn(&mut AppConfig)) -> Self {
        let log = Log::new();
        let settings = LogSettings {
            format: LogFormat::Text,
            filter: "trace".into(),
        };
        let layer = telemetry::layer(&settings, false, log.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        // The gateway runs on this thread.
        let logging = tracing::subscriber::set_default(subscriber);
        let setup = Setup {
            configure,
            ..Setup::default()
        };
        let app = TestApp::with(backend, setup).await;
        let alice = app.user("alice@example.com").await;
        let bob = app.user("bob@example.com").await;
        let address = app.api.url.replace("http://", "").replace("/graphql", "");
        let token = |user: &Api| user.token.clone().unwrap();
        Self {
            names: vec![
                ("host", address.clone()),
                ("alice", token(&alice)),
                ("bob", token(&bob)),
            ],
            database: Database::connect(app.config.database_url.expose_secret())
                .await
                .unwrap(),
            app,
            alice,
            bob,
            address,
            log,
            panics: PANICS.load(Ordering::Relaxed),
            _logging: logging,
        }
    }

    /// How many users, sessions and operations there are: what a request that is refused must not change.
    pub(crate) async fn effects(&self) -> [i64; 3] {
        let mut counts = [0; 3];
        for (count, table) in counts.iter_mut().zip(["users", "sessions", "operations"]) {
            let sql = format!("SELECT count(*) AS n FROM {table}");
            let statement = Statement::from_string(self.database.get_database_backend(), sql);
            let row = self
                .database
                .query_one_raw(statement)
                .await
                .unwrap()
                .unwrap();
            *count = row.try_get("", "n").unwrap();
        }
        counts
    }

    /// What must hold when an area is through: honest users are served, nothing panicked, and no secret
    /// was logged.
    pub(crate) async fn finish(&self, outcome: &mut Outcome) {
        let mut must = |what: &str, holds: bool| {
            if !holds {
                outcome.failures.push(format!("afterwards: {what}"));
            }
        };
        for user in [&self.alice, &self.bob] {
            let honest = user.try_send("{ me { email } }", json!({}));
            let honest = tokio::time::timeout(Duration::from_secs(5), honest).await;
            let served =
                matches!(honest, Ok(Ok(answer)) if answer["data"]["me"]["email"].is_string());
            must("an honest user is served", served);
        }
        let log = self.log.text();
        must("the log is there", log.contains("answered"));
        must(
            "nothing panicked",
            PANICS.load(Ordering::Relaxed) == self.panics,
        );
        must("no panic is logged", !log.contains("panicked"));
        for line in log.lines().filter(|line| line.contains(CANARY)) {
            must(&format!("a secret is logged: {line}"), false);
        }
        let ours =
            |line: &&str| line.contains(" ERROR ") && !line.contains("Intuned refuses the gateway");
        for line in log.lines().filter(ours) {
            must(&format!("no fault of ours is logged: {line}"), false);
        }
        for line in log.lines() {
            let begins = line.starts_with("20") && line.contains('Z');
            must(&format!("a forged line: {line}"), begins);
        }
    }

    /// Stops the gateway: work left over fails the area.
    pub(crate) async fn stop(self) {
        self.database.close().await.unwrap();
        Box::pin(self.app.finish()).await;
    }
}
