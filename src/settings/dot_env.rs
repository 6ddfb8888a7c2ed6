//! The file `.env`: what it adds to the environment, and names in it that mean nothing.

use std::{fs, io, path::Path};

use clap::Command;

use super::{SettingsError, args};

/// Where it is.
pub(super) const FILE: &str = ".env";
/// How the names begin that other programs read, in compose files too.
const FAMILIES: [&str; 16] = [
    "CARGO_",
    "COMPOSE_",
    "DOCKER_",
    "GRAFANA_",
    "LC_",
    "MIMALLOC_",
    "NODE_",
    "NPM_",
    "OTEL_",
    "PG",
    "POSTGRES_",
    "PROMETHEUS_",
    "RUST_",
    "SSL_",
    "TEST_",
    "TOKIO_",
];
/// What else other programs read.
const OTHERS: [&str; 15] = [
    "ALL_PROXY",
    "HOME",
    "HOSTNAME",
    "HTTP_PROXY",
    "LANG",
    "LANGUAGE",
    "PATH",
    "PORT",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "UID",
    "GID",
    "USER",
];

/// Adds the variables in the file `.env` in the working directory, if there is one, to those of the
/// environment that are not set. Call it while the program has one thread.
///
/// # Errors
/// [`SettingsError::DotEnv`] or [`SettingsError::DotEnvFile`].
pub fn read_dot_env() -> Result<(), SettingsError> {
    match dotenvy::from_path(Path::new(FILE)) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(SettingsError::DotEnvFile(error)),
        Err(_) => Err(SettingsError::DotEnv),
    }
}

/// A name that is no setting's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misspelling {
    /// As it stands in the file.
    pub(super) name: String,
    /// The setting whose name is nearest.
    pub(super) nearest: String,
}

/// Names in `.env` that are neither settings nor meant for other programs.
pub(super) fn misspellings(command: &Command) -> Vec<Misspelling> {
    match fs::read_to_string(FILE) {
        Ok(text) => misspellings_in(text.trim_start_matches('\u{feff}'), command),
        // That it cannot be read is told elsewhere.
        Err(_) => Vec::new(),
    }
}

fn misspellings_in(text: &str, command: &Command) -> Vec<Misspelling> {
    let settings: Vec<&str> = args::variables(command).collect();
    let lines = dotenvy::from_read_iter(io::Cursor::new(text));
    let mut names: Vec<String> = lines.filter_map(|line| Some(line.ok()?.0)).collect();
    names.sort_unstable();
    names.dedup();
    let unknown = names.into_iter().filter(|name| {
        let is_setting = settings.contains(&name.as_str()) || args::is_small(name);
        !is_setting && !is_used_in(text, name)
    });
    unknown
        .filter_map(|name| misspelling(name, &settings))
        .collect()
}

fn misspelling(name: String, settings: &[&str]) -> Option<Misspelling> {
    let large = name.to_uppercase();
    let distance = |setting: &str| strsim::osa_distance(&large, setting);
    let nearest = settings.iter().min_by_key(|setting| distance(setting))?;
    let is_foreign =
        OTHERS.contains(&large.as_str()) || FAMILIES.iter().any(|family| large.starts_with(family));
    // One letter off is a slip, whatever family the name seems to be of.
    if is_foreign && distance(nearest) > 1 {
        return None;
    }
    Some(Misspelling {
        name,
        nearest: (*nearest).to_owned(),
    })
}

/// Whether another line's value is made with it.
fn is_used_in(text: &str, name: &str) -> bool {
    text.contains(&format!("${{{name}}}")) || text.contains(&format!("${name}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("INTUNED_APIKEY=x", Some("INTUNED_API_KEY"))]
    #[case("INTUNED_WORKSPACE=x", Some("INTUNED_WORKSPACE_ID"))]
    #[case("export LISTEN_ADRR=x", Some("LISTEN_ADDR"))]
    #[case("listen_addr=x", Some("LISTEN_ADDR"))]
    #[case("RUST_LGO=x", Some("RUST_LOG"))]
    #[case("OTEL_SDK_DISABLE=x", Some("OTEL_SDK_DISABLED"))]
    #[case("HTTP_PROXYS=x", Some("HTTPS_PROXY"))]
    #[case("LISTEN_ADDR=x", None)]
    #[case("https_proxy=x", None)]
    #[case("OTEL_SERVICE_NAME=x", None)]
    #[case("RUST_BACKTRACE=1", None)]
    #[case("POSTGRES_PASSWORD=x", None)]
    #[case("PGSSLMODE=x", None)]
    #[case("TZ=UTC", None)]
    #[case(
        "DB_PASSWORD=x\nDATABASE_URL=postgres://u:${DB_PASSWORD}@host/db",
        None
    )]
    #[case("# INTUNED_APIKEY=x", None)]
    fn names_that_mean_nothing_are_found(#[case] text: &str, #[case] nearest: Option<&str>) {
        let found = misspellings_in(text, &args::command());
        let found: Vec<_> = found.iter().map(|one| one.nearest.as_str()).collect();
        assert_eq!(found, Vec::from_iter(nearest));
    }

    #[test]
    fn a_name_is_told_once() {
        let found = misspellings_in("A_NAME=1\nA_NAME=2\n", &args::command());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "A_NAME");
    }
}
