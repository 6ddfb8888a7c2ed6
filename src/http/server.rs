//! Listening, and the life of a connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_graphql::Executor;
use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use super::{
    admission::{Admission, Place, turn_away},
    body::Bodies,
    caller::Authenticator,
    connection::Connection,
    departures::Departures,
    gateway::Gateway,
    health::Readiness,
    router,
    seats::Seats,
    settings::HttpSettings,
};
use crate::{
    ambient::Random,
    graphql::{documents::Documents, trusted::TrustedDocuments},
    metrics::HttpMetrics,
};

/// Bytes of a request's head, and of what is read ahead of its body.
const READ_BUFFER: usize = 16 * 1024;

/// Pause after a connection could not be accepted, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause between two goodbyes when the server stops, where there is time for it.
const EACH_LEAVES_AFTER: Duration = Duration::from_millis(1);

/// What is served.
pub struct Service<E> {
    /// The schema.
    pub executor: E,
    /// Whose session a token is.
    pub authenticator: Arc<dyn Authenticator>,
    /// Whether the gateway can serve.
    pub readiness: Readiness,
    /// For request ids.
    pub random: Random,
    /// The only documents that may run; none for any.
    pub trusted: Option<TrustedDocuments>,
    /// What is counted.
    pub metrics: HttpMetrics,
    /// Routes besides `/graphql` and `/health`. They get an id, a span and the security headers too;
    /// headers that they set themselves stay.
    pub extra: Router,
}

impl<E: Executor> Service<E> {
    /// All routes. `tasks` is what must end before the server has stopped.
    pub(super) fn into_router(
        self,
        settings: &HttpSettings,
        shutdown: &CancellationToken,
        departures: &Departures,
        tasks: &TaskTracker,
    ) -> Router {
        let gateway = Arc::new(Gateway {
            executor: self.executor,
            authenticator: self.authenticator,
            documents: Documents::new(settings.documents, settings.persisted_bytes, self.trusted),
            bodies: Bodies::new(settings),
            seats: Seats::default(),
            settings: settings.clone(),
            metrics: self.metrics,
            shutdown: shutdown.clone(),
            departures: departures.clone(),
            tasks: tasks.clone(),
        });
        router::build(gateway, self.readiness, self.random, self.extra)
    }
}

/// A server that holds its address already.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: HttpSettings,
}

impl Server {
    /// Takes the address; connections wait until [`Server::run`]. Port 0 means any free one.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, settings: HttpSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            settings,
        })
    }

    /// The address, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, and then until all requests and sockets have ended, at most
    /// [`HttpSettings::shutdown_timeout`].
    pub async fn run<E: Executor>(self, service: Service<E>, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let departures = Departures::new();
        let connections = Connections {
            router: service.into_router(&self.settings, &shutdown, &departures, &tasks),
            settings: self.settings.clone(),
            shutdown: shutdown.clone(),
            abort: abort.clone(),
        };
        let admission = Admission::new(&self.settings);
        info!(address = %self.address, "listening");
        while let Some((stream, peer)) = accept(&self.listener, &shutdown).await {
            match admission.admit(peer.ip()) {
                Some(place) => {
                    tasks.spawn(connections.clone().serve(stream, peer, place));
                }
                None => turn_away(stream),
            }
        }
        drop(self.listener);
        tasks.close();
        let open = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let spread = (EACH_LEAVES_AFTER * open).min(self.settings.reconnect_spread);
        let ended = async { tokio::join!(departures.begin(spread), tasks.wait()) };
        if timeout(self.settings.shutdown_timeout, ended)
            .await
            .is_err()
        {
            warn!(
                left = tasks.len(),
                "some requests did not end in time and are dropped"
            );
            abort.cancel();
        }
    }
}

/// None once `shutdown` is cancelled.
async fn accept(
    listener: &TcpListener,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = shutdown.run_until_cancelled(listener.accept()).await?;
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Bytes that the kernel may hold for a peer that does not read; by itself it takes up to 4 MiB.
const SEND_BUFFER: usize = 128 * 1024;

/// As many of them may wait to be sent. Without this limit the kernel says that a peer takes something only
/// when it has taken a third of the buffer, and a peer that takes little looks like one that takes nothing.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 16 * 1024;

/// Sends small messages at once, bounds what the kernel holds for a peer that does not read, and has the
/// kernel give up on a peer that acknowledges nothing for `patience`: one that is gone without a word
/// would be sent to for a quarter of an hour.
fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    {
        SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
        rustix::net::sockopt::set_tcp_user_timeout(
            stream,
            u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        )?;
    }
    Ok(())
}

#[derive(Clone)]
struct Connections {
    router: Router,
    settings: HttpSettings,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Connections {
    /// Serves one connection to its end, or to where it becomes a WebSocket.
    async fn serve(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        if let Err(error) = prepare(&stream, self.settings.write_timeout) {
            debug!(%error, "a connection's options could not be set");
        }
        let io = TokioIo::new(Connection::new(stream, self.settings.write_timeout, place));
        let router = self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.head_timeout)
            .max_buf_size(READ_BUFFER)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = Box::pin(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.abort.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke off");
        }
    }
}
