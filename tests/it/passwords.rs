//! Passwords that are typed in several ways, and many that are hashed at once.

use std::{net::IpAddr, time::Duration};

use argon2::{Argon2, PasswordHasher};
use entity::user::{self, PasswordHash};
use futures_util::future::join_all;
use intuned_gateway::accounts::PasswordParams;
use rstest::rstest;
use sea_orm::{Database, EntityTrait, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Api, Backend, Setup, TestApp};

const ADA: &str = "ada@example.com";
/// One text, as two keyboards send it.
const COMPOSED: &str = "pässwörd é";
const DECOMPOSED: &str = "pa\u{308}sswo\u{308}rd e\u{301}";

const SIGN_UP: &str = "mutation($input: SignUpInput!) { signUp(input: $input) { token } }";
const SIGN_IN: &str = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";
const DELETE: &str =
    "mutation($password: String) { deleteAccount(password: $password) { deleted } }";

fn input(email: &str, password: &str) -> Value {
    json!({ "input": { "email": email, "password": password } })
}

/// Signs in; the error's code if that fails.
async fn sign_in(api: &Api, email: &str, password: &str) -> Result<Api, String> {
    let answer = api.send(SIGN_IN, input(email, password)).await;
    match answer["data"]["signIn"]["token"].as_str() {
        Some(token) => Ok(api.signed_in(token)),
        None => Err(answer["errors"][0]["extensions"]["code"].to_string()),
    }
}

#[rstest]
#[tokio::test]
async fn a_password_is_the_same_however_it_is_typed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED))] forms: (&str, &str),
) {
    let app = TestApp::start(backend).await;
    app.api.data(SIGN_UP, input(ADA, forms.0)).await;
    for password in [forms.0, forms.1] {
        sign_in(&app.api, ADA, password).await.unwrap();
    }
    let user = sign_in(&app.api, ADA, forms.1).await.unwrap();
    for wrong in ["passwörd é", "pässwörd e", "PÄSSWÖRD É"] {
        assert!(sign_in(&app.api, ADA, wrong).await.is_err());
        let code = user.error_code(DELETE, json!({ "password": wrong }));
        assert_eq!(code.await, "INVALID_CREDENTIALS");
    }
    user.data(DELETE, json!({ "password": forms.1 })).await;
    app.finish().await;
}

/// Hashes of before are of what was typed.
#[rstest]
#[tokio::test]
async fn a_hash_of_old_fits_and_is_renewed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    app.user(ADA).await;
    let database = Database::connect(app.database.url.expose_secret());
    let database = database.await.unwrap();
    let hash: argon2::password_hash::phc::PasswordHash = Argon2::from(params())
        .hash_password_with_salt(DECOMPOSED.as_bytes(), &[7; 16])
        .unwrap();
    let store = async || {
        user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(hash.to_string()))
            .exec(&database)
            .await
            .unwrap();
    };
    let stored = async || {
        let user = user::Entity::find().one(&database).await.unwrap().unwrap();
        user.password_hash
    };
    store().await;
    assert!(sign_in(&app.api, ADA, COMPOSED).await.is_err());
    assert!(
        sign_in(&app.api, ADA, "pa\u{308}sswo\u{308}rd e")
            .await
            .is_err()
    );
    assert!(stored().await == PasswordHash(hash.to_string()));
    sign_in(&app.api, ADA, DECOMPOSED).await.unwrap();
    assert!(stored().await != PasswordHash(hash.to_string()));
    for password in [COMPOSED, DECOMPOSED] {
        sign_in(&app.api, ADA, password).await.unwrap();
    }
    store().await;
    let user = app.api.sign_up("bob@example.com").await;
    store().await;
    user.data(DELETE, json!({ "password": DECOMPOSED })).await;
    database.close().await.unwrap();
    app.finish().await;
}

fn params() -> PasswordParams {
    PasswordParams::new(8, 1, 1, None).unwrap()
}

#[rstest]
#[case::seven("e\u{301}a\u{308}o\u{308}u\u{308}n\u{303}a\u{308}b", false)]
#[case::eight("e\u{301}a\u{308}o\u{308}u\u{308}n\u{303}a\u{308}bc", true)]
#[case::many(&"a\u{308}".repeat(128), true)]
#[case::too_many(&"a\u{308}".repeat(129), false)]
#[case::far_too_many(&"a\u{308}".repeat(300_000), false)]
#[tokio::test]
async fn characters_are_counted_as_they_are_seen(#[case] password: &str, #[case] accepted: bool) {
    let app = TestApp::start(Backend::Sqlite).await;
    let answer = app.api.send(SIGN_UP, input(ADA, password)).await;
    let code = &answer["errors"][0]["extensions"]["code"];
    if accepted {
        assert_eq!(*code, Value::Null, "{answer}");
    } else {
        assert_eq!(*code, "BAD_USER_INPUT", "{answer}");
    }
    app.finish().await;
}

/// Hashes that take their time, and as many places as two cores have.
fn crowded() -> Setup {
    Setup {
        configure: |config| {
            config.http.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
            config.accounts.password_params = PasswordParams::new(4096, 1, 1, None).unwrap();
            config.accounts.password_threads = 2;
            config.accounts.passwords_waiting = 128;
        },
        ..Setup::default()
    }
}

#[rstest]
#[tokio::test]
async fn a_crowd_at_three_addresses_does_not_keep_others_from_signing_in(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, crowded()).await;
    let emails: Vec<String> = (0..30).map(|n| format!("user-{n}@example.com")).collect();
    for email in emails.iter().chain([&ADA.to_owned()]) {
        app.user(email).await;
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = async |email: &str, client: IpAddr| -> Value {
        let body = json!({ "query": SIGN_IN, "variables": input(email, "correct horse") });
        let request = http.post(&app.api.url).json(&body);
        let request = request.header("x-forwarded-for", client.to_string());
        request.send().await.unwrap().json().await.unwrap()
    };
    let address = |number: usize| IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()]);
    let crowd = (0..8 * 30).map(|n| sign_in(&emails[n % 30], address(n % 3)));
    let others = (0..12).map(async |number| {
        sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        (sign_in(ADA, address(100 + number)).await, begun.elapsed())
    });
    let (crowd, others) = tokio::join!(join_all(crowd), join_all(others));
    for (answer, took) in others {
        assert!(answer["data"]["signIn"]["token"].is_string(), "{answer}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    let refused: Vec<_> = crowd
        .iter()
        .filter(|answer| answer["errors"].is_array())
        .collect();
    assert!(!refused.is_empty());
    for answer in refused {
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "RATE_LIMITED", "{answer}");
        assert!(extensions["retryAfterSeconds"].as_u64().unwrap() >= 1);
    }
    app.finish().await;
}
