//! TCP connection with a write time-out and a lingering close.

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

/// Time for which input is read and dropped after the last response.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are dropped at a time, with a pause after.
///
/// So the peer's speed does not set the pace, and an unwanted upload costs little.
const LINGER_BYTES: usize = 16 * 1024;
const LINGER_PAUSE: Duration = Duration::from_millis(20);

/// Connection to a client.
///
/// A socket that is closed while input waits in it resets the connection, and the peer loses the last
/// response. An example is a 413 to an upload. So a dropped connection lives on for a moment while its
/// input is read and dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Option<WriteTimeout<TcpStream>>,
    /// Tells whether the peer has closed its side.
    has_ended: bool,
    permit: Option<ConnectionPermit>,
}

impl Connection {
    /// Wraps a stream whose writes fail when the peer reads too slowly for `write_timeout`.
    pub(crate) fn new(
        stream: TcpStream,
        write_timeout: Duration,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            stream: Some(WriteTimeout::new(stream, write_timeout)),
            has_ended: false,
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
            (self.stream.take(), self.has_ended, Handle::try_current())
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
    let mut buffer = vec![0; LINGER_BYTES];
    while stream.read(&mut buffer).await? > 0 {
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
            Poll::Ready(Ok(())) if wanted => self.has_ended = buffer.filled().len() == before,
            Poll::Ready(Err(_)) => self.has_ended = true,
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
