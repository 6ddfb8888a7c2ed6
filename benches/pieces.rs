//! The small pieces by themselves: a document parsed and checked, and a transition.
//!
//! Run it with `scripts/bench pieces`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on fails on the spot"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use intuned_gateway::{
    graphql::{
        documents::{Documents, Wanted},
        limits::DocumentLimits,
    },
    intuned::CreateResult,
    operations::state::{Observation, State, Watch, observe},
};

const QUERY: &str = "query Me { me { id email connection { id createdAt connectedAt } } }";

fn documents(criterion: &mut Criterion) {
    let wanted = Wanted::Text(QUERY.into());
    let documents = Documents::new(DocumentLimits::default(), 0, None);
    criterion.bench_function("a document parsed and checked", |bench| {
        bench.iter_batched(
            || Documents::new(DocumentLimits::default(), 0, None),
            |documents| documents.check(black_box(&wanted), None).unwrap(),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("the same from the cache", |bench| {
        bench.iter(|| documents.check(black_box(&wanted), None).unwrap());
    });
}

fn transitions(criterion: &mut Criterion) {
    let pending = State::Pending(Watch {
        upstream_id: Some(String::from("0c2f6f7e-4c3b-4f9e-8f3a-6d6a1f0f2b11")),
        answered: None,
    });
    let in_progress = observe(&pending, Observation::Polled(CreateResult::InProgress))
        .expect("a transition that makes sense")
        .expect("a change");
    criterion.bench_function("a poll that changes the state", |bench| {
        bench.iter(|| {
            observe(
                black_box(&pending),
                Observation::Polled(CreateResult::InProgress),
            )
        });
    });
    criterion.bench_function("a poll that changes nothing", |bench| {
        bench.iter(|| {
            observe(
                black_box(&in_progress),
                Observation::Polled(CreateResult::InProgress),
            )
        });
    });
}

criterion_group!(pieces, documents, transitions);
criterion_main!(pieces);
