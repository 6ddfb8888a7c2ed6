//! Where canaries are looked for: in what any gateway of the test run logs or traces, and in what it stores.

use std::{fmt, fs, sync::Once};

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use secrecy::ExposeSecret;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{
    canaries::sieve,
    database::{Backend, TestDatabase},
};

/// From now on everything is looked at that any thread of this process logs, down to the finest level,
/// but for threads with a [`Log`](super::Log) of their own, which looks at it itself.
pub(crate) fn watch_logs() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| tracing::subscriber::set_global_default(Sieve).unwrap());
}

/// Looks at everything that the gateway has stored: the files of `SQLite` with its write-ahead log as
/// they are, every row of every table of Postgres.
pub(crate) async fn sieve_database(backend: Backend, database: &TestDatabase) {
    if let Some(directory) = &database.directory {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            sieve(
                &path.display().to_string(),
                &fs::read(&path).unwrap_or_default(),
            );
        }
    }
    if backend == Backend::Postgres {
        let rows = dump(database.url.expose_secret()).await;
        sieve("the database", rows.as_bytes());
    }
}

/// Every row of every table of a Postgres database, as text.
async fn dump(url: &str) -> String {
    let database = Database::connect(url).await.unwrap();
    let ask =
        |sql: String| database.query_all_raw(Statement::from_string(DbBackend::Postgres, sql));
    let tables = ask(
        "SELECT table_name::text AS t FROM information_schema.tables WHERE table_schema = 'public'"
            .into(),
    );
    let mut text = String::new();
    for table in tables.await.unwrap() {
        let table: String = table.try_get("", "t").unwrap();
        for row in ask(format!("SELECT t::text AS row FROM \"{table}\" t"))
            .await
            .unwrap()
        {
            text.push_str(&row.try_get::<String>("", "row").unwrap());
            text.push('\n');
        }
    }
    database.close().await.unwrap();
    text
}

/// Wants everything, looks at what the gateway's own log would show, and keeps nothing. It tells no
/// spans apart: those of other subscribers may end on its threads.
struct Sieve;

impl Subscriber for Sieve {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        if is_shown(span.metadata()) {
            span.record(&mut Fields);
        }
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Fields);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if is_shown(event.metadata()) {
            event.record(&mut Fields);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Libraries are never shown below INFO, whatever the operator asks for.
fn is_shown(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("intuned_gateway") || *metadata.level() <= Level::INFO
}

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        sieve(field.name(), format!("{value:?}").as_bytes());
    }
}
