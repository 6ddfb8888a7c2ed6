//! A user, a gateway that can die, and an Intuned that remembers.

use std::{os::unix::process::ExitStatusExt, sync::Arc, time::Duration};

use ambient::{Random, SystemClock};
use entity::{connection, operation, operation_event, session_removal};
use intuned_simulator::{
    BASE_PATH, PASSCODE, SessionStatus, SimulatedGeneration, Simulator, SimulatorConfig,
};
use rustix::process::Signal;
use sea_orm::{Database, DatabaseConnection, EntityTrait, QueryOrder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    api::Api,
    canaries::API_KEY,
    database::{Backend, TestDatabase},
    process::{self, Process, Settings},
    socket::{DEADLINE, Socket},
};

/// Long enough for a sign-in on a busy machine, short enough to wait for.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

pub(crate) struct Stage {
    pub(crate) intuned: Simulator,
    pub(crate) user: Api,
    database: TestDatabase,
    settings: Settings,
    gateway: Process,
}

impl Stage {
    /// A gateway that does not die, and a user who is signed in.
    pub(crate) async fn set(backend: Backend) -> Self {
        Self::with(backend, &[]).await
    }

    /// The same, with more settings.
    pub(crate) async fn with(backend: Backend, more: &[(&'static str, &str)]) -> Self {
        let intuned = Simulator::new(
            SimulatorConfig {
                generation: SimulatedGeneration::One,
                delay_scale: 0.0,
                api_key: Some(API_KEY.into()),
            },
            Arc::new(SystemClock),
            Random::from_system(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
        let serving = intuned.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        let database = TestDatabase::create(backend).await;
        let mut settings = process::settings(database.url.expose_secret(), &base_url, API_KEY);
        let timeout = format!("{}s", OPERATION_TIMEOUT.as_secs());
        settings.push(("OPERATION_TIMEOUT", timeout));
        settings.push(("INTUNED_REQUEST_TIMEOUT", "1s".to_owned()));
        let more = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        settings.extend(more);
        let gateway = Process::spawn(&settings);
        let user = Api::new(&gateway.ready().await)
            .sign_up("a@example.com")
            .await;
        Self {
            intuned,
            user,
            database,
            settings,
            gateway,
        }
    }

    /// Starts the gateway anew such that it dies at `point`.
    pub(crate) async fn die_at(&mut self, point: &str) {
        self.gateway.stop().await;
        let mut settings = self.settings.clone();
        settings.push(("CRASH_AT", point.to_owned()));
        self.start(&settings).await;
    }

    /// Waits until the gateway has died by itself.
    pub(crate) async fn died(&mut self) {
        let status = self.gateway.ended().await;
        let log = self.gateway.log();
        assert_eq!(
            status.signal(),
            Some(Signal::ABORT.as_raw()),
            "{status}: {log}"
        );
    }

    /// Starts the gateway as if nothing had been.
    pub(crate) async fn start_again(&mut self) {
        self.start(&self.settings.clone()).await;
    }

    async fn start(&mut self, settings: &Settings) {
        self.gateway = Process::spawn(settings);
        self.user.url = self.gateway.ready().await;
    }

    /// Begins to connect. None when the gateway died before it could say which operation it is.
    pub(crate) async fn connect(&self, username: &str) -> Option<String> {
        let query = "mutation($input: ConnectOrangeHrmInput!) {
            connectOrangeHrm(input: $input) { operation { id } } }";
        let input = json!({
            "username": username, "password": "admin123", "idempotencyKey": "once",
        });
        let sent = self.user.try_send(query, json!({ "input": input })).await;
        let id = &sent.ok()?["data"]["connectOrangeHrm"]["operation"]["id"];
        id.as_str().map(str::to_owned)
    }

    /// Answers what the user is asked. None when the gateway died before it could say what came of it.
    pub(crate) async fn resume(&self, id: &str, request: &str) -> Option<Value> {
        let query = "mutation($input: ResumeConnectionInput!) {
            resumeConnection(input: $input) { operation { id } } }";
        let input = json!({ "operationId": id, "infoRequestId": request, "input": PASSCODE });
        let sent = self.user.try_send(query, json!({ "input": input })).await;
        sent.ok()
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(&self.user.url, self.user.token.as_deref()).await
    }

    /// Follows from after number `after` until the end, or until the gateway dies.
    pub(crate) async fn follow(&self, id: &str, after: i64) -> Vec<Value> {
        let mut changes = Vec::new();
        let Some(mut socket) = Socket::try_open(&self.user.url, self.user.token.as_deref()).await
        else {
            return changes;
        };
        if !socket.try_follow("1", id, Some(after)).await {
            return changes;
        }
        while let Ok(message) = socket.next().await
            && message["type"] == "next"
        {
            assert!(message["payload"].get("errors").is_none(), "{message:#}");
            let event = &message["payload"]["data"]["operationStatus"];
            if event["kind"] == "CHANGE" {
                changes.push(event.clone());
            }
        }
        changes
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url.expose_secret()
    }

    pub(crate) async fn tables(&self) -> Tables {
        let url = self.database_url();
        Tables::read(&Database::connect(url).await.unwrap()).await
    }

    /// As if the time for what is noted for later had come.
    pub(crate) async fn let_time_pass(&self) {
        let database = Database::connect(self.database_url()).await.unwrap();
        session_removal::Entity::update_many()
            .set(session_removal::ActiveModel {
                due_at: sea_orm::Set(chrono::DateTime::UNIX_EPOCH.into()),
                ..Default::default()
            })
            .exec(&database)
            .await
            .unwrap();
    }

    /// What must hold after any crash, once everything has come to its end: `told` are the changes
    /// that the client saw of the only, or the last, operation.
    pub(crate) async fn check(&mut self, told: &[Value]) {
        self.settled().await;
        let tables = self.tables().await;
        let operation = tables.operations.last().unwrap();
        let events: Vec<_> = tables
            .events
            .iter()
            .filter(|event| event.operation_id == operation.id)
            .collect();
        let numbers = told.iter().map(|event| event["sequence"].as_i64().unwrap());
        assert!(
            numbers.eq(1..=i64::from(operation.sequence)),
            "each change once, without gaps: {told:#?}"
        );
        assert_eq!(told.len(), events.len(), "{events:#?}");
        for (told, event) in told.iter().zip(events) {
            assert_eq!(told["message"], event.message);
        }
        for operation in &tables.operations {
            assert!(operation.ended_at.is_some(), "{operation:#?}");
            assert_eq!(
                operation.status == operation::Status::Done,
                operation.connection_id.is_some()
            );
        }
        assert!(tables.connections.len() <= 1, "{:#?}", tables.connections);
        self.gateway.stop().await;
    }

    /// Waits until Intuned has exactly the sessions that connections stand for.
    async fn settled(&self) {
        let wait = async {
            loop {
                let tables = self.tables().await;
                let mut left: Vec<_> = self.ready_sessions();
                let in_flight = tables.operations.iter().any(|row| row.ended_at.is_none());
                let known = tables.connections.iter().map(|row| &row.auth_session_id);
                let mut known: Vec<_> = known.cloned().collect();
                left.sort();
                known.sort();
                if !in_flight && tables.removals.is_empty() && left == known {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let settled = tokio::time::timeout(DEADLINE, wait).await;
        let sessions = self.intuned.sessions();
        assert!(settled.is_ok(), "{sessions:#?} {:#?}", self.tables().await);
    }

    fn ready_sessions(&self) -> Vec<String> {
        let sessions = self.intuned.sessions();
        let all_ready = |session: &intuned_simulator::SimulatedSession| {
            if session.status == SessionStatus::Ready {
                session.id.clone()
            } else {
                format!("{} is {:?}", session.id, session.status)
            }
        };
        sessions.iter().map(all_ready).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) operations: Vec<operation::Model>,
    pub(crate) events: Vec<operation_event::Model>,
    pub(crate) connections: Vec<connection::Model>,
    pub(crate) removals: Vec<session_removal::Model>,
}

impl Tables {
    async fn read(database: &DatabaseConnection) -> Self {
        Self {
            operations: operation::Entity::find()
                .order_by_asc(operation::Column::Id)
                .all(database)
                .await
                .unwrap(),
            events: operation_event::Entity::find()
                .order_by_asc(operation_event::Column::Sequence)
                .all(database)
                .await
                .unwrap(),
            connections: connection::Entity::find().all(database).await.unwrap(),
            removals: session_removal::Entity::find().all(database).await.unwrap(),
        }
    }

    /// The status of the last operation; none when there is none.
    pub(crate) fn status(&self) -> Option<operation::Status> {
        self.operations.last().map(|row| row.status)
    }
}
