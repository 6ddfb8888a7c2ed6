//! Who is told of connections, and how long audit trails are kept.

use std::time::Duration;

use secrecy::ExposeSecret;
use url::Url;

use super::{
    RecordSettings,
    args::RecordArgs,
    reader::Reader,
    upstream::{is_loopback, web_url},
};
use crate::webhooks::{SigningKey, WebhooksConfig, has_public_host};

/// A trail that is shorter helps nobody.
const SHORTEST_RETENTION: Duration = Duration::from_hours(24);

pub(super) fn records(reader: &mut Reader<'_>, args: &RecordArgs) -> Option<RecordSettings> {
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
        webhooks: url.map(|url| WebhooksConfig::new(url, keys, allow_private)),
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
    let keys = secrets.split(',').map(|key| SigningKey::read(key.trim()));
    keys.collect::<Result<_, _>>()
        .map_err(|error| {
            reader.note(
                "WEBHOOK_SECRET",
                format_args!("is too weak or broken: {error}"),
            )
        })
        .ok()
}
