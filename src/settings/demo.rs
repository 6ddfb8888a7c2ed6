//! The secret that demo mode makes up, kept so that a restart keeps sessions.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use sea_orm::DbBackend;
use secrecy::SecretString;

use crate::platform::database;
use ambient::Random;

/// Where the secret is kept for a database that has no file.
const FILE: &str = "data/demo.secret";

/// Where the secret is kept: beside the database's file, if it has one. What is in memory is gone together
/// with it.
pub(super) fn secret_file(database_url: &str) -> Option<PathBuf> {
    match database::backend(database_url)? {
        DbBackend::Postgres => Some(FILE.into()),
        _ => database::sqlite_file(database_url).map(|file| file.with_extension("secret")),
    }
}

/// The secret in the file, which is made, for its owner's eyes only, when it is missing.
pub(super) fn keep_secret(file: &Path, random: &Random) -> io::Result<SecretString> {
    match fs::read_to_string(file) {
        Ok(secret) if secret.len() >= 32 => return Ok(secret.into()),
        Ok(_) => return Err(io::Error::new(ErrorKind::InvalidData, "it is too short")),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = make_secret(random);
    database::create_directory_of(file)?;
    // Renamed when it is whole, so that a crash leaves no half of it.
    let unfinished = file.with_extension("secret.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&unfinished)?.write_all(secret.as_bytes())?;
    fs::rename(unfinished, file)?;
    Ok(secret.into())
}

/// 256 random bits, in hexadecimal digits.
pub(super) fn make_secret(random: &Random) -> String {
    let halves: [[u8; 16]; 2] = [random.bytes(), random.bytes()];
    halves
        .map(|half| format!("{:032x}", u128::from_be_bytes(half)))
        .concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_secret_is_kept_for_its_owner_alone() {
        let directory = TempDir::new().unwrap();
        let database = directory.path().join("data/gateway.sqlite");
        let file = secret_file(&format!("sqlite:{}", database.display())).unwrap();
        let first = keep_secret(&file, &Random::from_seed(1)).unwrap();
        let second = keep_secret(&file, &Random::from_seed(2)).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_eq!(first.expose_secret().len(), 64);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_secret_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(keep_secret(file.path(), &Random::from_seed(1)).is_err());
    }

    #[test]
    fn secrets_differ() {
        let random = Random::from_seed(1);
        assert_ne!(make_secret(&random), make_secret(&random));
    }

    #[test]
    fn each_database_that_outlives_the_gateway_has_a_place_for_it() {
        assert_eq!(
            secret_file("sqlite:data/gateway.sqlite"),
            Some("data/gateway.secret".into())
        );
        assert_eq!(secret_file("sqlite::memory:"), None);
        assert_eq!(secret_file("postgres://host/name"), Some(FILE.into()));
    }
}
