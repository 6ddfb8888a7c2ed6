//! The small pieces by themselves: a document parsed and checked, an event rendered, claims passed on, and a
//! transition.
//!
//! Run it with `scripts/bench pieces`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on fails on the spot"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "shared with tests that use more of it"
)]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::{hint::black_box, net::Ipv4Addr, time::Duration};

use ambient::{Clock, SystemClock};
use async_graphql::{Executor, Name, Request, Response, Value, Variables};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use graphql_server::{
    Hooks, RequestInfo,
    document::{DocumentLimits, DocumentSource, Documents},
    execute::written,
};
use intuned_client::CreateResult;
use intuned_gateway::{
    accounts::Caller,
    api::{self, GatewayHooks, RequestContext},
    app::App,
    operations::state::{Observation, State, Watch, transition},
};
use sea_orm::{ConnectionTrait, Database, EntityTrait};
use secrecy::ExposeSecret;
use serde_json::json;
use support::{Backend, TestApp};
use tokio::{runtime::Runtime, time::Instant};
use written_json::WrittenJson;

const QUERY: &str = "query Me { me { id email connection { id createdAt connectedAt } } }";
const FOLLOW: &str = "subscription Follow($id: ID!) { \
    operationStatus(operationId: $id, afterSequence: 0) { \
    kind sequence status message polls elapsedMs operation { id status } } }";
/// Events that are read from the table at once, so that reading them costs little beside the rest.
const EVENTS: i32 = 500;

fn no_documents() -> Documents {
    let reader = api::document_reader(DocumentLimits::default(), api::types());
    Documents::new(reader, 0, None)
}

fn documents(criterion: &mut Criterion) {
    let wanted = DocumentSource::Text(QUERY.into());
    let documents = no_documents();
    criterion.bench_function("a document parsed and checked", |bench| {
        bench.iter_batched(
            no_documents,
            |documents| documents.find(black_box(&wanted), None).unwrap(),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("the same from the cache", |bench| {
        bench.iter(|| documents.find(black_box(&wanted), None).unwrap());
    });
}

fn events(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (app, caller, operation) = runtime.block_on(operation_of_many_events());
    let services = app.services();
    let follow = async || {
        let events = services
            .operations
            .follow(caller.user_id, operation, Some(0));
        let (mut events, mut count) = (events.await.unwrap(), 0);
        while let Some(event) = events.next().await {
            black_box(event.unwrap());
            count += 1;
        }
        count
    };
    criterion.bench_function("an event read from SQLite", |bench| {
        bench.iter_custom(|count| runtime.block_on(each(count, &follow)));
    });
    let schema = api::schema(services.clone()).finish();
    let hooks = GatewayHooks::new(services.accounts.clone(), schema.clone());
    let document = no_documents().find(&DocumentSource::Text(FOLLOW.into()), None);
    let document = document.unwrap();
    let info = RequestInfo {
        id: "bench".into(),
        client: Ipv4Addr::LOCALHOST.into(),
        behind_tls: false,
    };
    let request = || {
        let variables = Variables::from_json(json!({ "id": operation }));
        let context = RequestContext::new(Some(caller), info.clone());
        document.with_document(Request::new(FOLLOW).variables(variables).data(context))
    };
    let written = async || {
        let kept = document.extension().unwrap();
        let events = hooks.subscribe(kept, request(), &info);
        events.map(black_box).count().await
    };
    criterion.bench_function("the same, written", |bench| {
        bench.iter_custom(|count| runtime.block_on(each(count, &written)));
    });
    let resolved = async || {
        let events = Executor::execute_stream(&schema, request(), None);
        let json = |event: Response| black_box(written::from_value(event.data).unwrap());
        events.map(json).count().await
    };
    criterion.bench_function(
        "the same, resolved and rendered by async-graphql",
        |bench| {
            bench.iter_custom(|count| runtime.block_on(each(count, &resolved)));
        },
    );
    assert!(runtime.block_on(app.stop(support::socket::DEADLINE)));
}

/// How long `count` events take of which `many` yields as many as there are.
async fn each(count: u64, many: impl AsyncFn() -> usize) -> Duration {
    let events = u64::from(EVENTS.unsigned_abs());
    let times = count.div_ceil(events);
    let begun = Instant::now();
    for _ in 0..times {
        assert_eq!(many().await as u64, events, "every event comes");
    }
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let share = count as f64 / (times * events) as f64;
    begun.elapsed().mul_f64(share)
}

/// A gateway with an operation that has ended, after more changes than any ever sees.
async fn operation_of_many_events() -> (App, Caller, sea_orm::prelude::Uuid) {
    let mut tests = TestApp::start(Backend::Sqlite).await;
    let user = tests.user("alice@example.com").await;
    let started = user.connect("Admin", "admin123").await;
    let mut socket = tests.socket(&user).await;
    socket
        .follow("1", started["id"].as_str().unwrap(), None)
        .await;
    while socket.event().await.is_some() {}
    tests.stop().await;

    let url = tests.config.database_url.expose_secret();
    let database = Database::connect(url).await.unwrap();
    for statement in [
        format!(
            "WITH RECURSIVE more(number) AS (SELECT max(sequence) + 1 FROM operation_events \
             UNION ALL SELECT number + 1 FROM more WHERE number < {EVENTS}) \
             INSERT INTO operation_events \
             (operation_id, sequence, status, message, polls, elapsed_ms, occurred_at) \
             SELECT operation_id, number, status, message, polls, elapsed_ms, occurred_at \
             FROM operation_events, more WHERE sequence = 2"
        ),
        format!("UPDATE operations SET sequence = {EVENTS}"),
    ] {
        database.execute_unprepared(&statement).await.unwrap();
    }
    let operation = entity::operation::Entity::find()
        .one(&database)
        .await
        .unwrap()
        .unwrap();
    database.close().await.unwrap();
    let caller = Caller {
        user_id: operation.user_id,
        session_id: operation.id,
        expires_at: SystemClock.now() + Duration::from_hours(1),
    };
    let app = TestApp::try_start((*tests.config).clone()).await.unwrap();
    (app, caller, operation.id)
}

/// 176 KB of claims under ten aliases: what is read of Intuned, and what is answered.
fn claims(criterion: &mut Criterion) {
    let claim = r#"{"referenceId":"202611200000007","event":"Travel Allowance","status":"PAID","amount":184.60}"#;
    let text = format!("[{}]", vec![claim; 176_000 / (claim.len() + 1)].join(","));
    criterion.bench_function("176 KB of claims, checked", |bench| {
        bench.iter(|| WrittenJson::parse(black_box(&text).clone().into()).unwrap());
    });
    let claims = WrittenJson::parse(text.into()).unwrap();
    let aliases = (0..10).map(|alias| Name::new(format!("alias{alias}")));
    let fields = aliases.map(|alias| (alias, written::to_value(claims.clone())));
    let data = Value::Object(fields.collect());
    criterion.bench_function("the same under ten aliases, answered", |bench| {
        bench.iter(|| written::from_value(black_box(&data).clone()).unwrap());
    });
}

fn transitions(criterion: &mut Criterion) {
    let pending = State::Pending(Watch {
        upstream_id: Some(String::from("0c2f6f7e-4c3b-4f9e-8f3a-6d6a1f0f2b11")),
        answered: None,
    });
    let in_progress = transition(&pending, Observation::Polled(CreateResult::InProgress))
        .expect("a transition that makes sense")
        .expect("a change");
    criterion.bench_function("a poll that changes the state", |bench| {
        bench.iter(|| {
            transition(
                black_box(&pending),
                Observation::Polled(CreateResult::InProgress),
            )
        });
    });
    criterion.bench_function("a poll that changes nothing", |bench| {
        bench.iter(|| {
            transition(
                black_box(&in_progress),
                Observation::Polled(CreateResult::InProgress),
            )
        });
    });
}

/// Short: what takes a microsecond is known after a second.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .without_plots()
}

criterion_group! {
    name = pieces;
    config = brief();
    targets = documents, events, claims, transitions
}
criterion_main!(pieces);
