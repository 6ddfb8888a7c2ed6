//! Codes that only who has the gateway's secret can make: of tokens, and as ids of what a table must not
//! name.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// What makes the ids.
pub(super) fn mac(secret: &SecretString) -> Hmac<Sha256> {
    // The empty key that stands in here is never used: HMAC takes keys of any length.
    Hmac::new_from_slice(secret.expose_secret().as_bytes())
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()))
}

/// A key for one purpose alone, which tells nothing of those for others.
pub(crate) fn derived(secret: &SecretString, purpose: &str) -> Hmac<Sha256> {
    let key = code(&mac(secret), &["derived key", purpose]);
    mac(&hex::encode(key).into())
}

/// The MAC over the parts, each with its length, so that none runs into the next.
pub(crate) fn code(mac: &Hmac<Sha256>, parts: &[&str]) -> [u8; 32] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// The first half of the code, as an id.
pub(super) fn id(mac: &Hmac<Sha256>, parts: &[&str]) -> Uuid {
    let code = code(mac, parts);
    let (half, _) = code.split_at(16);
    Uuid::from_slice(half).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_by_purpose_and_from_those_of_the_secret_itself() {
        let secret = "a secret".into();
        let codes = [
            derived(&secret, "one"),
            derived(&secret, "other"),
            mac(&secret),
        ]
        .map(|mac| code(&mac, &["part"]));
        assert!(codes[0] != codes[1] && codes[1] != codes[2] && codes[0] != codes[2]);
    }

    #[test]
    fn ids_differ_by_secret_and_by_every_part() {
        let id = |secret: &str, parts: &[&str]| id(&mac(&secret.into()), parts);
        let first = id("a secret", &["address", "ada@example.com"]);
        assert_eq!(first, id("a secret", &["address", "ada@example.com"]));
        for other in [
            id("another", &["address", "ada@example.com"]),
            id("a secret", &["sign-up", "ada@example.com"]),
            id("a secret", &["address", "bob@example.com"]),
            id("a secret", &["addressada@example.com"]),
            id("a secret", &["address", "ada", "@example.com"]),
        ] {
            assert_ne!(first, other);
        }
    }
}
