//! Documents that ask for too much, for what is hidden, or for many tries at once.

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{by_alice, by_nobody},
    stage::Stage,
    support::Backend,
};

const COMPLEX: Due = Due::Error(200, "QUERY_TOO_COMPLEX");
const INVALID: Due = Due::Error(200, "GRAPHQL_VALIDATION_FAILED");
const PARSE: Due = Due::Error(200, "GRAPHQL_PARSE_FAILED");

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::with(backend, |config| {
        config.http.documents.introspection = false
    })
    .await;
    let cases = [size(), fragments(), tries(), hidden(), syntax(), others()];
    let outcome = play(&stage, cases.into_iter().flatten().collect()).await;
    stage.stop().await;
    outcome
}

fn sent(name: &str, query: &str, due: Due) -> Case {
    case(name, by_alice(query, &json!({})), due)
}

/// A text for each number, one after the other.
fn numbered(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

#[rustfmt::skip]
fn size() -> Vec<Case> {
    let many = |n: usize, text: &str| text.repeat(n);
    let aliases = |n: usize| numbered(n, |n| format!("a{n}: __typename "));
    let nested = |n: usize| format!("{}{}", "{ me ".repeat(n), "}".repeat(n));
    vec![
        sent("101 aliases", &format!("{{ me {{ {} }} }}", aliases(101)), COMPLEX),
        sent("16 aliases", &format!("{{ me {{ {} }} }}", aliases(16)), COMPLEX),
        sent("10,001 aliases", &format!("{{ {} }}", aliases(10_001)), COMPLEX),
        sent("500 repeated fields", &format!("{{ me {{ {} }} }}", many(500, "id ")), COMPLEX),
        sent("16 root fields", &format!("{{ {} }}", many(16, "__typename ")), COMPLEX),
        sent("10,000 directives", &format!("{{ __typename {} }}", many(10_000, "@a ")), COMPLEX),
        sent("51 directives", &format!("{{ __typename {} }}", many(51, "@skip(if: false) ")), COMPLEX),
        sent("51 directives on the operation", &format!("query {} {{ __typename }}", many(51, "@a ")), COMPLEX),
        sent("depth 30", &nested(30), COMPLEX),
        sent("depth 9", &nested(9), COMPLEX),
        sent("brackets 60 deep", &format!("{{ a(b: {}{}) }}", many(60, "["), many(60, "]")), COMPLEX),
        sent("brackets 100,000 deep", &many(100_000, "["), COMPLEX),
        sent("braces that never close", &many(100_000, "{a"), COMPLEX),
        sent("2,001 tokens", &format!("{{ {} }}", many(2001, "a ")), COMPLEX),
        sent("2,001 tokens in strings", &format!("{{ a(b: [{}]) }}", many(2001, "\"\" ")), COMPLEX),
        sent("2,001 tokens in block strings", &format!("{{ a(b: [{}]) }}", many(2001, "\"\"\"\"\"\" ")), COMPLEX),
        sent("100,000 commas", &format!("{{ {} __typename }}", many(100_000, ",")), COMPLEX),
        sent("a comment of 500 KB", &format!("#{}\n{{ __typename }}", many(500_000, "x")), COMPLEX),
        sent("a name of 500 KB", &format!("{{ {} }}", many(500_000, "x")), COMPLEX),
        sent("a string of 500 KB", &format!("{{ operation(id: \"{}\") {{ id }} }}", many(500_000, "x")), COMPLEX),
        sent("500 variables", &format!("query({}) {{ __typename }}", numbered(500, |n| format!("$a{n}:ID "))), Due::Error(200, "QUERY_TOO_COMPLEX")),
        sent("an operation name of 100 KB", &format!("query {} {{ __typename }}", many(100_000, "x")), COMPLEX),
        sent("50,000 commas", &format!("{{ {} __typename }}", many(50_000, ",")), Due::Data(json!({ "__typename": "Query" }))),
        sent("an operation name of 60 KB", &format!("query {} {{ __typename }}", many(60_000, "x")), Due::Data(json!({ "__typename": "Query" }))),
    ]
}

#[rustfmt::skip]
fn fragments() -> Vec<Case> {
    let doubling = |n: usize, last: &str| {
        let chain = numbered(n, |n| format!("fragment F{n} on Query {{ ...F{0} ...F{0} }} ", n + 1));
        format!("{{ ...F0 }} {chain} {last}")
    };
    vec![
        sent("a fragment in itself", "{ ...F } fragment F on Query { ...F }", INVALID),
        sent("fragments in a circle", "{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }", INVALID),
        sent("a circle that is not used", "{ __typename } fragment F on Query { ...F }", INVALID),
        sent("a circle by way of a field", "{ me { ...F } } fragment F on User { activeOperation { connection { id } } ...F }", INVALID),
        sent("2^40 fields by fragments", &doubling(40, "fragment F40 on Query { __typename }"), COMPLEX),
        sent("2^40 unknown fragments", &doubling(40, ""), COMPLEX),
        sent("a chain of 200 fragments", &format!("{{ ...F0 }} {}fragment F200 on Query {{ __typename }}", numbered(200, |n| format!("fragment F{n} on Query {{ ...F{} }} ", n + 1))), COMPLEX),
        sent("an unknown fragment", "{ ...F }", INVALID),
        sent("an unused fragment", "{ __typename } fragment F on Query { __typename }", INVALID),
        sent("a fragment on an unknown type", "{ ...F } fragment F on Canary { __typename }", INVALID),
        sent("a fragment on another type", "{ ... on User { email } }", INVALID),
        sent("a fragment on an input type", "{ ... on SignInInput { email } }", INVALID),
        sent("two fragments of one name", "{ ...F } fragment F on Query { __typename } fragment F on Query { __typename }", PARSE),
        sent("60 inline fragments within each other", &format!("{} __typename {}", "{ ... ".repeat(60), "}".repeat(60)), COMPLEX),
        sent("fields that collide", "{ me { id id: email } }", INVALID),
    ]
}

/// A request is one try at a secret.
#[rustfmt::skip]
fn tries() -> Vec<Case> {
    let sign_in = "signIn(input: {email: \"alice@example.com\", password: \"canary-guess\"}) { token }";
    let connect = "connectOrangeHrm(input: {username: \"Admin\", password: \"canary-pw\"}) { operation { id } }";
    let resume = "resumeConnection(input: {operationId: \"1\", infoRequestId: \"1\", input: \"canary-0000\"}) { operation { id } }";
    let twice = |name: &str, field: &str| {
        vec![
            sent(&format!("{name} by alias"), &format!("mutation {{ a: {field} b: {field} }}"), COMPLEX),
            sent(&format!("{name} by inline fragment"), &format!("mutation {{ {field} ... {{ b: {field} }} }}"), COMPLEX),
            sent(&format!("{name} by fragment"), &format!("mutation {{ {field} ...F }} fragment F on Mutation {{ b: {field} }}"), COMPLEX),
            sent(&format!("{name} by the same fragment"), &format!("mutation {{ ...F ... @include(if: true) {{ ...F }} }} fragment F on Mutation {{ {field} }}"), COMPLEX),
            sent(&format!("{name} 100 times"), &format!("mutation {{ {} }}", numbered(100, |n| format!("a{n}: {field} "))), COMPLEX),
        ]
    };
    let mut cases = [twice("signIn", sign_in), twice("connectOrangeHrm", connect), twice("resumeConnection", resume)].into_iter().flatten().collect::<Vec<_>>();
    cases.push(sent("different secrets at once", &format!("mutation {{ {sign_in} {connect} }}"), COMPLEX));
    cases.push(sent("two operations, none named", &format!("mutation A {{ {sign_in} }} mutation B {{ {sign_in} }}"), Due::Error(200, "OPERATION_RESOLUTION_FAILURE")));
    cases
}

/// With introspection off neither the schema nor hints at it are told.
#[rustfmt::skip]
fn hidden() -> Vec<Case> {
    let silent = |name: &str, query: &str| sent(name, query, Due::Unhinted);
    vec![
        silent("the schema", "{ __schema { types { name } } }"),
        silent("a type", "{ __type(name: \"User\") { fields { name } } }"),
        silent("the schema by alias and fragment", "{ ...F } fragment F on Query { a: __schema { queryType { name } } }"),
        silent("the schema in a mutation", "mutation { __schema { queryType { name } } }"),
        silent("a misspelt field", "{ mee { id } }"),
        silent("a misspelt field of a user", "{ me { emai } }"),
        silent("a misspelt argument", "{ operation(idd: 1) { id } }"),
        silent("a misspelt type", "query($a: SignInInputt) { __typename }"),
        silent("a misspelt enum", "{ me { connection { status(as: READ) } } }"),
        silent("a misspelt input field", "mutation { signIn(input: {emai: \"a\", password: \"canary-pw\"}) { token } }"),
        silent("a misspelt directive", "{ me @skp(if: true) { id } }"),
        sent("circular introspection", "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }", COMPLEX),
        sent("introspection of 140 times the same list", &format!("{{ __schema {{ types {{ {} }} }} }}", "fields { name } ".repeat(140)), COMPLEX),
        sent("deep introspection", &format!("{{ __type(name: \"User\") {}{} }}", "{ ofType ".repeat(17), "}".repeat(17)), COMPLEX),
    ]
}

/// An error does not repeat the line that it stands in.
#[rustfmt::skip]
fn syntax() -> Vec<Case> {
    let password = "mutation { signIn(input: {email: \"a@example.com\", password: \"canary-pw\"";
    vec![
        sent("a syntax error after a password", &format!("{password} }}) {{ token }}"), PARSE),
        sent("a password cut short", password, PARSE),
        sent("a password that does not end", "mutation { signIn(input: {password: \"canary-pw", PARSE),
        sent("a password in a block string that does not end", "mutation { signIn(input: {password: \"\"\"canary-pw", PARSE),
        sent("a password with a bad escape", "mutation { signIn(input: {password: \"canary-\\q\"}) { token } }", PARSE),
        sent("a password as an enum value", "mutation { signIn(input: {email: \"a\", password: canary-pw}) { token } }", PARSE),
        sent("a password in place of an object", "mutation { signIn(input: \"canary-pw\") { token } }", Due::OneOf(&[200])),
        sent("a password in a list", "mutation { signIn(input: {email: \"a\", password: [\"canary-pw\"]}) { token } }", Due::OneOf(&[200])),
        sent("a password in an unknown field", "mutation { signIn(input: {email: \"a\", password: \"x\", pass: \"canary-pw\"}) { token } }", Due::OneOf(&[200])),
        sent("a password for an unknown argument", "mutation { signIn(password: \"canary-pw\") { token } }", INVALID),
        sent("a password for an unknown mutation", "mutation { logIn(password: \"canary-pw\") { token } }", INVALID),
        sent("a password for an unknown directive", "{ me @login(password: \"canary-pw\") { id } }", INVALID),
        sent("a password as a variable's default", "mutation($i: SignInInput! = {email: \"a\", password: \"canary-pw\", x: 1}) { signIn(input: $i) { token } }", Due::OneOf(&[200])),
        sent("NUL", "{ \0 }", PARSE),
        sent("another alphabet", "{ \u{444} }", PARSE),
        sent("a schema", "type Query { a: Int }", PARSE),
        sent("nothing", "", PARSE),
        sent("a byte order mark and no more", "\u{feff}", PARSE),
    ]
}

#[rustfmt::skip]
fn others() -> Vec<Case> {
    let named = json!({ "query": "query A { __typename }", "operationName": "canary-x" });
    vec![
        sent("a subscription by POST as JSON", "subscription { operationStatus(operationId: \"1\") { kind } }", Due::Error(406, "NOT_ACCEPTABLE")),
        sent("a subscription of two fields", "subscription { a: operationStatus(operationId: \"1\") { kind } b: operationStatus(operationId: \"1\") { kind } }", INVALID),
        sent("a subscription by fragment", "subscription { ...F } fragment F on Subscription { operationStatus(operationId: \"1\") { kind } }", INVALID),
        sent("@defer", "{ me { ... @defer { email } } }", INVALID),
        sent("@skip without a condition", "{ me @skip { id } }", INVALID),
        sent("nothing but what is skipped", "{ me @skip(if: true) { id } }", Due::Data(json!({}))),
        sent("@skip twice", "{ me @skip(if: true) @skip(if: true) { id } }", INVALID),
        sent("a field without its selection", "{ me }", INVALID),
        sent("a selection of a text", "{ me { email { x } } }", INVALID),
        sent("__typename of everything", "{ __typename me { __typename } }", Due::Data(json!({ "__typename": "Query", "me": { "__typename": "User" } }))),
        sent("federation's entities", "{ _entities(representations: []) { __typename } }", INVALID),
        sent("federation's schema", "{ _service { sdl } }", INVALID),
        case("an operation of another name", crate::send::post_body("", &named.to_string()), Due::Error(200, "OPERATION_RESOLUTION_FAILURE")),
        case("nobody connects", by_nobody("mutation { connectOrangeHrm(input: {username: \"a\", password: \"canary-pw\"}) { operation { id } } }", &json!({})), Due::Error(200, "UNAUTHENTICATED")),
        case("nobody resumes", by_nobody("mutation { resumeConnection(input: {operationId: \"1\", infoRequestId: \"1\", input: \"canary-1\"}) { operation { id } } }", &json!({})), Due::Error(200, "UNAUTHENTICATED")),
        case("nobody cancels", by_nobody("mutation { cancelOperation(operationId: \"1\") { operation { id } } }", &json!({})), Due::Error(200, "UNAUTHENTICATED")),
        case("nobody disconnects", by_nobody("mutation { disconnectOrangeHrm { disconnected } }", &json!({})), Due::Error(200, "UNAUTHENTICATED")),
        case("nobody signs out", by_nobody("mutation { signOut { signedOut } }", &json!({})), Due::Error(200, "UNAUTHENTICATED")),
    ]
}
