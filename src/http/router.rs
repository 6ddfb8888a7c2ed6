//! All routes.

use std::sync::Arc;

use async_graphql::Executor;
use axum::{Router, routing};

use super::{
    cors,
    gateway::Gateway,
    handlers,
    health::{self, Readiness},
};

pub(crate) fn build<E: Executor>(
    gateway: Arc<Gateway<E>>,
    readiness: Readiness,
    extra: Router,
) -> Router {
    let health = health::routes(readiness, gateway.shutdown.clone());
    let allowed_origins = gateway.settings.allowed_origins.clone();
    let graphql = routing::get(handlers::get::<E>)
        .post(handlers::post::<E>)
        .fallback(handlers::other);
    let routes = Router::new()
        .route("/graphql", graphql)
        .with_state(gateway)
        .merge(health)
        .merge(extra)
        .fallback(handlers::unknown_path);
    cors::open(routes, &allowed_origins)
}
