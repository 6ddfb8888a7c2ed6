//! Limits on attempts to connect, and the ways round them: each attempt tries a password at `OrangeHRM`.

use serde_json::{Value, json};

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, by_alice, post_body},
    stage::Stage,
    support::{Api, Backend},
};

const CONNECT: &str =
    "mutation($i: ConnectOrangeHrmInput!) { connectOrangeHrm(input: $i) { operation { id } } }";
const LIMITED: Due = Due::Error(200, "RATE_LIMITED");

/// Attempts that are allowed within the span.
const TRIES: u32 = 2;

pub(crate) async fn area(backend: Backend) -> Outcome {
    let mut stage = Stage::with(backend, |config| {
        config.accounts.connects.for_each_user = TRIES;
        config.http.batch_limit = 3;
    })
    .await;
    let again = sign_in(&stage).await;
    stage.names.push(("again", again));
    for _ in 0..TRIES {
        connect_and_cancel(&stage.alice).await;
    }
    let mut outcome = play(&stage, used_up()).await;
    let others = begins(&stage.bob).await;
    outcome.case("another user's attempts are their own", others);
    stage.stop().await;

    let stage = Stage::with(backend, |config| {
        config.accounts.connects.for_each_client = TRIES;
    })
    .await;
    for user in [&stage.alice, &stage.bob] {
        connect_and_cancel(user).await;
    }
    let by_client = play(&stage, elsewhere()).await;
    outcome.cases += by_client.cases;
    outcome.failures.extend(by_client.failures);
    stage.stop().await;
    outcome
}

/// One more session of Alice's.
async fn sign_in(stage: &Stage) -> String {
    let query = "mutation($i: SignInInput!) { signIn(input: $i) { token } }";
    let input = json!({ "i": { "email": "alice@example.com", "password": "correct horse" } });
    let signed_in = stage.app.api.data(query, input).await;
    let token = signed_in["signIn"]["token"].as_str();
    token.unwrap_or_default().to_owned()
}

async fn connect_and_cancel(user: &Api) {
    let operation = user.connect("passcode", "admin123").await;
    user.cancel(operation["id"].as_str().unwrap_or_default())
        .await;
}

async fn begins(user: &Api) -> Result<(), String> {
    let answer = user.connect_answer("passcode", "admin123").await;
    let id = &answer["data"]["connectOrangeHrm"]["operation"]["id"];
    user.cancel(id.as_str().unwrap_or_default()).await;
    id.is_string()
        .then_some(())
        .ok_or_else(|| answer.to_string())
}

fn input(account: &str, more: &Value) -> Value {
    let mut input = json!({ "username": account, "password": "canary-pw" });
    for (name, value) in more.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    json!({ "i": input })
}

fn post(headers: &str) -> Send {
    let body = json!({ "query": CONNECT, "variables": input("Admin", &json!({})) });
    post_body(headers, &body.to_string())
}

/// What Alice may try once her attempts are used up.
#[rustfmt::skip]
fn used_up() -> Vec<Case> {
    let plain = |name: &str, account: &str, more: Value| case(name, by_alice(CONNECT, &input(account, &more)), LIMITED);
    let with = |name: &str, headers: &str| case(name, post(headers), LIMITED);
    let bearer = "Authorization: Bearer {alice}\n";
    let inline = "connectOrangeHrm(input: {username: \"Admin\", password: \"canary-pw\"}) { operation { id } }";
    let entry = json!({ "query": CONNECT, "variables": input("Admin", &json!({})) });
    let batch = json!([entry, entry, entry]).to_string();
    let get = "GET /graphql?query=mutation%7BconnectOrangeHrm(input%3A%7Busername%3A%22Admin%22%2Cpassword%3A%22canary-pw%22%7D)%7Boperation%7Bid%7D%7D%7D HTTP/1.1\nHost: {host}\nConnection: close\nAuthorization: Bearer {alice}\n\n";
    vec![
        plain("one attempt too many", "Admin", json!({})),
        plain("with another account", "expires", json!({})),
        plain("with an account in capitals", "ADMIN", json!({})),
        plain("with a new key", "Admin", json!({ "idempotencyKey": "canary-1" })),
        plain("with another new key", "Admin", json!({ "idempotencyKey": "canary-2" })),
        with("by another session of hers", "Authorization: Bearer {again}\n"),
        with("by a cookie", "Cookie: intuned_gateway_session={alice}\nOrigin: http://{host}\n"),
        with("under another request id", &format!("{bearer}X-Request-Id: another\n")),
        with("as somebody whom proxies name", &format!("{bearer}X-Forwarded-For: 203.0.113.9\nForwarded: for=203.0.113.9\nX-Real-IP: 203.0.113.9\n")),
        case("behind a fragment", by_alice(&format!("mutation {{ ...F }} fragment F on Mutation {{ {inline} }}"), &json!({})), LIMITED),
        case("under another name", by_alice(&format!("mutation {{ x: {inline} }}"), &json!({})), LIMITED),
        case("as a chosen operation", post_body(bearer, &json!({ "query": format!("query A {{ me {{ id }} }} mutation B {{ {inline} }}"), "operationName": "B" }).to_string()), LIMITED),
        case("after something else", by_alice(&format!("mutation {{ cancelOperation(operationId: \"x\") {{ operation {{ id }} }} {inline} }}"), &json!({})), Due::NoData),
        case("in a batch", post_body(bearer, &batch), Due::Batch(&["RATE_LIMITED", "QUERY_TOO_COMPLEX", "QUERY_TOO_COMPLEX"])),
        case("as an event stream", by_alice(CONNECT, &input("Admin", &json!({}))).with("Accept: text/event-stream"), Due::Streams("RATE_LIMITED")),
        case("by GET", Send::Text(get.into()), Due::Error(405, "METHOD_NOT_ALLOWED")),
        case("with no account", by_alice(CONNECT, &input("", &json!({}))), Due::OneOf(&[200])),
    ]
}

/// What users of one client may try once its attempts are used up.
#[rustfmt::skip]
fn elsewhere() -> Vec<Case> {
    let bob = "Authorization: Bearer {bob}\n";
    let named = |header: &str| case(format!("the client as {header}"), post(&format!("{bob}{header}\n")), LIMITED);
    vec![
        case("one attempt too many of a client", post("Authorization: Bearer {alice}\n"), LIMITED),
        case("by another user of the client", post(bob), LIMITED),
        named("X-Forwarded-For: 203.0.113.9"),
        named("X-Forwarded-For: 127.0.0.1, 203.0.113.9"),
        named("X-Forwarded-For: ::1"),
        named("Forwarded: for=203.0.113.9"),
        named("X-Real-IP: 203.0.113.9"),
        named("X-Client-IP: 203.0.113.9"),
        named("True-Client-IP: 203.0.113.9"),
        named("CF-Connecting-IP: 203.0.113.9"),
        named("X-Forwarded-Host: another.example"),
    ]
}
