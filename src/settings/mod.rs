//! Every setting of the gateway: its flag, its environment variable, its default, and what it must
//! be. Nothing else reads the environment.

mod accounts;
mod args;
mod check;
mod demo;
mod dot_env;
mod files;
mod limits;
mod log;
mod misspellings;
mod mode;
mod outbound;
mod problem;
mod reader;
mod records;
mod upstream;

use std::{ffi::OsString, io, net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderValue;
use clap::FromArgMatches;
use secrecy::SecretString;
use url::Url;

use graphql_server::{
    ServerOptions,
    net::{AllowedHosts, TrustedProxies},
};

use crate::{
    accounts::{ConnectLimits, ProviderConfig, ReadBudgets, TryLimits},
    platform::database::Workspace,
};
use ::outbound::Outbound;
use ambient::Random;
use intuned_client::{ApiGeneration, IntunedConfig};
use intuned_simulator::SimulatedGeneration;

pub use crate::platform::telemetry::{LogFormat, LogSettings, TraceSettings};
pub use dot_env::read_dot_env;
pub use files::{Access, WatchedFile};
pub use problem::{Problem, Problems};
pub use records::RecordSettings;

/// What the program was asked to do.
#[derive(Debug)]
pub enum Task {
    /// Serve the gateway.
    Serve(Box<Settings>),
    /// Bring the database's tables up to date and end.
    Migrate(MigrateSettings),
    /// Have the database belong to another workspace and end.
    Reassign(ReassignSettings),
    /// Print the GraphQL schema and end.
    Schema,
    /// Serve a simulator of Intuned alone.
    Simulate(SimulateSettings),
}

/// How the gateway runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What takes operations and runs.
    pub upstream: Upstream,
    /// Accounts and sessions.
    pub accounts: AccountSettings,
    /// Where the data is.
    pub database: DatabaseSettings,
    /// Connecting accounts.
    pub operations: OperationSettings,
    /// Reading claims.
    pub claims: ClaimsSettings,
    /// Serving HTTP.
    pub server: ServerSettings,
    /// Webhooks and audit trails.
    pub records: RecordSettings,
    /// What a request may ask for, how much there may be at once, and how long it may take.
    pub limits: ServerOptions,
    /// The log.
    pub log: LogSettings,
    /// Where spans are sent; none for nowhere.
    pub traces: Option<TraceSettings>,
    /// What the operator ought to know about these settings, to be logged as warnings at the start.
    pub notes: Vec<String>,
    /// What others than the owner should have no access to.
    pub files: Vec<WatchedFile>,
    /// Where to die, in a test build.
    #[cfg(feature = "crash-points")]
    pub crash_at: Option<crate::platform::crash::Point>,
}

impl Settings {
    /// Whether a simulator stands in for Intuned.
    pub fn is_demo(&self) -> bool {
        matches!(self.upstream, Upstream::Simulator(_))
    }
}

/// What takes operations and runs.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// Intuned, in earnest.
    Intuned(IntunedConfig),
    /// Demo mode: a simulator in the same process.
    Simulator(DemoSettings),
}

/// Demo mode.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// How slow the simulator is: 1 is lifelike, 0 is at once.
    pub delay_scale: f64,
    /// Generation of Intuned's API to speak.
    pub api: ApiGeneration,
    /// The longest that one request to the simulator may take.
    pub request_timeout: Duration,
    /// Pause between two looks at a run's result.
    pub run_poll_interval: Duration,
    /// The longest text of a run's result that is passed on, in bytes.
    pub result_limit: usize,
}

impl DemoSettings {
    /// How to reach the simulator at `base_url` (up to and with `/workspace`) that takes `api_key`.
    pub fn intuned(&self, base_url: Url, api_key: SecretString) -> IntunedConfig {
        IntunedConfig {
            base_url,
            api_key,
            workspace_id: "demo".to_owned(),
            project_name: "demo".to_owned(),
            api: self.api,
            request_timeout: self.request_timeout,
            run_poll_interval: self.run_poll_interval,
            result_limit: self.result_limit,
            outbound: Outbound::default(),
        }
    }
}

/// Accounts and sessions.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Signs session tokens; 32 bytes or more.
    pub secret: SecretString,
    /// How long a session lasts; a second or more.
    pub session_lifetime: Duration,
    /// The most sessions that a user may have.
    pub max_user_sessions: u32,
    /// How often a password may be tried.
    pub tries: TryLimits,
    /// How often it may be tried to connect.
    pub connects: ConnectLimits,
    /// How much each user may read from Intuned.
    pub reads: ReadBudgets,
    /// Whether accounts may be opened here.
    pub allow_sign_up: bool,
    /// The identity provider whose tokens are taken as well.
    pub provider: Option<ProviderConfig>,
}

/// Where the data is.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `sqlite:`, `postgres:` or `postgresql:`. It may hold a password.
    pub url: SecretString,
    /// For Postgres.
    pub max_connections: u32,
}

/// Connecting accounts.
#[derive(Clone, Debug)]
pub struct OperationSettings {
    /// Pause between two looks at an operation, to begin with.
    pub poll_interval: Duration,
    /// After which an operation is given up.
    pub timeout: Duration,
    /// After which a replica that gives no sign of life counts as dead.
    pub lease: Duration,
    /// How long operations that have ended are kept.
    pub retention: Duration,
    /// The operator's proxy for everyone's sessions. It may hold a password.
    pub proxy: Option<SecretString>,
    /// Whether users may name a proxy of their own.
    pub allow_user_proxy: bool,
}

/// Reading claims.
#[derive(Clone, Debug)]
pub struct ClaimsSettings {
    /// The longest that it may take.
    pub timeout: Duration,
    /// How long claims that were read are answered again; none for never.
    pub cache: Option<Duration>,
}

/// Serving HTTP.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where Prometheus reads metrics; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Web origins whose pages may call the gateway, as a browser's `Origin` header has them.
    pub allowed_origins: Vec<HeaderValue>,
    /// Hosts that the gateway answers for.
    pub allowed_hosts: AllowedHosts,
    /// File of the only documents that may run; none for any.
    pub trusted_documents: Option<PathBuf>,
    /// The reverse proxies whose word for a client is taken.
    pub trusted_proxies: TrustedProxies,
    /// Whether to serve `GraphiQL`.
    pub graphiql: bool,
    /// Whether clients may ask for the schema, and get hints at names that they misspell.
    pub introspection: bool,
}

/// What `migrate` needs.
#[derive(Clone, Debug)]
pub struct MigrateSettings {
    /// Where the data is.
    pub database: DatabaseSettings,
    /// The log.
    pub log: LogSettings,
}

/// What `reassign-database` needs.
#[derive(Clone, Debug)]
pub struct ReassignSettings {
    /// Which workspace the database is to belong to.
    pub workspace: Workspace,
    /// After which a gateway that gives no sign of life counts as dead.
    pub lease: Duration,
    /// Whether it is to be done, not only told.
    pub confirmed: bool,
    /// Where the data is.
    pub database: DatabaseSettings,
    /// The log.
    pub log: LogSettings,
}

/// What `simulate` needs.
#[derive(Clone, Debug)]
pub struct SimulateSettings {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Generation of Intuned's API to speak.
    pub generation: SimulatedGeneration,
    /// How slow to be: 1 is lifelike, 0 is at once.
    pub delay_scale: f64,
    /// The only key to accept; none for any.
    pub api_key: Option<SecretString>,
    /// The log.
    pub log: LogSettings,
}

/// Why the settings are of no use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is none that is known, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// `.env` is no list of variables. What it says may be secret, so the message does not repeat it.
    #[error("the file .env has a line that is not NAME=VALUE; quote values that hold blanks or #")]
    DotEnv,
    /// `.env` cannot be read.
    #[error("the file .env cannot be read: {0}")]
    DotEnvFile(io::Error),
    /// Settings are missing, weak or wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// Understands the command line `args`, the program's name first, with what the environment adds.
///
/// In demo mode the secret that signs tokens is read from a file beside the database, or made there:
/// `random` makes it.
///
/// # Errors
/// [`SettingsError::CommandLine`] for help, or for a command line that is none;
/// [`SettingsError::Problems`] with everything that is wrong.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    random: &Random,
) -> Result<Task, SettingsError> {
    let mut command = args::command();
    if let Some(problems) = args::unreadable(&command) {
        return Err(problems.into());
    }
    let matches = command.try_get_matches_from_mut(args)?;
    let cli = args::Cli::from_arg_matches(&matches)?;
    let task = match cli.command {
        None => check::serve(&command, &cli.serve, &matches, random),
        Some(args::CliCommand::Serve(serve)) => {
            let matches = matches.subcommand_matches("serve").unwrap_or(&matches);
            check::serve(&command, &serve, matches, random)
        }
        Some(args::CliCommand::Migrate(migrate)) => check::migrate(&command, &migrate),
        Some(args::CliCommand::ReassignDatabase(reassign)) => {
            let command = command
                .find_subcommand("reassign-database")
                .unwrap_or(&command);
            check::reassign(command, &reassign)
        }
        Some(args::CliCommand::Schema) => Ok(Task::Schema),
        Some(args::CliCommand::Simulate(simulate)) => {
            let command = command.find_subcommand("simulate").unwrap_or(&command);
            check::simulate(command, &simulate)
        }
    };
    task.map_err(|problems| problems.with_misspellings().into())
}
