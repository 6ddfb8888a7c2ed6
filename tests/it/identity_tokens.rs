//! Which tokens of an identity provider's are believed, and how its keys are had.

use std::{sync::Arc, time::Duration};

use ambient::{Random, SystemClock};
use intuned_gateway::{
    accounts::{AccountError, Accounts, AccountsConfig, Caller},
    audit::Origin,
    platform::database,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    Backend, TestDatabase,
    identity_provider::{AUDIENCE, IdentityProvider, Key},
};

const SECRET: &str = "a secret for tests, thirty-two bytes";

struct Fixture {
    provider: IdentityProvider,
    accounts: Accounts,
    _files: TestDatabase,
}

impl Fixture {
    async fn new(keys: &[&Key]) -> Self {
        let provider = IdentityProvider::start(keys).await;
        let files = TestDatabase::create(Backend::Sqlite).await;
        let database = database::connect(&files.url, 1).await.unwrap();
        database::migrate(&database).await.unwrap();
        let config = AccountsConfig {
            provider: Some(provider.config()),
            ..AccountsConfig::new(SECRET.into(), Duration::from_hours(1))
        };
        let clock = Arc::new(SystemClock);
        let random = Random::from_seed(1);
        Self {
            accounts: Accounts::with_config(database, &config, clock, random).unwrap(),
            provider,
            _files: files,
        }
    }

    async fn caller(&self, token: &str) -> Option<Caller> {
        match self.accounts.authenticate(token, Origin::default()).await {
            Ok(caller) => Some(caller),
            Err(AccountError::InvalidToken) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn accepts(&self, token: &str) -> bool {
        self.caller(token).await.is_some()
    }

    fn claims(&self) -> Value {
        self.provider.claims("ada")
    }
}

fn signed_as(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

/// The base64 of a header or payload.
fn part(json: &Value) -> String {
    let token = signed_as(&Header::default(), json, &EncodingKey::from_secret(b"x"));
    token.split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn tokens_signed_with_rsa_and_ec_keys_are_believed() {
    let (rsa, ec) = (Key::rsa("r"), Key::ec("e"));
    let fixture = Fixture::new(&[&rsa, &ec]).await;
    let claims = fixture.claims();
    let by_rsa = fixture.caller(&rsa.sign(&claims)).await.unwrap();
    let by_ec = fixture.caller(&ec.sign(&claims)).await.unwrap();
    assert_eq!(by_rsa.user_id, by_ec.user_id);
    assert_ne!(by_rsa.session_id, by_ec.session_id);
    assert_eq!(
        by_rsa.expires_at.timestamp(),
        claims["exp"].as_i64().unwrap()
    );
    let again = fixture.caller(&rsa.sign(&claims)).await.unwrap();
    assert_eq!(again, by_rsa);
    let bob = rsa.sign(&fixture.provider.claims("bob"));
    assert_ne!(fixture.caller(&bob).await.unwrap().user_id, by_rsa.user_id);

    let mut many = claims;
    many["aud"] = json!(["another", AUDIENCE]);
    assert!(fixture.accepts(&rsa.sign(&many)).await);
    assert_eq!(fixture.provider.fetches(), 1);
}

#[rstest]
#[case::another_issuer("iss", json!("https://evil.example/"))]
#[case::an_issuer_without_the_slash("iss", json!("http://127.0.0.1"))]
#[case::two_issuers("iss", json!(["https://evil.example/"]))]
#[case::another_audience("aud", json!("another"))]
#[case::other_audiences("aud", json!(["another", "the-gateway-2"]))]
#[case::no_audiences("aud", json!([]))]
#[case::no_subject("sub", json!(""))]
#[case::a_long_subject("sub", json!("x".repeat(256)))]
#[case::a_number_as_subject("sub", json!(1))]
#[case::expired("exp", json!(1_700_000_000))]
#[case::an_absurd_end("exp", json!(i64::MAX))]
#[case::a_text_as_end("exp", json!("2099-01-01"))]
#[case::not_yet("nbf", json!(4_000_000_000_u64))]
#[case::issued_in_the_future("iat", json!(4_000_000_000_u64))]
#[tokio::test]
async fn claims_that_are_wrong_or_missing_are_refused(#[case] name: &str, #[case] wrong: Value) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    claims[name] = wrong;
    assert!(!fixture.accepts(&key.sign(&claims)).await);
    claims.as_object_mut().unwrap().remove(name);
    let optional = matches!(name, "nbf" | "iat");
    assert_eq!(fixture.accepts(&key.sign(&claims)).await, optional);
}

/// Made for another purpose than to tell who somebody is.
#[rstest]
#[case::none(None, true)]
#[case::jwt(Some("JWT"), true)]
#[case::lower_case(Some("jwt"), true)]
#[case::media_type(Some("application/jwt"), true)]
#[case::access(Some("at+jwt"), true)]
#[case::access_media_type(Some("Application/AT+JWT"), true)]
#[case::logout(Some("logout+jwt"), false)]
#[case::logout_in_capitals(Some("LOGOUT+JWT"), false)]
#[case::logout_media_type(Some("application/logout+jwt"), false)]
#[case::security_event(Some("secevent+jwt"), false)]
#[case::proof_of_possession(Some("dpop+jwt"), false)]
#[case::introspection(Some("token-introspection+jwt"), false)]
#[case::another_media_type(Some("text/jwt"), false)]
#[case::twice(Some("application/application/jwt"), false)]
#[case::empty(Some(""), false)]
#[tokio::test]
async fn tokens_of_other_types_are_refused(#[case] typ: Option<&str>, #[case] accepted: bool) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let header = Header {
        typ: typ.map(str::to_owned),
        ..key.header()
    };
    let token = signed_as(&header, &fixture.claims(), &key.signing);
    assert_eq!(fixture.accepts(&token).await, accepted);
}

/// As a provider that signs a user out sends it, with or without a type of its own.
#[rstest]
#[tokio::test]
async fn logout_tokens_are_no_sessions(
    #[values("JWT", "at+jwt", "logout+jwt")] typ: &str,
    #[values(None, Some("n-0S6_WzA2Mj"))] nonce: Option<&str>,
) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    claims["jti"] = json!("bWJq");
    claims["sid"] = json!("08a5019c-17e1-4977-8f42-65a12843ea02");
    claims["events"] = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let header = Header {
        typ: Some(typ.to_owned()),
        ..key.header()
    };
    assert!(
        !fixture
            .accepts(&signed_as(&header, &claims, &key.signing))
            .await
    );
    // An ID token has a nonce and no event.
    claims.as_object_mut().unwrap().remove("events");
    let id_token = signed_as(&header, &claims, &key.signing);
    assert_eq!(fixture.accepts(&id_token).await, typ != "logout+jwt");
}

#[rstest]
#[case("email_verified", json!("true"))]
#[case("email_verified", json!("yes"))]
#[case("email_verified", json!(1))]
#[case("email_verified", json!({}))]
#[case("email", json!(7))]
#[case("email", json!(["ada@example.com"]))]
#[case("email", json!({ "address": "ada@example.com" }))]
#[case("email", json!("no address"))]
#[case("iat", json!("2026-01-01T00:00:00Z"))]
#[case("iat", json!(1_700_000_000.5))]
#[case("iat", json!([]))]
#[case("nbf", json!(1_700_000_000.5))]
#[case("nbf", json!("1700000000"))]
#[case("nbf", json!({}))]
#[case("events", json!(null))]
#[case("nonce", json!(5))]
#[case("jti", json!(5))]
#[tokio::test]
async fn claims_that_may_be_missing_may_have_any_shape(#[case] name: &str, #[case] odd: Value) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    claims["email"] = json!("ada@example.com");
    claims["email_verified"] = json!(true);
    claims[name] = odd;
    assert!(fixture.accepts(&key.sign(&claims)).await);
}

#[rstest]
#[case("nbf", json!("4000000000"))]
#[case("nbf", json!(4_000_000_000.5))]
#[case("nbf", json!(u64::MAX))]
#[case("iat", json!("4000000000"))]
#[case("exp", json!(1_700_000_000.9))]
#[case("exp", json!("4000000000"))]
#[case("exp", json!({}))]
#[tokio::test]
async fn times_are_read_in_whichever_way_they_are_written(
    #[case] name: &str,
    #[case] wrong: Value,
) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    claims[name] = wrong;
    assert!(!fixture.accepts(&key.sign(&claims)).await);
    let soon = fixture.claims()["exp"].as_f64().unwrap() + 0.5;
    let mut claims = fixture.claims();
    claims["exp"] = json!(soon);
    assert!(fixture.accepts(&key.sign(&claims)).await);
}

#[tokio::test]
async fn the_clock_of_the_provider_may_be_a_little_ahead_but_no_token_lives_longer() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    let now = claims["iat"].as_i64().unwrap() + 10;
    for (name, value, accepted) in [
        ("nbf", now + 20, true),
        ("nbf", now + 60, false),
        ("nbf", now, true),
        ("exp", now - 1, false),
    ] {
        claims[name] = json!(value);
        assert_eq!(
            fixture.accepts(&key.sign(&claims)).await,
            accepted,
            "{name} {value}"
        );
    }
}

/// The public key is known to all: it must not pass for the secret of an HMAC.
#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let key = Key::rsa("r");
    let fixture = Fixture::new(&[&key]).await;
    let modulus = key.public["n"].as_str().unwrap();
    let document = serde_json::to_vec(&key.public).unwrap();
    let decoded = EncodingKey::from_urlsafe_base64_secret(&format!("{modulus}==")).unwrap();
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let header = Header {
            kid: Some(key.id.clone()),
            ..Header::new(algorithm)
        };
        for secret in [
            EncodingKey::from_secret(modulus.as_bytes()),
            EncodingKey::from_secret(&document),
            EncodingKey::from_secret(b""),
            decoded.clone(),
        ] {
            let token = signed_as(&header, &fixture.claims(), &secret);
            assert!(!fixture.accepts(&token).await, "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let good = key.sign(&fixture.claims());
    let (_, signature) = good.rsplit_once('.').unwrap();
    let payload = part(&fixture.claims());
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = part(&json!({ "alg": algorithm, "kid": "e", "typ": "JWT" }));
        for signature in ["", signature] {
            let token = format!("{header}.{payload}.{signature}");
            assert!(!fixture.accepts(&token).await, "{algorithm}");
        }
    }
    assert!(fixture.accepts(&good).await);
    assert!(!fixture.accepts(good.strip_suffix(signature).unwrap()).await);
    assert!(!fixture.accepts(&good.replace('.', "..")).await);
    let other = key.sign(&fixture.provider.claims("bob"));
    let (signed, _) = other.rsplit_once('.').unwrap();
    assert!(!fixture.accepts(&format!("{signed}.{signature}")).await);
}

#[tokio::test]
async fn a_key_counts_for_its_own_kind_and_purpose_alone() {
    let (rsa, ec) = (Key::rsa("r"), Key::ec("e"));
    let shared = json!({ "kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2VjcmV0" });
    let mut encrypting = Key::ec("encrypting");
    encrypting.public["use"] = json!("enc");
    let mut pinned = Key::rsa("pinned");
    pinned.public["alg"] = json!("RS512");
    let mut wrapping = Key::ec("wrapping");
    wrapping.public["key_ops"] = json!(["sign"]);
    let mut symmetric = Key::ec("shared");
    symmetric.public = shared;
    let odd = Key {
        public: json!({ "kty": "quantum", "kid": "odd" }),
        ..Key::ec("odd")
    };
    let all = [&odd, &symmetric, &rsa, &ec, &encrypting, &pinned, &wrapping];
    let fixture = Fixture::new(&all).await;
    let claims = fixture.claims();
    for (key, accepted) in [
        (&rsa, true),
        (&ec, true),
        (&encrypting, false),
        (&pinned, false),
        (&wrapping, false),
    ] {
        assert_eq!(
            fixture.accepts(&key.sign(&claims)).await,
            accepted,
            "{}",
            key.id
        );
    }
    // One key's signature under the other's name.
    let crossed = Header {
        kid: Some("r".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    assert!(
        !fixture
            .accepts(&signed_as(&crossed, &claims, &ec.signing))
            .await
    );
    let by_secret = Header {
        kid: Some("shared".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let secret = EncodingKey::from_secret(b"secret");
    assert!(
        !fixture
            .accepts(&signed_as(&by_secret, &claims, &secret))
            .await
    );
}

#[tokio::test]
async fn keys_in_the_token_itself_count_for_nothing() {
    let (key, own) = (Key::ec("e"), Key::ec("e"));
    let fixture = Fixture::new(&[&key]).await;
    let stranger = IdentityProvider::start(&[&own]).await;
    let embedded = Jwk::from_encoding_key(&own.signing, own.algorithm).unwrap();
    let address = stranger.config().jwks_url.to_string();
    for header in [
        Header {
            jwk: Some(embedded),
            ..own.header()
        },
        Header {
            jku: Some(address.clone()),
            ..own.header()
        },
        Header {
            x5u: Some(address),
            ..own.header()
        },
    ] {
        let token = signed_as(&header, &fixture.claims(), &own.signing);
        assert!(!fixture.accepts(&token).await);
    }
    assert_eq!(stranger.fetches(), 0);
    let demanding = Header {
        crit: Some(vec!["b64".to_owned()]),
        ..key.header()
    };
    assert!(
        !fixture
            .accepts(&signed_as(&demanding, &fixture.claims(), &key.signing))
            .await
    );
}

#[tokio::test]
async fn a_token_names_its_key() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    for id in [None, Some(""), Some("E"), Some("../keys"), Some("e\0")] {
        let header = Header {
            kid: id.map(str::to_owned),
            ..key.header()
        };
        let token = signed_as(&header, &fixture.claims(), &key.signing);
        assert!(!fixture.accepts(&token).await, "{id:?}");
    }
    assert!(fixture.accepts(&key.sign(&fixture.claims())).await);
    // Keys are asked for once for all of those, and not for tokens of others.
    assert_eq!(fixture.provider.fetches(), 1);
    let mut claims = fixture.claims();
    claims["padding"] = json!("x".repeat(20_000));
    assert!(!fixture.accepts(&key.sign(&claims)).await);
}

#[tokio::test]
async fn a_foreign_token_makes_nobody_ask_for_keys() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let mut claims = fixture.claims();
    claims["iss"] = json!("https://evil.example/");
    assert!(!fixture.accepts(&key.sign(&claims)).await);
    assert!(!fixture.accepts("a.b.c").await);
    assert_eq!(fixture.provider.fetches(), 0);
}

/// Moves the runtime's clock on while nothing is under way.
async fn after(pause: Duration) {
    tokio::time::pause();
    tokio::time::advance(pause).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_that_were_rotated_are_found_and_old_ones_are_dropped() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let fixture = Fixture::new(&[&old]).await;
    assert!(fixture.accepts(&old.sign(&fixture.claims())).await);
    fixture.provider.publish(&[&new]);
    let token = new.sign(&fixture.claims());
    // Asked for just now; tokens cannot make the gateway ask all the time.
    assert!(!fixture.accepts(&token).await);
    assert_eq!(fixture.provider.fetches(), 1);
    after(Duration::from_secs(5)).await;
    assert!(fixture.accepts(&token).await);
    assert!(!fixture.accepts(&old.sign(&fixture.claims())).await);
    assert_eq!(fixture.provider.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_stops_counting() {
    let (first, second) = (Key::ec("first"), Key::ec("second"));
    let fixture = Fixture::new(&[&first, &second]).await;
    let token = first.sign(&fixture.claims());
    assert!(fixture.accepts(&token).await);
    fixture.provider.publish(&[&second]);
    after(Duration::from_mins(10)).await;
    assert!(!fixture.accepts(&token).await);
}

#[tokio::test]
async fn many_at_once_ask_for_the_keys_once() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let tokens: Vec<_> = (0..20)
        .map(|n| key.sign(&fixture.provider.claims(&format!("user-{n}"))))
        .collect();
    let accepted = tokens.iter().map(|token| fixture.accepts(token));
    let accepted = futures_util::future::join_all(accepted).await;
    assert!(accepted.into_iter().all(|accepted| accepted));
    assert_eq!(fixture.provider.fetches(), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_missed_after_a_day() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let claims = fixture.claims();
    assert!(fixture.accepts(&key.sign(&claims)).await);
    fixture.provider.answer_with(ResponseTemplate::new(503));
    after(Duration::from_hours(23)).await;
    assert!(fixture.accepts(&key.sign(&claims)).await);
    assert_eq!(fixture.provider.fetches(), 2);
    after(Duration::from_hours(1)).await;
    let missed = fixture
        .accounts
        .authenticate(&key.sign(&claims), Origin::default())
        .await;
    assert!(matches!(missed, Err(AccountError::NoKeys)));
    fixture.provider.publish(&[&key]);
    after(Duration::from_secs(5)).await;
    assert!(fixture.accepts(&key.sign(&claims)).await);
}

#[rstest]
#[case::an_error(ResponseTemplate::new(500))]
#[case::no_json(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::other_json(ResponseTemplate::new(200).set_body_json(json!([])))]
#[case::no_keys(ResponseTemplate::new(200).set_body_json(json!({ "keys": [] })))]
#[case::without_end(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 300_000]))]
#[tokio::test]
async fn what_is_no_set_of_keys_is_not_taken(#[case] answer: ResponseTemplate) {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    fixture.provider.answer_with(answer);
    let result = fixture
        .accounts
        .authenticate(&key.sign(&fixture.claims()), Origin::default())
        .await;
    assert!(matches!(result, Err(AccountError::NoKeys)), "{result:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let key = Key::ec("e");
    let fixture = Fixture::new(&[&key]).await;
    let elsewhere = IdentityProvider::start(&[&key]).await;
    let location = elsewhere.config().jwks_url.to_string();
    let redirect = ResponseTemplate::new(302).insert_header("location", location.as_str());
    fixture.provider.answer_with(redirect);
    let result = fixture
        .accounts
        .authenticate(&key.sign(&fixture.claims()), Origin::default())
        .await;
    assert!(matches!(result, Err(AccountError::NoKeys)), "{result:?}");
    assert_eq!(elsewhere.fetches(), 0);
}
