//! The subcommands, from settings to their end.

use std::{error::Error, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use graphql_server::{ServerOptions, document::DocumentLimits};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Ambient, App, AppConfig, ConsoleFacts, DemoAccountFacts, pages};
use crate::{
    accounts::{AccountsConfig, Budget},
    api,
    connections::{ConnectionsConfig, StatusKeeping},
    operations::{OperationsConfig, PollSchedule, ProxyPolicy},
    platform::database::Workspace,
    settings::{
        DemoSettings, OperationSettings, Settings, SimulateSettings, Upstream, WatchedFile,
    },
};
use ambient::{Random, SystemClock};
use intuned_client::IntunedConfig;
use intuned_simulator::{self, SimulatedGeneration, Simulator, SimulatorConfig};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// From the signal on, everything must have ended after this long.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// Pause before the first look for a session whose creation was not confirmed.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// After this long an answer that Intuned goes on asking for counts as lost.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
/// Requests to Intuned that may be under way at once.
const MAX_CONCURRENCY: usize = 512;

/// One answer with a status serves for so long, where they are counted.
const STATUS_FRESH: Duration = Duration::from_secs(2);

/// Serves the gateway until `shutdown` is canceled.
///
/// # Errors
/// What kept it from starting or made it stop.
pub async fn serve(settings: Settings, shutdown: CancellationToken) -> Outcome {
    #[cfg(feature = "crash-points")]
    if let Some(point) = settings.crash_at {
        crate::platform::crash::arm(point);
    }
    let ambient = Ambient {
        clock: Arc::new(SystemClock),
        random: Random::from_system(),
    };
    let intuned = match &settings.upstream {
        Upstream::Intuned(config) => config.clone(),
        Upstream::Simulator(demo) => start_demo(demo, &ambient, &shutdown).await?,
    };
    let is_demo = settings.is_demo();
    let files = settings.files.clone();
    let pages = pages::pages(console_facts(&settings));
    let config = app_config(settings, intuned);
    // Large, and awaited once.
    let mut app = Box::pin(App::start(config, ambient, pages)).await?;
    // Now that SQLite has made all of its own.
    for complaint in files.iter().filter_map(WatchedFile::complaint) {
        tracing::warn!("{complaint}");
    }
    if is_demo {
        tell_how_to_try(app.address());
    }
    tokio::select! {
        () = shutdown.cancelled() => {}
        error = app.ended() => {
            tracing::error!(%error, "the gateway stops");
            app.stop(STOP_WITHIN).await;
            return Err(error.into());
        }
    }
    if !app.stop(STOP_WITHIN).await {
        tracing::warn!("some work was cut off; it is taken up again by the next to start");
    }
    Ok(())
}

/// Serves a simulator of Intuned until `shutdown` is canceled.
///
/// # Errors
/// What kept it from starting or made it stop.
pub async fn simulate(settings: SimulateSettings, shutdown: CancellationToken) -> Outcome {
    let config = SimulatorConfig {
        generation: settings.generation,
        delay_scale: settings.delay_scale,
        api_key: settings.api_key,
    };
    let simulator = Simulator::new(config, Arc::new(SystemClock), Random::from_system());
    let listener = TcpListener::bind(settings.listen).await?;
    let base_url = format!(
        "http://{}{}",
        listener.local_addr()?,
        intuned_simulator::BASE_PATH
    );
    tracing::info!(%base_url, "simulating Intuned");
    tell_demo_accounts();
    simulator
        .serve(listener, shutdown.cancelled_owned())
        .await?;
    Ok(())
}

/// The GraphQL schema in its own language.
pub fn schema() -> String {
    api::sdl()
}

/// Starts a simulator in this process, and says how to reach it.
async fn start_demo(
    demo: &DemoSettings,
    ambient: &Ambient,
    shutdown: &CancellationToken,
) -> Result<IntunedConfig, Box<dyn Error + Send + Sync>> {
    let api_key = SecretString::from(ambient.random.uuid().to_string());
    let config = SimulatorConfig {
        generation: SimulatedGeneration::One,
        delay_scale: demo.delay_scale,
        api_key: Some(api_key.clone()),
    };
    let simulator = Simulator::new(config, ambient.clock.clone(), ambient.random.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let base_url = Url::parse(&format!("http://{address}{}", intuned_simulator::BASE_PATH))?;
    tokio::spawn(serve_demo(
        simulator,
        listener,
        shutdown.clone().cancelled_owned(),
    ));
    Ok(demo.intuned(base_url, api_key))
}

async fn serve_demo(
    simulator: Simulator,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    if let Err(error) = simulator.serve(listener, shutdown).await {
        tracing::error!(%error, "the simulator died");
    }
}

fn console_facts(settings: &Settings) -> ConsoleFacts {
    let demo_accounts: &[_] = if settings.is_demo() {
        intuned_simulator::accounts()
    } else {
        &[]
    };
    let facts = demo_accounts.iter().map(|account| DemoAccountFacts {
        username: account.username,
        password: account.password,
        shows: account.shows,
    });
    ConsoleFacts {
        graphiql: settings.server.graphiql,
        demo_accounts: facts.collect(),
    }
}

fn tell_how_to_try(address: SocketAddr) {
    tracing::info!("open http://{address} in a browser, or see README.md for what to send");
    tell_demo_accounts();
}

fn tell_demo_accounts() {
    for account in intuned_simulator::accounts() {
        tracing::info!(
            username = account.username,
            demo_password = account.password,
            "demo account: {}",
            account.shows
        );
    }
}

fn app_config(settings: Settings, intuned: IntunedConfig) -> AppConfig {
    let workspace = if settings.is_demo() {
        Workspace::Demo
    } else {
        Workspace::Intuned(intuned.workspace_id.clone())
    };
    let operations = operations_config(&settings, workspace, intuned.request_timeout);
    let connections = connections_config(&settings);
    let Settings {
        accounts,
        database,
        claims,
        server,
        records,
        limits,
        ..
    } = settings;
    AppConfig {
        listen: server.listen,
        metrics: server.metrics,
        database_url: database.url,
        database_connections: database.max_connections,
        accounts: AccountsConfig {
            tries: accounts.tries,
            connects: accounts.connects,
            reads: accounts.reads,
            allow_sign_up: accounts.allow_sign_up,
            provider: accounts.provider,
            max_user_sessions: accounts.max_user_sessions,
            ..AccountsConfig::new(accounts.secret, accounts.session_lifetime)
        },
        operations,
        connections,
        intuned,
        http: ServerOptions {
            slow_timeout: claims.timeout,
            allowed_origins: server.allowed_origins,
            allowed_hosts: server.allowed_hosts,
            trusted_proxies: server.trusted_proxies,
            documents: DocumentLimits {
                introspection: server.introspection,
                ..limits.documents
            },
            ..limits
        },
        trusted_documents: server.trusted_documents,
        webhooks: records.webhooks,
        audit_retention: records.audit_retention,
    }
}

/// None where statuses are not counted.
fn status_keeping(budget: Budget) -> Option<StatusKeeping> {
    (budget.tries > 0).then_some(StatusKeeping {
        fresh_for: STATUS_FRESH,
        fallback_for: budget.window,
    })
}

fn operations_config(
    settings: &Settings,
    workspace: Workspace,
    request_timeout: Duration,
) -> OperationsConfig {
    let operations = &settings.operations;
    OperationsConfig {
        poll_schedule: poll_schedule(operations, request_timeout),
        timeout: operations.timeout,
        lease: operations.lease,
        retention: operations.retention,
        max_concurrency: MAX_CONCURRENCY,
        database_url: settings.database.url.clone(),
        workspace,
        proxies: ProxyPolicy {
            allow_user_proxy: operations.allow_user_proxy,
            default: operations.proxy.clone(),
        },
        secret: settings.accounts.secret.clone(),
    }
}

fn connections_config(settings: &Settings) -> ConnectionsConfig {
    ConnectionsConfig {
        claims_timeout: settings.claims.timeout,
        claims_cache: settings.claims.cache.unwrap_or_default(),
        statuses: status_keeping(settings.accounts.reads.statuses),
    }
}

/// Waits that fit into the time that an operation may take.
fn poll_schedule(operations: &OperationSettings, request_timeout: Duration) -> PollSchedule {
    PollSchedule {
        poll_interval: operations.poll_interval,
        first_look: FIRST_LOOK.min(operations.timeout / 240),
        answer_patience: ANSWER_PATIENCE
            .min(operations.timeout / 4)
            .max(request_timeout * 2),
    }
}
