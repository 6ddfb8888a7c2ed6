//! Who is told of connections, and how long audit trails are kept.

#![expect(clippy::doc_markdown, reason = "comments are the help text, as it is")]

use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    reader::Reader,
    upstream::{is_loopback, web_url},
};
use crate::webhooks::{SigningKey, WebhooksConfig, has_public_host};
use outbound::Outbound;

/// A trail that is shorter helps nobody.
const SHORTEST_RETENTION: Duration = Duration::from_hours(24);

#[derive(Args)]
#[command(next_help_heading = "Webhooks and audit trails")]
pub(super) struct RecordArgs {
    /// An https address of yours that is told when a connection is made, renewed, found to have
    /// expired or removed; see docs/webhooks.md. Without it nobody is told
    #[arg(long, env, value_name = "URL")]
    webhook_url: Option<SecretString>,
    /// Signs webhooks, the same on every replica: whsec_ and 24 to 64 bytes in base64. Several, separated
    /// by commas, all sign, for changing from one to another. Make one with:
    /// echo "whsec_$(openssl rand -base64 32)"
    #[arg(long, env, value_name = "SECRETS")]
    webhook_secret: Option<SecretString>,
    /// Whether WEBHOOK_URL may be at a private address, and plain http on this machine
    #[arg(long, env, value_name = "SWITCH", default_value = "false",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    webhook_allow_private: String,
    /// How long users' audit trails are kept
    #[arg(long, env, value_name = "DURATION", default_value = "365d")]
    audit_retention: String,
}

/// Webhooks and audit trails.
#[derive(Clone, Debug)]
pub struct RecordSettings {
    /// Who is told of connections; none for nobody.
    pub webhooks: Option<WebhooksConfig>,
    /// How long audit trails are kept.
    pub audit_retention: Duration,
}

pub(super) fn records(
    reader: &mut Reader<'_>,
    args: &RecordArgs,
    outbound: &Outbound,
) -> Option<RecordSettings> {
    let allow_private = reader.switch("WEBHOOK_ALLOW_PRIVATE", &args.webhook_allow_private);
    let url = match &args.webhook_url {
        Some(url) => {
            let expected = "an address without user and fragment";
            let url = reader.secret("WEBHOOK_URL", url, expected, read_url);
            url.and_then(|url| check_url(reader, url, allow_private?))
                .map(Some)
        }
        None => Some(None),
    };
    let keys = match (&args.webhook_secret, &args.webhook_url) {
        (Some(secret), _) => read_keys(reader, secret.expose_secret()),
        (None, Some(_)) => {
            reader.note("WEBHOOK_SECRET", "is missing");
            None
        }
        (None, None) => Some(Vec::new()),
    };
    let audit_retention =
        reader.duration("AUDIT_RETENTION", &args.audit_retention, SHORTEST_RETENTION);
    let (url, keys, allow_private) = (url?, keys?, allow_private?);
    Some(RecordSettings {
        webhooks: url.map(|url| WebhooksConfig {
            outbound: outbound.clone(),
            ..WebhooksConfig::new(url, keys, allow_private)
        }),
        audit_retention: audit_retention?,
    })
}

fn read_url(text: &str) -> Option<Url> {
    web_url(text.trim()).filter(|url| {
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    })
}

fn check_url(reader: &mut Reader<'_>, url: Url, allow_private: bool) -> Option<Url> {
    let is_here = is_loopback(&url);
    let fault = if url.scheme() == "http" && !(is_here && allow_private) {
        "is plain http. Use https; only on this machine, and with WEBHOOK_ALLOW_PRIVATE=true, may it \
         be http"
    } else if !allow_private && (is_here || !has_public_host(&url)) {
        "is at a private address. Use a public one, or allow it with WEBHOOK_ALLOW_PRIVATE=true"
    } else {
        return Some(url);
    };
    reader.note("WEBHOOK_URL", fault);
    None
}

fn read_keys(reader: &mut Reader<'_>, secrets: &str) -> Option<Vec<SigningKey>> {
    let of_several = secrets.contains(',');
    let mut read = |number: usize, secret: &str| {
        let key = SigningKey::read(secret.trim());
        let noted = key.map_err(|error| {
            if of_several {
                let fault =
                    format_args!("has several secrets. Number {number}, taken by itself, {error}");
                reader.note("WEBHOOK_SECRET", fault);
            } else {
                reader.note("WEBHOOK_SECRET", error);
            }
        });
        noted.ok()
    };
    let keys: Vec<_> = (1..)
        .zip(secrets.split(','))
        .map(|(number, secret)| read(number, secret))
        .collect();
    keys.into_iter().collect()
}
