//! Addresses of databases (setting `DATABASE_URL`).

use std::{path::PathBuf, str::FromStr};

use sea_orm::{
    DbBackend,
    sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions},
};

/// Which database `url` is for; none when it is for none that the gateway knows, or is no address.
pub fn backend(url: &str) -> Option<DbBackend> {
    match url::Url::parse(url).ok()?.scheme() {
        "postgres" | "postgresql" => {
            PgConnectOptions::from_str(url).ok()?;
            Some(DbBackend::Postgres)
        }
        "sqlite" => {
            SqliteConnectOptions::from_str(url).ok()?;
            Some(DbBackend::Sqlite)
        }
        _ => None,
    }
}

/// The file that a `sqlite:` address names; none for a database in memory, and for Postgres.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    if backend(url)? != DbBackend::Sqlite || url.contains(":memory:") || url.contains("mode=memory")
    {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(backend("postgres://u:p@h/d"), Some(DbBackend::Postgres));
        assert_eq!(backend("postgresql://h/d"), Some(DbBackend::Postgres));
        assert_eq!(backend("sqlite:data/x.sqlite"), Some(DbBackend::Sqlite));
        assert_eq!(backend("mysql://h/d"), None);
        assert_eq!(backend("no address"), None);
        assert_eq!(backend("postgres://h:port/d"), None);
        assert_eq!(backend("sqlite:x?mode=unheard-of"), None);
        assert_eq!(
            sqlite_file("sqlite:data/x.sqlite?mode=rwc"),
            Some("data/x.sqlite".into())
        );
        assert_eq!(sqlite_file("sqlite::memory:"), None);
        assert_eq!(sqlite_file("postgres://h/d"), None);
    }
}
