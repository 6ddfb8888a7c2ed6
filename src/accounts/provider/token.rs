//! Tokens of the identity provider's: what is asked of one before it is believed.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
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
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    email: Option<String>,
    email_verified: Option<bool>,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// Which key a token claims to be signed with; none when it cannot be one of `issuer`'s.
pub(super) fn claimed_key(token: &str, issuer: &str) -> Option<(String, Algorithm)> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let Header { alg, kid, crit, .. } = jsonwebtoken::decode_header(token).ok()?;
    // What it says is not believed yet; but keys are not looked for on behalf of others.
    let claimed: Issuer = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    (claimed.iss == issuer && crit.is_none()).then_some((kid?, alg))
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
    let latest = now.timestamp() + LEEWAY;
    let begun = |instant: Option<i64>| instant.is_none_or(|instant| instant <= latest);
    let named = (1..=MAX_SUBJECT).contains(&claims.sub.len());
    if !named || !begun(claims.nbf) || !begun(claims.iat) || claims.exp <= now.timestamp() {
        return None;
    }
    let verified = claims.email_verified == Some(true);
    Some(Identity {
        subject: claims.sub,
        email: claims
            .email
            .filter(|_| verified)
            .and_then(|email| email::normalize(&email)),
        issued_at: claims.iat,
        expires_at: DateTime::from_timestamp(claims.exp, 0)?,
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
