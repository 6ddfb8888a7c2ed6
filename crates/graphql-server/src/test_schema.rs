//! A small schema for unit tests.

use async_graphql::{ID, InputObject, Object, Schema, SchemaBuilder, SimpleObject, Subscription};
use futures_util::{Stream, stream};

use crate::document::{DocumentLimits, DocumentReader, FieldPolicy, PagedField, SchemaTypes};

pub(crate) struct Query;

pub(crate) struct User;

#[derive(SimpleObject)]
pub(crate) struct Row {
    id: ID,
}

#[derive(SimpleObject)]
pub(crate) struct Report {
    title: String,
}

#[Object]
impl Query {
    async fn me(&self) -> User {
        User
    }

    async fn operation(&self, id: ID) -> Row {
        Row { id }
    }
}

#[Object]
impl User {
    async fn id(&self) -> ID {
        "1".into()
    }

    async fn email(&self) -> &str {
        "a@example.com"
    }

    async fn rows(&self, first: Option<i32>) -> Vec<Row> {
        let _ = first;
        Vec::new()
    }

    /// A slow field.
    async fn report(&self) -> Report {
        Report {
            title: String::new(),
        }
    }
}

pub(crate) struct Mutation;

#[derive(InputObject)]
struct ConnectInput {
    name: String,
    nested: Option<NestedInput>,
}

#[derive(InputObject)]
struct NestedInput {
    again: Option<Box<NestedInput>>,
    #[graphql(secret)]
    password: String,
}

#[Object]
impl Mutation {
    async fn sign_in(&self, #[graphql(secret)] password: String) -> bool {
        !password.is_empty()
    }

    async fn sign_up(&self, #[graphql(secret)] password: String) -> bool {
        !password.is_empty()
    }

    async fn connect(&self, input: Option<ConnectInput>) -> bool {
        let nested = input.and_then(|input| input.nested.filter(|_| !input.name.is_empty()));
        nested.is_some_and(|nested| nested.again.is_none() && !nested.password.is_empty())
    }

    async fn sign_out(&self) -> Row {
        Row { id: "1".into() }
    }
}

pub(crate) struct Subscriptions;

#[Subscription(name = "Subscription")]
impl Subscriptions {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=to)
    }
}

/// Builder of the schema.
pub(crate) fn schema() -> SchemaBuilder<Query, Mutation, Subscriptions> {
    Schema::build(Query, Mutation, Subscriptions)
}

/// Types of the schema.
pub(crate) fn types() -> SchemaTypes {
    let page = PagedField {
        argument: "first",
        default: 20,
        longest: 100,
    };
    let policy = FieldPolicy::default()
        .slow("User", "report")
        .paged("User", "rows", page);
    SchemaTypes::new::<Query, Mutation, Subscriptions>(&policy)
}

/// Reader of documents for the schema.
pub(crate) fn reader() -> DocumentReader {
    DocumentReader::new(DocumentLimits::default(), types())
}
