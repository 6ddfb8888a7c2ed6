//! Tokens of the identity provider's: what is asked of one before it is believed.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::accounts::email;

/// Those of real providers have one to four KiB.
const MAX_LENGTH: usize = 16 * 1024;
const MAX_SUBJECT: usize = 255;
/// How far the provider's clock may be ahead, in seconds. Towards the end there is no leeway.
const LEEWAY: i64 = 30;

/// What a provider's token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) subject: String,
    /// Only if the provider says that it is verified.
    pub(super) email: Option<String>,
    /// In seconds since the Unix epoch.
    pub(super) issued_at: Option<i64>,
    pub(super) expires_at: DateTime<Utc>,
    /// The session that the token stands for.
    pub(super) session_id: Uuid,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    email: Option<Text>,
    email_verified: Option<Flag>,
    /// Of logout tokens, and of others that tell of something (RFC 8417).
    events: Option<IgnoredAny>,
}

/// Seconds since the Unix epoch. One that is needed is a number; another may have any shape.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(i64),
    Fraction(f64),
    Text(String),
    Other(IgnoredAny),
}

/// A text, if it has its shape.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}

/// A truth, which some providers write as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Plain(bool),
    Text(String),
    Other(IgnoredAny),
}

impl NumericDate {
    fn seconds(&self) -> Option<i64> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is out of range is the last instant, or the first"
        )]
        match self {
            Self::Whole(seconds) => Some(*seconds),
            Self::Fraction(seconds) => Some(seconds.floor() as i64),
            Self::Text(text) => text.parse().ok(),
            Self::Other(_) => None,
        }
    }
}

impl Text {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }
}

impl Flag {
    fn is_true(&self) -> bool {
        match self {
            Self::Plain(flag) => *flag,
            Self::Text(text) => text == "true",
            Self::Other(_) => false,
        }
    }
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// Types of tokens that tell who somebody is: access tokens (RFC 9068), and those that say no more than that
/// they are tokens. Others are made for another purpose, logout tokens (`logout+jwt`) among them.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// The key that a token claims to be signed with; none when it cannot be one of `issuer`'s.
pub(super) fn claimed_key(token: &str, issuer: &str) -> Option<(String, Algorithm)> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let Header {
        alg,
        kid,
        crit,
        typ,
        ..
    } = header;
    if !typ.as_deref().is_none_or(is_taken) {
        return None;
    }
    // What it says is not believed yet; but keys are not looked for on behalf of others.
    let claimed: Issuer = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    (claimed.iss == issuer && crit.is_none()).then_some((kid?, alg))
}

/// Tells whether tokens of this type are taken: a media type, whose `application/` may be left out (RFC 7515,
/// 4.1.9).
fn is_taken(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    TYPES.contains(&typ)
}

/// What the token says; none unless the key signed it for this audience and it is valid now. Keys and
/// addresses of keys that its header may carry count for nothing.
pub(super) fn verify(
    token: &str,
    (key, algorithm): (&DecodingKey, Algorithm),
    (issuer, audience): (&str, &str),
    now: DateTime<Utc>,
) -> Option<Identity> {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    // The library would look at the machine's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims: Claims = jsonwebtoken::decode(token, key, &validation).ok()?.claims;
    // A logout token has this, whatever type it gives itself (OpenID Connect Back-Channel Logout 1.0, 2.4).
    if claims.events.is_some() {
        return None;
    }
    let seconds = |date: Option<NumericDate>| date.and_then(|date| date.seconds());
    let (expires_at, issued_at) = (claims.exp.seconds()?, seconds(claims.iat));
    let latest = now.timestamp() + LEEWAY;
    let begun = |instant: Option<i64>| instant.is_none_or(|instant| instant <= latest);
    let named = (1..=MAX_SUBJECT).contains(&claims.sub.len());
    let has_begun = begun(seconds(claims.nbf)) && begun(issued_at);
    if !named || !has_begun || expires_at <= now.timestamp() {
        return None;
    }
    let verified = claims.email_verified.is_some_and(|flag| flag.is_true());
    let email = claims.email.filter(|_| verified);
    Some(Identity {
        subject: claims.sub,
        email: email.and_then(|email| email::normalize(email.as_str()?)),
        issued_at,
        expires_at: DateTime::from_timestamp(expires_at, 0)?,
        session_id: session_id(token)?,
    })
}

/// Made of what is signed, not of the signature, of which there can be several.
fn session_id(token: &str) -> Option<Uuid> {
    let (signed, _) = token.rsplit_once('.')?;
    let digest = Sha256::digest(signed);
    let (half, _) = digest.split_at(16);
    let half = half.try_into().ok()?;
    Some(uuid::Builder::from_custom_bytes(half).into_uuid())
}

/// Whether the session is one that a provider's token stands for.
pub(super) fn stands_for_token(session_id: Uuid) -> bool {
    session_id.get_version() == Some(uuid::Version::Custom)
}
