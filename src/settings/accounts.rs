//! Accounts and sessions: what signs them, how long they last, how often a password may be tried.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{AccountSettings, args::AccountArgs, reader::Reader};
use crate::accounts::TryLimits;

/// Tokens count in whole seconds.
const SHORTEST_SESSION: Duration = Duration::from_secs(1);
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
/// As long as the hash that signs tokens is.
const SECRET_BYTES: usize = 32;

/// `secret` is none when something is wrong with it, which has been noted.
pub(super) fn accounts(
    reader: &mut Reader<'_>,
    args: &AccountArgs,
    secret: Option<SecretString>,
) -> Option<AccountSettings> {
    let session_lifetime =
        reader.duration("SESSION_LIFETIME", &args.session_lifetime, SHORTEST_SESSION);
    let mut tries = |setting, text| reader.number(setting, text, 1..=1_000_000_u32);
    let for_each_address = tries("SIGN_IN_TRIES", &args.sign_in_tries);
    let for_each_client = tries("SIGN_IN_TRIES_PER_CLIENT", &args.sign_in_tries_per_client);
    let window = reader.duration("SIGN_IN_WINDOW", &args.sign_in_window, SHORTEST_WINDOW);
    Some(AccountSettings {
        secret: secret?,
        session_lifetime: session_lifetime?,
        tries: TryLimits {
            for_each_address: for_each_address?,
            for_each_client: for_each_client?,
            window: window?,
        },
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
    Some(secret.clone())
}
