//! The command line and the environment as they come: texts, not yet understood. What each text must
//! be is for `check` to say, so that everything that is wrong can be told at once.

#![expect(
    clippy::doc_markdown,
    clippy::struct_field_names,
    reason = "comments and names of fields are the help text and the settings' names, as they are"
)]

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{Arg, Args, Command, CommandFactory, Parser, Subcommand};
use secrecy::SecretString;

use super::{
    limits::LimitArgs,
    outbound::OutboundArgs,
    problem::{Problem, Problems},
    records::RecordArgs,
};

/// A GraphQL gateway with subscriptions in front of Intuned.
///
/// Every setting can be given as a flag, as an environment variable, or in a file `.env` in the
/// working directory; the first of them that has it wins. With DEMO=true, or with nothing set that only a
/// gateway in earnest has, it starts in demo mode: with a simulator in Intuned's place, and nothing else
/// needed.
#[derive(Parser)]
#[command(
    name = "intuned-gateway",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Durations are written as 500ms, 1s, 15m, 7d. Switches are true or false. Give \
                  secrets in the environment or in .env: flags are shown to everyone on the machine."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<CliCommand>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(Subcommand)]
pub(super) enum CliCommand {
    /// Serves the gateway; what happens when no command is given
    Serve(Box<ServeArgs>),
    /// Brings the database's tables up to date and ends; `serve` does so too when it starts
    Migrate(MigrateArgs),
    /// Has the database belong to another workspace at Intuned from now on, or to a demo. Stop all gateways
    /// on it first
    ReassignDatabase(ReassignArgs),
    /// Prints the GraphQL schema and ends
    Schema,
    /// Serves a simulator of Intuned alone, to develop and test against
    Simulate(SimulateArgs),
}

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) intuned: IntunedArgs,
    #[command(flatten)]
    pub(super) accounts: AccountArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) operations: OperationArgs,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) records: RecordArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) outbound: OutboundArgs,
    #[command(flatten)]
    pub(super) demo: DemoArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
    #[command(flatten)]
    pub(super) traces: TraceArgs,
    #[cfg(feature = "crash-points")]
    #[arg(long, env, hide = true)]
    pub(super) crash_at: Option<crate::platform::crash::Point>,
}

#[derive(Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

#[derive(Args)]
pub(super) struct ReassignArgs {
    /// Workspace at Intuned that the database is to belong to
    #[arg(long, env, value_name = "ID")]
    pub(super) intuned_workspace_id: Option<String>,
    /// Whether it is to belong to a demo
    #[arg(long, env, value_name = "SWITCH",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) demo: Option<String>,
    /// After which a gateway that gives no sign of life counts as dead
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    pub(super) lease: String,
    /// Do it. Without this, what there is to know is told, and nothing is changed
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Intuned")]
pub(super) struct IntunedArgs {
    /// Key for Intuned's API. Make one at https://app.intuned.io/api-keys
    #[arg(long, env, value_name = "KEY")]
    pub(super) intuned_api_key: Option<SecretString>,
    /// Id of the workspace at Intuned that the project is in. See the workspace's settings at
    /// https://app.intuned.io
    #[arg(long, env, value_name = "ID")]
    pub(super) intuned_workspace_id: Option<String>,
    /// Name of the Intuned project that signs in to OrangeHRM and reads claims, as it was named when
    /// it was made. See the list of projects at https://app.intuned.io
    #[arg(long, env, value_name = "NAME")]
    pub(super) intuned_project_name: Option<String>,
    /// Where Intuned's API is, up to the workspace's id
    #[arg(
        long,
        env,
        value_name = "URL",
        default_value = "https://app.intuned.io/api/v1/workspace"
    )]
    pub(super) intuned_base_url: String,
    /// Whether INTUNED_BASE_URL may be plain http on another host, which sends the API key in clear:
    /// for a simulator on a private network
    #[arg(long, env, value_name = "SWITCH", default_value = "false",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) intuned_allow_http: String,
    /// Generation of Intuned's API: auto, 0.3 (as @intuned/client 0.3 speaks) or 1 (as the 1.x
    /// clients speak)
    #[arg(long, env, value_name = "GENERATION", default_value = "auto")]
    pub(super) intuned_api: String,
    /// The longest that one request to Intuned may take
    #[arg(long, env, value_name = "DURATION", default_value = "30s")]
    pub(super) intuned_request_timeout: String,
}

#[derive(Args)]
#[command(next_help_heading = "Accounts and sessions")]
pub(super) struct AccountArgs {
    /// Signs session tokens; random, 32 bytes or more, the same on every replica. Make one with:
    /// openssl rand -base64 32
    #[arg(long, env, value_name = "SECRET")]
    pub(super) auth_secret: Option<SecretString>,
    /// How long a session lasts after signing in
    #[arg(long, env, value_name = "DURATION", default_value = "7d")]
    pub(super) session_lifetime: String,
    /// The most sessions that one user may have; when one more begins, the oldest ends
    #[arg(long, env, value_name = "COUNT", default_value = "50")]
    pub(super) max_user_sessions: String,
    /// How often a password may be tried against one e-mail address within SIGN_IN_WINDOW; an owner at
    /// a client from where they have signed in before is counted apart
    #[arg(long, env, value_name = "COUNT", default_value = "10")]
    pub(super) sign_in_tries: String,
    /// How often one client, an IPv4 address or an IPv6 /64 network, may try to sign in or sign up
    /// within SIGN_IN_WINDOW; signing in with success does not count
    #[arg(long, env, value_name = "COUNT", default_value = "100")]
    pub(super) sign_in_tries_per_client: String,
    /// How often one client, as above, may sign in or sign up within SIGN_IN_WINDOW, with success or without
    #[arg(long, env, value_name = "COUNT", default_value = "300")]
    pub(super) sign_ins_per_client: String,
    /// The span that tries are counted in; used ones come back evenly over it
    #[arg(long, env, value_name = "DURATION", default_value = "15m")]
    pub(super) sign_in_window: String,
    /// How often one user may begin to connect within CONNECT_WINDOW; 0 for any number
    #[arg(long, env, value_name = "COUNT", default_value = "20")]
    pub(super) connect_tries: String,
    /// How often users of one client, an IPv4 address or an IPv6 /64 network, may begin to connect within
    /// CONNECT_WINDOW; 0 for any number
    #[arg(long, env, value_name = "COUNT", default_value = "200")]
    pub(super) connect_tries_per_client: String,
    /// The span that attempts to connect are counted in; used ones come back evenly over it
    #[arg(long, env, value_name = "DURATION", default_value = "15m")]
    pub(super) connect_window: String,
    /// How many runs at Intuned, which read claims, one user may begin within RUN_WINDOW; 0 for any number
    #[arg(long, env, value_name = "COUNT", default_value = "10")]
    pub(super) run_tries: String,
    /// The span that runs are counted in; used ones come back evenly over it
    #[arg(long, env, value_name = "DURATION", default_value = "15m")]
    pub(super) run_window: String,
    /// How often Intuned is asked for the status of one user's connection within STATUS_WINDOW; one answer serves
    /// on all replicas for two seconds, and while the tries are used up for STATUS_WINDOW; 0 for any number, and
    /// each time that the status is read
    #[arg(long, env, value_name = "COUNT", default_value = "30")]
    pub(super) status_tries: String,
    /// The span that statuses are counted in; used ones come back evenly over it
    #[arg(long, env, value_name = "DURATION", default_value = "1m")]
    pub(super) status_window: String,
    /// Whether accounts may be opened here; when all users come from an identity provider, switch it off
    #[arg(long, env, value_name = "SWITCH", default_value = "true",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) allow_sign_up: String,
    /// Identity provider whose tokens are taken as well: the exact text of their iss. It, OIDC_AUDIENCE
    /// and OIDC_JWKS_URL go together; the provider's page .well-known/openid-configuration has it
    #[arg(long, env, value_name = "ISSUER")]
    pub(super) oidc_issuer: Option<String>,
    /// What the aud of the identity provider's tokens must be or hold: what the gateway, as an API or a
    /// client, is called there
    #[arg(long, env, value_name = "AUDIENCE")]
    pub(super) oidc_audience: Option<String>,
    /// Where the identity provider's public keys are, its jwks_uri; https, but on this machine
    #[arg(long, env, value_name = "URL")]
    pub(super) oidc_jwks_url: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Database")]
pub(super) struct DatabaseArgs {
    /// Where the data is: sqlite:FILE, made when missing, or postgres://USER:PASSWORD@HOST/NAME, which
    /// more than one replica needs. In user and password write %2F for /, %3F for ?, %23 for #, %40 for @
    /// and %25 for %
    #[arg(
        long,
        env,
        value_name = "URL",
        default_value = "sqlite:data/gateway.sqlite"
    )]
    pub(super) database_url: SecretString,
    /// The most connections that a replica opens to Postgres
    #[arg(long, env, value_name = "COUNT", default_value = "10")]
    pub(super) database_max_connections: String,
}

#[derive(Args)]
#[command(next_help_heading = "Connecting accounts and reading claims")]
pub(super) struct OperationArgs {
    /// Pause between two looks at an operation at Intuned, to begin with; it grows as time passes
    #[arg(long, env, value_name = "DURATION", default_value = "1s")]
    pub(super) intuned_poll_interval: String,
    /// After which an attempt to connect is given up
    #[arg(long, env, value_name = "DURATION", default_value = "15m")]
    pub(super) operation_timeout: String,
    /// After which a replica that gives no sign of life counts as dead, and the others take over what
    /// it was doing; the same on every replica
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    pub(super) lease: String,
    /// How long operations that have ended are kept
    #[arg(long, env, value_name = "DURATION", default_value = "90d")]
    pub(super) operation_retention: String,
    /// The longest that reading claims may take
    #[arg(long, env, value_name = "DURATION", default_value = "3m")]
    pub(super) claims_timeout: String,
    /// How long claims that were read are answered again; 0s for never
    #[arg(long, env, value_name = "DURATION", default_value = "0s")]
    pub(super) claims_cache: String,
    /// The longest claims that are passed on, in bytes; Intuned itself passes on 2 MB
    #[arg(long, env, value_name = "BYTES", default_value = "2097152")]
    pub(super) max_result_bytes: String,
    /// Proxy for the traffic of everyone's OrangeHRM sessions, http://USER:PASSWORD@HOST:PORT
    #[arg(long, env, value_name = "URL")]
    pub(super) intuned_proxy: Option<SecretString>,
    /// Whether users may name a proxy of their own
    #[arg(long, env, value_name = "SWITCH", default_value = "false",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) allow_user_proxy: String,
}

#[derive(Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// Address and port to serve at
    #[arg(long, env, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(super) listen_addr: String,
    /// Address and port where Prometheus reads metrics, such as 127.0.0.1:9464; unset, there are none.
    /// It is not for the public
    #[arg(long, env, value_name = "ADDRESS")]
    pub(super) metrics_addr: Option<String>,
    /// Web origins, such as https://app.example.com, whose pages may call the gateway, separated by
    /// commas; pages that the gateway serves itself always may
    #[arg(long, env, value_name = "ORIGINS")]
    pub(super) allowed_origins: Option<String>,
    /// Hosts that the gateway answers for, separated by commas, such as gateway.example.com, any port, or
    /// 10.0.0.7:8080; *.example.com for all below. Probes of /health come by any; unset, all requests do
    #[arg(long, env, value_name = "HOSTS")]
    pub(super) allowed_hosts: Option<String>,
    /// File of the only operations that may run: Apollo's persisted query manifest, or a JSON object
    /// from ids to documents; without it, any may
    #[arg(long, env, value_name = "FILE")]
    pub(super) trusted_documents: Option<PathBuf>,
    /// Reverse proxies in front of the gateway, addresses or networks such as 10.0.0.0/8, separated by
    /// commas: only their X-Forwarded-For tells who a client is, their X-Forwarded-Proto whether it came
    /// over https, and their X-Request-Id what a request is called
    #[arg(long, env, value_name = "NETWORKS")]
    pub(super) trusted_proxies: Option<String>,
    /// Whether to serve GraphiQL, an editor for queries; in demo mode it is served unless switched off
    #[arg(long, env, value_name = "SWITCH",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) graphiql: Option<String>,
    /// Whether clients may ask for the schema; in demo mode they may unless switched off
    #[arg(long, env, value_name = "SWITCH",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) introspection: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Demo mode")]
pub(super) struct DemoArgs {
    /// Whether to run a demo, with a simulator in Intuned's place. Unset, it is one where none of
    /// INTUNED_API_KEY, INTUNED_WORKSPACE_ID, INTUNED_PROJECT_NAME, INTUNED_BASE_URL, AUTH_SECRET,
    /// WEBHOOK_URL and OIDC_* is set
    #[arg(long, env, value_name = "SWITCH",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) demo: Option<String>,
    /// How slow the simulator is: 1 for lifelike, 0.1 for ten times as fast, 0 for at once
    #[arg(long, env, value_name = "FACTOR", default_value = "1")]
    pub(super) simulator_delay_scale: String,
}

#[derive(Args)]
#[command(next_help_heading = "Log")]
pub(super) struct LogArgs {
    /// How the log is written to stderr: text or json
    #[arg(long, env, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: String,
    /// What is logged: error, warn, info, debug or trace, also for parts of the program, such as
    /// info,intuned_gateway::operations=debug. Libraries never log more than info: their details
    /// hold secrets
    #[arg(long, env, value_name = "FILTER", default_value = "info")]
    pub(super) rust_log: String,
}

#[derive(Args)]
#[command(next_help_heading = "Traces")]
pub(super) struct TraceArgs {
    /// OpenTelemetry collector that spans are sent to, by OTLP over HTTP, such as
    /// http://127.0.0.1:4318; unset, none are made. OpenTelemetry's other variables, such as
    /// OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS, mean what its
    /// specification says
    #[arg(long, env, value_name = "URL")]
    pub(super) otel_exporter_otlp_endpoint: Option<String>,
    /// The same, with the whole path, for spans alone
    #[arg(long, env, value_name = "URL")]
    pub(super) otel_exporter_otlp_traces_endpoint: Option<String>,
    /// Whether nothing is sent, whatever else is set
    #[arg(long, env, value_name = "SWITCH", default_value = "false",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) otel_sdk_disabled: String,
}

#[derive(Args)]
pub(super) struct SimulateArgs {
    /// Address and port to serve at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(super) listen: String,
    /// Generation of Intuned's API to speak: 1 (as @intuned/client 0.3) or 2 (as the 1.x clients)
    #[arg(long, value_name = "GENERATION", default_value = "2")]
    pub(super) generation: String,
    /// How slow to be: 1 for lifelike, 0.1 for ten times as fast, 0 for at once
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    pub(super) delay_scale: String,
    /// The only API key to accept; without it, any
    #[arg(long, value_name = "KEY")]
    pub(super) api_key: Option<SecretString>,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// What is an error when it is empty: a key that was lost on its way must not start a demo.
const EMPTY_IS_SET: [&str; 2] = ["INTUNED_API_KEY", "SSL_CERT_FILE"];
/// What other programs know in small letters.
const EITHER_CASE: [(&str, &str); 2] = [("HTTPS_PROXY", "https_proxy"), ("NO_PROXY", "no_proxy")];

/// The command line's grammar, with what the environment has.
pub(super) fn command() -> Command {
    Cli::command()
        .mut_args(from_environment)
        .mut_subcommands(|command| command.mut_args(from_environment))
}

/// What the environment has that is no text.
pub(super) fn unreadable(command: &Command) -> Option<Problems> {
    let variables = command.get_arguments().filter_map(|arg| {
        let name = arg.get_env()?.to_str()?;
        let value = variable(name)?;
        value.to_str().is_none().then(|| Problem {
            setting: name.to_owned(),
            fault: "is not UTF-8 text".to_owned(),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        })
    });
    let problems: Vec<_> = variables.collect();
    (!problems.is_empty()).then_some(Problems(problems))
}

/// Every setting's environment variable, whatever the environment has.
pub(super) fn variables() -> Vec<String> {
    let command = Cli::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let args = commands.flat_map(Command::get_arguments);
    let names = args.filter_map(|arg| arg.get_env()?.to_str());
    names.map(str::to_owned).collect()
}

/// `--help` must not show secrets, and an empty variable counts as unset, but for some: that is how compose
/// files pass on what is not there.
fn from_environment(arg: Arg) -> Arg {
    let arg = arg.hide_env_values(true);
    let Some(name) = arg.get_env().and_then(OsStr::to_str) else {
        return arg;
    };
    let value = variable(name);
    if value.as_ref().is_some_and(|value| !value.is_empty()) {
        return arg;
    }
    let small = EITHER_CASE.iter().find(|(large, _)| *large == name);
    if let Some((_, small)) = small
        && variable(small).is_some_and(|value| !value.is_empty())
    {
        return arg.env(*small);
    }
    if value.is_none() || EMPTY_IS_SET.contains(&name) {
        return arg;
    }
    arg.env(None)
}

/// Whether it is the name in small letters of a setting that other programs know so.
pub(super) fn is_small(name: &str) -> bool {
    EITHER_CASE.iter().any(|(_, small)| *small == name)
}

/// The names of the environment's variables.
pub(super) fn names() -> impl Iterator<Item = String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "settings alone read the environment"
    )]
    let variables = std::env::vars_os();
    variables.filter_map(|(name, _)| name.into_string().ok())
}

pub(super) fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "settings alone read the environment"
    )]
    std::env::var_os(name)
}
