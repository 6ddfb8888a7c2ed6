//! Outgoing messages; long ones are split into frames.
//!
//! tungstenite copies each frame that it sends, and keeps the memory for the next. For a long message in
//! one frame, that would be all of it, for each socket with a slow peer.

use std::{iter, mem};

use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use written_json::JsonText;

/// Bytes of one frame.
const FRAGMENT: usize = 32 * 1024;

/// Message to send.
pub(super) enum Outgoing {
    /// Message in one frame.
    Message(Message),
    /// Message in several frames.
    Long(Long),
}

/// Text with more bytes than one frame.
pub(super) struct Long(JsonText);

impl From<JsonText> for Outgoing {
    fn from(text: JsonText) -> Self {
        if text.len() > FRAGMENT {
            return Self::Long(Long(text));
        }
        // The text is UTF-8, all of which was checked or written.
        let text = Utf8Bytes::try_from(text.into_bytes());
        Self::Message(Message::Text(text.unwrap_or_default()))
    }
}

impl Long {
    /// Splits the message into frames. A character may begin in one frame and end in the next.
    pub(super) fn into_fragments(self) -> impl Iterator<Item = Message> {
        let mut slices = self.0.into_chunks_of(FRAGMENT).peekable();
        let mut kind = Data::Text;
        iter::from_fn(move || {
            let slice = slices.next()?;
            let kind = OpCode::Data(mem::replace(&mut kind, Data::Continue));
            let is_last = slices.peek().is_none();
            Some(Message::Frame(Frame::message(slice.bytes, kind, is_last)))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn outgoing(bytes: usize) -> Outgoing {
        let mut text = JsonText::default();
        text.push_json(&Bytes::from(vec![b'1'; bytes]));
        text.into()
    }

    #[test]
    fn short_message_is_one_frame() {
        for bytes in [0, 1, FRAGMENT] {
            let Outgoing::Message(Message::Text(text)) = outgoing(bytes) else {
                panic!("{bytes} bytes are no message");
            };
            assert_eq!(text.len(), bytes);
        }
    }

    #[test]
    fn long_message_is_sent_in_fragments() {
        let Outgoing::Long(long) = outgoing(2 * FRAGMENT + 1) else {
            panic!("it is one message");
        };
        let frames: Vec<_> = long.into_fragments().collect();
        let told = frames.iter().map(|message| match message {
            Message::Frame(frame) => {
                let header = frame.header();
                (frame.payload().len(), header.opcode, header.is_final)
            }
            other => panic!("no frame: {other:?}"),
        });
        let (first, next) = (OpCode::Data(Data::Text), OpCode::Data(Data::Continue));
        let expected = [
            (FRAGMENT, first, false),
            (FRAGMENT, next, false),
            (1, next, true),
        ];
        assert!(told.eq(expected));
    }
}
