//! Router with all routes.

use std::sync::Arc;

use axum::{Router, routing};

use super::handlers;
use crate::{
    hooks::Hooks,
    http::{
        cors,
        health::{self, Readiness},
    },
    service::GraphqlService,
};

/// Builds the router; `extra` are the routes of the product.
pub(crate) fn build<H: Hooks>(
    service: Arc<GraphqlService<H>>,
    readiness: Readiness,
    extra: Router,
) -> Router {
    let health = health::routes(readiness, service.shutdown.clone());
    let options = service.options.clone();
    let graphql = routing::get(handlers::get::<H>)
        .post(handlers::post::<H>)
        .fallback(handlers::method_not_allowed);
    let routes = Router::new()
        .route("/graphql", graphql)
        .with_state(service)
        .merge(health)
        .merge(extra)
        .fallback(handlers::not_found);
    cors::add_cors(routes, &options)
}
