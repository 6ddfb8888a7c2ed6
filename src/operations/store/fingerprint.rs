//! Fingerprints of what a sign-in was asked for, so that a repeat can be told from another wish under the same idempotency key,
//! and nobody else learns what it was.

use std::fmt;

use hmac::Hmac;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

use crate::{accounts::keyed, operations::model::Credentials};

/// The key's purpose. Of another list of parts it is another one, so that the two are never compared.
const PURPOSE: &str = "fingerprints of sign-ins, first form";

/// Makes fingerprints. Clones are of the same key.
#[derive(Clone)]
pub(in crate::operations) struct Fingerprints {
    mac: Hmac<Sha256>,
    /// Tells fingerprints by this key from others.
    tag: String,
}

/// A caller's key against starting twice, and what it stands for.
#[derive(Clone, Debug)]
pub(in crate::operations) struct IdempotencyKey {
    pub(super) text: String,
    pub(super) fingerprint: String,
}

impl Fingerprints {
    /// Makes them by a key that is made of the gateway's secret (setting `AUTH_SECRET`), for this alone.
    pub(in crate::operations) fn new(secret: &SecretString) -> Self {
        let mac = keyed::derived(secret, PURPOSE);
        let code = keyed::code(&mac, &["tag"]);
        let (tag, _) = code.split_at(4);
        Self {
            tag: hex::encode(tag),
            mac,
        }
    }

    /// The key, with the fingerprint of what is no secret of the input: the user name, and the proxy's host.
    pub(in crate::operations) fn key(
        &self,
        text: &str,
        credentials: &Credentials,
    ) -> IdempotencyKey {
        let proxy = credentials.proxy.as_ref().map(host).unwrap_or_default();
        let parts = ["sign-in", credentials.username.expose_secret(), &proxy];
        let code = hex::encode(keyed::code(&self.mac, &parts));
        IdempotencyKey {
            text: text.to_owned(),
            fingerprint: format!("{}.{code}", self.tag),
        }
    }
}

impl IdempotencyKey {
    /// True when the key has certainly stood for something else. What was made by another key, before the gateway's
    /// secret was changed, cannot be compared.
    pub(super) fn contradicts(&self, kept: &str) -> bool {
        let tag = |fingerprint: &str| fingerprint.split('.').next().map(str::to_owned);
        tag(kept) == tag(&self.fingerprint) && kept != self.fingerprint
    }
}

/// The address of a proxy, without who uses it; empty for what is no address, which is refused elsewhere.
fn host(proxy: &SecretString) -> String {
    let url = Url::parse(proxy.expose_secret()).ok();
    let host = url.as_ref().and_then(|url| {
        let port = url.port_or_known_default()?;
        Some(format!("{}:{port}", url.host_str()?))
    });
    host.unwrap_or_default()
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn key(secret: &str, username: &str, proxy: Option<&str>) -> IdempotencyKey {
        let credentials = Credentials {
            username: username.into(),
            password: "hunter2".into(),
            proxy: proxy.map(Into::into),
        };
        Fingerprints::new(&secret.into()).key("key", &credentials)
    }

    const MINE: &str = "http://me:pw@mine.test:8080";

    #[rstest]
    #[case::same("ada", Some(MINE), false)]
    #[case::other_user("bob", Some(MINE), true)]
    #[case::other_case("Ada", Some(MINE), true)]
    #[case::other_host("ada", Some("http://me:pw@other.test:8080"), true)]
    #[case::other_port("ada", Some("http://me:pw@mine.test:8081"), true)]
    #[case::host_in_capitals("ada", Some("http://me:pw@MINE.test:8080/"), false)]
    #[case::other_secret_of_the_proxy("ada", Some("http://me:other@mine.test:8080"), false)]
    #[case::no_proxy("ada", None, true)]
    fn other_input_contradicts_the_idempotency_key(
        #[case] username: &str,
        #[case] proxy: Option<&str>,
        #[case] contradicts: bool,
    ) {
        let kept = key("a secret", "ada", Some(MINE)).fingerprint;
        let given = key("a secret", username, proxy);
        assert_eq!(given.contradicts(&kept), contradicts);
        assert!(!format!("{given:?}").contains(username));
        let before = key("the secret before", "ada", Some(MINE)).fingerprint;
        assert!(!given.contradicts(&before), "it cannot be compared");
    }
}
