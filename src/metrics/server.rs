//! Where Prometheus reads: an address of its own, so that it need not be open to the world.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Readers at once; more wait until one has gone.
const READERS: usize = 16;
/// How long a reader may take, with its request. Each connection takes one.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the request alone may take to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const READ_BUFFER: usize = 16 * 1024;
/// Pause after a connection could not be accepted, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        let serving = serve(self.listener, router);
        shutdown.run_until_cancelled(serving).await;
    }
}

/// Serves until dropped.
async fn serve(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(READERS));
    // Readers end with it.
    let mut readers = JoinSet::new();
    loop {
        let place = Arc::clone(&room).acquire_owned().await;
        while readers.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer(stream, router.clone());
                readers.spawn(async move {
                    let _place = place;
                    if timeout(PATIENCE, answering).await.is_err() {
                        tracing::debug!("a reader of metrics took too long");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of metrics could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let answered = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(READ_BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a reader of metrics broke off");
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn readers_that_say_nothing_make_room_for_others() {
        let server = MetricsServer::bind(([127, 0, 0, 1], 0).into()).await;
        let server = server.expect("a free port");
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(Registry::default(), shutdown.clone()));
        let mut silent = Vec::new();
        for _ in 0..READERS {
            silent.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut reader = TcpStream::connect(address).await.expect("connected");
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        reader.write_all(request).await.expect("sent");
        // To its end: a connection takes one request.
        let mut answer = String::new();
        let read = timeout(3 * HEAD_PATIENCE, reader.read_to_string(&mut answer)).await;
        read.expect("in time").expect("read");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        shutdown.cancel();
        running.await.expect("ended");
    }
}
