//! Signatures that receivers can check: HMAC-SHA256 over id, time stamp and body.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// Introduces a key in base64, as the specification writes keys.
const PREFIX: &str = "whsec_";
/// As many bytes as the specification allows a key to have.
const SHORTEST_KEY: usize = 24;
const LONGEST_KEY: usize = 64;

/// Reads what the specification's own libraries read: with padding or without, whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A secret that deliveries are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The text is one without the prefix.
    #[error(
        "does not begin with whsec_, as the Standard Webhooks specification has it. With the one secret in \
         the shell's WEBHOOK_SECRET, what signs alike is printed by: \
         echo \"whsec_$(printf %s \"$WEBHOOK_SECRET\" | base64 | tr -d '\\n')\""
    )]
    Prefix,
    /// The text is one without the prefix, and has more bytes than a key may have.
    ///
    /// HMAC takes the hash of such a key in its place.
    #[error(
        "does not begin with whsec_, as the Standard Webhooks specification has it. With the one secret in \
         the shell's WEBHOOK_SECRET, what signs alike is printed by: \
         echo \"whsec_$(printf %s \"$WEBHOOK_SECRET\" | openssl dgst -sha256 -binary | base64)\""
    )]
    LongPrefix,
    /// What follows the prefix is not base64.
    #[error("is broken: what follows whsec_ is not base64")]
    Encoding,
    /// The key is too short.
    #[error("is too weak: it has {0} bytes, and needs {SHORTEST_KEY} to {LONGEST_KEY}")]
    TooShort(usize),
    /// The key is too long.
    #[error(
        "is too long: it has {0} bytes, and may have {SHORTEST_KEY} to {LONGEST_KEY}. With the one secret in \
         the shell's WEBHOOK_SECRET, what signs alike is printed by: \
         echo \"whsec_$(printf %s \"${{WEBHOOK_SECRET#whsec_}}\" | openssl base64 -d -A | \
         openssl dgst -sha256 -binary | base64)\""
    )]
    TooLong(usize),
}

impl SigningKey {
    /// `whsec_` and the key in base64.
    ///
    /// # Errors
    /// [`SigningKeyError`]; it does not repeat the text.
    pub fn read(text: &str) -> Result<Self, SigningKeyError> {
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(match text.len() {
                length @ ..SHORTEST_KEY => SigningKeyError::TooShort(length),
                SHORTEST_KEY..=LONGEST_KEY => SigningKeyError::Prefix,
                _ => SigningKeyError::LongPrefix,
            });
        };
        let key = LENIENT
            .decode(encoded)
            .map_err(|_| SigningKeyError::Encoding)?;
        match key.len() {
            length @ ..SHORTEST_KEY => Err(SigningKeyError::TooShort(length)),
            SHORTEST_KEY..=LONGEST_KEY => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key))),
            length => Err(SigningKeyError::TooLong(length)),
        }
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

    fn encoded(key: &[u8]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(key))
    }

    #[test]
    fn signs_as_the_specification_says() {
        let signature = SigningKey::read(KEY).unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, SIGNATURE);
    }

    #[test]
    fn keys_are_read_with_padding_and_without() {
        for length in SHORTEST_KEY..=LONGEST_KEY {
            let padded = encoded(&vec![7; length]);
            let bare = padded.trim_end_matches('=');
            let keys = [&padded, bare].map(|key| SigningKey::read(key).unwrap());
            let [padded, bare] = keys.each_ref().map(|key| key.sign("1", 2, b"3"));
            assert_eq!(padded, bare);
            assert_eq!(signatures(&keys, "1", 2, b"3").split(' ').count(), 2);
        }
    }

    #[test]
    fn a_long_key_signs_as_its_hash_does() {
        let long = [7; LONGEST_KEY + 1];
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &long);
        let hash = SigningKey::read(&encoded(hash.as_ref())).unwrap();
        let long = SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &long));
        assert_eq!(long.sign("1", 2, b"3"), hash.sign("1", 2, b"3"));
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        for (text, error) in [
            ("", SigningKeyError::TooShort(0)),
            ("too short", SigningKeyError::TooShort(9)),
            ("a text of thirty-two characters.", SigningKeyError::Prefix),
            (&"a text ".repeat(10), SigningKeyError::LongPrefix),
            ("whsec_not base64", SigningKeyError::Encoding),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
                SigningKeyError::Encoding,
            ),
            ("whsec_", SigningKeyError::TooShort(0)),
            (&encoded(&[7; 23]), SigningKeyError::TooShort(23)),
            (&encoded(&[7; 65]), SigningKeyError::TooLong(65)),
        ] {
            assert_eq!(SigningKey::read(text).err(), Some(error), "{text}");
        }
    }
}
