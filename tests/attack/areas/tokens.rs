//! Session tokens that are not, or no longer, or not quite, the gateway's.

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::post_body,
    stage::Stage,
    support::Backend,
};

const ME: &str = r#"{"query":"{ me { email } }"}"#;
/// What the gateway under test signs with.
const SECRET: &str = "a secret for tests, thirty-two bytes";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let alice = stage.alice.token.clone().unwrap();
    let ended = stage.app.user("ended@example.com").await;
    ended
        .data("mutation { signOut { signedOut } }", json!({}))
        .await;
    let mut cases = [shapes(&alice), headers(&alice), claims(&alice)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    cases.push(token(
        "a token of a session that was ended",
        &ended.token.unwrap(),
        false,
    ));
    let outcome = play(&stage, cases).await;
    stage.stop().await;
    outcome
}

/// Who this token is taken for: Alice, or nobody.
fn token(name: &str, token: &str, accepted: bool) -> Case {
    let due = if accepted {
        json!({ "me": { "email": "alice@example.com" } })
    } else {
        json!({ "me": null })
    };
    case(
        name,
        post_body(&format!("Authorization: Bearer {token}\n"), ME),
        Due::Data(due),
    )
}

#[rustfmt::skip]
fn shapes(alice: &str) -> Vec<Case> {
    let [header, payload, signature] = parts(alice);
    let refused = |name: &str, text: &str| token(name, text, false);
    let mut cases = vec![
        token("Alice's own", alice, true),
        refused("cut by one", &alice[..alice.len() - 1]),
        refused("cut in half", &alice[..alice.len() / 2]),
        refused("with a letter after it", &format!("{alice}A")),
        refused("with padding after it", &format!("{alice}=")),
        refused("with a dot after it", &format!("{alice}.")),
        refused("with a fourth part", &format!("{alice}.{signature}")),
        refused("without its signature", &format!("{header}.{payload}.")),
        refused("of two parts", &format!("{header}.{payload}")),
        refused("of one part", header),
        refused("with its parts swapped", &format!("{payload}.{header}.{signature}")),
        refused("with an empty payload", &format!("{header}..{signature}")),
        refused("with an empty header", &format!(".{payload}.{signature}")),
        refused("of dots", ".."),
        refused("in other letters", &alice.to_uppercase()),
        refused("in quotes", &format!("\"{alice}\"")),
        refused("of 1 letter", "x"),
        refused("of 10,000 letters", &"x".repeat(10_000)),
        refused("of 10,000 dots", &".".repeat(10_000)),
        refused("null", "null"),
        refused("undefined", "undefined"),
        refused("twice", &format!("{alice}, {alice}")),
        refused("percent-encoded", &alice.replace('.', "%2e")),
    ];
    for (index, name) in [(0, "header"), (1, "payload"), (2, "signature")] {
        let mut parts = parts(alice).map(str::to_owned);
        let changed = if parts[index].starts_with('A') { "B" } else { "A" };
        parts[index].replace_range(4..5, changed);
        let text = parts.join(".");
        if text != alice {
            cases.push(refused(&format!("with its {name} changed"), &text));
        }
    }
    cases
}

fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    [(); 3].map(|()| parts.next().unwrap())
}

#[rustfmt::skip]
fn headers(alice: &str) -> Vec<Case> {
    let with = |name: &str, header: String, accepted: bool| {
        let due = if accepted { json!({ "me": { "email": "alice@example.com" } }) } else { json!({ "me": null }) };
        case(name, post_body(&header, ME), Due::Data(due))
    };
    vec![
        with("the scheme in small letters", format!("Authorization: bearer {alice}\n"), true),
        with("two spaces", format!("Authorization: Bearer  {alice}\n"), true),
        with("no scheme", format!("Authorization: {alice}\n"), false),
        with("another scheme", format!("Authorization: Basic {alice}\n"), false),
        with("the scheme alone", "Authorization: Bearer\n".into(), false),
        with("nothing", "Authorization: \n".into(), false),
        with("the scheme twice", format!("Authorization: Bearer Bearer {alice}\n"), false),
        with("two headers, the first a bad one", format!("Authorization: Bearer x\nAuthorization: Bearer {alice}\n"), false),
        with("another header", format!("X-Authorization: Bearer {alice}\nX-Auth-Token: {alice}\n"), false),
        with("a header in other letters", "Authorization: Bearer \u{fc}\n".into(), false),
    ]
}

#[rustfmt::skip]
fn claims(alice: &str) -> Vec<Case> {
    let own: Value = own_claims(alice);
    let now = now_in_seconds();
    let with = |name: &str, value: Value| {
        let mut claims = own.clone();
        claims[name] = value;
        claims
    };
    let mut cases = vec![token("Alice's own claims, signed anew", &signed(&Header::new(Algorithm::HS256), &own, SECRET), true)];
    for (name, claims) in [
        ("expired a second ago", with("exp", json!(now - 1))), ("expired long ago", with("exp", json!(0))), ("expiring before all time", with("exp", json!(-1))),
        ("whose expiry is text", with("exp", json!("9999999999"))), ("whose expiry is a fraction", with("exp", json!(9e99))), ("not valid before tomorrow", with("nbf", json!(now + 86_400))),
        ("not valid for a minute yet", with("nbf", json!(now + 60))), ("of another issuer", with("iss", json!("canary-issuer"))), ("for another audience", with("aud", json!("canary-audience"))),
        ("for many audiences", with("aud", json!(["intuned-gateway", "x"]))), ("of another user", with("sub", json!("00000000-0000-4000-8000-000000000000"))), ("of a user that is no id", with("sub", json!("alice"))),
        ("of another session", with("jti", json!("00000000-0000-4000-8000-000000000000"))), ("of a session with SQL in it", with("jti", json!("' OR 1=1 --"))), ("of a session that is a list", with("jti", json!(["a"]))),
        ("without a session", with("jti", Value::Null)), ("that is a list", json!([])), ("that is text", json!("canary")), ("that is empty", json!({})),
        ("with 10 KB more", with("more", json!("x".repeat(10_000)))),
    ] {
        cases.push(token(&format!("a token {name}"), &signed(&Header::new(Algorithm::HS256), &claims, SECRET), false));
    }
    for (name, key) in [("an empty key", ""), ("another key", "another secret of thirty-two chars"), ("the key with a line end", "a secret for tests, thirty-two bytes\n"), ("the key cut short", "a secret for tests")] {
        cases.push(token(&format!("signed with {name}"), &signed(&Header::new(Algorithm::HS256), &own, key), false));
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        cases.push(token(&format!("signed by {algorithm:?}"), &signed(&Header::new(algorithm), &own, SECRET), false));
    }
    let [_, payload, signature] = parts(alice);
    for (name, header) in [
        ("alg none", "eyJhbGciOiJub25lIn0"), ("alg None", "eyJhbGciOiJOb25lIn0"), ("alg NONE", "eyJhbGciOiJOT05FIn0"), ("alg empty", "eyJhbGciOiIifQ"), ("no alg", "e30"),
        ("alg null", "eyJhbGciOm51bGx9"), ("alg RS256", "eyJhbGciOiJSUzI1NiJ9"), ("alg ES256", "eyJhbGciOiJFUzI1NiJ9"), ("alg EdDSA", "eyJhbGciOiJFZERTQSJ9"), ("a header that is no JSON", "Y2FuYXJ5"),
    ] {
        cases.push(token(&format!("{name}, unsigned"), &format!("{header}.{payload}."), false));
        cases.push(token(&format!("{name}, with Alice's signature"), &format!("{header}.{payload}.{signature}"), false));
    }
    for (name, kid) in [("a path", "../../../../dev/null"), ("SQL", "x' UNION SELECT 'key' --"), ("a command", "|whoami")] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(kid.into());
        header.jku = Some("http://canary.example/keys".into());
        cases.push(token(&format!("a key id that is {name}, signed with nothing"), &signed(&header, &own, ""), false));
    }
    cases
}

fn signed(header: &Header, claims: &Value, key: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

fn own_claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token)
        .unwrap()
        .claims
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateway under test reads the machine's clock"
)]
fn now_in_seconds() -> i64 {
    Utc::now().timestamp()
}
