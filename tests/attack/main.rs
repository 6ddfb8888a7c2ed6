//! What attackers send, as tables: each case names what it sends and what is due. Areas run on a gateway
//! of their own, on SQLite and on Postgres; after each the gateway must still serve an honest user, and
//! nothing may have panicked or been told.
//!
//! `cargo test --test attack -- http sqlite` runs what has one of these words in its name.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for tests: what cannot go on fails on the spot, and the report is for people"
)]

mod areas;
mod case;
mod reply;
mod report;
mod send;
mod socket;
mod stage;
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with tests that use more of it"
)]
#[path = "../it/support/mod.rs"]
mod support;

use std::{process::ExitCode, sync::Mutex, thread};

use report::Report;
use support::Backend;
use tokio::runtime::Builder;

/// The least that the whole suite has.
const LEAST: usize = 250;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    stage::count_panics();
    let report = Mutex::new(Report::default());
    let (words, report_of_all) = (&words, &report);
    thread::scope(|scope| {
        for backend in [Backend::Sqlite, Backend::Postgres] {
            scope.spawn(move || run(backend, words, report_of_all));
        }
    });
    report
        .into_inner()
        .unwrap()
        .finish(if words.is_empty() { LEAST } else { 0 })
}

/// All areas on one database, each with a runtime of its own: what is logged is logged on this thread.
fn run(backend: Backend, words: &[String], report: &Mutex<Report>) {
    for (name, area) in areas::ALL {
        let name = format!("{name} on {backend:?}").to_lowercase();
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(area(backend));
            report.lock().unwrap().add(&name, outcome);
        }
    }
}
