//! The composition root: builds every part and hands it what it needs.

mod commands;
mod metrics;
mod pages;
mod reassign;
mod watch;

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use graphql_server::{
    Endpoint, Server, ServerOptions, Wording,
    document::{
        DocumentReader,
        trusted::{ManifestError, TrustedDocuments},
    },
    execute::SchemaExecutor,
    metrics::MetricsServer,
};
use prometheus_client::registry::Registry;
use sea_orm::DbErr;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::{Accounts, AccountsConfig},
    api::{self, GatewayHooks, GatewaySchemaBuilder, Services, authentication::SESSION_HEADER},
    audit::{Trail, TrailConfig},
    connections::{Connections, ConnectionsConfig, Sources},
    operations::{Operations, OperationsConfig, Records, ReplicaError, Started},
    platform::{
        Runtime,
        database::{self, Database, DatabaseError, SharedClock, Workspace, WorkspaceError},
    },
    webhooks::{self, WebhooksConfig},
};
use ambient::{Clock, Random};
use intuned_client::{IntunedClient, IntunedConfig};

use metrics::Metrics;

pub use commands::{schema, serve, simulate};
pub use pages::{ConsoleFacts, DemoAccountFacts, pages};
pub use reassign::{ReassignError, reassign};

/// A database that does not answer must not keep the process from ending.
const CLOSE_DATABASE_WITHIN: Duration = Duration::from_secs(1);

/// All that the parts are built with.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where Prometheus reads metrics; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where the database is.
    pub database_url: SecretString,
    /// The most connections to Postgres.
    pub database_connections: u32,
    /// Users and sessions.
    pub accounts: AccountsConfig,
    /// Attempts to connect.
    pub operations: OperationsConfig,
    /// Status and claims.
    pub connections: ConnectionsConfig,
    /// Where Intuned is.
    pub intuned: IntunedConfig,
    /// Transports and their limits.
    pub http: ServerOptions,
    /// File of the only documents that may run; none for any.
    pub trusted_documents: Option<PathBuf>,
    /// Who is told of connections; none for nobody.
    pub webhooks: Option<WebhooksConfig>,
    /// How long audit trails are kept (setting `AUDIT_RETENTION`).
    pub audit_retention: Duration,
}

/// What the surroundings provide; tests bring their own.
#[derive(Clone, Debug)]
pub struct Ambient {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database belongs to another workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The client for Intuned could not be built.
    #[error("the client for Intuned could not be built")]
    Intuned(#[source] reqwest::Error),
    /// The client for webhooks could not be built.
    #[error("the client for webhooks could not be built")]
    Webhooks(#[source] reqwest::Error),
    /// The client for the identity provider could not be built.
    #[error("the client for the identity provider could not be built")]
    Provider(#[source] reqwest::Error),
    /// Operations in flight could not be taken over.
    #[error("operations in flight could not be taken over")]
    Operations(#[source] DbErr),
    /// The list of trusted documents is of no use.
    #[error("the trusted documents in {file} cannot be used (TRUSTED_DOCUMENTS)")]
    TrustedDocuments {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The address for metrics cannot be had.
    #[error("cannot show metrics on {address} (METRICS_ADDR)")]
    Metrics {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address} (LISTEN_ADDR)")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It served, and ended by itself.
    #[error("the server ended by itself")]
    Died,
}

impl From<ReplicaError> for AppError {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Workspace(error) => Self::Workspace(error),
            ReplicaError::Database(error) => Self::Operations(error),
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
    /// Ends with an error when the database belongs to another workspace by now.
    replica: JoinHandle<Result<(), WorkspaceError>>,
    tasks: TaskTracker,
    services: Services,
    database: Database,
    /// Keeps other processes off the `SQLite` file.
    _lock: Option<File>,
}

impl App {
    /// Opens the database, takes over operations in flight, and serves, with `routes` besides its own.
    ///
    /// # Errors
    /// [`AppError`]; nothing is served then.
    pub async fn start(
        config: AppConfig,
        ambient: Ambient,
        routes: Router,
    ) -> Result<Self, AppError> {
        let types = api::types();
        let reader = api::document_reader(config.http.documents, types.clone());
        let trusted = match &config.trusted_documents {
            Some(file) => Some(trusted_documents(file, &reader).await?),
            None => None,
        };
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, &types.root_fields());
        let metrics_server = watch::bind(config.metrics).await?;
        let address = config.listen;
        let introspection = config.http.documents.introspection;
        let server = Server::bind(address, server_options(config.http))
            .await
            .map_err(|source| AppError::Listen { address, source })?;
        let lock = database::lock_file(&config.database_url)?;
        let database = database::connect(&config.database_url, config.database_connections).await?;
        let database = prepare(database, &metrics, &config.operations.workspace).await?;
        let runtime = runtime(database, ambient).await?;
        // What has been started ends when the rest cannot be.
        let failing = runtime.shutdown.clone().drop_guard();
        let trail = TrailConfig::new(config.audit_retention, metrics.audit.clone());
        let outbox = webhooks::start(config.webhooks, metrics.webhooks.clone(), &runtime);
        let records = Records {
            trail: Trail::start(trail, &runtime),
            outbox: outbox.map_err(AppError::Webhooks)?,
        };
        let intuned = intuned_client(config.intuned, &runtime, &metrics)?;
        let accounts = accounts(config.accounts, &runtime, &metrics, records.trail.clone())?;
        let connections = connections(config.connections, &runtime, &intuned, &accounts, &records);
        let Started {
            operations,
            replica,
        } = Operations::start(
            config.operations,
            &runtime,
            intuned,
            records.clone(),
            metrics.operations.clone(),
        )
        .await?;
        let looking_after = look_after_sessions(accounts.clone(), runtime.shutdown.clone());
        runtime.tasks.spawn(looking_after);
        let services = Services {
            accounts,
            connections,
            operations,
            trail: records.trail,
        };
        let metrics_address = metrics_server.as_ref().map(MetricsServer::local_addr);
        if let Some(server) = metrics_server {
            let registry = watch::complete(registry, &runtime, &services.operations);
            watch::show(server, registry, metrics.database, &runtime);
        }
        let schema = || schema_over(services.clone(), introspection);
        let random = runtime.random.clone();
        let endpoint = Endpoint {
            executor: SchemaExecutor::new(schema, types),
            reader,
            trusted,
            hooks: Arc::new(GatewayHooks::new(
                services.accounts.clone(),
                schema().finish(),
            )),
            readiness: watch::readiness(runtime.database.clone(), services.operations.clone()),
            new_request_id: Arc::new(move || random.uuid().to_string()),
            metrics: metrics.http,
            routes,
        };
        let address = server.local_addr();
        let server = tokio::spawn(server.run(endpoint, runtime.shutdown));
        Ok(Self {
            address,
            metrics_address,
            shutdown: failing.disarm(),
            server,
            replica,
            tasks: runtime.tasks,
            services,
            database: runtime.database,
            _lock: lock,
        })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are shown, with the port that was chosen; none when they are not.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The services behind the schema.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Serves until that cannot go on: the server has died, or the database belongs to another workspace.
    pub async fn ended(&mut self) -> AppError {
        let died = tokio::select! {
            died = &mut self.server => died,
            left = &mut self.replica => match left {
                Ok(Err(error)) => return error.into(),
                left => left.map(drop),
            },
        };
        if let Err(error) = died {
            tracing::error!(%error, "the server died");
        }
        AppError::Died
    }

    /// Stops: takes no more work, says goodbye to sockets, ends or hands over what is in flight.
    /// True when nothing was left unfinished.
    pub async fn stop(self, patience: Duration) -> bool {
        self.shutdown.cancel();
        self.tasks.close();
        let all = async {
            if !self.server.is_finished() {
                self.server.await.ok();
            }
            self.tasks.wait().await;
        };
        let in_time = tokio::time::timeout(patience, all).await.is_ok();
        let closed = tokio::time::timeout(CLOSE_DATABASE_WITHIN, self.database.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the database was not closed cleanly");
        }
        in_time
    }
}

/// The names of the gateway and its settings in the server's texts.
const WORDING: Wording = Wording {
    server: "gateway",
    batch_limit: "MAX_BATCH_OPERATIONS",
    allowed_origins: "ALLOWED_ORIGINS",
    allowed_hosts: "ALLOWED_HOSTS",
    trusted_proxies: "TRUSTED_PROXIES",
};

/// The same, with what holds for every gateway: pages of other origins may not ask for a session in a cookie.
fn server_options(options: ServerOptions) -> ServerOptions {
    ServerOptions {
        same_origin_headers: vec![SESSION_HEADER],
        wording: WORDING,
        ..options
    }
}

/// The database, measured, with its tables up to date, and `workspace`'s.
async fn prepare(
    mut database: Database,
    metrics: &Metrics,
    workspace: &Workspace,
) -> Result<Database, AppError> {
    metrics.database.measure(&mut database);
    database::migrate(&database).await?;
    database::claim_for(&database, workspace).await?;
    Ok(database)
}

/// The runtime over the database, whose clock tells the time of day, as on all replicas.
async fn runtime(
    database: Database,
    Ambient { clock, random }: Ambient,
) -> Result<Runtime, DatabaseError> {
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let clock = SharedClock::read(&database, clock).await;
    let clock = Arc::new(clock.map_err(DatabaseError::Connect)?);
    let keeping = clock.clone();
    tasks.spawn(keeping.keep(database.clone(), random.clone(), shutdown.clone()));
    Ok(Runtime {
        database,
        clock,
        random,
        tasks,
        shutdown,
    })
}

fn accounts(
    config: AccountsConfig,
    runtime: &Runtime,
    metrics: &Metrics,
    trail: Trail,
) -> Result<Accounts, AppError> {
    let config = measured(config, metrics);
    let Runtime {
        database,
        clock,
        random,
        ..
    } = runtime.clone();
    let accounts = Accounts::with_config(database, &config, clock, random);
    Ok(accounts.map_err(AppError::Provider)?.with_trail(trail))
}

fn connections(
    config: ConnectionsConfig,
    runtime: &Runtime,
    intuned: &IntunedClient,
    accounts: &Accounts,
    records: &Records,
) -> Connections {
    let sources = Sources {
        database: runtime.database.clone(),
        intuned: intuned.clone(),
        accounts: accounts.clone(),
        clock: runtime.clock.clone(),
        trail: records.trail.clone(),
        outbox: records.outbox.clone(),
    };
    Connections::new(config, sources)
}

/// The same, counted and measured.
fn measured(config: AccountsConfig, metrics: &Metrics) -> AccountsConfig {
    AccountsConfig {
        password_metrics: metrics.passwords.clone(),
        try_metrics: metrics.tries.clone(),
        ..config
    }
}

async fn trusted_documents(
    file: &Path,
    reader: &DocumentReader,
) -> Result<TrustedDocuments, AppError> {
    let loaded = TrustedDocuments::load(file, reader, api::bare_schema()).await;
    loaded.map_err(|source| AppError::TrustedDocuments {
        file: file.to_owned(),
        source,
    })
}

fn intuned_client(
    config: IntunedConfig,
    runtime: &Runtime,
    metrics: &Metrics,
) -> Result<IntunedClient, AppError> {
    let (clock, random) = (runtime.clock.clone(), runtime.random.clone());
    IntunedClient::with_metrics(config, clock, random, metrics.intuned.clone())
        .map_err(AppError::Intuned)
}

fn schema_over(services: Services, introspection: bool) -> GatewaySchemaBuilder {
    let schema = api::schema(services);
    if introspection {
        schema
    } else {
        schema.disable_introspection().disable_suggestions()
    }
}

async fn look_after_sessions(accounts: Accounts, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(accounts.run()).await;
}
