//! Write time-out: ends a connection to a peer that reads too slowly.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that a peer must read within each time-out, at least.
const MIN_BYTES: usize = 32 * 1024;

/// Stream whose writes fail when the peer reads too slowly.
///
/// The time starts when a write cannot complete at once. Within `timeout` the peer must read everything,
/// or [`MIN_BYTES`] bytes, after which the time starts anew. So a slow reader gets a long response. If any
/// progress were enough, a peer could keep its connection forever by reading a byte now and then.
#[derive(Debug)]
pub(crate) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Bytes written since the time started.
    written: usize,
    /// End of the time; none while the peer reads everything at once, as nearly all peers do.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            written: 0,
            end: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> WriteTimeout<S> {
    /// Restarts or ends the time according to the bytes written of those offered.
    fn track(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            let written = written?;
            self.written += written;
            if written == offered || self.written >= MIN_BYTES {
                self.written = 0;
                self.end = None;
            }
            return Poll::Ready(Ok(written));
        }
        let end = self.end.get_or_insert_with(|| {
            self.written = 0;
            Box::pin(sleep(self.timeout))
        });
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.track(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        let offered = buffers.iter().map(|buffer| buffer.len()).sum();
        self.track(cx, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// A TCP stream has nothing to flush.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Peer that reads so many bytes at a time, each after a pause in seconds.
    #[derive(Clone, Copy)]
    struct Reader {
        bytes: usize,
        pause: u64,
    }

    const fn reader(bytes: usize, pause: u64) -> Reader {
        Reader { bytes, pause }
    }

    impl Reader {
        /// Reads until the end.
        async fn read(self, mut peer: DuplexStream) {
            let mut buffer = vec![0; self.bytes];
            loop {
                sleep(Duration::from_secs(self.pause)).await;
                if peer.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Sends messages of this length to a peer with a buffer of 64 bytes.
    ///
    /// Returns the number of messages written, and the time until the first failure.
    async fn send(count: usize, length: usize, reader: Reader) -> (usize, Option<Duration>) {
        let (stream, peer) = duplex(64);
        let reading = tokio::spawn(reader.read(peer));
        let mut stream = WriteTimeout::new(stream, TIMEOUT);
        let message = vec![0; length];
        for sent in 0..count {
            let started = Instant::now();
            if let Err(error) = stream.write_all(&message).await {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return (sent, Some(started.elapsed()));
            }
        }
        drop(stream);
        reading.await.unwrap();
        (count, None)
    }

    #[rstest]
    #[case::takes_nothing(1_000, reader(64, 100_000))]
    #[case::trickles(1_000, reader(8, 20))]
    #[case::trickles_all_the_time(1_000, reader(1, 1))]
    #[case::would_take_weeks(100_000_000, reader(1_024, 1))]
    #[tokio::test(start_paused = true)]
    async fn slow_reader_times_out(#[case] length: usize, #[case] reader: Reader) {
        assert_eq!(send(1, length, reader).await, (0, Some(TIMEOUT)));
    }

    #[rstest]
    #[case::short_messages_slowly(100, 64, reader(64, 29))]
    #[case::short_messages_in_pieces(100, 80, reader(8, 2))]
    #[case::a_long_one_steadily(1, 3_000_000, reader(64, 0))]
    #[case::a_long_one_slowly_and_steadily(1, 300_000, reader(1_200, 1))]
    #[tokio::test(start_paused = true)]
    async fn fast_enough_reader_gets_everything(
        #[case] count: usize,
        #[case] length: usize,
        #[case] reader: Reader,
    ) {
        assert_eq!(send(count, length, reader).await, (count, None));
    }

    #[tokio::test(start_paused = true)]
    async fn time_restarts_when_the_reader_has_caught_up() {
        let (stream, mut peer) = duplex(64);
        let mut stream = WriteTimeout::new(stream, TIMEOUT);
        let mut taken = [0; 64];
        for _ in 0..3 {
            stream.write_all(&taken).await.unwrap();
            let (sent, ()) = tokio::join!(stream.write_all(&taken), async {
                sleep(TIMEOUT.mul_f64(0.9)).await;
                peer.read_exact(&mut [0; 64]).await.unwrap();
            });
            sent.unwrap();
            peer.read_exact(&mut taken).await.unwrap();
            sleep(2 * TIMEOUT).await;
        }
    }
}
