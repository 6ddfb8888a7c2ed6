//! Fuzz target for WebSocket frames.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use serde_json::Value as Json;

use super::{
    CANARY,
    connection::exchange,
    requests::{assert_errors, position},
};

const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

const CLOSE_CODES: [u16; 13] = [
    1000, 1002, 1007, 1009, 1012, 1013, 4400, 4401, 4403, 4406, 4408, 4409, 4429,
];

/// Sends `data` on a socket.
///
/// After an even first byte each line is a message; after an odd one come raw frames. The server sends
/// nothing but messages of the protocol. It closes with a known code and reason.
pub fn socket(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let mut input = HANDSHAKE.as_bytes().to_vec();
    if kind % 2 == 0 {
        for line in rest.split(|byte| *byte == b'\n') {
            frames(line, &mut input);
        }
    } else {
        input.extend(rest);
    }
    let output = exchange(input);
    let end = position(&output, b"\r\n\r\n").unwrap_or_else(|| panic!("no handshake"));
    assert!(output.starts_with(b"HTTP/1.1 101 "));
    ServerFrames::default().read(output.get(end + 4..).unwrap_or_default());
}

/// Writes the frames of a line: a text, or the kind that its first byte selects.
fn frames(line: &[u8], out: &mut Vec<u8>) {
    match line.split_first() {
        Some((1, rest)) => frame(0x82, rest, out),
        Some((2, rest)) => frame(0x89, rest.get(..125).unwrap_or(rest), out),
        Some((3, rest)) => frame(0x88, rest.get(..125).unwrap_or(rest), out),
        Some((4, rest)) => {
            let (begin, end) = rest.split_at(rest.len() / 2);
            frame(0x01, begin, out);
            frame(0x80, end, out);
        }
        // Repeats the last byte many times.
        Some((5, rest)) => {
            let last = rest.last().copied().unwrap_or(b' ');
            let padding = std::iter::repeat_n(last, 70_000);
            frame(0x81, &[rest, &padding.collect::<Vec<_>>()].concat(), out);
        }
        _ => frame(0x81, line, out),
    }
}

/// Writes a frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0xfe);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}

/// State of the server's side of a socket.
#[derive(Default)]
struct ServerFrames {
    acknowledged: bool,
    closed: bool,
}

impl ServerFrames {
    fn read(&mut self, mut output: &[u8]) {
        while let [first, length, rest @ ..] = output {
            assert!(!self.closed, "a frame after the close frame");
            assert_eq!(first & 0xf0, 0x80, "a whole frame without extensions");
            let (length, rest) = match length {
                126 => split_length::<2>(rest),
                127 => split_length::<8>(rest),
                length => (usize::from(*length), rest),
            };
            let Some(payload) = rest.get(..length) else {
                panic!("a frame is cut short");
            };
            self.frame(first & 0x0f, payload);
            output = rest.get(length..).unwrap_or_default();
        }
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        match opcode {
            0x1 => self.message(&String::from_utf8_lossy(payload)),
            0x8 => {
                self.closed = true;
                check_close(payload);
            }
            0x9 | 0xa => {}
            _ => panic!("opcode {opcode}"),
        }
    }

    fn message(&mut self, text: &str) {
        let message: Json = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
        match message["type"].as_str().unwrap_or_default() {
            "connection_ack" => {
                assert!(!self.acknowledged, "acknowledged twice");
                self.acknowledged = true;
            }
            "pong" => {}
            "next" | "complete" => {
                assert!(self.acknowledged && message["id"].is_string(), "{text}");
                assert_errors(&message["payload"]["errors"]);
            }
            "error" => {
                assert!(self.acknowledged && message["id"].is_string(), "{text}");
                assert!(
                    message["payload"]
                        .as_array()
                        .is_some_and(|errors| !errors.is_empty())
                );
                assert_errors(&message["payload"]);
            }
            _ => panic!("{text}"),
        }
    }
}

fn split_length<const N: usize>(rest: &[u8]) -> (usize, &[u8]) {
    let Some((length, rest)) = rest.split_at_checked(N) else {
        panic!("a frame is cut short");
    };
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (length, rest)
}

fn check_close(payload: &[u8]) {
    // An empty payload answers the peer's own.
    let Some((code, reason)) = payload.split_at_checked(2) else {
        return;
    };
    let code = code.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
    let reason = String::from_utf8_lossy(reason);
    assert!(reason.len() <= 123);
    if CLOSE_CODES.contains(&code) {
        if code == 4409 {
            assert!(reason.starts_with("Subscriber for ") && reason.ends_with(" already exists"));
        } else if !reason.is_empty() {
            let canary_in_echo = code == 1000;
            assert!(
                canary_in_echo || !reason.contains(CANARY),
                "{code} {reason}"
            );
        }
    }
}
