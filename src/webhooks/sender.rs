//! Sends one delivery, once.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use entity::webhook_delivery::{self, Kind};
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    WebhooksConfig,
    address::{PublicResolver, has_public_host},
    signature::signatures,
};
use ambient::Clock;

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("WEBHOOK_URL is at a private address; see WEBHOOK_ALLOW_PRIVATE")]
    Private,
    /// Redirects are among these: they are not followed.
    #[error("the endpoint answered {status}")]
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error("the endpoint could not be reached: {0}")]
    Unreachable(String),
    #[error("the body could not be written")]
    Body(#[from] serde_json::Error),
}

impl SendError {
    /// How long the receiver wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(outbound::root_cause(error))
    }
}

/// Signs and sends.
pub(super) struct Sender {
    http: Client,
    config: WebhooksConfig,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(
        config: WebhooksConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let mut http = config
            .outbound
            .direct_client()
            .retry(reqwest::retry::never())
            .https_only(config.url.scheme() == "https")
            .timeout(config.timeout);
        if !config.allow_private {
            http = http.dns_resolver(PublicResolver);
        }
        Ok(Self {
            http: http.build()?,
            config,
            clock,
        })
    }

    /// Sends the delivery. Any 2xx means that the receiver has it; of the answer no more than the head
    /// is read.
    pub(super) async fn send(&self, delivery: &webhook_delivery::Model) -> Result<(), SendError> {
        if !self.config.allow_private && !has_public_host(&self.config.url) {
            return Err(SendError::Private);
        }
        let body = body(delivery)?;
        let id = delivery.event_id.to_string();
        let now = self.clock.now();
        let timestamp = now.timestamp();
        let answer = self
            .http
            .post(self.config.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signatures(&self.config.keys, &id, timestamp, &body),
            )
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(SendError::Refused {
            status,
            retry_after: retry_after(answer.headers(), now),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    id: Uuid,
    r#type: &'static str,
    occurred_at: String,
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    connection_id: Uuid,
    user_id: Uuid,
}

/// The same at every try.
fn body(delivery: &webhook_delivery::Model) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Body {
        id: delivery.event_id,
        r#type: type_of(delivery.kind),
        occurred_at: delivery
            .occurred_at
            .0
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        data: Data {
            connection_id: delivery.connection_id,
            user_id: delivery.user_id,
        },
    })
}

/// An event's type as receivers know it.
pub(super) fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Created => "connection.created",
        Kind::Renewed => "connection.renewed",
        Kind::Expired => "connection.expired",
        Kind::Removed => "connection.removed",
    }
}

/// `Retry-After` as seconds or as a date; none when it makes no sense.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
    (until - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", Some(7))]
    #[case("Sun, 22 Nov 2026 12:00:09 GMT", Some(9))]
    #[case("Sun, 22 Nov 2026 11:00:00 GMT", None)]
    #[case("-1", None)]
    #[case("soon", None)]
    fn retry_after_is_read(#[case] text: &str, #[case] seconds: Option<u64>) {
        let now = DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        let read = retry_after(&headers, now.to_utc());
        assert_eq!(read, seconds.map(Duration::from_secs));
    }
}
