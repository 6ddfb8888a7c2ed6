//! Metrics server, on an address of its own that need not be public.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
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

use crate::net::host;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Readers at once; others wait until one has left.
const READERS: usize = 16;
/// Time limit of a connection, which serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const READ_BUFFER: usize = 16 * 1024;
/// Pause after an error of `accept`, such as a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Metrics server that has bound its address.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Binds the address. Readers wait until [`MetricsServer::run`]. Port 0 means any free one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns the address, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `/metrics` until `shutdown`.
    pub async fn run(self, registry: Registry, shutdown: CancellationToken) {
        let is_loopback = self.address.ip().to_canonical().is_loopback();
        let router = Router::new()
            .route("/metrics", get(metrics))
            .with_state(Arc::new(registry))
            .layer(middleware::from_fn_with_state(is_loopback, check_host));
        tracing::info!(metrics = %self.address, "showing metrics");
        let serving = serve(self.listener, router);
        shutdown.run_until_cancelled(serving).await;
    }
}

/// Serves until dropped.
async fn serve(listener: TcpListener, router: Router) {
    let readers_left = Arc::new(Semaphore::new(READERS));
    // Readers end with the set.
    let mut readers = JoinSet::new();
    loop {
        let permit = Arc::clone(&readers_left).acquire_owned().await;
        while readers.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer(stream, router.clone());
                readers.spawn(async move {
                    let _permit = permit;
                    if timeout(CONNECTION_TIMEOUT, answering).await.is_err() {
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
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a reader of metrics broke off");
    }
}

/// Refuses requests with an unclear host and, on a loopback address, with another host.
///
/// A page elsewhere can have its own host name lead here, and would read the metrics as its own.
async fn check_host(State(is_loopback): State<bool>, request: Request, next: Next) -> Response {
    match host::from_request(&request) {
        Err(_) => (StatusCode::BAD_REQUEST, "Name one host.\n").into_response(),
        Ok(Some(host)) if is_loopback && !host.is_loopback() => {
            let here = "Metrics are shown here to localhost, 127.0.0.1 and [::1].\n";
            (StatusCode::MISDIRECTED_REQUEST, here).into_response()
        }
        Ok(_) => next.run(request).await,
    }
}

/// Encodes the metrics. Reading those of the process may block.
async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
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
    use std::net::IpAddr;

    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Returns the response of a server at `address` to a request with this head.
    async fn answer(address: IpAddr, head: &str) -> String {
        let server = MetricsServer::bind((address, 0).into()).await;
        let server = server.expect("a free port");
        let here = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(Registry::default(), shutdown.clone()));
        let mut reader = TcpStream::connect(here).await.expect("connected");
        let request = format!("GET /metrics {head}\r\n\r\n");
        reader.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(HEAD_TIMEOUT, reader.read_to_string(&mut answer)).await;
        read.expect("in time").expect("read");
        shutdown.cancel();
        running.await.expect("ended");
        answer
    }

    #[rstest]
    #[case("HTTP/1.1\r\nHost: localhost", 200)]
    #[case("HTTP/1.1\r\nHost: LocalHost:9464", 200)]
    #[case("HTTP/1.1\r\nHost: 127.0.0.1:1", 200)]
    #[case("HTTP/1.1\r\nHost: [::1]:9464", 200)]
    #[case("HTTP/1.0", 200)]
    #[case("HTTP/1.1\r\nHost: evil.example:9464", 421)]
    #[case("HTTP/1.1\r\nHost: localhost.evil.example", 421)]
    #[case("HTTP/1.1\r\nHost: 127.0.0.1.evil.example", 421)]
    #[case("HTTP/1.1\r\nHost: 10.0.0.7:9464", 421)]
    #[case("HTTP/1.0\r\nHost: evil.example", 421)]
    #[case("HTTP/1.1", 400)]
    #[case("HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400)]
    #[case("HTTP/1.1\r\nHost: localhost@evil.example", 400)]
    #[tokio::test]
    async fn loopback_metrics_server_answers_for_loopback_hosts_only(
        #[case] head: &str,
        #[case] due: u16,
    ) {
        let found = answer([127, 0, 0, 1].into(), head).await;
        assert!(
            found.starts_with(&format!("HTTP/1.1 {due} "))
                || found.starts_with(&format!("HTTP/1.0 {due} ")),
            "{found}"
        );
        assert_eq!(found.contains("# EOF"), due == 200, "{found}");
    }

    #[tokio::test]
    async fn public_metrics_server_answers_for_any_host() {
        let found = answer(
            [0, 0, 0, 0].into(),
            "HTTP/1.1\r\nHost: server-7.metrics:9464",
        )
        .await;
        assert!(found.starts_with("HTTP/1.1 200 "), "{found}");
        let odd = answer([0, 0, 0, 0].into(), "HTTP/1.1\r\nHost: a b").await;
        assert!(odd.starts_with("HTTP/1.1 400 "), "{odd}");
    }

    #[tokio::test]
    async fn silent_readers_are_disconnected() {
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
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
        reader.write_all(request).await.expect("sent");
        // Reads to the end: a connection serves one request.
        let mut answer = String::new();
        let read = timeout(3 * HEAD_TIMEOUT, reader.read_to_string(&mut answer)).await;
        read.expect("in time").expect("read");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        shutdown.cancel();
        running.await.expect("ended");
    }
}
