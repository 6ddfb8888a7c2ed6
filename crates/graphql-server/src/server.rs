//! Server: the listener and its connections.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{
    endpoint::Endpoint,
    hooks::Hooks,
    http::scope::RequestScope,
    net::{
        admission::{Admission, ConnectionPermit, reject},
        connection::Connection,
        drain::DrainSchedule,
    },
    options::ServerOptions,
};

/// Bytes of a request's head, and of input that is read ahead of its body.
const READ_BUFFER: usize = 16 * 1024;

/// Pause after an error of `accept`, such as a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause between the end of two connections when the server stops, where there is time for it.
const DRAIN_PAUSE: Duration = Duration::from_millis(1);

/// Server that has bound its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: ServerOptions,
}

impl Server {
    /// Binds the address. Connections wait until [`Server::run`]. Port 0 means any free one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr, options: ServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        set_options(&listener, options.write_timeout)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            options,
        })
    }

    /// Returns the address, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, and then until all requests and sockets have ended.
    ///
    /// That takes at most [`ServerOptions::shutdown_timeout`].
    pub async fn run<H: Hooks>(self, endpoint: Endpoint<H>, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let drain = DrainSchedule::new();
        let connections = Arc::new(Connections {
            scope: Arc::new(endpoint.into_scope(&self.options, &shutdown, &drain, &tasks)),
            options: self.options.clone(),
            shutdown: shutdown.clone(),
            abort: abort.clone(),
        });
        let admission = Admission::new(
            self.options.connections,
            self.options.connections_per_address,
            self.options.trusted_proxies.clone(),
        );
        info!(address = %self.address, "listening");
        while let Some((stream, peer)) = accept(&self.listener, &shutdown).await {
            match admission.admit(peer.ip()) {
                Some(permit) => {
                    tasks.spawn(Arc::clone(&connections).serve(stream, peer, permit));
                }
                None => reject(stream),
            }
        }
        drop(self.listener);
        tasks.close();
        let open = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let spread = (DRAIN_PAUSE * open).min(self.options.reconnect_spread);
        let ended = async { tokio::join!(drain.run(spread), tasks.wait()) };
        if timeout(self.options.shutdown_timeout, ended).await.is_err() {
            warn!(
                left = tasks.len(),
                "some requests did not end in time and are dropped"
            );
            abort.cancel();
        }
    }
}

/// Accepts a connection; none once `shutdown` is cancelled.
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

/// Bytes that the kernel buffers for a peer that does not read. Its own default is up to 4 MiB.
const SEND_BUFFER: usize = 128 * 1024;

/// Bytes of that buffer that may wait to be sent.
///
/// Without this limit the kernel reports progress only after a third of the buffer. A slow peer would
/// look like one that reads nothing.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 16 * 1024;

/// Sets the options of the listener's socket, which accepted connections inherit.
///
/// Small messages are sent at once, and the kernel's buffer is limited. A peer that acknowledges nothing
/// for `write_timeout` is given up. Without that, data would be sent to a vanished peer for a quarter of
/// an hour.
fn set_options(listener: &TcpListener, write_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(write_timeout))?;
    }
    Ok(())
}

/// State that all connections share.
struct Connections {
    scope: Arc<RequestScope>,
    options: ServerOptions,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Connections {
    /// Serves one connection until it ends or becomes a WebSocket.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: ConnectionPermit) {
        let io = TokioIo::new(Connection::new(stream, self.options.write_timeout, permit));
        let scope = Arc::clone(&self.scope);
        let service = service_fn(move |request: Request<Incoming>| {
            let scope = Arc::clone(&scope);
            async move {
                let response = scope.respond(request.map(Body::new), peer.ip()).await;
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_timeout)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_inherit_the_listeners_options() {
        let options = ServerOptions::default();
        let write_timeout = options.write_timeout;
        let server = Server::bind(([127, 0, 0, 1], 0).into(), options).await;
        let server = server.expect("a free port");
        let (client, accepted) = tokio::join!(
            TcpStream::connect(server.local_addr()),
            server.listener.accept()
        );
        let (_client, (stream, _)) = (client.expect("connected"), accepted.expect("accepted"));
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("an option"));
        // The kernel doubles it for its own needs.
        let send_buffer = socket.send_buffer_size().expect("an option");
        assert_eq!(send_buffer, 2 * SEND_BUFFER);
        #[cfg(target_os = "linux")]
        {
            let unsent = socket.tcp_notsent_lowat().expect("an option");
            assert_eq!(unsent, UNSENT);
            let user_timeout = socket.tcp_user_timeout().expect("an option");
            assert_eq!(user_timeout, Some(write_timeout));
        }
    }
}
