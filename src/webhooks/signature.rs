//! Signatures that receivers can check: HMAC-SHA256 over id, time stamp and body.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Introduces a key in base64, as the specification writes keys.
const PREFIX: &str = "whsec_";
/// As long as the hash is.
const SHORTEST_KEY: usize = 32;

/// A secret that deliveries are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// What follows the prefix is not base64.
    #[error("what follows whsec_ is not base64")]
    Encoding,
    /// The key is too short.
    #[error("a key of {0} bytes is too short; 32 or more are needed")]
    TooShort(usize),
}

impl SigningKey {
    /// `whsec_` and the key in base64, or any other text, whose bytes are the key.
    ///
    /// # Errors
    /// [`SigningKeyError`]; it does not repeat the text.
    pub fn read(text: &str) -> Result<Self, SigningKeyError> {
        let key = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| SigningKeyError::Encoding)?,
            None => text.as_bytes().to_vec(),
        };
        if key.len() < SHORTEST_KEY {
            return Err(SigningKeyError::TooShort(key.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The signature as the header has it, for a delivery sent at `timestamp`, in seconds.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The header `webhook-signature`: one signature for each key, separated by blanks.
pub(super) fn signatures(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = keys.iter().map(|key| key.sign(id, timestamp, body));
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signs_as_the_specification_says() {
        let key = STANDARD.decode(KEY.trim_start_matches(PREFIX)).unwrap();
        let key = SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &key));
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, SIGNATURE);
    }

    #[test]
    fn keys_are_read() {
        let text = "a key of thirty-two characters..";
        let plain = SigningKey::read(text).unwrap();
        let encoded = SigningKey::read(&format!("{PREFIX}{}", STANDARD.encode(text))).unwrap();
        assert_eq!(plain.sign("1", 2, b"3"), encoded.sign("1", 2, b"3"));
        let both = signatures(&[plain, encoded], "1", 2, b"3");
        assert_eq!(both.split(' ').count(), 2);
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        for (text, error) in [
            ("too short", SigningKeyError::TooShort(9)),
            (KEY, SigningKeyError::TooShort(24)),
            ("whsec_not base64", SigningKeyError::Encoding),
            ("", SigningKeyError::TooShort(0)),
        ] {
            assert_eq!(SigningKey::read(text).err(), Some(error));
        }
    }
}
