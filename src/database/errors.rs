//! What an error of the database's means.

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlErr, sqlx};

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

/// Whether the same transaction, tried again, may succeed: the database was busy, restarting or out
/// of reach, or it settled a conflict against this transaction.
///
/// After a failed COMMIT nobody knows whether it took effect: look before trying again.
pub fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => is_transient_sqlx(error),
        _ => false,
    }
}

/// Whether the database can take nothing in: its disk is full, fails, or may not be written.
pub fn cannot_write(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let sqlx::Error::Database(error) = &**error else {
        return false;
    };
    let code = error.code().unwrap_or_default();
    let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>();
    match sqlite {
        Some(_) => cannot_write_sqlite(&code),
        // disk_full, io_error, read_only_sql_transaction
        None => matches!(&*code, "53100" | "58030" | "25006"),
    }
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
        // admin_shutdown, crash_shutdown, cannot_connect_now, connection_exception
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            matches!(&*code, "57P01" | "57P02" | "57P03") || code.starts_with("08")
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
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error
                .try_downcast_ref::<sqlx::sqlite::SqliteError>()
                .is_some()
            {
                is_transient_sqlite(&code)
            } else {
                is_transient_sqlstate(&code)
            }
        }
        _ => false,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_transient_sqlstate(code: &str) -> bool {
    let connection_exception = code.starts_with("08");
    connection_exception
        || matches!(
            code,
            "25P03" // idle_in_transaction_session_timeout
                | "40001" // serialization_failure
                | "40P01" // deadlock_detected
                | "53300" // too_many_connections
                | "55P03" // lock_not_available
                | "57P01" // admin_shutdown
                | "57P02" // crash_shutdown
                | "57P03" // cannot_connect_now
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
        other.begin_with(immediate).await.unwrap();
    }

    #[test]
    fn states_that_pass_are_transient() {
        for code in ["08006", "40001", "40P01", "53300", "57P01", "57P03"] {
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
