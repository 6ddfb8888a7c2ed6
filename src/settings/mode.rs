//! In earnest or a demo: never the one by an accident with the settings of the other.

use clap::{ArgMatches, parser::ValueSource};

use super::{args::DemoArgs, reader::Reader};

const KEY: &str = "INTUNED_API_KEY";
/// What nobody sets who wants a demo.
const OF_EARNEST: [&str; 9] = [
    KEY,
    "INTUNED_WORKSPACE_ID",
    "INTUNED_PROJECT_NAME",
    "INTUNED_BASE_URL",
    "AUTH_SECRET",
    "WEBHOOK_URL",
    "OIDC_ISSUER",
    "OIDC_AUDIENCE",
    "OIDC_JWKS_URL",
];

/// In earnest, or a demo with a simulator in Intuned's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A demo.
    Demo,
    /// In earnest, because this setting is there; none when it is there by `DEMO=false`.
    Earnest(Option<&'static str>),
}

/// What `DEMO` says, or else whether anything is given that only a gateway in earnest is given.
pub(super) fn mode(reader: &mut Reader<'_>, args: &DemoArgs, matches: &ArgMatches) -> Mode {
    let given = OF_EARNEST
        .into_iter()
        .find(|setting| is_given(matches, setting));
    let demo = args.demo.as_deref();
    match demo.and_then(|demo| reader.switch("DEMO", demo)) {
        Some(true) => {
            if has_text(matches, KEY) {
                reader.note(
                    "DEMO",
                    "is true, and INTUNED_API_KEY is set: a demo has no key. Take one of them away",
                );
            }
            Mode::Demo
        }
        Some(false) => Mode::Earnest(None),
        None => given.map_or(Mode::Demo, |setting| Mode::Earnest(Some(setting))),
    }
}

/// By a flag, a variable or a line in `.env`.
fn is_given(matches: &ArgMatches, setting: &str) -> bool {
    let source = matches.value_source(&setting.to_lowercase());
    source.is_some_and(|source| source != ValueSource::DefaultValue)
}

/// An empty one is as good as none beside `DEMO=true`: that is how compose files pass on what is not there.
fn has_text(matches: &ArgMatches, setting: &str) -> bool {
    let mut values = matches
        .get_raw(&setting.to_lowercase())
        .into_iter()
        .flatten();
    values.any(|value| !value.to_string_lossy().trim().is_empty())
}
