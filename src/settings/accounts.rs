//! Accounts and sessions: what signs them, how long they last, how often a password may be tried, and
//! who else vouches for users.

use std::{collections::HashSet, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    AccountSettings,
    args::AccountArgs,
    reader::Reader,
    upstream::{is_loopback, web_url},
};
use crate::accounts::{Budget, ConnectLimits, ProviderConfig, ReadBudgets, TryLimits};
use outbound::Outbound;

/// Tokens count in whole seconds.
const SHORTEST_SESSION: Duration = Duration::from_secs(1);
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
/// As long as the hash that signs tokens is.
const SECRET_BYTES: usize = 32;
/// A random secret in hexadecimal has more different characters than this, all but surely.
const SECRET_CHARACTERS: usize = 8;

/// `secret` is none when something is wrong with it, which has been noted.
pub(super) fn accounts(
    reader: &mut Reader<'_>,
    args: &AccountArgs,
    secret: Option<SecretString>,
    outbound: &Outbound,
) -> Option<AccountSettings> {
    let session_lifetime =
        reader.duration("SESSION_LIFETIME", &args.session_lifetime, SHORTEST_SESSION);
    let mut count = |setting, text| reader.number(setting, text, 1..=1_000_000_u32);
    let max_user_sessions = count("MAX_USER_SESSIONS", &args.max_user_sessions);
    let for_each_address = count("SIGN_IN_TRIES", &args.sign_in_tries);
    let for_each_client = count("SIGN_IN_TRIES_PER_CLIENT", &args.sign_in_tries_per_client);
    let sign_ins = count("SIGN_INS_PER_CLIENT", &args.sign_ins_per_client);
    let window = reader.duration("SIGN_IN_WINDOW", &args.sign_in_window, SHORTEST_WINDOW);
    let connects = connects(reader, args);
    let reads = reads(reader, args);
    let allow_sign_up = reader.switch("ALLOW_SIGN_UP", &args.allow_sign_up);
    let provider = provider(reader, args, outbound);
    Some(AccountSettings {
        secret: secret?,
        session_lifetime: session_lifetime?,
        max_user_sessions: max_user_sessions?,
        tries: TryLimits {
            for_each_address: for_each_address?,
            for_each_client: for_each_client?,
            sign_ins_for_each_client: sign_ins?,
            window: window?,
        },
        connects: connects?,
        reads: reads?,
        allow_sign_up: allow_sign_up?,
        provider,
    })
}

fn connects(reader: &mut Reader<'_>, args: &AccountArgs) -> Option<ConnectLimits> {
    let mut tries = |setting, text| reader.number(setting, text, 0..=1_000_000_u32);
    let for_each_user = tries("CONNECT_TRIES", &args.connect_tries);
    let for_each_client = tries("CONNECT_TRIES_PER_CLIENT", &args.connect_tries_per_client);
    let window = reader.duration("CONNECT_WINDOW", &args.connect_window, SHORTEST_WINDOW);
    Some(ConnectLimits {
        for_each_user: for_each_user?,
        for_each_client: for_each_client?,
        window: window?,
    })
}

fn reads(reader: &mut Reader<'_>, args: &AccountArgs) -> Option<ReadBudgets> {
    let mut tries = |setting, text| reader.number(setting, text, 0..=1_000_000_u32);
    let runs = tries("RUN_TRIES", &args.run_tries);
    let statuses = tries("STATUS_TRIES", &args.status_tries);
    let mut window = |setting, text| reader.duration(setting, text, SHORTEST_WINDOW);
    let run_window = window("RUN_WINDOW", &args.run_window);
    let status_window = window("STATUS_WINDOW", &args.status_window);
    Some(ReadBudgets {
        runs: Budget {
            tries: runs?,
            window: run_window?,
        },
        statuses: Budget {
            tries: statuses?,
            window: status_window?,
        },
    })
}

/// All three of its settings, or none. None also when something is wrong with them, which is noted.
fn provider(
    reader: &mut Reader<'_>,
    args: &AccountArgs,
    outbound: &Outbound,
) -> Option<ProviderConfig> {
    let settings = [
        ("OIDC_ISSUER", &args.oidc_issuer),
        ("OIDC_AUDIENCE", &args.oidc_audience),
        ("OIDC_JWKS_URL", &args.oidc_jwks_url),
    ];
    if settings.iter().all(|(_, text)| text.is_none()) {
        return None;
    }
    for (setting, text) in settings {
        if text.is_none() {
            reader.note(
                setting,
                "is missing: OIDC_ISSUER, OIDC_AUDIENCE and OIDC_JWKS_URL go together",
            );
        }
    }
    let mut text = |setting, text: &Option<String>| {
        let expected = "a text without blanks and control characters";
        reader.read(setting, text.as_deref()?, expected, |text| {
            let strange = |c: char| c.is_control() || c.is_whitespace();
            (!text.is_empty() && !text.contains(strange)).then(|| text.to_owned())
        })
    };
    let issuer = text("OIDC_ISSUER", &args.oidc_issuer);
    let audience = text("OIDC_AUDIENCE", &args.oidc_audience);
    let expected = "an https address without user and fragment (http only on this machine)";
    let jwks_url = args.oidc_jwks_url.as_deref().and_then(|text| {
        reader.read("OIDC_JWKS_URL", text, expected, |text| {
            web_url(text).filter(|url| {
                let safe = url.scheme() == "https" || is_loopback(url);
                let bare = url.username().is_empty() && url.password().is_none();
                safe && bare && url.fragment().is_none()
            })
        })
    });
    Some(ProviderConfig {
        issuer: issuer?,
        audience: audience?,
        jwks_url: jwks_url?,
        outbound: outbound.clone(),
    })
}

pub(super) fn required_secret(
    reader: &mut Reader<'_>,
    secret: Option<&SecretString>,
) -> Option<SecretString> {
    let secret = reader.required("AUTH_SECRET", secret)?;
    let length = secret.expose_secret().len();
    if length < SECRET_BYTES {
        let fault = format!("is too weak: it has {length} bytes, and needs {SECRET_BYTES} or more");
        reader.note("AUTH_SECRET", fault);
        return None;
    }
    let characters: HashSet<char> = secret.expose_secret().chars().collect();
    if characters.len() < SECRET_CHARACTERS {
        reader.note(
            "AUTH_SECRET",
            "is too weak: it repeats a few characters. Make one with: openssl rand -base64 32",
        );
        return None;
    }
    Some(secret.clone())
}
