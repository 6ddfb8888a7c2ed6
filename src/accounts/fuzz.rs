//! Any text in the place of a session token, an e-mail address or an `Authorization` header.

#![expect(
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use std::sync::LazyLock;

use chrono::DateTime;
use entity::session;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{email, tokens::Tokens};
use crate::fuzzing::{CANARY, assert_no_canary};

const SECRET: &str = "a secret of thirty-two characters";
const ISSUED: i64 = 1000;
const NOW: i64 = 1500;
const EXPIRES: i64 = 2000;

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new(&SECRET.into()));
/// A token that is valid.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let session = session::Model {
        id: Uuid::from_u128(1),
        user_id: Uuid::from_u128(2),
        created_at: at(ISSUED).into(),
        expires_at: at(EXPIRES).into(),
    };
    let token = TOKENS.sign(&session).unwrap_or_default();
    token.expose_secret().to_owned()
});

fn at(seconds: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn is_accepted(token: &str) -> bool {
    TOKENS.verify(token, at(NOW)).is_some()
}

/// A token made of `data`, in a way that its first byte chooses: the text itself, a valid token with
/// some of its bytes changed, or claims or a header that are signed by the right key.
pub fn token(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    match kind % 5 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            assert_eq!(is_accepted(&text), text == *TOKEN);
        }
        1 => {
            let text = String::from_utf8_lossy(&edited(TOKEN.as_bytes(), rest)).into_owned();
            assert_eq!(is_accepted(&text), text == *TOKEN);
        }
        2 => signed_claims(rest),
        3 => signed_header(rest),
        _ => address(&String::from_utf8_lossy(rest)),
    }
}

/// `token` after edits of three bytes each: what to do, where, and with which byte.
fn edited(token: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut token = token.to_vec();
    for edit in edits.chunks_exact(3) {
        let [what, place, byte] = edit else { continue };
        let scale = (token.len() + 1) * usize::from(*place) / 256;
        match what % 4 {
            0 => token.insert(scale, *byte),
            1 if scale < token.len() => {
                token.remove(scale);
            }
            2 => {
                if let Some(target) = token.get_mut(scale) {
                    *target = *byte;
                }
            }
            _ => token.truncate(scale),
        }
    }
    token
}

/// Whoever has the key can sign anything: claims are checked all the same.
fn signed_claims(claims: &[u8]) {
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else {
        return;
    };
    let Some(token) = signed(&Header::new(Algorithm::HS256), &claims) else {
        return;
    };
    let Some(accepted) = TOKENS.verify(&token, at(NOW)) else {
        return;
    };
    assert_eq!(claims["iss"], "intuned-gateway");
    assert_eq!(claims["aud"], "intuned-gateway");
    assert!(claims["exp"].as_i64().is_some_and(|exp| exp > NOW));
    assert!(claims["nbf"].as_i64().is_none_or(|nbf| nbf <= NOW));
    let id = |name: &str| claims[name].as_str()?.parse::<Uuid>().ok();
    assert_eq!(id("sub"), Some(accepted.user_id));
    assert_eq!(id("jti"), Some(accepted.session_id));
}

fn signed_header(header: &[u8]) {
    let Ok(header) = serde_json::from_slice::<Header>(header) else {
        return;
    };
    let claims = json!({
        "iss": "intuned-gateway", "aud": "intuned-gateway", "sub": Uuid::from_u128(2),
        "jti": Uuid::from_u128(1), "iat": ISSUED, "exp": EXPIRES,
    });
    if let Some(token) = signed(&header, &claims) {
        assert!(!is_accepted(&token) || header.alg == Algorithm::HS256);
    }
}

fn signed(header: &Header, claims: &Value) -> Option<String> {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(header, claims, &key).ok()
}

/// An address has one form, which is a plain one.
fn address(text: &str) {
    let Some(email) = email::normalize(text) else {
        return;
    };
    assert_eq!(email::normalize(&email).as_ref(), Some(&email));
    assert!(email.len() <= 254 && email.contains('@'));
    assert!(!email.chars().any(char::is_control), "{email:?}");
    if !text.to_lowercase().contains(CANARY) {
        assert_no_canary(&email);
    }
}
