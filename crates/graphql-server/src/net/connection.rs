//! A TCP connection that minds its manners: it gives up on a peer that takes too little, and lets the
//! peer read the last answer before it is gone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{admission::ConnectionPermit, write_timeout::WriteTimeout};

/// How long what the peer still sends is read and thrown away.
const LINGER: Duration = Duration::from_secs(2);

/// How much of it at once, and the pause after: the peer's own speed must not set the pace, or an
/// upload that nobody wants would cost as much as one that somebody does.
const LINGER_BYTES: usize = 16 * 1024;
const LINGER_PAUSE: Duration = Duration::from_millis(20);

/// A connection to a client.
///
/// A socket that is closed while unread data waits in it resets the connection, and the peer loses the
/// last answer: a 413 to an upload that is still under way, say. So when this is dropped while the peer
/// is still sending, the socket lives on for a little while, to be read empty.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Option<WriteTimeout<TcpStream>>,
    /// Whether the peer has said that it sends no more.
    ended: bool,
    permit: Option<ConnectionPermit>,
}

impl Connection {
    /// Writing fails once the peer takes too little in `write_timeout`.
    pub(crate) fn new(
        stream: TcpStream,
        write_timeout: Duration,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            stream: Some(WriteTimeout::new(stream, write_timeout)),
            ended: false,
            permit: Some(permit),
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut WriteTimeout<TcpStream>>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(stream), false, Ok(runtime)) =
            (self.stream.take(), self.ended, Handle::try_current())
        {
            runtime.spawn(timeout(LINGER, linger(stream, self.permit.take())));
        }
    }
}

async fn linger(
    mut stream: WriteTimeout<TcpStream>,
    _permit: Option<ConnectionPermit>,
) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unwanted = vec![0; LINGER_BYTES];
    while stream.read(&mut unwanted).await? > 0 {
        sleep(LINGER_PAUSE).await;
    }
    Ok(())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, wanted) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = self.stream()?.poll_read(cx, buffer);
        match &read {
            Poll::Ready(Ok(())) if wanted => self.ended = buffer.filled().len() == before,
            Poll::Ready(Err(_)) => self.ended = true,
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
