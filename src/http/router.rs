//! All routes.

use std::sync::Arc;

use async_graphql::Executor;
use axum::{Router, routing};

use super::{
    gateway::Gateway,
    handlers,
    health::{self, Readiness},
    origin,
};

pub(crate) fn build<E: Executor>(
    gateway: Arc<Gateway<E>>,
    readiness: Readiness,
    extra: Router,
) -> Router {
    let health = health::routes(readiness, gateway.shutdown.clone());
    let cors = origin::cors(&gateway.settings.allowed_origins);
    let graphql = routing::get(handlers::get::<E>)
        .post(handlers::post::<E>)
        .fallback(handlers::other);
    let routes = Router::new()
        .route("/graphql", graphql)
        .with_state(gateway)
        .merge(health)
        .merge(extra)
        .fallback(handlers::unknown_path);
    match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}
