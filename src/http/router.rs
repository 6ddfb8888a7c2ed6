//! All routes, and what surrounds them.

use std::sync::Arc;

use async_graphql::Executor;
use axum::{Router, middleware, routing};
use tower::util::option_layer;

use super::{
    forwarded,
    gateway::Gateway,
    handlers,
    health::{self, Readiness},
    host,
    observe::{Observer, observe},
    origin,
};
use crate::ambient::Random;

pub(crate) fn build<E: Executor>(
    gateway: Arc<Gateway<E>>,
    readiness: Readiness,
    random: Random,
    extra: Router,
) -> Router {
    let health = health::routes(readiness, gateway.shutdown.clone());
    let observer = Observer {
        random,
        metrics: gateway.metrics.clone(),
    };
    let cors = origin::cors(&gateway.settings.allowed_origins);
    let proxies = gateway.settings.trusted_proxies.clone();
    let graphql = routing::get(handlers::get::<E>)
        .post(handlers::post::<E>)
        .fallback(handlers::other);
    Router::new()
        .route("/graphql", graphql)
        .with_state(gateway)
        .merge(health)
        .merge(extra)
        .fallback(handlers::unknown_path)
        .layer(option_layer(cors))
        .layer(middleware::from_fn(host::check))
        .layer(middleware::from_fn_with_state(observer, observe))
        .layer(middleware::from_fn_with_state(proxies, forwarded::resolve))
}
