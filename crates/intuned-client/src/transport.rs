//! One HTTP exchange with Intuned, and what its outcome means.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Body, Client, ClientBuilder, Method, Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field::Empty};

use outbound::LogLimiter;
use written_json::WrittenJson;

use super::{
    IntunedConfig, IntunedError,
    backoff::MAX_DELAY,
    outcome,
    shares::{Purpose, Refusal, Shares},
    timely::TimelyBody,
    wire::is_usable_id,
};
use crate::IntunedMetrics;
use ambient::Clock;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// The longest body of an answer, in bytes, apart from a run's result.
pub(super) const ANSWER_LIMIT: usize = 1 << 20;

/// One call of the API.
pub(super) struct Call<'a> {
    /// Its name, for the log.
    pub(super) name: &'static str,
    pub(super) purpose: Purpose,
    pub(super) method: Method,
    /// What follows the project's name, segment by segment.
    pub(super) path: &'a [&'a str],
    pub(super) body: Option<Bytes>,
    /// The longest answer that is read, in bytes.
    pub(super) limit: usize,
    /// Another time limit than the configured one.
    pub(super) timeout: Option<Duration>,
    /// When it is too late to send the body.
    pub(super) not_after: Option<Instant>,
}

impl<'a> Call<'a> {
    pub(super) fn get(name: &'static str, path: &'a [&'a str]) -> Self {
        Self {
            name,
            purpose: Purpose::SignIn,
            method: Method::GET,
            path,
            body: None,
            limit: ANSWER_LIMIT,
            timeout: None,
            not_after: None,
        }
    }

    pub(super) fn post(name: &'static str, path: &'a [&'a str], body: Bytes) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(name, path)
        }
    }

    pub(super) fn delete(name: &'static str, path: &'a [&'a str]) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(name, path)
        }
    }

    pub(super) fn to(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }
}

/// Sends calls, each at most once.
pub(super) struct Transport {
    /// For what makes and deletes sessions.
    http: Client,
    /// For reads, which must not take the places on the others' connections.
    reading_http: Client,
    project_url: Result<Url, IntunedError>,
    api_key: HeaderValue,
    clock: Arc<dyn Clock>,
    metrics: IntunedMetrics,
    shares: Shares,
    complaints: LogLimiter,
}

impl Transport {
    pub(super) fn new(
        config: IntunedConfig,
        clock: Arc<dyn Clock>,
        metrics: IntunedMetrics,
    ) -> Result<Self, reqwest::Error> {
        Self::over(http_client, config, clock, metrics)
    }

    /// Over connections that are made like this.
    pub(super) fn over(
        connect: fn(&IntunedConfig) -> ClientBuilder,
        config: IntunedConfig,
        clock: Arc<dyn Clock>,
        metrics: IntunedMetrics,
    ) -> Result<Self, reqwest::Error> {
        let http = connect(&config).build()?;
        Ok(Self {
            api_key: api_key_header(&http, &config)?,
            http,
            reading_http: connect(&config).build()?,
            project_url: project_url(config),
            clock,
            metrics,
            shares: Shares::new(),
            complaints: LogLimiter::default(),
        })
    }

    /// The body of a success, which is JSON.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<WrittenJson, IntunedError> {
        let name = call.name;
        let check = |body| {
            WrittenJson::parse(body).map_err(|cause| {
                tracing::warn!(call = name, %cause, "Intuned's answer is no JSON");
                IntunedError::Unreadable { reason: "no JSON" }
            })
        };
        self.send_and_read(call, check).await
    }

    /// The body of a success.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Vec<u8>, IntunedError> {
        self.send_and_read(call, Ok).await
    }

    /// What is read of the body of a success. What is not to be sent now is answered as if Intuned had done so.
    async fn send_and_read<T>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(Vec<u8>) -> Result<T, IntunedError>,
    ) -> Result<T, IntunedError> {
        let name = call.name;
        let _seat = self
            .shares
            .admit(call.purpose)
            .await
            .inspect_err(|refusal| {
                self.metrics.refused(call.purpose.name(), refusal.name());
                tracing::debug!(call = name, ?refusal, "a call to Intuned was not sent");
            })?;
        let started = Instant::now();
        let span = tracing::debug_span!(
            "upstream call",
            call = name,
            result = Empty,
            otel.kind = "client"
        );
        let outcome = self.exchange(call).instrument(span.clone()).await;
        let outcome = span.in_scope(|| outcome.and_then(read));
        let result = outcome.as_ref().map_or_else(IntunedError::name, |_| "ok");
        span.record("result", result);
        self.metrics.called(name, result, started.elapsed());
        match &outcome {
            Ok(_) => tracing::debug!(call = name, "Intuned answered"),
            Err(error) => tracing::debug!(call = name, %error, "a call to Intuned failed"),
        }
        outcome
    }

    /// Until when Intuned asked to be left alone by such calls; none once that is over.
    pub(super) fn held_until(&self, purpose: Purpose) -> Option<Instant> {
        self.shares.held_until(purpose)
    }

    /// Whether such calls may be sent, as of now.
    pub(super) fn check_hold(&self, purpose: Purpose) -> Result<(), Refusal> {
        let checked = self.shares.check_hold(purpose);
        checked.inspect_err(|refusal| self.metrics.refused(purpose.name(), refusal.name()))
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Vec<u8>, IntunedError> {
        let http = match call.purpose {
            Purpose::SignIn | Purpose::Answer | Purpose::Removal => &self.http,
            Purpose::Read | Purpose::LongRead => &self.reading_http,
        };
        let mut request = http
            .request(call.method, self.url(call.path)?)
            .header(API_KEY, self.api_key.clone())
            .header(ACCEPT, JSON)
            .headers(trace_context::headers());
        let late = CancellationToken::new();
        if let Some(body) = call.body {
            let body = match call.not_after {
                Some(at) if Instant::now() >= at => return Err(IntunedError::TooLate),
                Some(at) => Body::wrap(TimelyBody::new(body, at, late.clone())),
                None => body.into(),
            };
            request = request.header(CONTENT_TYPE, JSON).body(body);
        }
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        // HTTP/2 does not tell a request that its own body is what ended it.
        let sent = late.run_until_cancelled(request.send()).await;
        let sent = sent.filter(|_| !late.is_cancelled());
        let response = sent.ok_or(IntunedError::TooLate)?.map_err(|error| {
            let unanswered = outcome::unanswered(&error);
            self.complain(call.name, &unanswered, error);
            unanswered
        })?;
        self.check(call.purpose, &response)?;
        read(response, call.limit).await.map_err(|cut| match cut {
            Cut::TooLong => IntunedError::TooLong,
            Cut::Off(error) => {
                let broken_off = outcome::broken_off(&error);
                self.complain(call.name, &broken_off, error);
                broken_off
            }
        })
    }

    /// Tells the operator why Intuned does not answer: what would be told of every poll, once a minute.
    fn complain(&self, call: &'static str, error: &IntunedError, cause: reqwest::Error) {
        if self.complaints.should_log(error.name()) {
            let cause = outbound::root_cause(cause);
            tracing::warn!(call, %error, cause, "Intuned did not answer; the same is told again in a minute at the earliest");
        }
    }

    fn url(&self, path: &[&str]) -> Result<Url, IntunedError> {
        if !path.iter().copied().all(is_usable_id) {
            // No object can have such an id.
            return Err(IntunedError::NotFound);
        }
        let mut url = self.project_url.clone()?;
        url.path_segments_mut()
            .map_err(|()| IntunedError::Unreachable)?
            .extend(path);
        Ok(url)
    }

    fn check(&self, purpose: Purpose, response: &Response) -> Result<(), IntunedError> {
        let retry_after = || retry_after(response.headers(), self.clock.now());
        Err(match response.status().as_u16() {
            200..=299 => return Ok(()),
            401 => IntunedError::Unauthorized,
            403 => IntunedError::Forbidden,
            404 => IntunedError::NotFound,
            409 => IntunedError::Conflict,
            429 => {
                let retry_after = retry_after();
                self.shares.turned_away(purpose, retry_after);
                IntunedError::RateLimited { retry_after }
            }
            // https://www.rfc-editor.org/rfc/rfc9110#status.408, https://www.rfc-editor.org/rfc/rfc8470#section-5.2
            408 | 425 => IntunedError::NotProcessed {
                retry_after: retry_after(),
            },
            status @ 500..=599 => IntunedError::Server {
                status,
                retry_after: retry_after(),
            },
            status => IntunedError::Refused { status },
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

pub(super) fn http_client(config: &IntunedConfig) -> ClientBuilder {
    config
        .outbound
        .client()
        .retry(reqwest::retry::never().max_retries_per_request(0))
        // Shorter than the whole, so that it is this one that ends a connect that hangs.
        .connect_timeout(LONGEST_CONNECT.min(config.request_timeout / 2))
        .timeout(config.request_timeout)
        // Shorter than servers keep theirs: a call on a connection that is being closed could not
        // tell whether it was heard.
        .pool_idle_timeout(LONGEST_IDLE)
}

/// Where all of the project's calls begin.
fn project_url(config: IntunedConfig) -> Result<Url, IntunedError> {
    let project = [&config.workspace_id, "projects", &config.project_name];
    if !project.into_iter().all(is_usable_id) {
        return Err(IntunedError::Refused { status: 404 });
    }
    let mut url = config.base_url;
    url.path_segments_mut()
        .map_err(|()| IntunedError::Unreachable)?
        .pop_if_empty()
        .extend(project);
    Ok(url)
}

/// Goes through a request that is never sent, so that a key that cannot be a header is an error of
/// the HTTP client like any other.
fn api_key_header(http: &Client, config: &IntunedConfig) -> Result<HeaderValue, reqwest::Error> {
    let request = http
        .get(config.base_url.clone())
        .header(API_KEY, config.api_key.expose_secret())
        .build()?;
    let mut header = request
        .headers()
        .get(API_KEY)
        .cloned()
        .unwrap_or(HeaderValue::from_static(""));
    header.set_sensitive(true);
    Ok(header)
}

/// Why an answer was not read to its end.
enum Cut {
    TooLong,
    Off(reqwest::Error),
}

/// Reads the body, and no further than `limit`.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Cut> {
    let announced = usize::try_from(response.content_length().unwrap_or(0));
    let announced = announced.ok().filter(|length| *length <= limit);
    // Found room for at once, it is not moved as it grows.
    let mut body = Vec::with_capacity(announced.ok_or(Cut::TooLong)?);
    while let Some(chunk) = response.chunk().await.map_err(Cut::Off)? {
        if body.len() + chunk.len() > limit {
            return Err(Cut::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `Retry-After` as seconds or as a date, at most a minute; none when it makes no sense.
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are many seconds all the same.
        text.parse().map_or(MAX_DELAY, Duration::from_secs)
    } else {
        let until = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
        (until - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_DELAY))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", Some(0))]
    #[case("7", Some(7))]
    #[case(" 7 ", Some(7))]
    #[case("61", Some(60))]
    #[case("99999999999999999999999999", Some(60))]
    #[case("Sat, 21 Nov 2026 12:00:09 GMT", Some(9))]
    #[case("Sat, 21 Nov 2026 11:00:00 GMT", Some(0))]
    #[case("Fri, 31 Dec 9999 23:59:59 GMT", Some(60))]
    #[case("-1", None)]
    #[case("1.5", None)]
    #[case("soon", None)]
    #[case("", None)]
    fn retry_after_is_read(#[case] text: &str, #[case] seconds: Option<u64>) {
        let now = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        let read = retry_after(&headers, now.to_utc());
        assert_eq!(read, seconds.map(Duration::from_secs));
    }
}
