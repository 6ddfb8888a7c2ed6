//! Names in `.env` and in the environment that mean nothing: of settings that are spelt wrong, perhaps.

use std::{fs, io};

use super::{args, dot_env::FILE};

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
/// How the names begin that nobody else reads.
const OWN: [&str; 16] = [
    "ALLOWED_",
    "AUDIT_",
    "AUTH_SECRET",
    "CLAIMS_",
    "CONNECT_TRIES",
    "INTUNED_",
    "MAX_USER_",
    "OIDC_",
    "OPERATION_",
    "RUN_TRIES",
    "SIGN_IN_",
    "SIGN_INS_",
    "SIMULATOR_",
    "STATUS_TRIES",
    "TRUSTED_",
    "WEBHOOK_",
];

/// A name that is no setting's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misspelling {
    /// As it stands there.
    pub(super) name: String,
    /// Where that is.
    pub(super) place: &'static str,
    /// The setting whose name is nearest.
    pub(super) nearest: String,
}

/// Names that are no settings and seem to be meant for the gateway: in `.env` all that are not meant for other
/// programs, in the environment, which is everybody's, those that are nearly a setting's or of its families.
pub(super) fn misspellings() -> Vec<Misspelling> {
    // That it cannot be read is told elsewhere.
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}');
    let settings = args::variables();
    let listed = names_in(text);
    let elsewhere = args::names().filter(|name| !listed.contains(name));
    let mut found = in_environment(elsewhere, &settings);
    found.splice(0..0, in_file(text, &settings));
    found
}

/// Each name once.
fn names_in(text: &str) -> Vec<String> {
    let lines = dotenvy::from_read_iter(io::Cursor::new(text));
    let mut names: Vec<String> = lines.filter_map(|line| Some(line.ok()?.0)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn in_file(text: &str, settings: &[String]) -> Vec<Misspelling> {
    let unknown = names_in(text)
        .into_iter()
        .filter(|name| !is_known(name, settings) && !is_used_in(text, name));
    let misspelt = unknown.filter_map(|name| {
        let slip = Slip::of(&name, settings)?;
        // One letter off is a slip, whatever family the name seems to be of.
        let is_meant = !is_foreign(&name) || slip.distance <= 1;
        is_meant.then(|| slip.in_place(name, FILE))
    });
    misspelt.collect()
}

fn in_environment(names: impl Iterator<Item = String>, settings: &[String]) -> Vec<Misspelling> {
    let unknown = names.filter(|name| !is_known(name, settings) && !is_of_a_service(name));
    let misspelt = unknown.filter_map(|name| {
        let slip = Slip::of(&name, settings)?;
        let large = name.to_uppercase();
        let is_own = OWN.iter().any(|family| large.starts_with(family));
        let is_meant = is_own || slip.distance <= 1 && !OTHERS.contains(&large.as_str());
        is_meant.then(|| slip.in_place(name, "the environment"))
    });
    let mut found: Vec<_> = misspelt.collect();
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The setting that a name is nearest to.
struct Slip<'a> {
    nearest: &'a str,
    /// In letters.
    distance: usize,
}

impl<'a> Slip<'a> {
    fn of(name: &str, settings: &'a [String]) -> Option<Self> {
        let large = name.to_uppercase();
        let slips = settings.iter().map(|nearest| Self {
            nearest,
            distance: strsim::osa_distance(&large, nearest),
        });
        slips.min_by_key(|slip| slip.distance)
    }

    fn in_place(&self, name: String, place: &'static str) -> Misspelling {
        Misspelling {
            name,
            place,
            nearest: self.nearest.to_owned(),
        }
    }
}

fn is_known(name: &str, settings: &[String]) -> bool {
    settings.iter().any(|setting| setting == name) || args::is_small(name)
}

fn is_foreign(name: &str) -> bool {
    let large = name.to_uppercase();
    OTHERS.contains(&large.as_str()) || FAMILIES.iter().any(|family| large.starts_with(family))
}

/// Whether another line's value is made with it.
fn is_used_in(text: &str, name: &str) -> bool {
    text.contains(&format!("${{{name}}}")) || text.contains(&format!("${name}"))
}

/// Whether Kubernetes has put it there to tell where a service is, whose name may be anything.
fn is_of_a_service(name: &str) -> bool {
    let is_port = |rest: &str| {
        let number = rest
            .strip_prefix('_')
            .and_then(|rest| rest.split('_').next());
        rest.is_empty() || number.is_some_and(|number| number.parse::<u16>().is_ok())
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name
            .rsplit_once("_PORT")
            .is_some_and(|(_, rest)| is_port(rest))
        || name
            .split_once("_PORT")
            .is_some_and(|(_, rest)| is_port(rest))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn nearest(found: &[Misspelling]) -> Vec<&str> {
        found.iter().map(|one| one.nearest.as_str()).collect()
    }

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
    fn names_in_the_file_that_mean_nothing_are_found(
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) {
        let found = in_file(text, &args::variables());
        assert_eq!(nearest(&found), Vec::from_iter(expected));
    }

    #[rstest]
    #[case("INTUNED_APIKEY", Some("INTUNED_API_KEY"))]
    #[case("INTUNED_WORKSPACE", Some("INTUNED_WORKSPACE_ID"))]
    #[case("intuned_workspace", Some("INTUNED_WORKSPACE_ID"))]
    #[case("OIDC_ISSUER_URL", Some("OIDC_ISSUER"))]
    #[case("CLAIMS_CACHE_FOR", Some("CLAIMS_CACHE"))]
    #[case("LISTEN_ADRR", Some("LISTEN_ADDR"))]
    #[case("listen_addr", Some("LISTEN_ADDR"))]
    #[case("DATABSE_URL", Some("DATABASE_URL"))]
    #[case("RUST_LGO", Some("RUST_LOG"))]
    #[case("OTEL_SDK_DISABLE", Some("OTEL_SDK_DISABLED"))]
    #[case("LISTEN_ADDR", None)]
    #[case("https_proxy", None)]
    #[case("HTTP_PROXY", None)]
    #[case("http_proxy", None)]
    #[case("DATABASE_PASSWORD", None)]
    #[case("LISTEN_FDS", None)]
    #[case("SESSION_MANAGER", None)]
    #[case("PATH", None)]
    #[case("PWD", None)]
    #[case("HOSTNAME", None)]
    #[case("RUST_BACKTRACE", None)]
    #[case("CARGO_HOME", None)]
    #[case("OTEL_SERVICE_NAME", None)]
    #[case("KUBERNETES_SERVICE_HOST", None)]
    #[case("INTUNED_GATEWAY_SERVICE_HOST", None)]
    #[case("INTUNED_GATEWAY_SERVICE_PORT", None)]
    #[case("INTUNED_GATEWAY_SERVICE_PORT_HTTP", None)]
    #[case("INTUNED_GATEWAY_PORT", None)]
    #[case("INTUNED_GATEWAY_PORT_8080_TCP", None)]
    #[case("INTUNED_GATEWAY_PORT_8080_TCP_ADDR", None)]
    #[case("INTUNED_GATEWAY_PORT_8080_TCP_PORT", None)]
    #[case("INTUNED_GATEWAY_PORT_8080_TCP_PROTO", None)]
    fn names_in_the_environment_that_are_meant_for_the_gateway_are_found(
        #[case] name: &str,
        #[case] expected: Option<&str>,
    ) {
        let found = in_environment([name.to_owned()].into_iter(), &args::variables());
        assert_eq!(nearest(&found), Vec::from_iter(expected));
    }

    #[test]
    fn each_family_of_the_gateways_own_has_a_setting() {
        for family in OWN {
            let mut settings = args::variables().into_iter();
            assert!(
                settings.any(|setting| setting.starts_with(family)),
                "{family}"
            );
        }
    }

    #[test]
    fn a_name_is_told_once() {
        let found = in_file("A_NAME=1\nA_NAME=2\n", &["A_NUMBER".to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "A_NAME");
    }
}
