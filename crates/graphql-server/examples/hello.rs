//! Serves a schema with a query and a subscription on port 8080.
//!
//! Run it with `cargo run -p graphql-server --example hello`, and ask:
//!
//! ```sh
//! curl -H 'content-type: application/json' -d '{"query":"{ hello(name: \"you\") }"}' localhost:8080/graphql
//! curl -N -H 'accept: text/event-stream' -H 'content-type: application/json' \
//!     -d '{"query":"subscription { count(to: 3) }"}' localhost:8080/graphql
//! ```

use std::time::Duration;

use async_graphql::{EmptyMutation, Object, Schema, Subscription};
use futures_util::{Stream, StreamExt, stream};
use graphql_server::{Endpoint, Server, ServerOptions};
use tokio_util::sync::CancellationToken;

struct Query;

#[Object]
impl Query {
    async fn hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

struct Count;

#[Subscription(name = "Subscription")]
impl Count {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=to).then(|number| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            number
        })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = Server::bind(([127, 0, 0, 1], 8080).into(), ServerOptions::default()).await?;
    let endpoint = Endpoint::new(|| Schema::build(Query, EmptyMutation, Count));
    let shutdown = CancellationToken::new();
    let stopping = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stopping.cancel();
    });
    server.run(endpoint, shutdown).await;
    Ok(())
}
