//! Tables that somebody else has locked. What needs one is refused at once instead of taking up a connection
//! until its time is up: the others have work to do.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, AssertSqlSafe, PgPool},
};
use tokio::time::{Instant, sleep, timeout};

use super::{errors::is_lock_timeout, postgres::ANSWER_WITHIN};

/// How often a locked table is tried.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// For so long nothing is written to `SQLite` after it was found busy, so that reads have their turn.
const BUSY_FOR: Duration = Duration::from_millis(500);
/// After these words the name of a table follows.
const BEFORE_TABLES: [&str; 4] = ["FROM", "JOIN", "INTO", "UPDATE"];

/// What is known to be locked.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// Postgres's; none for `SQLite`, which has one lock for all that is written.
    pool: Option<PgPool>,
    is_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// As statements name them.
    tables: HashMap<String, Refused>,
    /// Of statements that have waited in vain.
    suspects: HashSet<String>,
    /// Whether [`Locked::watch`] is at work.
    is_watched: bool,
    busy_since: Option<Instant>,
}

/// What cannot be done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Writes,
    All,
}

impl Locked {
    pub(super) fn of(pool: &PgPool) -> Self {
        Self {
            pool: Some(pool.clone()),
            ..Self::default()
        }
    }

    /// Refuses a statement that could only wait.
    pub(super) fn admit(&self, sql: &str) -> Result<(), DbErr> {
        if self.is_any.load(Ordering::Relaxed) && self.refuses(sql) {
            return Err(refusal());
        }
        Ok(())
    }

    fn refuses(&self, sql: &str) -> bool {
        let writes = writes(sql);
        let mut known = self.known();
        if let Some(since) = known.busy_since {
            if since.elapsed() >= BUSY_FOR {
                // One tries.
                known.busy_since = None;
                self.is_any.store(false, Ordering::Relaxed);
            }
            return writes && since.elapsed() < BUSY_FOR;
        }
        tables(sql).any(|table| match known.tables.get(table) {
            Some(Refused::All) => true,
            Some(Refused::Writes) => writes,
            None => false,
        })
    }

    /// Takes note that the statement has waited in vain.
    pub(super) fn suspect(self: &Arc<Self>, sql: &str) {
        let mut known = self.known();
        if self.pool.is_none() {
            known.busy_since = Some(Instant::now());
            self.is_any.store(true, Ordering::Relaxed);
            return;
        }
        known.suspects.extend(tables(sql).map(str::to_owned));
        if !known.suspects.is_empty() && !known.is_watched {
            known.is_watched = true;
            tokio::spawn(Arc::clone(self).watch());
        }
    }

    /// Tries what is suspected, and what is locked until it is not.
    async fn watch(self: Arc<Self>) {
        loop {
            let tables: HashSet<String> = {
                let mut known = self.known();
                let suspects = std::mem::take(&mut known.suspects);
                known.tables.keys().cloned().chain(suspects).collect()
            };
            let mut locked = HashMap::new();
            for table in tables {
                if let Some(refused) = self.try_out(&table).await {
                    locked.insert(table, refused);
                }
            }
            if self.learn(locked) {
                return;
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Takes over what was found. Answers whether there is nothing more to watch.
    fn learn(&self, locked: HashMap<String, Refused>) -> bool {
        let mut known = self.known();
        for table in locked.keys() {
            if !known.tables.contains_key(table) {
                tracing::warn!(
                    table,
                    "a table is locked; what needs it is refused meanwhile"
                );
            }
        }
        for table in known.tables.keys() {
            if !locked.contains_key(table) {
                tracing::info!(table, "a table is no longer locked");
            }
        }
        self.is_any.store(!locked.is_empty(), Ordering::Relaxed);
        known.tables = locked;
        known.is_watched = !known.tables.is_empty() || !known.suspects.is_empty();
        !known.is_watched
    }

    /// Tries to lock the table as statements do, without waiting: it may be one of its rows that was waited
    /// for, which is no reason to refuse others.
    async fn try_out(&self, table: &str) -> Option<Refused> {
        if !self.is_locked(table, "ROW EXCLUSIVE").await {
            None
        } else if self.is_locked(table, "ACCESS SHARE").await {
            Some(Refused::All)
        } else {
            Some(Refused::Writes)
        }
    }

    async fn is_locked(&self, table: &str, mode: &str) -> bool {
        let Some(pool) = &self.pool else {
            return false;
        };
        // Its own transaction, which ends with it.
        let lock = format!("DO 'BEGIN LOCK TABLE {table} IN {mode} MODE NOWAIT; END'");
        let locking = sqlx::raw_sql(AssertSqlSafe(lock)).execute(pool);
        // A server that says nothing has locked nothing.
        let locked = timeout(ANSWER_WITHIN, locking).await;
        locked.is_ok_and(|locked| locked.is_err_and(|error| is_lock_timeout(&error)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal() -> DbErr {
    let error = io::Error::new(
        io::ErrorKind::ResourceBusy,
        "somebody else has locked what it needs",
    );
    DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::from(error).into()))
}

/// Whether the statement changes or locks anything.
fn writes(sql: &str) -> bool {
    !sql.starts_with("SELECT")
        || [" FOR UPDATE", " FOR NO KEY UPDATE"]
            .iter()
            .any(|lock| sql.contains(lock))
}

/// The tables that a statement names, in quotes.
fn tables(sql: &str) -> impl Iterator<Item = &str> {
    let mut words = sql.split([' ', '(', ')']).filter(|word| !word.is_empty());
    std::iter::from_fn(move || {
        words.find(|word| BEFORE_TABLES.contains(word))?;
        words.next()
    })
    .filter(|name| name.len() > 2 && name.starts_with('"') && name.ends_with('"'))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn tables_are_found_where_statements_name_them() {
        for (sql, expected) in [
            (
                r#"SELECT "id" FROM "users" WHERE "id" = $1"#,
                vec![r#""users""#],
            ),
            (
                r#"SELECT 1 FROM "sessions" INNER JOIN "users" ON "a" = "b" FOR UPDATE"#,
                vec![r#""sessions""#, r#""users""#],
            ),
            (
                r#"WITH "w" AS (INSERT INTO "tries" ("id") SELECT $1 FROM (SELECT 1) AS "one")"#,
                vec![r#""tries""#],
            ),
            (
                r#"UPDATE "operations" SET "a" = 1 WHERE "id" IN (SELECT "id" FROM "replicas")"#,
                vec![r#""operations""#, r#""replicas""#],
            ),
            (r#"DELETE FROM "users""#, vec![r#""users""#]),
            ("SELECT 1 FROM pg_sleep(1)", vec![]),
            ("SELECT version FROM seaql_migrations", vec![]),
        ] {
            assert_eq!(tables(sql).collect::<Vec<_>>(), expected, "{sql}");
        }
    }

    #[test]
    fn a_read_is_refused_only_where_nothing_is_let_through() {
        let locked = Locked::default();
        let (read, write) = (r#"SELECT 1 FROM "a""#, r#"UPDATE "a" SET "b" = 1"#);
        let other = r#"DELETE FROM "b""#;
        for (refused, reads, writes) in [
            (Some(Refused::Writes), true, false),
            (Some(Refused::All), false, false),
            (None, true, true),
        ] {
            let tables = refused.map(|refused| (String::from(r#""a""#), refused));
            locked.learn(tables.into_iter().collect());
            assert_eq!(locked.admit(read).is_ok(), reads);
            assert_eq!(locked.admit(write).is_ok(), writes);
            assert!(locked.admit(other).is_ok());
        }
    }

    #[test]
    fn what_locks_rows_writes() {
        for (sql, expected) in [
            (r#"SELECT 1 FROM "a""#, false),
            (r#"SELECT 1 FROM "a" FOR UPDATE"#, true),
            (r#"SELECT 1 FROM "a" FOR NO KEY UPDATE"#, true),
            (r#"DELETE FROM "a""#, true),
        ] {
            assert_eq!(writes(sql), expected, "{sql}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_sqlite_is_busy_reads_have_their_turn() {
        let locked = Arc::new(Locked::default());
        let (read, write) = ("SELECT 1", "INSERT INTO");
        locked.suspect(write);
        assert!(locked.admit(read).is_ok() && locked.admit(write).is_err());
        advance(BUSY_FOR).await;
        assert!(locked.admit(write).is_ok());
    }
}
