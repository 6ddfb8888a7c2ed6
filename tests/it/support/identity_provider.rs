//! An identity provider that signs what a test wants, and serves its keys.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use chrono::Utc;
use intuned_gateway::accounts::ProviderConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use outbound::Outbound;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

pub(crate) const AUDIENCE: &str = "the-gateway";
/// Bytes that wrap a 2048-bit RSA key in PKCS #8.
const WRAPPING: usize = 26;

/// A private key and what is published of it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) signing: EncodingKey,
    pub(crate) public: Value,
}

impl Key {
    pub(crate) fn rsa(id: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let signing = EncodingKey::from_rsa_der(&der.as_ref()[WRAPPING..]);
        Self::new(id, Algorithm::RS256, signing)
    }

    pub(crate) fn ec(id: &str) -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::new(id, Algorithm::ES256, EncodingKey::from_ec_der(der.as_ref()))
    }

    fn new(id: &str, algorithm: Algorithm, signing: EncodingKey) -> Self {
        let jwk = Jwk::from_encoding_key(&signing, algorithm).unwrap();
        let mut public = serde_json::to_value(jwk).unwrap();
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self {
            id: id.to_owned(),
            algorithm,
            signing,
            public,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            kid: Some(self.id.clone()),
            ..Header::new(self.algorithm)
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header(), claims, &self.signing).unwrap()
    }
}

/// The provider.
pub(crate) struct IdentityProvider {
    server: MockServer,
    answer: Arc<Mutex<ResponseTemplate>>,
    fetches: Arc<AtomicUsize>,
}

impl IdentityProvider {
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let server = MockServer::start().await;
        let answer = Arc::new(Mutex::new(published(keys)));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (shown, counted) = (answer.clone(), fetches.clone());
        let respond = move |_: &Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            shown.lock().unwrap().clone()
        };
        Mock::given(path("/keys"))
            .respond_with(respond)
            .mount(&server)
            .await;
        Self {
            server,
            answer,
            fetches,
        }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}/", self.server.uri())
    }

    pub(crate) fn config(&self) -> ProviderConfig {
        ProviderConfig {
            issuer: self.issuer(),
            audience: AUDIENCE.to_owned(),
            jwks_url: format!("{}/keys", self.server.uri()).parse().unwrap(),
            outbound: Outbound::default(),
        }
    }

    /// From now on these are its keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        self.answer_with(published(keys));
    }

    pub(crate) fn answer_with(&self, answer: ResponseTemplate) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    /// What a good token says.
    #[expect(
        clippy::disallowed_methods,
        reason = "gateways under test go by it too"
    )]
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.issuer(), "aud": AUDIENCE, "sub": subject,
            "iat": now - 10, "nbf": now - 10, "exp": now + 600,
        })
    }
}

fn published(keys: &[&Key]) -> ResponseTemplate {
    let keys: Vec<_> = keys.iter().map(|key| &key.public).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
}
