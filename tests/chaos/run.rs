//! The run: everything is set up, goes wrong, settles, and is checked.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use entity::session_removal;
use sea_orm::{DatabaseConnection, EntityTrait, sea_query::Expr};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    args::Args,
    check::{Check, Tables, name},
    client::{Client, Story},
    plan::{self, LEASE, Trouble, random},
    postgres::Postgres,
    process::{self, Process, Settings},
    proxy::Proxy,
    replicas::Replicas,
    report::Violations,
    upstream::{API_KEY, REQUEST_TIMEOUT, Upstream},
};

const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Of a thousand COMMITs, so many are not acknowledged.
const LOST_COMMITS: u32 = 5;
/// Until every client has come to an end once all is quiet, it may take this long.
const LONGEST_GOODBYE: Duration = Duration::from_mins(1);
/// What is left to be removed at Intuned may take this long once all is quiet.
const LONGEST_SETTLING: Duration = Duration::from_secs(90);

/// Whether nothing was lost, duplicated or contradicted.
pub(crate) async fn run(args: &Args) -> bool {
    let postgres = Arc::new(Postgres::create().await);
    let proxy = Proxy::start(postgres.target(), random(args.seed, 1)).await;
    let upstream = Upstream::start(random(args.seed, 2)).await;
    let violations = Violations::default();
    let settings = settings(&postgres.url_at(proxy.address.port()), &upstream.base_url);
    let replicas = Replicas::new(args.replicas.into(), settings.clone(), violations.clone());
    let users = sign_up(&settings, args.users).await;

    let total = Duration::from_secs(args.seconds);
    let calm = CancellationToken::new();
    let gateways: Vec<_> = (0..args.replicas)
        .map(|slot| {
            let turns = plan::turns(random(args.seed, 100 + u64::from(slot)), total);
            tokio::spawn(replicas.clone().live(slot.into(), turns, calm.clone()))
        })
        .collect();
    let database = tokio::spawn(trouble_database(
        postgres.clone(),
        proxy.clone(),
        plan::troubles(random(args.seed, 3), total),
        calm.clone(),
    ));
    let intuned = tokio::spawn(trouble_intuned(
        upstream.clone(),
        plan::fault_rates(random(args.seed, 4), total),
        calm.clone(),
    ));
    let shared = Arc::new(replicas.clone());
    let clients = users.iter().zip(0..).map(|((_, user), number)| {
        let client = Client {
            user: user.clone(),
            replicas: shared.clone(),
            violations: violations.clone(),
            random: random(args.seed, 1_000 + number),
        };
        tokio::spawn(client.live(calm.clone()))
    });
    let clients: Vec<_> = clients.collect();

    sleep(total).await;
    calm.cancel();
    let restarts = database.await.unwrap();
    intuned.await.unwrap();
    let mut running = Vec::new();
    for gateway in gateways {
        running.push(gateway.await.unwrap());
    }
    let stories = goodbye(users, clients, &violations).await;
    let connection = postgres.connect().await;
    let tables = settle(&connection, &upstream).await;
    let check = Check {
        tables: &tables,
        upstream: &upstream,
        violations: &violations,
    };
    check.all(&stories);
    stop(running).await;
    println!("{}", report(args, &replicas, restarts, &proxy, &upstream));
    println!("{}", told(&tables, &stories));
    println!("violations   {violations}");
    violations.is_empty()
}

fn settings(database_url: &str, base_url: &str) -> Settings {
    let mut settings = process::settings(database_url, base_url, API_KEY);
    settings.extend([
        ("INTUNED_POLL_INTERVAL", "200ms".to_owned()),
        ("LEASE", format!("{}s", LEASE.as_secs())),
        (
            "OPERATION_TIMEOUT",
            format!("{}s", OPERATION_TIMEOUT.as_secs()),
        ),
        (
            "INTUNED_REQUEST_TIMEOUT",
            format!("{}s", REQUEST_TIMEOUT.as_secs()),
        ),
    ]);
    settings
}

/// Users, by their ids, before anything goes wrong.
async fn sign_up(settings: &Settings, count: u16) -> Vec<(String, Api)> {
    let mut gateway = Process::spawn(settings);
    let api = Api::new(&gateway.ready().await);
    let mut users = Vec::new();
    for number in 0..count {
        let user = api.sign_up(&format!("user-{number}@example.com")).await;
        let me = user.data("{ me { id } }", json!({})).await;
        users.push((me["me"]["id"].as_str().unwrap().to_owned(), user));
    }
    gateway.stop().await;
    users
}

/// How often the server was restarted, in good order and not.
async fn trouble_database(
    postgres: Arc<Postgres>,
    proxy: Proxy,
    troubles: Vec<(Duration, Trouble)>,
    calm: CancellationToken,
) -> (u32, u32) {
    let (mut restarts, mut crashes) = (0, 0);
    proxy.lose_commits(LOST_COMMITS);
    for (after, trouble) in troubles {
        if calm.run_until_cancelled(sleep(after)).await.is_none() {
            break;
        }
        match trouble {
            Trouble::Reset => proxy.reset(50),
            Trouble::Away(lasts) => {
                proxy.set_away(true);
                proxy.reset(100);
                sleep(lasts).await;
                proxy.set_away(false);
            }
            Trouble::Restart => {
                postgres.restart("fast").await;
                restarts += 1;
            }
            Trouble::Crash => {
                postgres.restart("immediate").await;
                crashes += 1;
            }
        }
    }
    proxy.lose_commits(0);
    (restarts, crashes)
}

async fn trouble_intuned(upstream: Upstream, rates: Vec<(u32, Duration)>, calm: CancellationToken) {
    for (rate, lasts) in rates {
        upstream.set_rate(rate);
        if calm.run_until_cancelled(sleep(lasts)).await.is_none() {
            break;
        }
    }
    upstream.set_rate(0);
}

/// What the clients were told by the time that each has come to an end.
async fn goodbye(
    users: Vec<(String, Api)>,
    clients: Vec<JoinHandle<Story>>,
    violations: &Violations,
) -> Vec<(String, Story)> {
    let mut stories = Vec::new();
    let all = async {
        for ((id, _), client) in users.into_iter().zip(clients) {
            stories.push((id, client.await.unwrap()));
        }
    };
    if timeout(LONGEST_GOODBYE, all).await.is_err() {
        violations.lost("a client never came to an end".to_owned());
    }
    stories
}

/// Waits until nothing is under way; what is noted for later is brought forward.
async fn settle(database: &DatabaseConnection, upstream: &Upstream) -> Tables {
    let settling = async {
        loop {
            session_removal::Entity::update_many()
                .col_expr(
                    session_removal::Column::DueAt,
                    Expr::col(session_removal::Column::RequestedAt),
                )
                .exec(database)
                .await
                .unwrap();
            let tables = Tables::read(database).await;
            let ended = tables.operations.iter().all(|row| row.ended_at.is_some());
            let sessions = upstream.sessions().len();
            if ended && tables.removals.is_empty() && sessions == tables.connections.len() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    // What is left then is found by the check.
    timeout(LONGEST_SETTLING, settling).await.ok();
    Tables::read(database).await
}

async fn stop(gateways: Vec<Process>) {
    for mut gateway in gateways {
        gateway.stop().await;
    }
}

fn report(
    args: &Args,
    replicas: &Replicas,
    (restarts, crashes): (u32, u32),
    proxy: &Proxy,
    upstream: &Upstream,
) -> String {
    let Args {
        seconds,
        seed,
        users,
        ..
    } = args;
    let cycles = &replicas.cycles;
    let (kills, stops) = (cycles.kills.load(Relaxed), cycles.stops.load(Relaxed));
    let (stopped, stillborn) = (
        cycles.restarts.load(Relaxed),
        cycles.stillborn.load(Relaxed),
    );
    let (broken, lost_commits) = proxy.broken();
    let (requests, faults) = upstream.counts();
    format!(
        "chaos        {seconds} s, seed {seed}, {} replicas, {users} users\n\
         gateways     {kills} kill -9, {stops} SIGSTOP past the lease, {stopped} SIGTERM, \
         {stillborn} gave up at their start\n\
         database     {restarts} restarts, {crashes} crashes, {broken} connections broken, \
         {lost_commits} of them over a COMMIT\n\
         Intuned      {requests} requests, {faults} of them went wrong",
        args.replicas
    )
}

fn told(tables: &Tables, stories: &[(String, Story)]) -> String {
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for row in &tables.operations {
        let code = row.failure_code.map(|code| format!(" {code:?}"));
        let end = format!("{}{}", name(row.status), code.unwrap_or_default());
        *ends.entry(end).or_default() += 1;
    }
    let ends: Vec<_> = ends
        .iter()
        .map(|(end, count)| format!("{end} {count}"))
        .collect();
    let told: Vec<_> = stories.iter().flat_map(|(_, story)| &story.told).collect();
    let changes = told
        .iter()
        .flat_map(|told| &told.events)
        .filter(|event| event["kind"] == "CHANGE")
        .count();
    let streams: u32 = told.iter().map(|told| told.streams).sum();
    let disconnections: u32 = stories.iter().map(|(_, story)| story.disconnections).sum();
    format!(
        "operations   {}: {}\n\
         told         {changes} changes to {} followers over {streams} streams; \
         {disconnections} disconnections",
        tables.operations.len(),
        ends.join(", "),
        told.len()
    )
}
