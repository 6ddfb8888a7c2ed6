//! What an error of the database's means.

use std::{borrow::Cow, io};

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlErr, sqlx};

/// `read_only_sql_transaction`: a standby says so, and a server that was made read-only.
const READ_ONLY: &str = "25006";
/// `lock_not_available`: the time-out for locks is up, too.
const LOCK_TIMEOUT: &str = "55P03";
/// `query_canceled`: the time-out for statements is up, or somebody has canceled it.
const CANCELED: &str = "57014";

/// A statement's error, as `SeaORM` has it.
pub(super) fn statement_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// What `SeaORM` makes of it that there was no connection to be had.
pub(super) fn acquire_error(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

/// Whether a row was refused because a unique index has its like already.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether a row was refused because one that it belongs to is not there.
pub fn is_foreign_key_violation(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(SqlErr::ForeignKeyConstraintViolation(_))
    )
}

/// Whether the same transaction, tried again, may succeed: the database was busy, restarting, on the move or
/// out of reach, or it settled a conflict against this transaction.
///
/// After a failed COMMIT nobody knows whether it took effect: look before trying again.
pub fn is_transient(error: &DbErr) -> bool {
    matches!(error, DbErr::ConnectionAcquire(_)) || sqlx_error(error).is_some_and(is_transient_sqlx)
}

/// Whether the database can take nothing in: its disk is full, fails, or may not be written.
pub fn cannot_write(error: &DbErr) -> bool {
    let Some(error) = sqlx_error(error) else {
        return false;
    };
    let Some(code) = code(error) else {
        return false;
    };
    if is_sqlite(error) {
        cannot_write_sqlite(&code)
    } else {
        // disk_full, io_error
        matches!(&*code, "53100" | "58030")
    }
}

/// What the driver said, where it was the driver.
pub(super) fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// Whether the database takes no writes: it is a standby, or was made read-only.
pub fn is_read_only(error: &DbErr) -> bool {
    sqlx_error(error).is_some_and(is_read_only_sqlx)
}

/// Whether somebody else has locked what was needed, or it took too long.
pub fn is_locked(error: &DbErr) -> bool {
    sqlx_error(error).is_some_and(is_lock_timeout)
}

pub(super) fn is_read_only_sqlx(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == READ_ONLY)
}

/// Whether a statement has waited for somebody else until its time was up.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| {
        if is_sqlite(error) {
            is_transient_sqlite(&code)
        } else {
            matches!(&*code, LOCK_TIMEOUT | CANCELED)
        }
    })
}

/// Whether nothing was heard of the server in time.
pub(super) fn is_unanswered(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// What the database calls it.
pub(super) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn is_sqlite(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| {
        let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>();
        error.is_some()
    })
}

fn cannot_write_sqlite(code: &str) -> bool {
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, READONLY | IOERR | FULL | CANTOPEN))
}

/// Whether the connection is gone, as far as the error tells.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        // Also idle_in_transaction_session_timeout, admin_shutdown, crash_shutdown, cannot_connect_now,
        // database_dropped and idle_session_timeout.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            is_connection_exception(&code)
                || matches!(
                    &*code,
                    "25P03" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05"
                )
        }),
        _ => true,
    }
}

pub(super) fn is_transient_sqlx(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(_) => code(error).is_some_and(|code| {
            if is_sqlite(error) {
                is_transient_sqlite(&code)
            } else {
                is_transient_sqlstate(&code)
            }
        }),
        _ => false,
    }
}

fn is_connection_exception(code: &str) -> bool {
    code.starts_with("08")
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_transient_sqlstate(code: &str) -> bool {
    is_connection_exception(code)
        || matches!(
            code,
            READ_ONLY
                | LOCK_TIMEOUT
                | CANCELED
                | "25P03" // idle_in_transaction_session_timeout
                | "40001" // serialization_failure
                | "40P01" // deadlock_detected
                | "53300" // too_many_connections
                | "57P01" // admin_shutdown
                | "57P02" // crash_shutdown
                | "57P03" // cannot_connect_now
                | "57P05" // idle_session_timeout
        )
}

/// <https://www.sqlite.org/rescode.html>: the low byte of an extended code is the primary code.
fn is_transient_sqlite(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

#[cfg(test)]
mod tests {
    use sea_orm::{
        ActiveValue::Set, ConnectionTrait, EntityTrait, SqliteTransactionMode, TransactionOptions,
    };
    use tempfile::TempDir;
    use tokio::time::{Duration, timeout};

    use super::{
        super::{connect, migrate, tests::file_url},
        *,
    };

    #[tokio::test]
    async fn a_unique_violation_is_one_and_not_transient() {
        let database = connect(&"sqlite::memory:".into(), 1).await.unwrap();
        migrate(&database).await.unwrap();
        let user = |id| entity::user::ActiveModel {
            id: Set(uuid::Uuid::from_u128(id)),
            email: Set("a@example.com".into()),
            password_hash: Set(entity::user::PasswordHash::none()),
            created_at: Set(chrono::DateTime::UNIX_EPOCH.into()),
            ..Default::default()
        };
        let insert = async |id| {
            entity::user::Entity::insert(user(id))
                .exec(&database)
                .await
                .map(drop)
        };
        insert(1).await.unwrap();
        let error = insert(2).await.unwrap_err();
        assert!(is_unique_violation(&error), "{error}");
        assert!(!is_foreign_key_violation(&error) && !is_transient(&error));
    }

    #[tokio::test]
    async fn a_row_of_nobody_is_told_apart() {
        let database = connect(&"sqlite::memory:".into(), 1).await.unwrap();
        migrate(&database).await.unwrap();
        let session = entity::session::ActiveModel {
            id: Set(uuid::Uuid::from_u128(1)),
            user_id: Set(uuid::Uuid::from_u128(2)),
            created_at: Set(chrono::DateTime::UNIX_EPOCH.into()),
            expires_at: Set(chrono::DateTime::UNIX_EPOCH.into()),
        };
        let inserted = entity::session::Entity::insert(session).exec(&database);
        let error = inserted.await.unwrap_err();
        assert!(is_foreign_key_violation(&error), "{error}");
        assert!(!is_unique_violation(&error) && !is_transient(&error));
    }

    #[tokio::test]
    async fn a_lock_held_elsewhere_is_transient() {
        let directory = TempDir::new().unwrap();
        let url = file_url(&directory);
        let holder = connect(&url, 1).await.unwrap();
        migrate(&holder).await.unwrap();
        let other = connect(&url, 1).await.unwrap();
        other
            .execute_unprepared("PRAGMA busy_timeout = 0")
            .await
            .unwrap();

        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let held = holder.begin_with(immediate).await.unwrap();
        let error = other.begin_with(immediate).await.unwrap_err();
        assert!(is_transient(&error), "{error}");
        assert!(!is_unique_violation(&error));
        held.rollback().await.unwrap();
        // What writes is refused for a while, so that reads have their turn.
        let begun = async { while other.begin_with(immediate).await.is_err() {} };
        timeout(Duration::from_secs(30), begun).await.unwrap();
    }

    #[test]
    fn states_that_pass_are_transient() {
        for code in [
            "08006", "25006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "57P02",
            "57P03",
        ] {
            assert!(is_transient_sqlstate(code), "{code}");
        }
        for code in ["23505", "28P01", "3D000", "42P01", "53100"] {
            assert!(!is_transient_sqlstate(code), "{code}");
        }
        for code in ["5", "261", "517", "773", "262"] {
            assert!(is_transient_sqlite(code), "{code}");
        }
        for code in ["13", "2067", "1555", ""] {
            assert!(!is_transient_sqlite(code), "{code}");
        }
    }
}
