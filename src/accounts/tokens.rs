//! Session tokens: JSON Web Tokens, signed with HMAC-SHA-256 and nothing else.

use std::fmt;

use chrono::{DateTime, Utc};
use entity::session;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AccountError;

/// The type of our tokens: one of another type is for something else.
const TYPE: &str = "JWT";
const ALGORITHM: Algorithm = Algorithm::HS256;
/// Issuer and audience alike: tokens that others sign with the same secret are none of ours.
const GATEWAY: &str = "intuned-gateway";
/// Ours have some 400 bytes.
const MAX_LENGTH: usize = 4096;

/// Signs and checks tokens.
pub(super) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

/// The claims of a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    jti: Uuid,
    /// Seconds since the Unix epoch, like the two below.
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

/// Whose token it is, and which of their sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) user_id: Uuid,
    pub(super) session_id: Uuid,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            validation: validation(),
        }
    }

    pub(super) fn sign(&self, session: &session::Model) -> Result<SecretString, AccountError> {
        let claims = Claims {
            iss: GATEWAY.to_owned(),
            aud: GATEWAY.to_owned(),
            sub: session.user_id,
            jti: session.id,
            iat: session.created_at.0.timestamp(),
            exp: session.expires_at.0.timestamp(),
            nbf: None,
        };
        jsonwebtoken::encode(&Header::new(ALGORITHM), &claims, &self.signing)
            .map(SecretString::from)
            .map_err(AccountError::Signing)
    }

    /// Whose token it is; nobody's unless it is one of ours and valid now, to the second.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Subject> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation);
        let decoded = decoded.ok()?;
        let claims = decoded.claims;
        let now = now.timestamp();
        let is_session = decoded.header.typ.as_deref() == Some(TYPE);
        let has_begun = claims.nbf.is_none_or(|nbf| nbf <= now);
        (is_session && has_begun && now < claims.exp).then_some(Subject {
            user_id: claims.sub,
            session_id: claims.jti,
        })
    }
}

/// Our algorithm, issuer and audience. Times are held against the clock that is handed in.
fn validation() -> Validation {
    let mut validation = Validation::new(ALGORITHM);
    validation.set_issuer(&[GATEWAY]);
    validation.set_audience(&[GATEWAY]);
    validation.set_required_spec_claims(&["iss", "aud"]);
    validation.validate_exp = false;
    validation
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
        let subject = tokens().verify(token.expose_secret(), at(1500)).unwrap();
        assert_eq!(subject.user_id, session().user_id);
        assert_eq!(subject.session_id, session().id);
    }

    #[test]
    fn a_token_is_what_others_take_for_a_json_web_token() {
        let token = tokens().sign(&session()).unwrap();
        let mut validation = Validation::new(ALGORITHM);
        validation.set_audience(&[GATEWAY]);
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let decoded = jsonwebtoken::decode::<Value>(token.expose_secret(), &key, &validation);
        assert_eq!(decoded.unwrap().claims, claims());
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
