//! The log's settings.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{LogSettings, args::LogArgs, reader::Reader};

/// The crates that log something: a part of the program is one of them, or within one.
const CRATES: [&str; 20] = [
    env!("CARGO_CRATE_NAME"),
    "async_graphql",
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "log",
    "migration",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
    "sea_orm",
    "sea_orm_migration",
    "sqlx",
    "tokio",
    "tower",
    "tower_http",
    "tungstenite",
];

pub(super) fn log(reader: &mut Reader<'_>, args: &LogArgs) -> Option<LogSettings> {
    let format = reader.choice("LOG_FORMAT", &args.log_format);
    let expected = "a log filter such as info or info,intuned_gateway=debug";
    let filter = reader.read("RUST_LOG", &args.rust_log, expected, |text| {
        let sound = EnvFilter::builder().parse(text).is_ok() && !misspells_a_level(text);
        sound.then(|| text.to_owned())
    });
    Some(LogSettings {
        format: format?,
        filter: filter?,
    })
}

/// A word alone is a level or a part of the program. A level that is misspelled would be taken for a
/// part that there is not, and nothing else would be logged.
fn misspells_a_level(filter: &str) -> bool {
    let mut words = filter
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty() && !directive.contains(['=', '[']));
    words.any(|word| {
        let part = word.split("::").next().unwrap_or_default();
        word.parse::<LevelFilter>().is_err() && !CRATES.contains(&part)
    })
}
