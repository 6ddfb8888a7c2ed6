//! A whole gateway over a simulated Intuned, on ports of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ambient::{Clock, Random, SystemClock};
use axum::Router;
use graphql_server::ServerOptions;
use intuned_client::{ApiGeneration, IntunedConfig};
use intuned_gateway::{
    accounts::{AccountsConfig, Budget, ConnectLimits, PasswordParams, ReadBudgets, TryLimits},
    app::{Ambient, App, AppConfig, AppError},
    connections::ConnectionsConfig,
    operations::{OperationsConfig, PollSchedule, ProxyPolicy},
    platform::database::Workspace,
    webhooks::WebhooksConfig,
};
use intuned_simulator::{BASE_PATH, SimulatedGeneration, Simulator, SimulatorConfig};
use outbound::Outbound;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    api::Api,
    canaries::{self, API_KEY, AUTH_SECRET},
    database::{Backend, TestDatabase},
    places,
    socket::{DEADLINE, Socket},
};

/// A gateway under test. [`TestApp::finish`] it: work left over fails the test.
pub(crate) struct TestApp {
    app: Option<App>,
    /// Boxed, for it is large.
    pub(crate) config: Box<AppConfig>,
    pub(crate) api: Api,
    pub(crate) intuned: Simulator,
    pub(crate) database: TestDatabase,
    backend: Backend,
    simulator: JoinHandle<()>,
}

/// How a gateway under test differs from the usual one.
pub(crate) struct Setup {
    pub(crate) generation: SimulatedGeneration,
    /// Of the simulator's delays.
    pub(crate) delay_scale: f64,
    pub(crate) configure: fn(&mut AppConfig),
    /// Who is told of connections.
    pub(crate) webhooks: Option<WebhooksConfig>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            generation: SimulatedGeneration::One,
            delay_scale: 0.0,
            configure: |_| {},
            webhooks: None,
        }
    }
}

impl TestApp {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with(backend, Setup::default()).await
    }

    pub(crate) async fn with(backend: Backend, setup: Setup) -> Self {
        Self::on(TestDatabase::create(backend).await, backend, setup).await
    }

    /// On a database that was prepared for it.
    pub(crate) async fn on(database: TestDatabase, backend: Backend, setup: Setup) -> Self {
        places::watch_logs();
        let ambient = ambient();
        let intuned = Simulator::new(
            SimulatorConfig {
                generation: setup.generation,
                delay_scale: setup.delay_scale,
                api_key: Some(API_KEY.into()),
            },
            ambient.clock.clone(),
            ambient.random.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
        let serving = intuned.clone();
        let simulator = tokio::spawn(async move {
            let forever = std::future::pending();
            serving.serve(listener, forever).await.unwrap();
        });
        let mut config = Box::new(config(&database, &base_url));
        config.webhooks = setup.webhooks;
        (setup.configure)(&mut config);
        let app = boot(AppConfig::clone(&config), ambient).await.unwrap();
        Self {
            api: Api::new(&format!("http://{}/graphql", app.address())),
            app: Some(app),
            config,
            intuned,
            database,
            backend,
            simulator,
        }
    }

    /// Tries to start another gateway with the same settings.
    pub(crate) async fn start_another(&self) -> Result<App, AppError> {
        Self::try_start(AppConfig::clone(&self.config)).await
    }

    /// Tries to start a gateway.
    pub(crate) async fn try_start(config: AppConfig) -> Result<App, AppError> {
        boot(config, ambient()).await
    }

    /// Where it shows metrics.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.app.as_ref()?.metrics_address()
    }

    /// Another replica on the same database and Intuned.
    pub(crate) async fn replica(&self) -> Replica {
        Replica::start(AppConfig::clone(&self.config), ambient()).await
    }

    /// Another replica, on a machine with this clock.
    pub(crate) async fn replica_by(&self, clock: impl Clock + 'static) -> Replica {
        Replica::start(AppConfig::clone(&self.config), with_clock(clock)).await
    }

    /// Stops the gateway and starts one anew on the same database.
    pub(crate) async fn restart(&mut self) {
        self.restart_in(ambient()).await;
    }

    /// The same, on a machine with this clock.
    pub(crate) async fn restart_by(&mut self, clock: impl Clock + 'static) {
        self.restart_in(with_clock(clock)).await;
    }

    async fn restart_in(&mut self, ambient: Ambient) {
        self.stop().await;
        let app = boot(AppConfig::clone(&self.config), ambient).await.unwrap();
        self.api.url = format!("http://{}/graphql", app.address());
        self.app = Some(app);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            let stopped = Box::pin(app.stop(DEADLINE)).await;
            assert!(stopped, "work was left over");
        }
    }

    /// A user of this test's own, signed in.
    pub(crate) async fn user(&self, email: &str) -> Api {
        self.api.sign_up(email).await
    }

    /// A socket of the user's.
    pub(crate) async fn socket(&self, user: &Api) -> Socket {
        Socket::open(&self.api.url, user.token.as_deref()).await
    }

    /// Begins a sign-in as a demo account that asks for something, and waits until it does.
    pub(crate) async fn asked(&self, user: &Api, account: &str) -> Asked {
        let operation = user.connect(account, "admin123").await;
        let id = operation["id"].as_str().unwrap().to_owned();
        let mut socket = self.socket(user).await;
        socket.follow("1", &id, None).await;
        let event = socket.until("REQUESTED_MORE_INFO").await;
        let request = event["operation"]["infoRequest"]["id"].as_str().unwrap();
        Asked {
            request: request.to_owned(),
            sequence: event["sequence"].as_i64().unwrap(),
            id,
            socket,
        }
    }

    /// Stops the gateway, and looks for secrets in all that it has left behind.
    pub(crate) async fn finish(mut self) {
        // With the gateway gone, SQLite's write-ahead log is gone as well.
        places::sieve_database(self.backend, &self.database).await;
        if let Some(address) = self.metrics_address() {
            canaries::sieve_metrics(address).await;
        }
        self.stop().await;
        self.simulator.abort();
        canaries::sieve("the settings", format!("{:?}", self.config).as_bytes());
        canaries::assert_no_leaks();
    }
}

/// A sign-in that waits for its user, and a socket that follows it.
pub(crate) struct Asked {
    /// The operation's id.
    pub(crate) id: String,
    /// The info request's id.
    pub(crate) request: String,
    /// Number of the change that asked.
    pub(crate) sequence: i64,
    pub(crate) socket: Socket,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(
            self.app.is_none() || std::thread::panicking(),
            "a test ends with TestApp::finish"
        );
    }
}

/// One more gateway process, as far as the database can tell.
pub(crate) struct Replica {
    app: App,
    pub(crate) url: String,
}

impl Replica {
    async fn start(config: AppConfig, ambient: Ambient) -> Self {
        let app = boot(config, ambient).await.unwrap();
        Self {
            url: format!("http://{}/graphql", app.address()),
            app,
        }
    }

    /// The same user here.
    pub(crate) fn user(&self, user: &Api) -> Api {
        user.at(&self.url)
    }

    pub(crate) async fn socket(&self, user: &Api) -> Socket {
        Socket::open(&self.url, user.token.as_deref()).await
    }

    pub(crate) async fn finish(self) {
        assert!(self.app.stop(DEADLINE).await, "work was left over");
    }
}

fn ambient() -> Ambient {
    Ambient {
        clock: Arc::new(SystemClock),
        random: Random::from_system(),
    }
}

fn with_clock(clock: impl Clock + 'static) -> Ambient {
    Ambient {
        clock: Arc::new(clock),
        ..ambient()
    }
}

fn config(database: &TestDatabase, base_url: &str) -> AppConfig {
    AppConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics: Some("127.0.0.1:0".parse().unwrap()),
        database_url: database.url.clone(),
        database_connections: 5,
        accounts: AccountsConfig {
            password_params: PasswordParams::new(8, 1, 1, None).unwrap(),
            passwords_waiting: 1_000_000,
            // All of a test's users come from one client.
            tries: TryLimits {
                for_each_address: 1_000_000,
                for_each_client: 1_000_000,
                sign_ins_for_each_client: 1_000_000,
                ..TryLimits::default()
            },
            connects: ConnectLimits {
                for_each_user: 0,
                for_each_client: 0,
                ..ConnectLimits::default()
            },
            reads: ReadBudgets {
                runs: Budget::ANY,
                statuses: Budget::ANY,
            },
            ..AccountsConfig::new(AUTH_SECRET.into(), Duration::from_hours(1))
        },
        operations: OperationsConfig {
            poll_schedule: PollSchedule {
                poll_interval: Duration::from_millis(20),
                first_look: Duration::from_millis(20),
                answer_patience: Duration::from_secs(10),
            },
            timeout: Duration::from_mins(2),
            lease: Duration::from_secs(2),
            retention: Duration::from_hours(48),
            max_concurrency: 64,
            database_url: database.url.clone(),
            workspace: Workspace::Intuned("workspace".into()),
            proxies: ProxyPolicy::default(),
            secret: AUTH_SECRET.into(),
        },
        connections: ConnectionsConfig {
            claims_timeout: DEADLINE,
            claims_cache: Duration::ZERO,
            statuses: None,
        },
        intuned: IntunedConfig {
            base_url: base_url.parse().unwrap(),
            api_key: API_KEY.into(),
            workspace_id: "workspace".into(),
            project_name: "project".into(),
            api: ApiGeneration::Auto,
            request_timeout: Duration::from_secs(5),
            run_poll_interval: Duration::from_millis(20),
            result_limit: 2 << 20,
            outbound: Outbound::default(),
        },
        http: ServerOptions::default(),
        trusted_documents: None,
        webhooks: None,
        audit_retention: Duration::from_hours(24),
    }
}

/// Boxed, for the start is large and tests carry many.
async fn boot(config: AppConfig, ambient: Ambient) -> Result<App, AppError> {
    Box::pin(App::start(config, ambient, Router::new())).await
}
