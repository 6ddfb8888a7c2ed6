//! HTTP on a bare connection: whatever is sent, and all that comes back.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No case takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// What the gateway sent on a connection, up to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) text: String,
}

impl Reply {
    /// Sends the bytes and reads until the gateway closes the connection.
    pub(crate) async fn to(address: &str, bytes: &[u8]) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        let (mut from, mut to) = stream.into_split();
        let mut output = Vec::new();
        let write = async {
            // The gateway may have answered before all was sent.
            let _ = to.write_all(bytes).await;
        };
        let both = async { tokio::join!(write, from.read_to_end(&mut output)).1.ok() };
        timeout(DEADLINE, both)
            .await
            .map_err(|_| "the connection stays open".to_owned())?;
        let text = String::from_utf8_lossy(&output).into_owned();
        Ok(Self { text })
    }

    /// The first answer's status; none when the gateway hung up without a word.
    pub(crate) fn status(&self) -> Option<u16> {
        self.text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
    }

    /// How many answers there are.
    pub(crate) fn count(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count() - self.text.matches("HTTP/1.1 100").count().min(1)
    }

    pub(crate) fn head(&self) -> &str {
        self.text.split("\r\n\r\n").next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head().lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The first answer's body.
    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_default()
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        let code = &self.json()["errors"][0]["extensions"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}
