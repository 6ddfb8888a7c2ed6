//! Tests of completed responses, byte by byte.

#![expect(clippy::unused_async, reason = "resolvers are async")]

use std::sync::Arc;

use async_graphql::{
    EmptySubscription, Error, Interface, Object, Request, Schema, SimpleObject, Variables,
};
use rstest::rstest;
use serde_json::json;
use tokio::task::yield_now;

use super::CompletionRequest;
use crate::document::{DocumentLimits, DocumentReader, FieldPolicy, SchemaTypes};

struct Query;
struct Mutation;
struct Node;

#[derive(Interface)]
#[graphql(field(name = "name", ty = "&String"))]
enum Animal {
    Cat(Cat),
    Dog(Dog),
}

#[derive(SimpleObject)]
struct Cat {
    name: String,
    lives: i32,
}

#[derive(SimpleObject)]
struct Dog {
    name: String,
}

#[Object]
impl Node {
    async fn a(&self) -> i32 {
        yield_now().await;
        1
    }

    async fn b(&self) -> i32 {
        2
    }

    async fn maybe(&self) -> async_graphql::Result<Option<i32>> {
        Err(Error::new("no"))
    }

    async fn must(&self) -> async_graphql::Result<i32> {
        Err(Error::new("no"))
    }

    async fn node(&self) -> Option<Node> {
        yield_now().await;
        Some(Node)
    }

    async fn sure(&self) -> Node {
        Node
    }

    async fn none(&self) -> Option<Node> {
        None
    }

    async fn nodes(&self) -> Vec<Node> {
        vec![Node, Node]
    }

    async fn holes(&self) -> Vec<Option<Node>> {
        vec![None, Some(Node)]
    }

    async fn few(&self) -> Option<Vec<Node>> {
        Some(vec![Node])
    }

    async fn texts(&self) -> Vec<&'static str> {
        vec!["x", "y"]
    }

    async fn animals(&self) -> Vec<Animal> {
        let (tom, rex) = ("Tom".to_owned(), "Rex".to_owned());
        let cat = Animal::Cat(Cat {
            name: tom,
            lives: 9,
        });
        vec![cat, Animal::Dog(Dog { name: rex })]
    }
}

#[Object]
impl Query {
    async fn node(&self) -> Option<Node> {
        yield_now().await;
        Some(Node)
    }

    async fn sure(&self) -> Node {
        Node
    }

    async fn one(&self, #[graphql(default = 1)] number: i32) -> i32 {
        number
    }
}

#[Object]
impl Mutation {
    async fn works(&self) -> Node {
        Node
    }

    async fn fails(&self) -> async_graphql::Result<Option<Node>> {
        Err(Error::new("no"))
    }

    async fn must(&self) -> async_graphql::Result<Node> {
        Err(Error::new("no"))
    }
}

/// Returns the response's data and the paths of its errors.
async fn answer(query: &str, variables: serde_json::Value) -> (String, Vec<String>) {
    let types = SchemaTypes::new::<Query, Mutation, EmptySubscription>(&FieldPolicy::default());
    let reader = DocumentReader::new(DocumentLimits::default(), types.clone());
    let document = reader.read(query).expect("a document");
    let variables = Variables::from_json(variables);
    let mut request = Request::new(query).variables(variables);
    request.set_parsed_query(document.executable.clone());
    let completion = CompletionRequest::new(&Arc::new(document), &request);
    let schema = Schema::new(Query, Mutation, EmptySubscription);
    let response = completion.complete(&types, schema.execute(request).await);
    let path = |error: &async_graphql::ServerError| {
        let steps = serde_json::to_value(&error.path).expect("JSON");
        let steps = steps.as_array().expect("a path").iter();
        steps
            .map(|step| step.to_string().replace('"', ""))
            .collect::<Vec<_>>()
            .join(".")
    };
    let data = serde_json::to_string(&response.data).expect("JSON");
    (data, response.errors.iter().map(path).collect())
}

#[rstest]
#[case::order("{ node { a b } one }", r#"{"node":{"a":1,"b":2},"one":1}"#)]
#[case::names("{ z: one a: node { y: a x: b } }", r#"{"z":1,"a":{"y":1,"x":2}}"#)]
#[case::null("{ node { a none { a } } }", r#"{"node":{"a":1,"none":null}}"#)]
#[case::leaves("{ sure { texts } }", r#"{"sure":{"texts":["x","y"]}}"#)]
#[case::lists(
    "{ sure { nodes { a b } holes { b } } }",
    r#"{"sure":{"nodes":[{"a":1,"b":2},{"a":1,"b":2}],"holes":[null,{"b":2}]}}"#
)]
#[case::merged(
    "{ node { a node { a } } node { b node { b } a } }",
    r#"{"node":{"a":1,"node":{"a":1,"b":2},"b":2}}"#
)]
#[case::fragments(
    "{ ...Q node { ...N } } fragment Q on Query { one node { b } } fragment N on Node { a b }",
    r#"{"one":1,"node":{"b":2,"a":1}}"#
)]
#[case::inline(
    "{ node { ... { b } ... on Node { a } } }",
    r#"{"node":{"b":2,"a":1}}"#
)]
#[case::skipped(
    "{ node { a @skip(if: true) b @include(if: true) } }",
    r#"{"node":{"b":2}}"#
)]
#[case::all_skipped("{ one @skip(if: true) }", "{}")]
#[case::nothing_of_an_object(
    "{ node { a @skip(if: true) } sure { ... @include(if: false) { a } } }",
    r#"{"node":{},"sure":{}}"#
)]
#[case::nothing_of_items(
    "{ sure { nodes { a @skip(if: true) } holes { a @skip(if: true) } none { a @skip(if: true) } } }",
    r#"{"sure":{"nodes":[{},{}],"holes":[null,{}],"none":null}}"#
)]
#[case::types(
    "{ sure { animals { ... on Cat { lives } } } }",
    r#"{"sure":{"animals":[{"lives":9},{}]}}"#
)]
#[case::an_interface(
    "{ sure { animals { ...A ... on Dog { is: __typename } } } } fragment A on Animal { name __typename }",
    r#"{"sure":{"animals":[{"name":"Tom","__typename":"Cat"},{"name":"Rex","__typename":"Dog","is":"Dog"}]}}"#
)]
#[case::a_mutation(
    "mutation { a: works { b a } b: works { a } }",
    r#"{"a":{"b":2,"a":1},"b":{"a":1}}"#
)]
#[case::the_schema(
    "{ __type(name: \"Dog\") { fields { name } kind } one @skip(if: true) ...Q } fragment Q on Query { __schema { queryType { ...T } } } fragment T on __Type { name }",
    r#"{"__type":{"fields":[{"name":"name"}],"kind":"OBJECT"},"__schema":{"queryType":{"name":"Query"}}}"#
)]
#[tokio::test]
async fn fields_come_in_the_order_of_the_document(#[case] query: &str, #[case] expected: &str) {
    assert_eq!(
        answer(query, json!({})).await,
        (expected.to_owned(), vec![])
    );
}

#[rstest]
#[case::left_null("{ node { maybe a } }", r#"{"node":{"maybe":null,"a":1}}"#, &["node.maybe"])]
#[case::alone("{ node { maybe } }", r#"{"node":{"maybe":null}}"#, &["node.maybe"])]
#[case::alone_and_nested("{ sure { node { x: maybe } } }", r#"{"sure":{"node":{"x":null}}}"#, &["sure.node.x"])]
#[case::no_null("{ one node { must a } }", r#"{"one":1,"node":null}"#, &["node.must"])]
#[case::no_null_alone("{ node { must } }", r#"{"node":null}"#, &["node.must"])]
#[case::twice("{ node { sure { sure { must } } b } }", r#"{"node":null}"#, &["node.sure.sure.must"])]
#[case::up_to_the_nearest("{ sure { node { sure { must } } b } }", r#"{"sure":{"node":null,"b":2}}"#, &["sure.node.sure.must"])]
#[case::up_to_data("{ one sure { must } }", "null", &["sure.must"])]
#[case::items("{ node { few { must } b } }", r#"{"node":{"few":null,"b":2}}"#, &["node.few.0.must"])]
#[case::items_that_may_be_null(
    "{ sure { holes { must } } }",
    r#"{"sure":{"holes":[null,null]}}"#,
    &["sure.holes.1.must"]
)]
#[case::items_with_null(
    "{ sure { nodes { maybe } } }",
    r#"{"sure":{"nodes":[{"maybe":null},{"maybe":null}]}}"#,
    &["sure.nodes.0.maybe", "sure.nodes.1.maybe"]
)]
#[case::in_a_fragment(
    "{ node { ...N } } fragment N on Node { b node { maybe must } a }",
    r#"{"node":{"b":2,"node":null,"a":1}}"#,
    &["node.node.maybe", "node.node.must"]
)]
#[case::merged(
    "{ node { node { maybe } } node { node { b } } }",
    r#"{"node":{"node":{"maybe":null,"b":2}}}"#,
    &["node.node.maybe"]
)]
#[case::a_mutation_of_several(
    "mutation { works { b } fails { a } again: works { a } }",
    r#"{"works":{"b":2},"fails":null,"again":{"a":1}}"#,
    &["fails"]
)]
#[case::a_mutation_that_must_not_be_null("mutation { works { b } must { a } }", "null", &["must"])]
#[case::all_of_it("mutation { fails { a } }", r#"{"fails":null}"#, &["fails"])]
#[tokio::test]
async fn failed_field_nulls_itself_or_its_nearest_nullable_parent(
    #[case] query: &str,
    #[case] expected: &str,
    #[case] paths: &[&str],
) {
    let (data, mut failed) = answer(query, json!({})).await;
    failed.sort();
    assert_eq!(data, expected);
    assert_eq!(failed, paths);
}

#[rstest]
#[case(json!({ "if": true }), r#"{"node":{"b":2}}"#)]
#[case(json!({ "if": false }), r#"{"one":1,"node":{}}"#)]
#[tokio::test]
async fn variables_decide_skip_and_include(
    #[case] variables: serde_json::Value,
    #[case] expected: &str,
) {
    let query = "query($if: Boolean!) { one @skip(if: $if) node { ...N @include(if: $if) } } fragment N on Node { b }";
    let (data, failed) = answer(query, variables.clone()).await;
    assert_eq!((data.as_str(), failed.len()), (expected, 0));
    let several = format!("{query} query Other {{ one }}").replacen("query(", "query Named(", 1);
    let types = SchemaTypes::new::<Query, Mutation, EmptySubscription>(&FieldPolicy::default());
    let reader = DocumentReader::new(DocumentLimits::default(), types);
    let document = Arc::new(reader.read(&several).expect("a document"));
    let request = Request::new(several).operation_name("Named");
    assert_eq!(
        CompletionRequest::new(&document, &request)
            .operation_name
            .as_deref(),
        Some("Named")
    );
}

#[rstest]
#[case("{ unknown }")]
#[case("{ one(number: \"x\") }")]
#[case("{ node { b { ... @skip(if: true) { c } } } }")]
#[tokio::test]
async fn request_errors_have_no_data(#[case] query: &str) {
    assert_eq!(answer(query, json!({})).await.0, "null");
}
