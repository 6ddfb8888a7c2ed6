//! Configuration of the log and of the export of spans, which the settings fill.

use outbound::Outbound;
use url::Url;

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object for each line.
    Json,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Its form.
    pub format: LogFormat,
    /// The events that are logged, in the form of `RUST_LOG`.
    pub filter: String,
}

/// The export of spans.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector's address for spans, with its path.
    pub endpoint: Url,
    /// The way there.
    pub outbound: Outbound,
}
