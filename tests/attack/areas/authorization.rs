//! What is another user's is answered exactly as what nobody has.

use serde_json::{Value, json};

use crate::{
    report::Outcome,
    stage::Stage,
    support::{Api, Backend, socket::Socket},
};

/// An id that nobody has.
const RANDOM: &str = "8d1f4f0e-5f5c-4f2f-9a53-6f0d3a9f4a11";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let mut outcome = Outcome::default();
    let bobs = stage.app.asked(&stage.bob, "passcode").await;
    let mut ended = stage.bob.connect_answer("passcode", "admin123").await;
    let busy = ended["errors"][0]["extensions"].take();
    outcome.case(
        "a second operation names the first",
        (busy["operationId"] == *bobs.id)
            .then_some(())
            .ok_or_else(|| busy.to_string()),
    );
    for asker in [&stage.alice, &stage.app.api] {
        let who = if asker.token.is_some() {
            "Alice"
        } else {
            "nobody"
        };
        for (name, query) in queries() {
            let theirs = asked(asker, query, &bobs.id, &bobs.request).await;
            let random = asked(asker, query, RANDOM, RANDOM).await;
            outcome.case(&format!("{who}: {name}"), same(&theirs, &random));
        }
        for (name, after) in [
            ("follows", None),
            ("follows from the start", Some(0)),
            ("follows from the end", Some(99)),
            ("follows from before the start", Some(-1)),
        ] {
            let theirs = followed(asker, &bobs.id, after).await;
            let random = followed(asker, RANDOM, after).await;
            outcome.case(&format!("{who}: {name}"), same(&theirs, &random));
        }
    }
    for id in [
        "",
        "1",
        "null",
        "../x",
        &bobs.id[..35],
        &bobs.id.to_uppercase(),
        &bobs.id.replace('-', ""),
        &format!("{{{}}}", bobs.id),
        &format!("urn:uuid:{}", bobs.id),
        &format!(" {}", bobs.id),
        &bobs.request,
    ] {
        let answer = stage.alice.operation(id).await;
        outcome.case(
            &format!("Alice asks for {id:?}"),
            answer
                .is_null()
                .then_some(())
                .ok_or_else(|| answer.to_string()),
        );
    }
    let still = stage.bob.operation(&bobs.id).await;
    outcome.case(
        "Bob's operation is as it was",
        (still["status"] == "REQUESTED_MORE_INFO")
            .then_some(())
            .ok_or_else(|| still.to_string()),
    );
    let own = stage
        .alice
        .data(
            "{ me { email activeOperation { id } connection { id } } }",
            json!({}),
        )
        .await;
    outcome.case(
        "Alice has nothing of Bob's",
        (own["me"]
            == json!({ "email": "alice@example.com", "activeOperation": null, "connection": null }))
        .then_some(())
        .ok_or_else(|| own.to_string()),
    );
    stage.bob.cancel(&bobs.id).await;
    drop(bobs);
    stage.finish(&mut outcome).await;
    stage.stop().await;
    outcome
}

/// What takes an id.
#[rustfmt::skip]
fn queries() -> Vec<(&'static str, &'static str)> {
    vec![
        ("asks for the operation", "query($id: ID!) { operation(id: $id) { id status failure { message } infoRequest { id message } } }"),
        ("asks for its connection", "query($id: ID!) { operation(id: $id) { connection { id status claims } } }"),
        ("asks twice", "query($id: ID!) { a: operation(id: $id) { id } b: operation(id: $id) { kind } }"),
        ("asks by fragment", "query($id: ID!) { ...F } fragment F on Query { operation(id: $id) { sequence } }"),
        ("cancels", "mutation($id: ID!) { cancelOperation(operationId: $id) { operation { id status } } }"),
        ("answers", "mutation($id: ID!, $request: ID!) { resumeConnection(input: {operationId: $id, infoRequestId: $request, input: \"123456\"}) { operation { id } } }"),
        ("answers another request", "mutation($id: ID!) { resumeConnection(input: {operationId: $id, infoRequestId: \"x\", input: \"123456\"}) { operation { id } } }"),
        ("answers nothing", "mutation($id: ID!, $request: ID!) { resumeConnection(input: {operationId: $id, infoRequestId: $request, input: \"\"}) { operation { id } } }"),
        ("answers too much", "mutation($id: ID!, $request: ID!, $long: String) { resumeConnection(input: {operationId: $id, infoRequestId: $request, input: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}) { operation { id } } }"),
        ("cancels and asks", "mutation($id: ID!) { cancelOperation(operationId: $id) { operation { status } } b: cancelOperation(operationId: $id) { operation { failure { code } } } }"),
    ]
}

async fn asked(asker: &Api, query: &str, id: &str, request: &str) -> Value {
    let variables = json!({ "id": id, "request": request });
    asker.send(query, variables).await
}

/// The answer to a subscription, up to the end of the stream.
async fn followed(asker: &Api, id: &str, after: Option<i64>) -> Value {
    let mut socket = Socket::open(&asker.url, asker.token.as_deref()).await;
    socket.follow("1", id, after).await;
    let mut answers = Vec::new();
    loop {
        let answer = socket.next().await;
        let is_last = !matches!(&answer, Ok(answer) if answer["type"] == "next");
        answers.push(json!(format!("{answer:?}")));
        if is_last {
            return Value::from(answers);
        }
    }
}

fn same(theirs: &Value, random: &Value) -> Result<(), String> {
    let refused = !random["errors"].is_null()
        || random.is_array()
        || random["data"]
            .as_object()
            .is_some_and(|data| data.values().all(Value::is_null));
    (theirs == random && refused)
        .then_some(())
        .ok_or_else(|| format!("{theirs}, but for a random id {random}"))
}
