//! The provider's public keys: fetched from its JWKS address, kept, and fetched again when they are old
//! or a token names one that is not there.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

/// Keys as old as this are fetched again.
const FRESH: Duration = Duration::from_mins(10);
/// While the provider is away, its keys go on being used for so long.
const USABLE: Duration = Duration::from_hours(24);
/// Pause between two tries to fetch them, whatever tokens name.
const PAUSE: Duration = Duration::from_secs(5);
const FETCH_WITHIN: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

/// Keys that have been fetched, and the way to fetch them.
pub(super) struct Keys {
    http: Client,
    url: Url,
    kept: RwLock<Option<Arc<KeySet>>>,
    /// When they were last asked for; who holds it asks.
    asked_at: Mutex<Option<Instant>>,
}

struct KeySet {
    keys: Vec<Key>,
    fetched_at: Instant,
}

struct Key {
    id: String,
    algorithms: Vec<Algorithm>,
    checking: DecodingKey,
}

/// There are no keys to go by: the provider cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the identity provider's keys cannot be had")]
pub(super) struct NoKeys;

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    Long,
    #[error("the answer is no set of keys")]
    Form,
    #[error("no key in the answer can check signatures")]
    Empty,
}

#[derive(Deserialize)]
struct Wire {
    keys: Vec<Value>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(FETCH_WITHIN)
            .build()?;
        Ok(Self {
            http,
            url,
            kept: RwLock::new(None),
            asked_at: Mutex::new(None),
        })
    }

    /// The key of this id, fit for this algorithm; none when the provider has no such key.
    pub(super) async fn find(
        &self,
        id: &str,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, NoKeys> {
        let kept = self.kept();
        let found = kept.as_ref().and_then(|set| set.find(id, algorithm));
        let fresh = kept.is_some_and(|set| set.fetched_at.elapsed() < FRESH);
        if let Some(key) = found {
            // Those who come while old keys are being fetched again need not wait for it.
            if !fresh && let Ok(mut asked_at) = self.asked_at.try_lock() {
                self.refresh(&mut asked_at).await;
                let kept = self.kept().ok_or(NoKeys)?;
                return Ok(kept.find(id, algorithm));
            }
            return Ok(Some(key));
        }
        self.refresh(&mut *self.asked_at.lock().await).await;
        let kept = self.kept().ok_or(NoKeys)?;
        Ok(kept.find(id, algorithm))
    }

    /// The keys, unless they are too old.
    fn kept(&self) -> Option<Arc<KeySet>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|set| set.fetched_at.elapsed() < USABLE)
    }

    /// Fetches the keys, unless that was tried just now.
    async fn refresh(&self, asked_at: &mut Option<Instant>) {
        if asked_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *asked_at = Some(Instant::now());
        match self.fetch().await {
            Ok(set) => {
                let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
                *kept = Some(Arc::new(set));
            }
            Err(error) => {
                tracing::warn!(%error, "the identity provider's keys could not be fetched; trying again");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let request = self.http.get(self.url.clone());
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::Long);
            }
            body.extend_from_slice(&chunk);
        }
        let wire: Wire = serde_json::from_slice(&body).map_err(|_| FetchError::Form)?;
        // One that is not understood must not take the others with it.
        let keys: Vec<Key> = wire.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(FetchError::Empty);
        }
        Ok(KeySet {
            keys,
            fetched_at: Instant::now(),
        })
    }
}

impl KeySet {
    fn find(&self, id: &str, algorithm: Algorithm) -> Option<DecodingKey> {
        let fits = |key: &&Key| key.id == id && key.algorithms.contains(&algorithm);
        self.keys.iter().find(fits).map(|key| key.checking.clone())
    }
}

impl Key {
    /// None for a key without an id, and for one that is not meant for, or not fit for, checking
    /// signatures with the algorithms that are taken.
    fn read(wire: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(wire).ok()?;
        let common = &jwk.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let operations = common.key_operations.as_ref();
        let checks = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        let mut algorithms = algorithms(&jwk.algorithm);
        if let Some(named) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == named);
        }
        if !signs || !checks || algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: common.key_id.clone()?,
            checking: DecodingKey::from_jwk(&jwk).ok()?,
            algorithms,
        })
    }
}

/// What a key of this kind can check; nothing that rests on a shared secret.
fn algorithms(key: &AlgorithmParameters) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![ES256],
            EllipticCurve::P384 => vec![ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![EdDSA]
        }
        _ => Vec::new(),
    }
}
