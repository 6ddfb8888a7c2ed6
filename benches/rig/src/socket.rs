//! Clients of `graphql-transport-ws`, ten thousand at a time: a task, a buffer and a connection each.

use std::{io, net::SocketAddr};

use crate::http::Connection;

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// One open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    connection: Connection,
}

impl Socket {
    /// Connects, completes the handshake, and waits until the server acknowledges the token.
    pub(crate) async fn open(address: SocketAddr, number: usize, token: &str) -> io::Result<Self> {
        let mut connection = Connection::open(address, number).await?;
        // The key may be any: it only has to come back in another form, which nobody checks here.
        let handshake = "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\n\
            upgrade: websocket\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
        let answer = connection.exchange(handshake.as_bytes()).await?;
        if answer.status != 101 {
            return Err(io::Error::other("the handshake is refused"));
        }
        let mut socket = Self { connection };
        let init =
            format!(r#"{{"type":"connection_init","payload":{{"authorization":"{token}"}}}}"#);
        socket.send(TEXT, init.as_bytes()).await?;
        let answer = socket.receive().await?;
        if answer.contains("connection_ack") {
            Ok(socket)
        } else {
            Err(io::Error::other(answer))
        }
    }

    /// Subscribes and waits for the first event.
    pub(crate) async fn subscribe(&mut self, subscribe: &str) -> io::Result<()> {
        self.begin(subscribe).await?;
        let answer = self.receive().await?;
        if answer.contains(r#""operationStatus""#) {
            Ok(())
        } else {
            Err(io::Error::other(answer))
        }
    }

    /// Subscribes, and waits for nothing.
    pub(crate) async fn begin(&mut self, subscribe: &str) -> io::Result<()> {
        self.send(TEXT, subscribe.as_bytes()).await
    }

    /// Waits for a ping and answers it.
    pub(crate) async fn answer_ping(&mut self) -> io::Result<()> {
        loop {
            let (opcode, payload) = self.frame().await?;
            if opcode == PING {
                return self.send(PONG, &payload).await;
            }
        }
    }

    /// The next text message.
    pub(crate) async fn receive(&mut self) -> io::Result<String> {
        loop {
            let (opcode, payload) = self.frame().await?;
            match opcode {
                TEXT => return Ok(String::from_utf8_lossy(&payload).into_owned()),
                PING => self.send(PONG, &payload).await?,
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }

    async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, start, end)) = frame(self.connection.received()) {
                let payload = self.connection.received()[start..end].to_vec();
                self.connection.take(end);
                return Ok((opcode, payload));
            }
            self.connection.fill().await?;
        }
    }

    /// Masked with zeros, which leaves the payload as it is.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![opcode];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                let length = u16::try_from(payload.len()).expect("a short message");
                frame.push(0x80 | 0x7e);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.connection.send(&frame).await
    }
}

/// Opcode, start and end of the payload of the first frame; none when it is not all there.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let opcode = *bytes.first()?;
    let (start, length) = match *bytes.get(1)? {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => panic!("a message over 64 KiB"),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= start + length).then_some((opcode, start, start + length))
}
