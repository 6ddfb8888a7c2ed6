//! Close codes of WebSockets.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::handshake::Socket;

/// Time limit for sending a close frame and receiving the peer's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Upper bound of a reason's length in the WebSocket protocol.
const MAX_REASON: usize = 123;

/// Close codes and reasons of the protocol. Reasons are fixed texts, except for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// Server stops; the client may reconnect.
    Restart,
    /// Session cannot be looked up at the moment.
    TryAgain,
    /// Message over the limit.
    TooBig,
    /// Violation of the WebSocket protocol.
    Protocol,
    /// Text that is not UTF-8.
    Encoding,
    /// Violation of the GraphQL protocol.
    Invalid,
    /// `subscribe` before the acknowledgement.
    Unauthorized,
    /// Bad credentials, or the end of the session. Clients reconnect with new ones.
    Forbidden,
    /// Handshake without the subprotocol.
    Subprotocol,
    /// Missing `connection_init` in time.
    InitTimeout,
    /// Id of a running operation.
    Subscriber(String),
    /// Second `connection_init`.
    SecondInit,
    /// Too many sockets and event streams of the user.
    TooManySockets,
}

impl Close {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Encoding => 1007,
            Self::TooBig => 1009,
            Self::Restart => 1012,
            Self::TryAgain => 1013,
            Self::Invalid => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::Subprotocol => 4406,
            Self::InitTimeout => 4408,
            Self::Subscriber(_) => 4409,
            Self::SecondInit | Self::TooManySockets => 4429,
        }
    }

    /// Returns the label in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::TryAgain => "try_again",
            Self::TooBig => "too_big",
            Self::Protocol => "protocol_error",
            Self::Encoding => "invalid_encoding",
            Self::Invalid => "invalid_message",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Subprotocol => "subprotocol",
            Self::InitTimeout => "init_timeout",
            Self::Subscriber(_) => "subscriber_exists",
            Self::SecondInit => "second_init",
            Self::TooManySockets => "too_many_sockets",
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Restart => "Service restart",
            Self::TryAgain => "Try again later",
            Self::TooBig => "Message too big",
            Self::Protocol => "Protocol error",
            Self::Encoding => "Invalid UTF-8",
            Self::Invalid => "Invalid message received",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::Subprotocol => "Subprotocol not acceptable",
            Self::InitTimeout => "Connection initialisation timeout",
            Self::Subscriber(id) => return already_exists(id),
            Self::SecondInit => "Too many initialisation requests",
            Self::TooManySockets => "Too many connections",
        }
        .to_owned()
    }

    /// Sends a close frame and waits for the peer's.
    pub(super) async fn send(self, socket: &mut Socket) {
        let frame = CloseFrame {
            code: self.code().into(),
            reason: self.reason().into(),
        };
        let sent = timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
        if let Ok(Ok(())) = sent {
            finish(socket).await;
        }
    }
}

/// Reads until both sides have closed: reading also answers the peer's close frame.
pub(super) async fn finish(socket: &mut Socket) {
    let closing = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

/// Cuts the id where the reason would be too long.
fn already_exists(id: &str) -> String {
    let room = MAX_REASON - "Subscriber for  already exists".len();
    let end = id.floor_char_boundary(room);
    let id = id.get(..end).unwrap_or_default();
    format!("Subscriber for {id} already exists")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Close::Protocol, 1002, "Protocol error")]
    #[case(Close::Encoding, 1007, "Invalid UTF-8")]
    #[case(Close::TooBig, 1009, "Message too big")]
    #[case(Close::Restart, 1012, "Service restart")]
    #[case(Close::TryAgain, 1013, "Try again later")]
    #[case(Close::Invalid, 4400, "Invalid message received")]
    #[case(Close::Unauthorized, 4401, "Unauthorized")]
    #[case(Close::Forbidden, 4403, "Forbidden")]
    #[case(Close::Subprotocol, 4406, "Subprotocol not acceptable")]
    #[case(Close::InitTimeout, 4408, "Connection initialisation timeout")]
    #[case(Close::Subscriber("7".into()), 4409, "Subscriber for 7 already exists")]
    #[case(Close::SecondInit, 4429, "Too many initialisation requests")]
    #[case(Close::TooManySockets, 4429, "Too many connections")]
    fn each_close_has_a_code_and_a_reason(
        #[case] close: Close,
        #[case] code: u16,
        #[case] reason: &str,
    ) {
        assert_eq!((close.code(), close.reason().as_str()), (code, reason));
    }
}
