//! All routes.

use std::sync::Arc;

use axum::{Router, routing};

use super::{
    cors, handlers,
    health::{self, Readiness},
};
use crate::{execute::service::GraphqlService, hooks::Hooks};

pub(crate) fn build<H: Hooks>(
    service: Arc<GraphqlService<H>>,
    readiness: Readiness,
    extra: Router,
) -> Router {
    let health = health::routes(readiness, service.shutdown.clone());
    let options = service.options.clone();
    let graphql = routing::get(handlers::get::<H>)
        .post(handlers::post::<H>)
        .fallback(handlers::other);
    let routes = Router::new()
        .route("/graphql", graphql)
        .with_state(service)
        .merge(health)
        .merge(extra)
        .fallback(handlers::unknown_path);
    cors::open(routes, &options)
}
