//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, as protobuf. Nothing of this runs unless
//! an endpoint is set.
//!
//! Whether and where to send is a setting of ours. The standard's other variables, among them
//! OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and
//! those of the batches (OTEL_BSP_...), are read by OpenTelemetry's SDK itself: it is their authority.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::{Key, KeyValue, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{OURS, TelemetryError, TraceSettings};

const NAME: &str = env!("CARGO_PKG_NAME");
const SERVICE_NAME: Key = Key::from_static_str("service.name");
/// What the SDK calls a service that has no name.
const NAMELESS: &str = "unknown_service";

/// The longest that one batch may take; the standard's default.
const LONGEST: Duration = Duration::from_secs(10);

/// Makes what sends spans to the collector, on `runtime`.
pub(super) fn provider(
    settings: &TraceSettings,
    runtime: Handle,
) -> Result<SdkTracerProvider, TelemetryError> {
    let http = settings.outbound.client().timeout(LONGEST).build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender { http, runtime })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.as_str())
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource())
        .build())
}

/// A layer that hands the spans of `provider` on. Libraries' spans stay out: what they hold is not ours
/// to judge.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let ours = Targets::new().with_targets(OURS.map(|ours| (ours, LevelFilter::DEBUG)));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(NAME))
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(ours)
}

/// Who sends: what the environment says, or else our own name.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let name = told
        .get(&SERVICE_NAME)
        .map(|name| name.as_str().into_owned());
    let name = name.filter(|name| !name.starts_with(NAMELESS));
    Resource::builder()
        .with_service_name(name.unwrap_or_else(|| NAME.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Batches are sent from a thread of the SDK's, which has no reactor: the work is done on ours.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
