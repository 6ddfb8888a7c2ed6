//! Session tokens: JSON Web Tokens, signed with HMAC-SHA-256 and nothing else.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Utc};
use entity::session;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::AccountError;

const ALGORITHM: Algorithm = Algorithm::HS256;
/// Issuer and audience alike: tokens that others sign with the same secret are none of ours.
const GATEWAY: &str = "intuned-gateway";
/// Ours have some 400 bytes.
const MAX_LENGTH: usize = 4096;
/// Tokens whose signature need not be checked again.
const KNOWN: u64 = 10_000;

/// Signs and checks tokens.
pub(super) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    /// What tokens of ours say, by their hash: of each request the signature would cost more than anything
    /// else that is checked.
    known: Cache<[u8; 32], Claims>,
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: Cow<'static, str>,
    aud: Cow<'static, str>,
    #[serde(rename = "sub")]
    pub(super) user_id: Uuid,
    #[serde(rename = "jti")]
    pub(super) session_id: Uuid,
    /// Seconds since the Unix epoch, like the two below.
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(ALGORITHM);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_issuer(&[GATEWAY]);
        validation.set_audience(&[GATEWAY]);
        // The library would look at the machine's clock; `verify` looks at the one handed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            validation,
            known: Cache::new(KNOWN),
        }
    }

    pub(super) fn sign(&self, session: &session::Model) -> Result<SecretString, AccountError> {
        let claims = Claims {
            iss: GATEWAY.into(),
            aud: GATEWAY.into(),
            user_id: session.user_id,
            session_id: session.id,
            iat: session.created_at.0.timestamp(),
            exp: session.expires_at.0.timestamp(),
            nbf: None,
        };
        jsonwebtoken::encode(&Header::new(ALGORITHM), &claims, &self.signing)
            .map(SecretString::from)
            .map_err(AccountError::Signing)
    }

    /// What the token says; none unless it is one of ours and valid now, to the second.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Claims> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let hash = Sha256::digest(token).into();
        let claims = if let Some(claims) = self.known.get(&hash) {
            claims
        } else {
            let claims = self.decode(token)?;
            self.known.insert(hash, claims.clone());
            claims
        };
        let now = now.timestamp();
        let begun = claims.nbf.is_none_or(|nbf| nbf <= now);
        (begun && now < claims.exp).then_some(claims)
    }

    /// What the token says, if it is one of ours.
    fn decode(&self, token: &str) -> Option<Claims> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation);
        let claims = decoded.ok()?.claims;
        Some(Claims {
            iss: GATEWAY.into(),
            aud: GATEWAY.into(),
            ..claims
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a secret of thirty-two characters";

    fn tokens() -> Tokens {
        Tokens::new(&SECRET.into())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn session() -> session::Model {
        session::Model {
            id: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            created_at: at(1000).into(),
            expires_at: at(2000).into(),
        }
    }

    fn claims() -> Value {
        json!({
            "iss": GATEWAY, "aud": GATEWAY, "sub": Uuid::from_u128(2), "jti": Uuid::from_u128(1),
            "iat": 1000, "exp": 2000,
        })
    }

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let token = tokens().sign(&session()).unwrap();
        let claims = tokens().verify(token.expose_secret(), at(1500)).unwrap();
        assert_eq!(claims.user_id, session().user_id);
        assert_eq!(claims.session_id, session().id);
    }

    #[test]
    fn time_is_checked_without_leeway() {
        let token = signed(ALGORITHM, SECRET, &claims());
        assert!(tokens().verify(&token, at(1999)).is_some());
        assert!(tokens().verify(&token, at(2000)).is_none());

        let mut claims = claims();
        claims["nbf"] = json!(1500);
        let token = signed(ALGORITHM, SECRET, &claims);
        assert!(tokens().verify(&token, at(1499)).is_none());
        assert!(tokens().verify(&token, at(1500)).is_some());
    }

    #[test]
    fn a_token_that_is_known_is_no_longer_valid_than_another() {
        let tokens = tokens();
        let mut claims = claims();
        claims["nbf"] = json!(1500);
        let token = signed(ALGORITHM, SECRET, &claims);
        for (now, valid) in [(1500, true), (1999, true), (2000, false), (1499, false)] {
            let said = tokens.verify(&token, at(now));
            assert_eq!(
                said.map(|said| said.session_id),
                valid.then(|| session().id)
            );
        }
        assert!(tokens.verify(&format!("{token}A"), at(1500)).is_none());
        let forged = signed(ALGORITHM, "another secret of thirty-two chars", &claims);
        for _ in 0..2 {
            assert!(tokens.verify(&forged, at(1500)).is_none());
        }
    }

    #[test]
    fn other_algorithms_and_keys_are_refused() {
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = signed(algorithm, SECRET, &claims());
            assert!(tokens().verify(&token, at(1500)).is_none(), "{algorithm:?}");
        }
        let token = signed(ALGORITHM, "another secret of thirty-two chars", &claims());
        assert!(tokens().verify(&token, at(1500)).is_none());
        let token = signed(ALGORITHM, "", &claims());
        assert!(tokens().verify(&token, at(1500)).is_none());
    }

    #[test]
    fn unsigned_tokens_are_refused() {
        let token = signed(ALGORITHM, SECRET, &claims());
        let (_, payload_and_signature) = token.split_once('.').unwrap();
        let (payload, signature) = payload_and_signature.split_once('.').unwrap();
        // {"alg":"none"}, {"alg":"None"}, {"alg":"none","typ":"JWT"}
        for header in [
            "eyJhbGciOiJub25lIn0",
            "eyJhbGciOiJOb25lIn0",
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0",
        ] {
            for signature in ["", signature] {
                let token = format!("{header}.{payload}.{signature}");
                assert!(tokens().verify(&token, at(1500)).is_none(), "{token}");
            }
        }
    }

    #[test]
    fn claims_that_are_wrong_or_missing_are_refused() {
        for name in ["iss", "aud", "sub", "jti", "iat", "exp"] {
            let mut missing = claims();
            missing.as_object_mut().unwrap().remove(name);
            let mut wrong = claims();
            wrong[name] = json!("other");
            let mut null = claims();
            null[name] = Value::Null;
            for claims in [missing, wrong, null] {
                let token = signed(ALGORITHM, SECRET, &claims);
                assert!(tokens().verify(&token, at(1500)).is_none(), "{claims}");
            }
        }
    }

    #[test]
    fn every_cut_change_and_addition_is_noticed() {
        let token = signed(ALGORITHM, SECRET, &claims());
        let refused = |token: &str| tokens().verify(token, at(1500)).is_none();
        for length in 0..token.len() {
            assert!(refused(&token[..length]), "cut to {length}");
        }
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(refused(&changed), "changed at {index}");
        }
        for stretched in [
            "{}A", "{}=", "{}.", "{}.A", "{} ", " {}", "{}\n", ".{}", "{}\0",
        ] {
            assert!(refused(&stretched.replace("{}", &token)), "{stretched:?}");
        }
        assert!(refused("ünïcode.ünïcode.ünïcode"));
        assert!(refused(&format!("{token}{}", "A".repeat(1 << 20))));
    }

    #[test]
    fn tokens_over_4_kib_are_refused_though_signed_by_us() {
        let with_padding = |length: usize| {
            let mut claims = claims();
            claims["padding"] = json!("x".repeat(length));
            signed(ALGORITHM, SECRET, &claims)
        };
        assert!(tokens().verify(&with_padding(2000), at(1500)).is_some());
        assert!(tokens().verify(&with_padding(4000), at(1500)).is_none());
    }

    #[test]
    fn keys_are_not_printed() {
        assert!(!format!("{:?}", tokens()).contains("secret"));
    }
}
