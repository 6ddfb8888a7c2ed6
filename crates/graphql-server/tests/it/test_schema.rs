//! Small schema of the test server.

#![expect(clippy::unused_async, reason = "resolvers are async")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::{Context, Error, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt, future, stream};

use crate::test_accounts::Sender;

#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(pub(crate) Arc<AtomicUsize>);

pub(crate) struct Query;

#[derive(SimpleObject)]
#[graphql(complex)]
struct Node {
    name: String,
}

#[async_graphql::ComplexObject]
impl Node {
    async fn node(&self) -> Node {
        Node {
            name: self.name.clone(),
        }
    }
}

#[Object]
impl Query {
    async fn me(&self, context: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let user = context.data::<Sender>()?.user;
        Ok(user.map(|user| user.to_string()))
    }

    async fn request_id(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Sender>()?.info.id.to_string())
    }

    async fn peer(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Sender>()?.info.client.to_string())
    }

    async fn length(&self, text: String) -> usize {
        text.len()
    }

    async fn number(&self, value: i32) -> i32 {
        value
    }

    async fn text(&self, length: usize) -> String {
        "x".repeat(length)
    }

    async fn fail(&self) -> async_graphql::Result<i32> {
        Err(Error::new("it failed"))
    }

    async fn panic(&self, #[graphql(default = true)] really: bool) -> i32 {
        assert!(!really, "on purpose");
        0
    }

    async fn wait(&self, context: &Context<'_>) -> async_graphql::Result<i32> {
        context.data::<Counter>()?.0.fetch_add(1, Ordering::SeqCst);
        future::pending().await
    }

    /// A slow field that takes a while.
    async fn report(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        0
    }

    async fn node(&self) -> Node {
        Node {
            name: "node".into(),
        }
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn increment(&self, context: &Context<'_>) -> async_graphql::Result<usize> {
        let counter = context.data::<Counter>()?;
        Ok(counter.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    async fn sign_in(&self, #[graphql(secret)] password: String) -> bool {
        password.len() > 7
    }

    async fn wait(&self) -> i32 {
        future::pending().await
    }
}

pub(crate) struct Subscriptions;

#[Subscription(name = "Subscription")]
impl Subscriptions {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=to)
    }

    async fn never(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }

    /// Streams one number, after a while.
    async fn late(&self) -> impl Stream<Item = i32> {
        stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            1
        })
    }

    /// Streams one number, then nothing.
    async fn once(&self) -> impl Stream<Item = i32> {
        stream::iter([1]).chain(stream::pending())
    }

    /// Streams long texts without end, and counts them in `TestServer::count`.
    async fn flood(
        &self,
        context: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = String>> {
        let counter = context.data::<Counter>()?.clone();
        Ok(stream::repeat_with(move || {
            counter.0.fetch_add(1, Ordering::SeqCst);
            "x".repeat(64 * 1024)
        }))
    }

    async fn broken(&self) -> async_graphql::Result<stream::Pending<i32>> {
        Err(Error::new("no such thing"))
    }

    async fn panic(&self) -> impl Stream<Item = i32> {
        stream::iter(1..).inspect(|number| assert!(*number < 2, "on purpose"))
    }
}
