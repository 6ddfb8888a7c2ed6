//! Starting: how long until ready, how much memory at rest, how large the program is.

use std::{env, fs, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    reads::mib,
    seed,
    servers::gateway,
    table::{self, median},
};

const STARTS: usize = 9;
/// What starting leaves behind is gone by then.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn run() {
    let postgres = seed::postgres("bench_start").await;
    let mut rows = Vec::new();
    let mut sqlite = (0.0, 0.0);
    for (what, fresh) in [
        ("SQLite, a new file", true),
        ("SQLite, a file that is there", false),
        ("Postgres", false),
    ] {
        let directory = TempDir::new().unwrap();
        let (mut ready, mut memory) = (Vec::new(), Vec::new());
        for start in 0..STARTS {
            let number = if fresh { start } else { 0 };
            let file = directory.path().join(format!("{number}.sqlite"));
            let url = match what {
                "Postgres" => postgres.clone(),
                _ => format!("sqlite://{}", file.display()),
            };
            let server = gateway("gateway", &url, "http://127.0.0.1:9").start().await;
            ready.push(server.ready_after.as_secs_f64() * 1000.0);
            sleep(REST).await;
            #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
            memory.push(server.resident() as f64 / 1024.0 / 1024.0);
            server.stop().await;
        }
        let (ready, memory) = (median(ready), median(memory));
        if fresh {
            sqlite = (ready, memory);
        }
        rows.push(vec![
            what.to_owned(),
            format!("{ready:.0}"),
            format!("{memory:.1}"),
        ]);
    }
    let header = ["start", "ms until ready", "MiB resident at rest"];
    table::print(&header, &rows);
    let program = fs::metadata(env::var("GATEWAY_BIN").unwrap())
        .unwrap()
        .len();
    let console = size_of_files("web/dist");
    println!(
        "program: {} MiB, of it the console {} MiB",
        mib(program),
        mib(console)
    );
    table::at_most("ms until ready on a new SQLite file", sqlite.0, 150.0);
    table::at_most("MiB resident at rest", sqlite.1, 30.0);
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let rest = (program - console) as f64 / 1024.0 / 1024.0;
    table::at_most("MiB of the program without the console", rest, 30.0);
}

fn size_of_files(directory: &str) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_files(&entry.path().display().to_string()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
