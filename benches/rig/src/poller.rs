//! Ten thousand operations in flight, each asked about every second, and fifty thousand at the slower
//! pace of long ones, beside a bare HTTP client that asks ten thousand times a second.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    metrics,
    process::{Server, free_address},
    seed::{self, Driver},
    servers::{bare, gateway},
    table::{self, median},
    upstream::Upstream,
};

/// Taking over is spread over this long; then they are polled evenly.
const SETTLE: Duration = Duration::from_secs(12);
const ROUNDS: usize = 3;
const MEASURE: Duration = Duration::from_secs(10);
const LATENESS: &str = "intuned_gateway_operation_poll_lateness_seconds";

struct Client {
    core_share: f64,
    polls_each_second: f64,
}

impl Client {
    /// The middle of several rounds.
    fn middle(rounds: &[Self]) -> Self {
        let of = |value: fn(&Self) -> f64| median(rounds.iter().map(value).collect());
        Self {
            core_share: of(|client| client.core_share),
            polls_each_second: of(|client| client.polls_each_second),
        }
    }

    fn cost(&self) -> f64 {
        self.core_share / self.polls_each_second
    }

    fn cells(&self, limit: &Self) -> [String; 3] {
        [
            format!("{:.0}", self.polls_each_second),
            format!("{:.1}", self.core_share * 100.0),
            format!("{:.2}", self.cost() / limit.cost()),
        ]
    }
}

struct Measured {
    client: Client,
    kib_each: f64,
    late_p99: f64,
    writes: i64,
}

impl Measured {
    /// The middle of several rounds, and all that they wrote.
    fn middle(rounds: Vec<Self>) -> Self {
        let late_p99 = median(rounds.iter().map(|round| round.late_p99).collect());
        let kib_each = median(rounds.iter().map(|round| round.kib_each).collect());
        let writes = rounds.iter().map(|round| round.writes).sum();
        let clients: Vec<Client> = rounds.into_iter().map(|round| round.client).collect();
        Self {
            client: Client::middle(&clients),
            kib_each,
            late_p99,
            writes,
        }
    }
}

pub(crate) async fn run() {
    let (mut bare, mut many, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(measure_bare().await);
        many.push(measure(10_000, "1s").await);
        more.push(measure(50_000, "5s").await);
    }
    let bare = Client::middle(&bare);
    let many = Measured::middle(many);
    let more = Measured::middle(more);
    let row = |what: &str, measured: &Measured| {
        let mut row = vec![what.to_owned()];
        row.extend(measured.client.cells(&bare));
        row.extend([
            format!("{:.1}", measured.late_p99),
            format!("{:.1}", measured.kib_each),
            measured.writes.to_string(),
        ]);
        row
    };
    let mut limit = vec![String::from("bare: 10,000, each second")];
    limit.extend(bare.cells(&bare));
    limit.resize(7, String::from("-"));
    let header = [
        "operations in flight",
        "polls/s",
        "% of a core",
        "CPU of a poll against the limit",
        "later than due at most, p99, ms",
        "KiB each",
        "rows written",
    ];
    table::print(
        &header,
        &[
            limit,
            row("10,000, each second", &many),
            row("50,000, every 5 seconds", &more),
        ],
    );
    table::at_most(
        "% of a core for 10,000",
        many.client.core_share * 100.0,
        35.0,
    );
    table::at_most(
        "CPU of a poll against a bare client's",
        many.client.cost() / bare.cost(),
        1.3,
    );
    table::at_most("p99 of lateness, ms", many.late_p99, 5.0);
    table::at_most("KiB each", many.kib_each, 3.0);
}

async fn measure_bare() -> Client {
    let upstream = Upstream::start().await;
    let url = format!("{}/workspace/projects/project", upstream.url());
    let server = bare("bare", "").env("POLL_URL", url).start().await;
    // Its connections are open by then.
    sleep(Duration::from_secs(3)).await;
    let client = watch(&server, &upstream).await;
    server.stop().await;
    client
}

async fn watch(server: &Server, upstream: &Upstream) -> Client {
    upstream.polls();
    let (cpu, begun) = (server.cpu(), Instant::now());
    sleep(MEASURE).await;
    let (cpu, elapsed) = (server.cpu_since(cpu), begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let polls = upstream.polls() as f64;
    Client {
        core_share: cpu.as_secs_f64() / elapsed,
        polls_each_second: polls / elapsed,
    }
}

async fn measure(count: usize, interval: &str) -> Measured {
    let upstream = Upstream::start().await;
    let url = seed::postgres("bench_poller").await;
    let database = seed::open(&url).await;
    let people = seed::people(&database, count).await;
    let metrics_address = free_address();
    let recipe = gateway("gateway", &url, upstream.url())
        .env("INTUNED_POLL_INTERVAL", interval)
        .env("METRICS_ADDR", metrics_address.to_string());
    // One that has polled a little already: what is made once is made.
    let (first, rest) = people.split_at(100);
    seed::operations(&database, first, Driver::Nobody).await;
    let server = recipe.start().await;
    sleep(Duration::from_secs(3)).await;
    let memory = server.memory();
    seed::operations(&database, rest, Driver::Nobody).await;
    sleep(SETTLE).await;

    let written = writes(&url).await;
    let late_before = metrics::histogram(metrics_address, LATENESS).await;
    let client = watch(&server, &upstream).await;
    let late_after = metrics::histogram(metrics_address, LATENESS).await;
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let measured = Measured {
        client,
        kib_each: grown(&server, memory) / rest.len() as f64,
        late_p99: metrics::percentile(&late_before, &late_after, 99.0) * 1000.0,
        writes: writes(&url).await - written,
    };
    server.stop().await;
    measured
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn grown(server: &Server, before: u64) -> f64 {
    server.memory().saturating_sub(before) as f64 / 1024.0
}

/// Rows that have been written to the tables of operations so far.
async fn writes(url: &str) -> i64 {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    // Statistics are told once a second at most.
    sleep(Duration::from_millis(1500)).await;
    sqlx::query_scalar(
        "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint \
         FROM pg_stat_user_tables WHERE relname LIKE 'operation%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap()
}
