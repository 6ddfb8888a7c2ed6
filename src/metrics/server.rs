//! Where Prometheus reads: an address of its own, so that it need not be open to the world.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{net::TcpListener, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A server that holds its address already.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Takes the address; readers wait until [`MetricsServer::run`]. Port 0 means any free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `/metrics` until `shutdown`.
    pub async fn run(self, registry: Registry, shutdown: CancellationToken) {
        let router = Router::new()
            .route("/metrics", get(show))
            .with_state(Arc::new(registry));
        tracing::info!(metrics = %self.address, "showing metrics");
        let serving = axum::serve(self.listener, router).into_future();
        if let Some(Err(error)) = shutdown.run_until_cancelled(serving).await {
            tracing::error!(%error, "metrics are no longer shown");
        }
    }
}

/// Reading what the process uses may block.
async fn show(State(registry): State<Arc<Registry>>) -> Response {
    let encoded = spawn_blocking(move || {
        let mut text = String::with_capacity(64 * 1024);
        text::encode(&mut text, &registry).map(|()| text)
    });
    match encoded.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
