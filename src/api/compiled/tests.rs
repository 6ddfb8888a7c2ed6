//! What is compiled answers what async-graphql answers, completed.

use std::{borrow::Cow, sync::Arc};

use async_graphql::{
    EmptyMutation, EmptySubscription, Object, Request, Schema, parser::parse_query,
};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, connection};
use graphql_server::{
    document::{
        DocumentLimits, DocumentReader, DocumentSource, Documents, FieldPolicy, SchemaTypes,
    },
    execute::SchemaExecutor,
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CompiledEvents, Shown};
use crate::{
    api::{loaders::ConnectionLoader, operation::OperationEvent},
    operations::{
        Event, EventKind, Operation, Ownership, Update,
        state::{Failure, FailureCode, Kind, State, Watch},
    },
    platform::batch_loader::BatchLoader,
};
use intuned_client::{InfoRequest, Question};

/// Answers with the event as async-graphql resolves it.
struct Query(Update);

#[Object]
impl Query {
    async fn event(&self) -> OperationEvent {
        self.0.clone().into()
    }
}

fn instant() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_120).expect("an instant")
}

fn connection() -> connection::Model {
    connection::Model {
        id: Uuid::from_u128(3),
        user_id: Uuid::from_u128(2),
        service: connection::Service::OrangeHrm,
        auth_session_id: "session".to_owned(),
        created_at: Millis(instant()),
        connected_at: Millis(instant() + TimeDelta::days(1)),
        expired_at: None,
        removing_session_id: None,
    }
}

fn states() -> Vec<State> {
    let watch = Watch {
        upstream_id: Some("upstream".to_owned()),
        answered: None,
    };
    let asked = |question| State::RequestedMoreInfo {
        watch: watch.clone(),
        request: InfoRequest {
            id: "request".to_owned(),
            message: "a \"quote\", a \\ and\na line".to_owned(),
            question,
        },
    };
    let failure = Failure::new(
        FailureCode::SignInRejected,
        false,
        "Look at the <password>.",
    );
    vec![
        State::Starting,
        State::Pending(watch.clone()),
        State::InProgress(watch.clone()),
        asked(Question::Otp),
        asked(Question::Choice(vec![
            "by mail".to_owned(),
            "by phone".to_owned(),
        ])),
        State::Done,
        State::Failed(failure.clone()),
        State::Canceled(Failure {
            reference: Some("the-reference".to_owned()),
            ..failure
        }),
    ]
}

fn update(kind: EventKind, state: State) -> Update {
    let connection_id = matches!(state, State::Done).then(|| connection().id);
    let operation = Operation {
        id: Uuid::from_u128(1),
        user_id: connection().user_id,
        kind: Kind::Reconnect,
        state,
        sequence: 4,
        auth_session_id: "session".to_owned(),
        connection_id,
        polls: 17,
        ownership: Ownership {
            owner: None,
            epoch: 1,
        },
        created_at: instant(),
        updated_at: instant() + TimeDelta::seconds(3),
        expires_at: instant() + TimeDelta::minutes(15),
    };
    let event = Event {
        message: Cow::Owned("waiting for \u{1F512}\u{0007}".to_owned()),
        ..operation.event(
            kind,
            operation.state.message(),
            instant() + TimeDelta::days(40),
        )
    };
    Update {
        event,
        operation: Arc::new(operation),
        renderings: None,
    }
}

/// Both texts, to the letter.
async fn both(selection: &str, fragments: &str, update: Update) -> (String, String) {
    let text = format!(
        "subscription($id: ID!) {{ operationStatus(operationId: $id) {selection} }} {fragments}"
    );
    let compiled = CompiledEvents::compile(&parse_query(text).expect("a document"));
    let connection = update.operation.connection_id.map(|_| connection());
    let shown = Shown {
        update: update.clone(),
        connection,
    };
    let written = compiled.expect("compiled").write(&shown).expect("JSON");

    let schema = || {
        Schema::build(Query(update.clone()), EmptyMutation, EmptySubscription).data(
            BatchLoader::new(ConnectionLoader::Fixed(self::connection())),
        )
    };
    let policy = FieldPolicy::default();
    let types = SchemaTypes::new::<Query, EmptyMutation, EmptySubscription>(&policy);
    let reader = DocumentReader::new(DocumentLimits::default(), types.clone());
    let query = format!("{{ operationStatus: event {selection} }} {fragments}");
    let document = Documents::new(reader, 0, None).find(&DocumentSource::Text(query), None);
    let executor = SchemaExecutor::new(schema, types);
    let request = Request::new(String::new());
    let response = executor
        .execute(request, &document.expect("a document"))
        .await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let resolved = serde_json::to_string(&response.data).expect("JSON");
    (written.as_str().to_owned(), resolved)
}

#[rstest]
#[case::event(
    "{ kind sequence status message polls elapsedMs occurredAt __typename }",
    ""
)]
#[case::operation(
    "{ operation { id kind status sequence createdAt updatedAt expiresAt __typename } }",
    ""
)]
#[case::all_of_an_operation(
    "{ operation {
        infoRequest { __typename id message ... on ChoiceRequest { choices } ... on OtpRequest { otp: message } }
        failure { code message retryable reference __typename }
        connection { id createdAt connectedAt __typename }
    } }",
    ""
)]
#[case::names(r"{ k: kind a: operation { id } b: operation { id status } kind }", "")]
#[case::merged(
    "{ operation { id } kind operation { s: status failure { code } } operation { failure { message code } id } }",
    ""
)]
#[case::fragments(
    "{ ...E operation { ...O infoRequest { ...I } } ... { polls } ... on OperationEvent { message } }",
    "fragment E on OperationEvent { kind operation { kind } }
     fragment O on Operation { sequence infoRequest { ...C } }
     fragment I on InfoRequest { message }
     fragment C on ChoiceRequest { choices id }"
)]
#[case::another_type("{ operation { infoRequest { ... on OtpRequest { id } } } }", "")]
#[tokio::test]
async fn the_same_is_answered(#[case] selection: &str, #[case] fragments: &str) {
    for state in states() {
        for kind in [EventKind::Snapshot, EventKind::Change, EventKind::Progress] {
            let (written, resolved) = both(selection, fragments, update(kind, state.clone())).await;
            assert_eq!(written, resolved);
        }
    }
}

#[rstest]
#[case::a_directive("subscription { operationStatus(operationId: 1) { kind @skip(if: true) } }")]
#[case::a_directive_at_the_root(
    "subscription { operationStatus(operationId: 1) @include(if: true) { kind } }"
)]
#[case::a_directive_on_a_spread(
    "subscription { operationStatus(operationId: 1) { ...F @skip(if: true) } } fragment F on OperationEvent { kind }"
)]
#[case::asked_of_intuned(
    "subscription { operationStatus(operationId: 1) { operation { connection { status } } } }"
)]
#[case::two_fields(
    "subscription { operationStatus(operationId: 1) { kind } b: operationStatus(operationId: 2) { kind } }"
)]
#[case::a_fragment_at_the_root(
    "subscription { ...F } fragment F on Subscription { operationStatus(operationId: 1) { kind } }"
)]
#[case::two_operations(
    "subscription A { operationStatus(operationId: 1) { kind } } query B { me { id } }"
)]
#[case::a_query("{ operationStatus(operationId: 1) { kind } }")]
#[case::an_unknown_field("subscription { operationStatus(operationId: 1) { kinds } }")]
#[case::an_unknown_fragment("subscription { operationStatus(operationId: 1) { ...F } }")]
#[case::an_argument("subscription { operationStatus(operationId: 1) { kind(of: 1) } }")]
#[case::nothing_of_an_object("subscription { operationStatus(operationId: 1) { operation } }")]
#[case::something_of_a_leaf("subscription { operationStatus(operationId: 1) { kind { name } } }")]
#[case::one_name_for_two("subscription { operationStatus(operationId: 1) { a: kind a: polls } }")]
fn the_rest_is_left_to_async_graphql(#[case] text: &str) {
    let document = parse_query(text).expect("a document");
    assert!(CompiledEvents::compile(&document).is_none());
}

#[test]
fn the_subscription_may_have_any_name() {
    let text = "subscription { mine: operationStatus(operationId: 1) { polls } }";
    let compiled = CompiledEvents::compile(&parse_query(text).expect("a document"));
    let update = update(EventKind::Progress, State::Starting);
    let shown = Shown {
        update,
        connection: None,
    };
    let written = compiled.expect("compiled").write(&shown).expect("JSON");
    let written: Value = serde_json::from_str(written.as_str()).expect("JSON");
    assert_eq!(written, json!({ "mine": { "polls": 17 } }));
}
