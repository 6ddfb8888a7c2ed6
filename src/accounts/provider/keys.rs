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
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, de::IgnoredAny};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use outbound::Outbound;

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
    source: Arc<Source>,
    /// When they were last asked for; who holds it asks.
    asked_at: Arc<Mutex<Option<Instant>>>,
}

struct Source {
    http: Client,
    url: Url,
    kept: RwLock<Option<Arc<KeySet>>>,
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
    #[error("it cannot be asked: {0}")]
    Http(String),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    Long,
    #[error("the answer is no set of keys")]
    Form,
    #[error("no key in the answer can check signatures")]
    Empty,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(outbound::root_cause(error))
    }
}

#[derive(Deserialize)]
struct Wire {
    keys: Vec<WireKey>,
}

/// Not read into a value of `serde_json`'s: what stands under one certain key there is taken for JSON in a
/// text and read anew, and one that is none fails them all.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireKey {
    Key(Box<Jwk>),
    /// One that is not understood must not take the others with it.
    Other(IgnoredAny),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(url: Url, outbound: &Outbound) -> Result<Self, reqwest::Error> {
        let http = outbound.client().timeout(FETCH_WITHIN).build()?;
        let kept = RwLock::new(None);
        Ok(Self {
            source: Arc::new(Source { http, url, kept }),
            asked_at: Arc::default(),
        })
    }

    /// The key of this id, fit for this algorithm; none when the provider has no such key.
    pub(super) async fn find(
        &self,
        id: &str,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, NoKeys> {
        let kept = self.source.kept();
        let found = kept.as_ref().and_then(|set| set.find(id, algorithm));
        let fresh = kept.is_some_and(|set| set.fetched_at.elapsed() < FRESH);
        if let Some(key) = found {
            // Those who come while old keys are being fetched again need not wait for it.
            if !fresh && let Ok(asked_at) = self.asked_at.clone().try_lock_owned() {
                self.refresh(asked_at).await;
                let kept = self.source.kept().ok_or(NoKeys)?;
                return Ok(kept.find(id, algorithm));
            }
            return Ok(Some(key));
        }
        self.refresh(self.asked_at.clone().lock_owned().await).await;
        let kept = self.source.kept().ok_or(NoKeys)?;
        Ok(kept.find(id, algorithm))
    }

    /// Fetches the keys, unless that was tried just now. A task of its own does it: whoever asks and
    /// leaves at once, again and again, must not keep others from ever having them.
    async fn refresh(&self, mut asked_at: OwnedMutexGuard<Option<Instant>>) {
        if asked_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        let source = Arc::clone(&self.source);
        let fetched = tokio::spawn(async move {
            source.refresh().await;
            // From now on: those who have waited for a provider that hangs do not wait once more.
            *asked_at = Some(Instant::now());
        });
        fetched.await.ok();
    }
}

impl Source {
    /// The keys, unless they are too old.
    fn kept(&self) -> Option<Arc<KeySet>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|set| set.fetched_at.elapsed() < USABLE)
    }

    async fn refresh(&self) {
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
        let mut response = request.send().await?;
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
    fn read(wire: WireKey) -> Option<Self> {
        let WireKey::Key(jwk) = wire else {
            return None;
        };
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// The example of RFC 7517.
    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","use":"sig","kid":"1",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

    #[test]
    fn no_text_is_read_anew_and_no_key_takes_the_others_with_it() {
        for other in [
            r#"{"$serde_json::private::RawValue":"no JSON"}"#,
            r#"{"$serde_json::private::RawValue":"{}"}"#,
            r#"{"kty":"EC","crv":"P-256","$serde_json::private::RawValue":"["}"#,
            r#"{"kty":"unheard of"}"#,
            r#"["a",{"b":[null]}]"#,
            "1",
            "null",
        ] {
            let text = KEYS.replace(r#"{"keys":["#, &format!(r#"{{"keys":[{other},"#));
            let wire: Wire = serde_json::from_str(&text).unwrap();
            let keys: Vec<_> = wire.keys.into_iter().filter_map(Key::read).collect();
            assert_eq!(keys.len(), 1, "{other}");
            assert_eq!(keys[0].id, "1");
        }
    }

    async fn provider() -> (TcpListener, Arc<Keys>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        (
            listener,
            Arc::new(Keys::new(url.parse().unwrap(), &Outbound::default()).unwrap()),
        )
    }

    #[tokio::test]
    async fn who_asks_and_leaves_does_not_keep_others_from_the_keys() {
        let (listener, keys) = provider().await;
        let asking = keys.clone();
        let asking = tokio::spawn(async move {
            asking.find("1", Algorithm::ES256).await.ok();
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());

        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{KEYS}",
            KEYS.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let found = keys.find("1", Algorithm::ES256).await;
        assert!(found.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_for_a_provider_that_hangs_wait_once() {
        let (_listener, keys) = provider().await;
        let begun = Instant::now();
        let find = || keys.find("1", Algorithm::ES256);
        let found = tokio::join!(find(), find(), find());
        assert!(found.0.is_err() && found.1.is_err() && found.2.is_err());
        assert!(begun.elapsed() < FETCH_WITHIN * 2, "{:?}", begun.elapsed());
    }
}
