//! The log: lines on stderr, for people or for machines, that hold neither secrets nor anything that
//! could pass for another line.

mod config;
mod export;

use std::{borrow::Cow, io, io::IsTerminal, panic, time::Duration};

use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt,
    filter::Targets,
    fmt::{self, FormatFields, MakeWriter, format},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

pub use config::{LogFormat, LogSettings, TraceSettings};

/// The crates whose logs and spans are the gateway's own.
const OURS: [&str; 4] = [
    env!("CARGO_CRATE_NAME"),
    "graphql_server",
    "intuned_client",
    "intuned_simulator",
];

/// How long what has been traced may take to be sent when the process ends.
const LAST_EXPORT: Duration = Duration::from_millis(800);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("RUST_LOG is no log filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log was started before")]
    Started(#[from] tracing_subscriber::util::TryInitError),
    /// The client that sends traces could not be built.
    #[error("traces cannot be sent")]
    Client(#[from] reqwest::Error),
    /// What OpenTelemetry's variables say is of no use.
    #[error("traces cannot be sent; see the variables OTEL_...")]
    Export(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What runs for as long as the process does.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left to be sent.
    pub fn stop(self) {
        let stopped = self
            .traces
            .map(|traces| traces.shutdown_with_timeout(LAST_EXPORT));
        if let Some(Err(error)) = stopped {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Starts the log of this process, and sends traces if that is wanted. To be called within a runtime,
/// which must outlive what is returned.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(
    log: &LogSettings,
    traces: Option<&TraceSettings>,
) -> Result<Telemetry, TelemetryError> {
    let colours = io::stderr().is_terminal();
    let mut layers = vec![layer(log, colours, io::stderr)?];
    let traces = match traces {
        Some(traces) => Some(export::provider(traces, Handle::current())?),
        None => None,
    };
    if let Some(traces) = &traces {
        layers.push(export::layer(traces).boxed());
    }
    tracing_subscriber::registry().with(layers).try_init()?;
    log_panics();
    Ok(Telemetry { traces })
}

/// A layer that writes lines to `writer`.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn layer<S, W>(
    settings: &LogSettings,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match settings.format {
        LogFormat::Text => lines.fmt_fields(escaping_fields()).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            // All of them: the request's id may be in an outer one.
            .with_current_span(false)
            .with_span_list(true)
            .boxed(),
    };
    let wanted = EnvFilter::builder().parse(&settings.filter)?;
    Ok(lines.with_filter(cap()).with_filter(wanted).boxed())
}

/// What the operator asks for applies to the gateway's own parts. Below INFO, libraries log what
/// passes through them: hyper, h2 and reqwest the headers, tungstenite the frames, `SQLx` the
/// statements, `SeaORM` in its spans the database's address. A cap on everything that is not ours
/// needs no list of them, and holds for the next one. Notices are what Postgres says to a statement,
/// such as that a table exists.
fn cap() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("sqlx::postgres::notice", LevelFilter::WARN)
        .with_targets(OURS.map(|ours| (ours, LevelFilter::TRACE)))
}

/// Fields in one line, whatever they hold: control characters are written as escapes. (JSON does so
/// by itself.)
fn escaping_fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    format::debug_fn(|writer, field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", escape(&value)),
            name => write!(writer, "{name}={}", escape(&value)),
        }
    })
    .delimited(" ")
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}

/// Tells where the program panicked, but not the message: it may quote what a user sent.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task panicked; this is a bug in the gateway");
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let settings = LogSettings {
            format,
            filter: filter.to_owned(),
        };
        let writer = lines.clone();
        let layer = layer(&settings, false, move || writer.clone()).unwrap();
        with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn libraries_keep_their_details_to_themselves() {
        for filter in ["trace", "hyper=trace,sqlx=trace,sea_orm=trace,trace"] {
            let log = logged(LogFormat::Text, filter, || {
                tracing::trace!(target: "hyper::proto", "canary");
                tracing::debug!(target: "sqlx::query", "canary");
                tracing::trace!(target: "tungstenite::protocol", "canary");
                let _span =
                    tracing::trace_span!(target: "sea_orm", "connect", url = "canary").entered();
                tracing::info!(target: "sea_orm_migration", "applied");
                tracing::trace!("ours");
            });
            assert!(!log.contains("canary"), "{log}");
            assert!(log.contains("applied"), "{log}");
            assert!(log.contains("ours"), "{log}");
        }
    }

    #[test]
    fn the_filter_is_obeyed() {
        let log = logged(
            LogFormat::Text,
            "warn,intuned_gateway::platform::telemetry=debug",
            || {
                tracing::info!(target: "sea_orm_migration", "too little");
                tracing::trace!("too little");
                tracing::debug!("enough");
            },
        );
        assert!(!log.contains("too little"), "{log}");
        assert!(log.contains("enough"), "{log}");
    }

    #[test]
    fn whatever_is_logged_stays_in_its_line() {
        let nasty = "a\r\nERROR forged\u{1b}[2J\u{9b}2J\0\u{7f}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = logged(format, "info", || {
                let _span = tracing::info_span!("span", shown = %nasty).entered();
                tracing::info!(text = nasty, shown = %nasty, debugged = ?nasty, "{nasty}");
            });
            let line = log.strip_suffix('\n').unwrap();
            assert!(line.contains("forged"), "{line:?}");
            assert!(!line.contains(['\r', '\n', '\0', '\u{1b}']), "{line:?}");
            if format == LogFormat::Text {
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn json_lines_are_json() {
        let log = logged(LogFormat::Json, "info", || {
            tracing::info!(operation = 7, "started");
        });
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(line["message"], "started");
        assert_eq!(line["operation"], 7);
        assert_eq!(line["level"], "INFO");
    }
}
