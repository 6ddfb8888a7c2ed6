//! What hostile clients cost: 100 that upload 300 MB, and 1,000 slow ones, against the memory of the
//! gateway and the waits of an honest client, before and meanwhile, in one run.
//!
//! Run it with `scripts/abuse`, or `scripts/abuse heads` for one kind of attack alone.
//! It fails when an honest request does, when memory grows by more than allowed, or when the honest client's
//! p99 more than doubles.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails on the spot, and prints what it measured"
)]

mod attack;
#[path = "../../tests/it/support/canaries.rs"]
mod canaries;
mod honest;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../../tests/it/support/process.rs"]
mod process;
/// What `process` shares with its neighbours.
mod socket {
    pub(crate) const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);
}

use std::{fs, process::ExitCode, thread, time::Duration};

use honest::Waits;
use process::Process;
use tokio::time::{interval, sleep, timeout};

/// Bytes by which the gateway's resident memory may grow.
const ALLOWED: u64 = 256 * 1024 * 1024;

/// How long the honest client is watched, before and during the attack.
const WATCH: Duration = Duration::from_secs(15);

/// Until all of the attackers are there.
const RAMP: Duration = Duration::from_secs(10);

/// The attackers share one thread: the gateway needs the other core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let gateway = Process::spawn(&vec![
        ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
    ]);
    let url = gateway.ready().await;
    let address = gateway.address().borrow().clone().unwrap();

    let token = honest::sign_up(&url).await;
    let before = watch(&url, &token).await;
    let resident = resident_bytes(gateway.id());
    let attack = attack::start(
        &address,
        std::env::args().skip(1).find(|only| only != "--bench"),
    );
    let (mut peak, during) = {
        let (ramp, ()) = watch_memory(gateway.id(), sleep(RAMP)).await;
        let (peak, during) = watch_memory(gateway.id(), watch(&url, &token)).await;
        (ramp.max(peak), during)
    };
    peak = peak.max(resident);
    let counts = attack.stop();

    println!(
        "{:<44}{:>10}{:>10}",
        "an honest client, ms", "median", "p99"
    );
    print("before", &before);
    print("meanwhile", &during);
    println!();
    println!("{:<44}{:>10}", "the gateway's resident memory, MiB", "");
    println!("{:<44}{:>10}", "before", mebibytes(resident));
    println!("{:<44}{:>10}", "at most, meanwhile", mebibytes(peak));
    println!(
        "{:<44}{:>10}",
        "growth (256 allowed)",
        mebibytes(peak - resident)
    );
    println!();
    println!("{:<44}{:>10}", "the attack", "");
    for (what, count) in counts {
        println!("{what:<44}{count:>10}");
    }
    if before.failed + during.failed > 0 {
        println!(
            "\nhonest requests failed: {}",
            before.failed + during.failed
        );
        return ExitCode::FAILURE;
    }
    if peak - resident > ALLOWED {
        println!("\nmemory grew by more than allowed");
        return ExitCode::FAILURE;
    }
    if during.at(99) > before.at(99) * 2 {
        println!("\nthe honest client's p99 more than doubled");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The honest client has a thread of its own, so that what it measures is the gateway.
async fn watch(url: &str, token: &str) -> Waits {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (url, token) = (url.to_owned(), token.to_owned());
    thread::spawn(move || sender.send(honest::watch(&url, &token, WATCH)));
    receiver.await.unwrap()
}

/// What `work` comes to, and the most memory that the process has meanwhile.
async fn watch_memory<T>(process: u32, work: impl Future<Output = T>) -> (u64, T) {
    let mut work = std::pin::pin!(work);
    let mut look = interval(Duration::from_millis(50));
    let mut peak = 0;
    loop {
        look.tick().await;
        peak = peak.max(resident_bytes(process));
        if let Ok(done) = timeout(Duration::from_millis(50), work.as_mut()).await {
            return (peak, done);
        }
    }
}

fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.unwrap().parse::<u64>().unwrap() * 1024
}

fn print(when: &str, waits: &Waits) {
    let millis = |share| format!("{:.1}", waits.at(share).as_secs_f64() * 1000.0);
    println!("{when:<44}{:>10}{:>10}", millis(50), millis(99));
}

fn mebibytes(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}
