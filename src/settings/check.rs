//! Turns texts into settings: what each must be, and which of them contradict each other.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::http::HeaderValue;
use clap::{ArgMatches, Command};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use graphql_server::net::{AllowedHost, AllowedHosts, TrustedProxies};

use super::{
    ClaimsSettings, DatabaseSettings, MigrateSettings, OperationSettings, Problems,
    ReassignSettings, ServerSettings, Settings, SimulateSettings, Task, TraceSettings, WatchedFile,
    accounts::{accounts, required_secret},
    args::{
        DatabaseArgs, MigrateArgs, OperationArgs, ReassignArgs, ServeArgs, ServerArgs,
        SimulateArgs, TraceArgs,
    },
    demo, dot_env,
    limits::limits,
    log::log,
    misspellings,
    mode::{Mode, mode},
    outbound::{PROXY, outbound, read_proxy},
    reader::{Reader, SHORTEST},
    records::records,
    upstream::{delay_scale, upstream, web_url, workspace_id},
};
use crate::platform::database::{self, Workspace};
use ambient::Random;
use intuned_simulator::SimulatedGeneration;
use outbound::Outbound;

/// Replicas give signs of life four times in a lease; a slow query must not look like death.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// An idempotency key counts for a day.
const SHORTEST_RETENTION: Duration = Duration::from_hours(48);
const ORIGIN: &str =
    "a web origin such as https://app.example.com, without a path; each must be named";
const HOST: &str = "a host such as gateway.example.com, *.example.com, 10.0.0.7:8080 or [::1], in plain letters \
                    and without a scheme; unset it for any";
const NETWORK: &str = "an IP address or network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8";

pub(super) fn serve(
    command: &Command,
    args: &ServeArgs,
    matches: &ArgMatches,
    random: &Random,
) -> Result<Task, Problems> {
    let mut reader = Reader::new(command);
    let mut notes = Vec::new();
    let mode = mode(&mut reader, &args.demo, matches);
    let is_demo = mode == Mode::Demo;
    let way_out = outbound(&mut reader, &args.outbound, &mut notes);
    let upstream = upstream(&mut reader, args, mode, &way_out);
    let database = database(&mut reader, &args.database);
    let secret = match &args.accounts.auth_secret {
        None if is_demo => database
            .as_ref()
            .and_then(|database| demo_secret(&mut reader, database, random, &mut notes)),
        secret => required_secret(&mut reader, secret.as_ref()),
    };
    let accounts = accounts(&mut reader, &args.accounts, secret, &way_out);
    let operations = operations(&mut reader, &args.operations);
    let claims = claims(&mut reader, &args.operations);
    let server = server(&mut reader, &args.server, is_demo);
    let records = records(&mut reader, &args.records, &way_out);
    let limits = limits(&mut reader, &args.limits);
    let log = log(&mut reader, &args.log);
    let traces = traces(&mut reader, &args.traces, &way_out);
    if let (true, Some(server)) = (is_demo, &server) {
        notes.splice(0..0, demo_notes(server.listen));
    }
    notes.extend(misspellings());
    let files = database
        .as_ref()
        .map_or_else(Vec::new, |database| watched_files(args, database, is_demo));
    let read = || {
        Some(Task::Serve(Box::new(Settings {
            upstream: upstream?,
            accounts: accounts?,
            database: database?,
            operations: operations?,
            claims: claims?,
            server: server?,
            records: records?,
            limits: limits?,
            log: log?,
            traces,
            notes,
            files,
            #[cfg(feature = "crash-points")]
            crash_at: args.crash_at,
        })))
    };
    let read = read();
    reader.finish(read)
}

pub(super) fn migrate(command: &Command, args: &MigrateArgs) -> Result<Task, Problems> {
    let mut reader = Reader::new(command);
    let database = database(&mut reader, &args.database);
    let log = log(&mut reader, &args.log);
    let read = database
        .zip(log)
        .map(|(database, log)| Task::Migrate(MigrateSettings { database, log }));
    reader.finish(read)
}

pub(super) fn reassign(command: &Command, args: &ReassignArgs) -> Result<Task, Problems> {
    let mut reader = Reader::new(command);
    let demo = match &args.demo {
        Some(demo) => reader.switch("DEMO", demo),
        None => Some(false),
    };
    let workspace = match demo {
        Some(true) => Some(Workspace::Demo),
        _ if args.intuned_workspace_id.is_none() => {
            reader.note("INTUNED_WORKSPACE_ID", "is missing; for a demo, say --demo");
            None
        }
        _ => workspace_id(&mut reader, args.intuned_workspace_id.as_ref()).map(Workspace::Intuned),
    };
    let lease = reader.duration("LEASE", &args.lease, SHORTEST_LEASE);
    let database = database(&mut reader, &args.database);
    let log = log(&mut reader, &args.log);
    let read = || {
        demo?;
        Some(Task::Reassign(ReassignSettings {
            workspace: workspace?,
            lease: lease?,
            confirmed: args.yes,
            database: database?,
            log: log?,
        }))
    };
    let read = read();
    reader.finish(read)
}

pub(super) fn simulate(command: &Command, args: &SimulateArgs) -> Result<Task, Problems> {
    let mut reader = Reader::new(command);
    let listen = address(&mut reader, "--listen", &args.listen);
    let generation = reader.number("--generation", &args.generation, 1..=2);
    let delay_scale = delay_scale(&mut reader, "--delay-scale", &args.delay_scale);
    let log = log(&mut reader, &args.log);
    let read = || {
        Some(Task::Simulate(SimulateSettings {
            listen: listen?,
            generation: match generation? {
                1 => SimulatedGeneration::One,
                _ => SimulatedGeneration::Two,
            },
            delay_scale: delay_scale?,
            api_key: args.api_key.clone(),
            log: log?,
        }))
    };
    let read = read();
    reader.finish(read)
}

fn demo_secret(
    reader: &mut Reader<'_>,
    database: &DatabaseSettings,
    random: &Random,
    notes: &mut Vec<String>,
) -> Option<SecretString> {
    let url = database.url.expose_secret();
    let Some(file) = demo::secret_file(url) else {
        let note = "AUTH_SECRET is not set: everyone is signed out when the gateway stops";
        notes.push(note.to_owned());
        return Some(demo::make_secret(random).into());
    };
    let path = file.display();
    match demo::keep_secret(&file, random) {
        Ok(secret) => {
            notes.push(format!("AUTH_SECRET is not set: one is kept in {path}"));
            Some(secret)
        }
        Err(error) if database::sqlite_file(url).is_none() => {
            notes.push(format!(
                "AUTH_SECRET is not set, and none can be kept in {path} ({error}): everyone is signed out when \
                 the gateway stops"
            ));
            Some(demo::make_secret(random).into())
        }
        Err(error) => {
            let fault = format!("is not set, and none can be kept in {path}: {error}");
            reader.note("AUTH_SECRET", fault);
            None
        }
    }
}

fn demo_notes(listen: SocketAddr) -> Vec<String> {
    let demo = "DEMO MODE: a simulator stands in for Intuned. No real account is ever connected.";
    let mut notes = vec![demo.to_owned()];
    if !listen.ip().to_canonical().is_loopback() {
        notes.push(format!(
            "THE DEMO LISTENS AT {listen}, where others may reach it, and a demo keeps nobody out: whoever \
             types a real password types it into a toy. Set LISTEN_ADDR to an address of this machine's own, \
             such as 127.0.0.1:8080; in a container, publish the port at such an address"
        ));
    }
    notes
}

fn misspellings() -> impl Iterator<Item = String> {
    let found = misspellings::misspellings();
    found.into_iter().map(|one| {
        format!(
            "{} in {} is no setting, and counts for nothing; the nearest is {}",
            one.name, one.place, one.nearest
        )
    })
}

/// Files that hold secrets, and files that decide whom and what the gateway trusts.
fn watched_files(args: &ServeArgs, database: &DatabaseSettings, is_demo: bool) -> Vec<WatchedFile> {
    let url = database.url.expose_secret();
    let sqlite = database::sqlite_file(url);
    let beside = |suffix| {
        let mut path = sqlite.clone()?.into_os_string();
        path.push(suffix);
        Some(WatchedFile::secret(path))
    };
    let kept = demo::secret_file(url).filter(|_| is_demo && args.accounts.auth_secret.is_none());
    let secret = [kept, database::key_file(url)].into_iter().flatten();
    let trusted = [
        args.outbound.trusted_file(),
        args.server.trusted_documents.as_deref(),
    ];
    let dot_env = WatchedFile::secret(dot_env::FILE);
    ["", "-wal", "-shm"]
        .into_iter()
        .filter_map(beside)
        .chain([dot_env])
        .chain(secret.map(WatchedFile::secret))
        .chain(trusted.into_iter().flatten().map(WatchedFile::trusted))
        .collect()
}

fn database(reader: &mut Reader<'_>, args: &DatabaseArgs) -> Option<DatabaseSettings> {
    let url = args.database_url.expose_secret().trim();
    let address = database::read_address(url);
    let url = address
        .map(|_| SecretString::from(url))
        .map_err(|error| reader.note("DATABASE_URL", error));
    let max_connections = reader.number(
        "DATABASE_MAX_CONNECTIONS",
        &args.database_max_connections,
        1..=1000,
    );
    Some(DatabaseSettings {
        url: url.ok()?,
        max_connections: max_connections?,
    })
}

fn operations(reader: &mut Reader<'_>, args: &OperationArgs) -> Option<OperationSettings> {
    let poll_interval = reader.duration(
        "INTUNED_POLL_INTERVAL",
        &args.intuned_poll_interval,
        SHORTEST,
    );
    let timeout = reader.duration("OPERATION_TIMEOUT", &args.operation_timeout, SHORTEST);
    if let (Some(poll_interval), Some(timeout)) = (poll_interval, timeout)
        && poll_interval > timeout
    {
        reader.note(
            "INTUNED_POLL_INTERVAL",
            "is longer than OPERATION_TIMEOUT: operations would be given up before the first look",
        );
    }
    let lease = reader.duration("LEASE", &args.lease, SHORTEST_LEASE);
    let retention = reader.duration(
        "OPERATION_RETENTION",
        &args.operation_retention,
        SHORTEST_RETENTION,
    );
    let allow_user_proxy = reader.switch("ALLOW_USER_PROXY", &args.allow_user_proxy);
    let proxy = match &args.intuned_proxy {
        Some(proxy) => reader
            .secret("INTUNED_PROXY", proxy, PROXY, read_proxy)
            .map(Some),
        None => Some(None),
    };
    Some(OperationSettings {
        poll_interval: poll_interval?,
        timeout: timeout?,
        lease: lease?,
        retention: retention?,
        proxy: proxy?,
        allow_user_proxy: allow_user_proxy?,
    })
}

fn claims(reader: &mut Reader<'_>, args: &OperationArgs) -> Option<ClaimsSettings> {
    let timeout = reader.duration("CLAIMS_TIMEOUT", &args.claims_timeout, SHORTEST);
    let cache = reader.duration("CLAIMS_CACHE", &args.claims_cache, Duration::ZERO);
    Some(ClaimsSettings {
        timeout: timeout?,
        cache: cache.map(|cache| Some(cache).filter(|cache| !cache.is_zero()))?,
    })
}

fn server(reader: &mut Reader<'_>, args: &ServerArgs, demo: bool) -> Option<ServerSettings> {
    let listen = address(reader, "LISTEN_ADDR", &args.listen_addr);
    let metrics = match &args.metrics_addr {
        Some(text) => address(reader, "METRICS_ADDR", text).map(Some),
        None => Some(None),
    };
    let origins = args.allowed_origins.as_deref().unwrap_or_default();
    let allowed_origins = reader.list("ALLOWED_ORIGINS", origins, ORIGIN, read_origin);
    let hosts = args.allowed_hosts.as_deref().unwrap_or_default();
    let allowed_hosts = reader.list("ALLOWED_HOSTS", hosts, HOST, AllowedHost::parse);
    let proxies = args.trusted_proxies.as_deref().unwrap_or_default();
    let trusted_proxies = reader.list("TRUSTED_PROXIES", proxies, NETWORK, read_network);
    let mut switch = |setting, text: &Option<String>| match text {
        Some(text) => reader.switch(setting, text),
        None => Some(demo),
    };
    let graphiql = switch("GRAPHIQL", &args.graphiql);
    let introspection = switch("INTROSPECTION", &args.introspection);
    Some(ServerSettings {
        listen: listen?,
        metrics: metrics?,
        allowed_origins: allowed_origins?,
        allowed_hosts: AllowedHosts(allowed_hosts?),
        trusted_documents: args.trusted_documents.clone(),
        trusted_proxies: TrustedProxies(trusted_proxies?),
        graphiql: graphiql?,
        introspection: introspection?,
    })
}

fn read_network(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(|address: IpAddr| address.into());
    text.parse::<IpNet>().ok().or_else(address)
}

/// In the form of a browser's `Origin` header.
fn read_origin(text: &str) -> Option<HeaderValue> {
    let url = web_url(text)?;
    let origin = url.origin().ascii_serialization();
    let bare = url.as_str().strip_suffix('/') == Some(&origin);
    HeaderValue::from_str(&origin).ok().filter(|_| bare)
}

/// None where nothing is to be sent, and where what is set makes no sense, which is noted.
fn traces(reader: &mut Reader<'_>, args: &TraceArgs, outbound: &Outbound) -> Option<TraceSettings> {
    let disabled = reader.switch("OTEL_SDK_DISABLED", &args.otel_sdk_disabled);
    let expected = "the address of an OpenTelemetry collector, such as http://127.0.0.1:4318";
    let for_all = args
        .otel_exporter_otlp_endpoint
        .as_deref()
        .and_then(|text| {
            reader.read("OTEL_EXPORTER_OTLP_ENDPOINT", text, expected, |text| {
                let base = web_url(text)?;
                web_url(&format!(
                    "{}/v1/traces",
                    base.as_str().trim_end_matches('/')
                ))
            })
        });
    let for_traces = args.otel_exporter_otlp_traces_endpoint.as_deref();
    let for_traces = for_traces.and_then(|text| {
        let setting = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        reader.read(setting, text, expected, web_url)
    });
    let endpoint = for_traces.or(for_all)?;
    (disabled == Some(false)).then(|| TraceSettings {
        endpoint,
        outbound: outbound.clone(),
    })
}

fn address(reader: &mut Reader<'_>, setting: &'static str, text: &str) -> Option<SocketAddr> {
    let expected = "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";
    reader.read(setting, text, expected, |text| text.parse().ok())
}
