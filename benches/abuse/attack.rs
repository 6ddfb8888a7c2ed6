//! The attackers: each does its worst until it is cut off, pauses, and does it again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::SinkExt;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const UPLOAD: usize = 300 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// Pause before an attacker that was cut off tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// Pause between two drops of what comes slowly.
const DROP: Duration = Duration::from_secs(1);
/// How long who does not read waits for being cut off, before it sees for itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes that a connection takes in that is not read.
const DEAF_BUFFER: u32 = 4096;

/// How many long answers are asked for and not read: more than buffers hold.
const LONG_ONES: usize = 16;

/// A question with a long answer.
const LONG: &str = "{__schema{types{name description kind fields{name description args{name} \
                    type{name kind ofType{name kind}}} enumValues{name description}}}}";

/// Attacks that go on.
pub(crate) struct Attack {
    tasks: JoinSet<()>,
    counts: Vec<(&'static str, Arc<AtomicUsize>)>,
    sent: Arc<AtomicUsize>,
    only: Option<String>,
}

/// Sends 1,100 attackers to the address, or `only` those whose description has this text.
pub(crate) fn start(address: &str, only: Option<String>) -> Attack {
    let mut attack = Attack {
        only,
        tasks: JoinSet::new(),
        counts: Vec::new(),
        sent: Arc::default(),
    };
    let sent = attack.sent.clone();
    let declared = sent.clone();
    attack.add("300 MB uploads with their length: tries", 50, address, {
        move |address| upload(address, true, declared.clone())
    });
    attack.add("300 MB uploads without it: tries", 50, address, {
        move |address| upload(address, false, sent.clone())
    });
    attack.add("slow heads: tries", 250, address, slow_head);
    attack.add("slow bodies: tries", 250, address, slow_body);
    attack.add("sockets that do not read: tries", 250, address, deaf_socket);
    attack.add(
        "answers that are not read: tries",
        250,
        address,
        deaf_reader,
    );
    attack
}

impl Attack {
    fn add<F, A>(&mut self, what: &'static str, attackers: usize, address: &str, attack: A)
    where
        A: Fn(String) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send,
    {
        if self.only.as_ref().is_some_and(|only| !what.contains(only)) {
            return;
        }
        let tries = Arc::<AtomicUsize>::default();
        self.counts.push((what, tries.clone()));
        for _ in 0..attackers {
            let (address, attack, tries) = (address.to_owned(), attack.clone(), tries.clone());
            self.tasks.spawn(async move {
                loop {
                    tries.fetch_add(1, Ordering::Relaxed);
                    // To be cut off is what an attacker expects.
                    let _ = attack(address.clone()).await;
                    sleep(AGAIN).await;
                }
            });
        }
    }

    /// Ends it, and tells how much there was of what.
    pub(crate) fn stop(mut self) -> Vec<(&'static str, usize)> {
        self.tasks.abort_all();
        let tries = self.counts.iter();
        let mut counts: Vec<_> = tries
            .map(|(what, tries)| (*what, tries.load(Ordering::Relaxed)))
            .collect();
        let sent = self.sent.load(Ordering::Relaxed) / (1024 * 1024);
        counts.push(("uploaded, MiB", sent));
        counts
    }
}

async fn post(address: &str, body: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{body}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

async fn upload(address: String, declared: bool, sent: Arc<AtomicUsize>) -> io::Result<()> {
    let length = format!("Content-Length: {UPLOAD}");
    let framing = if declared {
        &length
    } else {
        "Transfer-Encoding: chunked"
    };
    let mut stream = post(&address, framing).await?;
    let data = "x".repeat(CHUNK);
    let chunk = if declared {
        data
    } else {
        format!("{CHUNK:x}\r\n{data}\r\n")
    };
    for _ in 0..UPLOAD / CHUNK {
        stream.write_all(chunk.as_bytes()).await?;
        sent.fetch_add(CHUNK, Ordering::Relaxed);
    }
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn drip(mut stream: TcpStream, drop: &[u8]) -> io::Result<()> {
    loop {
        sleep(DROP).await;
        stream.write_all(drop).await?;
    }
}

async fn slow_head(address: String) -> io::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(b"GET /graphql HTTP/1.1\r\n").await?;
    // As much of a head as may be, and then never the end.
    let long = format!("X-Long: {}\r\n", "x".repeat(15_000));
    stream.write_all(long.as_bytes()).await?;
    drip(stream, b"X: 1\r\n").await
}

async fn slow_body(address: String) -> io::Result<()> {
    let mut stream = post(&address, "Content-Length: 1048576").await?;
    // Nearly all of it at once, so that it is held.
    stream.write_all(&vec![b' '; 1_000_000]).await?;
    drip(stream, b" ").await
}

/// A connection that takes in next to nothing: what is not read is the gateway's to hold.
async fn connect_deaf(address: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(DEAF_BUFFER)?;
    let address = address.parse().map_err(io::Error::other)?;
    socket.connect(address).await
}

async fn deaf_socket(address: String) -> io::Result<()> {
    let mut request = format!("ws://{address}/graphql")
        .into_client_request()
        .map_err(io::Error::other)?;
    let protocol = "graphql-transport-ws".parse().map_err(io::Error::other)?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let stream = connect_deaf(&address).await?;
    let (mut socket, _) = client_async(request, stream)
        .await
        .map_err(io::Error::other)?;
    let mut messages = vec![r#"{"type":"connection_init"}"#.to_owned()];
    // A ping is answered with its payload: much to write for little work.
    let ping = format!(
        r#"{{"type":"ping","payload":{{"x":"{}"}}}}"#,
        "x".repeat(60_000)
    );
    messages.extend(vec![ping; LONG_ONES]);
    socket
        .send(Message::text(messages.remove(0)))
        .await
        .map_err(io::Error::other)?;
    sleep(DROP).await;
    for message in messages {
        let sending = socket.send(Message::text(message));
        sending.await.map_err(io::Error::other)?;
    }
    sleep(PATIENCE).await;
    Ok(())
}

async fn deaf_reader(address: String) -> io::Result<()> {
    let mut stream = connect_deaf(&address).await?;
    let body = format!(r#"{{"query":"{LONG}"}}"#);
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let all = request.repeat(LONG_ONES);
    // The gateway stops reading when it cannot write.
    let _ = timeout(PATIENCE, stream.write_all(all.as_bytes())).await;
    sleep(PATIENCE).await;
    Ok(())
}
