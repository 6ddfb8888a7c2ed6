//! Tells what is wrong with a database's address before anybody waits for an answer from there.

use std::{path::PathBuf, str::FromStr};

use sea_orm::{
    DbBackend,
    sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions},
};
use url::Url;

/// What sqlx knows of an address's parameters; the others it leaves out of account.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Why an address is none that the gateway can connect to. It repeats nothing of the address, which may
/// hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The address is for another database, or none at all.
    #[error(
        "is not the address of a SQLite or Postgres database: sqlite:FILE, \
         postgres://USER:PASSWORD@HOST/NAME, or, by a socket in a directory, \
         postgres://USER:PASSWORD@%2Fvar%2Frun%2Fpostgresql/NAME"
    )]
    Kind,
    /// The address names more than one host.
    #[error(
        "names several hosts, and the gateway connects to one: name a host that always leads to the \
         server that takes writes, postgres://USER:PASSWORD@HOST:PORT/NAME"
    )]
    Hosts,
    /// The user or the password is cut short.
    #[error(
        "has a character in its user, password or name that ends it too early: write %2F for /, %3F for ?, \
         %23 for #, %40 for @ and %25 for %"
    )]
    Unescaped,
    /// There is a user, but no host.
    #[error(
        "has a user, but no host: for a socket in a directory, write \
         postgres://USER:PASSWORD@%2Fvar%2Frun%2Fpostgresql/NAME"
    )]
    NoHost,
    /// A parameter would hold a password, and is none that is known: it would be logged.
    #[error(
        "has a parameter for a password that there is not: write postgres://USER:PASSWORD@HOST/NAME"
    )]
    Password,
    /// A parameter has a value that it cannot have.
    #[error(
        "has a user, a password or a parameter that cannot be read: look at sslmode, port, hostaddr and \
         statement-cache-capacity, and whether each % is written as %25"
    )]
    Parameter,
}

/// Which database `address` is for.
///
/// # Errors
/// [`AddressError`].
pub fn read_address(address: &str) -> Result<DbBackend, AddressError> {
    if let Some(("postgres" | "postgresql", rest)) = address.split_once("://") {
        check_postgres(rest)?;
    }
    let url = Url::parse(address).map_err(|_| AddressError::Kind)?;
    match url.scheme() {
        "postgres" | "postgresql" => {
            PgConnectOptions::from_str(address).map_err(|_| AddressError::Parameter)?;
            Ok(DbBackend::Postgres)
        }
        "sqlite" => {
            SqliteConnectOptions::from_str(address).map_err(|_| AddressError::Kind)?;
            Ok(DbBackend::Sqlite)
        }
        _ => Err(AddressError::Kind),
    }
}

/// Which database `url` is for; none when it is for none that the gateway knows, or is no address.
pub fn backend(url: &str) -> Option<DbBackend> {
    read_address(url).ok()
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

/// The file of the key that a Postgres address names for the gateway's own certificate.
pub fn key_file(url: &str) -> Option<PathBuf> {
    let url = Url::parse(url).ok()?;
    let mut parameters = url.query_pairs();
    let key = parameters.find(|(name, _)| matches!(&**name, "sslkey" | "ssl-key"))?;
    Some(PathBuf::from(&*key.1))
}

/// `rest` is what follows the two slashes.
fn check_postgres(rest: &str) -> Result<(), AddressError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.contains(['@', '#']) || query.contains('#') {
        return Err(AddressError::Unescaped);
    }
    let parameters = || url::form_urlencoded::parse(query.as_bytes());
    for (name, value) in parameters() {
        check_parameter(&name, &value)?;
    }
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if host.contains(',') {
        return Err(AddressError::Hosts);
    }
    if host.is_empty() && !authority.is_empty() {
        return Err(AddressError::NoHost);
    }
    Ok(())
}

fn check_parameter(name: &str, value: &str) -> Result<(), AddressError> {
    let is_known = PARAMETERS.contains(&name) || name.starts_with("options[");
    if !is_known && (name.contains('@') || value.contains('@')) {
        return Err(AddressError::Unescaped);
    }
    if !is_known && seems_secret(&name.to_lowercase()) {
        return Err(AddressError::Password);
    }
    let names_host = matches!(name, "host" | "hostaddr" | "port");
    if names_host && value.contains('@') {
        return Err(AddressError::Unescaped);
    }
    if names_host && value.contains(',') {
        return Err(AddressError::Hosts);
    }
    Ok(())
}

/// What sqlx does not know it logs, with its value.
fn seems_secret(name: &str) -> bool {
    const WORDS: [&str; 4] = ["pass", "pw", "secret", "key"];
    WORDS.iter().any(|word| name.contains(word)) || strsim::osa_distance(name, "password") <= 3
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("postgres://a,b/db")]
    #[case("postgres://user:password@a:5432,b:5433/db")]
    #[case("postgres:///db?host=a,b")]
    #[case("postgresql://a/db?host=a&port=5432,5433")]
    #[case("postgres://user@a,b/db?target_session_attrs=read-write")]
    fn several_hosts_are_told(#[case] address: &str) {
        assert_eq!(read_address(address), Err(AddressError::Hosts));
    }

    #[rstest]
    #[case("postgres://user:p@ss/w#rd@host/db")]
    #[case("postgres://user:pass/word@host/db")]
    #[case("postgres://user:12/34@host/db")]
    #[case("postgres://user:pass?word@host/db")]
    #[case("postgres://user:pass?host=word@host/db")]
    #[case("postgres://user:pass?a=word@host/db")]
    #[case("postgres://user:pass#word@host/db")]
    #[case("postgres://user:12#34@host/db")]
    #[case("postgres://us/er:password@host/db")]
    #[case("postgres://user:password@host/db#replica")]
    #[case("postgres://user:a,b/c@host/db")]
    fn a_password_that_ends_too_early_is_told(#[case] address: &str) {
        assert_eq!(read_address(address), Err(AddressError::Unescaped));
    }

    #[rstest]
    #[case(
        "postgres://user:password@/db?host=/var/run/postgresql",
        AddressError::NoHost
    )]
    #[case("postgres://user@", AddressError::NoHost)]
    #[case("postgres://host/db?pasword=x", AddressError::Password)]
    #[case("postgres://host/db?sslpassword=x", AddressError::Password)]
    #[case("postgres://host/db?Password=x", AddressError::Password)]
    #[case("postgres://host/db?pw=x", AddressError::Password)]
    #[case("postgres://host/db?sslmode=sometimes", AddressError::Parameter)]
    #[case("postgres://host/db?port=x", AddressError::Parameter)]
    #[case("postgres://user:%ff@host/db", AddressError::Parameter)]
    #[case("postgres://host:port/db", AddressError::Kind)]
    #[case("mysql://host/db", AddressError::Kind)]
    #[case("host=/var/run/postgresql dbname=db", AddressError::Kind)]
    #[case("sqlite:x?mode=unheard-of", AddressError::Kind)]
    #[case("", AddressError::Kind)]
    fn each_fault_is_told_apart(#[case] address: &str, #[case] expected: AddressError) {
        assert_eq!(read_address(address), Err(expected));
    }

    #[rstest]
    #[case("postgres://host/db", DbBackend::Postgres)]
    #[case("postgresql://user:p%40ss%2Fw%23rd@host:5433/db", DbBackend::Postgres)]
    #[case(
        "postgres://user:p@ss:w,rd@host/db?sslmode=require",
        DbBackend::Postgres
    )]
    #[case("postgres://user@tenant@host/db", DbBackend::Postgres)]
    #[case(
        "postgres://host/db?user=me@tenant&connect_timeout=5",
        DbBackend::Postgres
    )]
    #[case(
        "postgres://[::1]:5432/db?options[search_path]=a,b",
        DbBackend::Postgres
    )]
    #[case("postgres:///db?host=/var/run/postgresql", DbBackend::Postgres)]
    #[case("postgres://user:p@%2Fvar%2Frun%2Fpostgresql/db", DbBackend::Postgres)]
    #[case("sqlite:data/gateway.sqlite?mode=rwc", DbBackend::Sqlite)]
    #[case("sqlite::memory:", DbBackend::Sqlite)]
    fn what_is_understood_passes(#[case] address: &str, #[case] expected: DbBackend) {
        assert_eq!(read_address(address), Ok(expected));
    }

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

    #[test]
    fn the_file_of_a_key_is_found() {
        let url = "postgres://h/d?sslcert=a.pem&sslkey=keys%2Fb.pem";
        assert_eq!(key_file(url), Some("keys/b.pem".into()));
        assert_eq!(key_file("postgres://h/d"), None);
        assert_eq!(key_file("sqlite:x"), None);
    }
}
