//! HTTP/1.1 with as little effort as possible: what sends the load must not be what is measured.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::{JoinSet, yield_now},
    time::Instant,
};

/// How many connections come from one address. It has more ports, of which closed connections keep some.
pub(crate) const FROM_ONE_ADDRESS: usize = 20_000;

/// What a run of requests came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

/// A kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// From one of the loopback addresses, picked by `number`: each has ports of its own.
    pub(crate) async fn open(address: SocketAddr, number: usize) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let third = u8::try_from(number / FROM_ONE_ADDRESS).unwrap_or(u8::MAX);
        socket.bind((Ipv4Addr::new(127, 0, third, 2), 0).into())?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        // Closed connections would keep their ports for a minute, and each next one look longer for one.
        stream.set_zero_linger()?;
        Ok(Self {
            stream,
            buffer: vec![0; 2048],
            filled: 0,
        })
    }

    /// Sends the bytes and waits for the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((answer, length)) = parse(&self.buffer[..self.filled]) {
                self.buffer.copy_within(length..self.filled, 0);
                self.filled -= length;
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        Ok(())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// What has come and was not taken yet.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    pub(crate) fn take(&mut self, length: usize) {
        self.buffer.copy_within(length..self.filled, 0);
        self.filled -= length;
    }
}

/// The answer at the start of `bytes` and how long it is; none when it is not all there.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head in ASCII");
    let status = text[9..12].parse().expect("a status");
    let mut chunked = false;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            let length: usize = value.trim().parse().expect("a length");
            let body = bytes.get(head..head + length)?.to_vec();
            return Some((Answer { status, body }, head + length));
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    if !chunked {
        let body = Vec::new();
        return Some((Answer { status, body }, head));
    }
    let mut body = Vec::new();
    let mut at = head;
    loop {
        let line = at + find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..line]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        body.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
        at = line + 2 + size + 2;
        if size == 0 {
            return (at <= bytes.len()).then_some((Answer { status, body }, at));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The bytes of a POST of JSON.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &str) -> Bytes {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    (request + "\r\n" + body).into()
}

/// Reads `path` once; an error unless the answer is 200.
pub(crate) async fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(address, 0).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).await?;
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(io::ErrorKind::Other.into())
    }
}

/// Does `work` without ever sleeping: a server that answers faster than it is asked pays for waking who
/// asks each time, and one that is slower does not. Nobody else can use the core meanwhile.
pub(crate) async fn awake<T>(work: impl Future<Output = T>) -> T {
    let spin = async {
        loop {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        never = spin => never,
    }
}

/// Sends `requests` in turn over `connections` kept-alive connections for `duration`.
pub(crate) async fn load(
    address: SocketAddr,
    requests: &Arc<Vec<Bytes>>,
    connections: usize,
    duration: Duration,
) -> Load {
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(address, 0).await.expect("a connection"));
    }
    let begun = Instant::now();
    let deadline = begun + duration;
    let mut tasks = JoinSet::new();
    for (number, mut connection) in opened.into_iter().enumerate() {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < deadline {
                let request = &requests[(number + count * connections) % requests.len()];
                let answer = connection.exchange(request).await.expect("an answer");
                assert_eq!(
                    answer.status,
                    200,
                    "{:?}",
                    String::from_utf8_lossy(&answer.body)
                );
                count += 1;
            }
            count as u64
        });
    }
    let counts = tasks.join_all().await;
    Load {
        requests: counts.iter().sum(),
        elapsed: begun.elapsed(),
    }
}
