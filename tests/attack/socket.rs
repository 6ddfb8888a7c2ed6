//! Cases on a WebSocket, frame by frame.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    reply::DEADLINE,
    report::Outcome,
    send::{Names, fill},
    stage::{CANARY, Stage},
};

/// One thing that an attacker does on a socket.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Of the handshake, besides the usual ones.
    pub(crate) headers: &'static str,
    pub(crate) says: Vec<Say>,
    pub(crate) due: Due,
}

/// What the attacker sends, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// A text frame; names in braces are filled in.
    Text(String),
    /// A frame of this first byte, masked.
    Frame(u8, Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Waits until this has been said, written as in [`Due::Hears`].
    Wait(&'static str),
}

/// What must come of it.
#[derive(Debug)]
pub(crate) enum Due {
    /// The gateway closes with this code and this reason.
    Close(u16, &'static str),
    /// The gateway hangs up, with this code if with any.
    Gone(u16),
    /// The gateway says exactly this, and the socket stays open: `ack`, `next 1`, `next 1 CODE`,
    /// `error 1 CODE`, `complete 1`.
    Hears(&'static [&'static str]),
    /// So many subscriptions have come to their ends, and the socket stays open.
    Ends(usize),
    /// The gateway closes with 4401, unless it was quick enough to acknowledge before.
    Early,
    /// The gateway ends the socket, with any code, or none.
    Ended,
    /// The handshake is answered with this status.
    Refused(u16),
}

/// The subprotocol that the gateway speaks.
pub(crate) const OURS: &str = "Sec-WebSocket-Protocol: graphql-transport-ws\n";

/// A table's line for a socket of our subprotocol.
pub(crate) fn socket(name: impl Into<String>, says: Vec<Say>, due: Due) -> Case {
    Case {
        name: name.into(),
        headers: OURS,
        says,
        due,
    }
}

pub(crate) fn text(text: impl Into<String>) -> Say {
    Say::Text(text.into())
}

pub(crate) fn init() -> Say {
    text(r#"{"type":"connection_init"}"#)
}

/// As Alice, and acknowledged.
pub(crate) fn as_alice() -> Vec<Say> {
    let init = r#"{"type":"connection_init","payload":{"authorization":"Bearer {alice}"}}"#;
    vec![text(init), Say::Wait("ack")]
}

/// Acknowledged, and then this.
pub(crate) fn after_ack(says: impl IntoIterator<Item = Say>) -> Vec<Say> {
    as_alice().into_iter().chain(says).collect()
}

pub(crate) fn subscribe(id: &str, query: &str) -> Say {
    text(json!({ "type": "subscribe", "id": id, "payload": { "query": query } }).to_string())
}

/// Plays the cases one after the other.
pub(crate) async fn play(stage: &Stage, cases: Vec<Case>) -> Outcome {
    let mut outcome = Outcome::default();
    for case in cases {
        let before = stage.effects().await;
        let played = timeout(DEADLINE, run(stage, &case)).await;
        let mut result = played.unwrap_or_else(|_| Err(format!("{:?} never came", case.due)));
        let after = stage.effects().await;
        if before != after {
            result = Err(format!("something was done: {before:?} became {after:?}"));
        }
        outcome.case(&case.name, result);
    }
    stage.finish(&mut outcome).await;
    outcome
}

async fn run(stage: &Stage, case: &Case) -> Result<(), String> {
    let mut peer = match Peer::open(&stage.address, case.headers, &stage.names).await? {
        Ok(peer) => peer,
        Err(status) => {
            return match case.due {
                Due::Refused(due) if due == status => Ok(()),
                _ => Err(format!("the handshake was answered with {status}")),
            };
        }
    };
    for say in &case.says {
        match say {
            Say::Wait(word) => {
                while !peer.has(word) {
                    if peer.closed.is_some() {
                        return Err(format!("closed before {word}: {:?}", peer.closed));
                    }
                    peer.hear().await?;
                }
            }
            Say::Text(text) => peer.send(0x81, fill(text, &stage.names).as_bytes()).await,
            Say::Frame(first, payload) => peer.send(*first, payload).await,
            Say::Raw(bytes) => peer.write(bytes).await,
        }
    }
    match &case.due {
        Due::Refused(_) => Err("the handshake was accepted".into()),
        Due::Close(code, reason) => {
            let due = Some((*code, (*reason).to_owned()));
            while peer.closed.is_none() {
                peer.hear().await?;
            }
            (peer.closed == due)
                .then_some(())
                .ok_or_else(|| format!("{due:?} was due, not {:?}", peer.closed))
        }
        Due::Gone(code) => {
            while peer.closed.is_none() {
                if peer.hear().await.is_err() {
                    return Ok(());
                }
            }
            let gone = peer
                .closed
                .as_ref()
                .is_none_or(|(closed, _)| closed == code);
            gone.then_some(())
                .ok_or_else(|| format!("{code} was due, not {:?}", peer.closed))
        }
        Due::Ended => {
            while peer.closed.is_none() && peer.hear().await.is_ok() {}
            Ok(())
        }
        Due::Early => {
            while peer.closed.is_none() && !peer.has("complete 1") {
                peer.hear().await?;
            }
            let refused = peer.closed.as_ref().is_none_or(|(code, _)| *code == 4401);
            refused
                .then_some(())
                .ok_or_else(|| format!("4401 was due, not {:?}", peer.closed))
        }
        Due::Ends(due) => {
            let ends = |peer: &Peer| {
                peer.heard
                    .iter()
                    .filter(|word| word.starts_with("complete"))
                    .count()
            };
            while peer.closed.is_none() && ends(&peer) < *due {
                peer.hear().await?;
            }
            (ends(&peer) == *due)
                .then_some(())
                .ok_or_else(|| format!("closed: {:?}", peer.closed))
        }
        Due::Hears(due) => {
            while peer.heard.len() < due.len() && peer.closed.is_none() {
                peer.hear().await?;
            }
            // Whatever else was on its way comes before this.
            peer.send(0x81, br#"{"type":"ping","payload":{"probe":true}}"#)
                .await;
            while !peer.probed && peer.closed.is_none() {
                peer.hear().await?;
            }
            let heard = peer.closed.is_none() && peer.heard == *due;
            heard
                .then_some(())
                .ok_or_else(|| format!("{due:?} was due, not {:?}, {:?}", peer.heard, peer.closed))
        }
    }
}

/// The attacker's end.
struct Peer {
    stream: TcpStream,
    heard: Vec<String>,
    probed: bool,
    closed: Option<(u16, String)>,
}

impl Peer {
    /// The status of a handshake that was refused.
    async fn open(
        address: &str,
        headers: &str,
        names: &Names,
    ) -> Result<Result<Self, u16>, String> {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        let headers = fill(headers, names).replace('\n', "\r\n");
        let usual = if headers.contains("Sec-WebSocket-Version") {
            ""
        } else {
            "Sec-WebSocket-Version: 13\r\n"
        };
        let head = format!(
            "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{usual}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(
                stream
                    .read_u8()
                    .await
                    .map_err(|_| "no answer to the handshake")?,
            );
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status: u16 = answer[9..12].parse().map_err(|_| answer.clone())?;
        if status != 101 {
            return Ok(Err(status));
        }
        Ok(Ok(Self {
            stream,
            heard: Vec::new(),
            probed: false,
            closed: None,
        }))
    }

    fn has(&self, word: &str) -> bool {
        self.heard.iter().any(|heard| heard == word)
    }

    async fn write(&mut self, bytes: &[u8]) {
        // The gateway may have hung up.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, payload)).await;
    }

    /// Reads one frame.
    async fn hear(&mut self) -> Result<(), String> {
        let (first, payload) = self.read().await.map_err(|_| "hung up without a goodbye")?;
        let text = String::from_utf8_lossy(&payload).into_owned();
        if first == 0x88 {
            let code = payload
                .get(..2)
                .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
            let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
            if reason.contains(CANARY) && code != 4409 {
                return Err(format!("a reason repeats what was sent: {reason}"));
            }
            self.closed = Some((code, reason));
            self.send(0x88, &code.to_be_bytes()).await;
        } else if first == 0x81 {
            let message: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
            let error = match &message["payload"] {
                Value::Array(errors) => errors.first().cloned().unwrap_or_default(),
                payload => payload["errors"][0].clone(),
            };
            if error.to_string().contains(CANARY) {
                return Err(format!("an error repeats what was sent: {error}"));
            }
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match message["type"].as_str() {
                Some("connection_ack") => self.heard.push("ack".into()),
                Some("pong") => self.probed |= message["payload"]["probe"] == true,
                _ => {
                    let words = [
                        word(&message["type"]),
                        word(&message["id"]),
                        word(&error["extensions"]["code"]),
                    ];
                    self.heard.push(words.join(" ").trim().to_owned());
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok((first, payload))
    }
}

/// A frame whose mask changes nothing.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
