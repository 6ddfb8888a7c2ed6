//! Client of graphql-transport-ws that sees every message as it is.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, StatusCode},
        protocol::Role,
    },
};

use crate::test_server::{TestServer, within_deadline};

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects with these headers; returns the status of a refused handshake.
    pub(crate) async fn handshake(
        server: &TestServer,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, StatusCode> {
        let url = format!("ws://{}/graphql", server.address);
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        match within_deadline(connect_async(request)).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects with the subprotocol.
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
        Self::handshake(server, &[protocol])
            .await
            .expect("a socket")
    }

    /// Connects and sends `connection_init` with this payload.
    pub(crate) async fn init(server: &TestServer, payload: Value) -> Self {
        let mut client = Self::connect(server).await;
        client
            .send(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(client.next().await, json!({ "type": "connection_ack" }));
        client
    }

    /// Connects without tungstenite's check of the selected subprotocol.
    pub(crate) async fn raw(server: &TestServer, headers: &[(&'static str, &str)]) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            server.address,
            headers.concat()
        );
        within_deadline(stream.write_all(request.as_bytes()))
            .await
            .expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within_deadline(stream.read_u8()).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        let stream = MaybeTlsStream::Plain(stream);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        Self { socket }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        within_deadline(self.socket.send(message))
            .await
            .expect("sent");
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } }))
            .await;
    }

    async fn receive(&mut self) -> Message {
        loop {
            match within_deadline(self.socket.next())
                .await
                .expect("a message")
                .expect("readable")
            {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// Receives a message of the protocol.
    pub(crate) async fn next(&mut self) -> Value {
        match self.receive().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            message => panic!("unexpected {message:?}"),
        }
    }

    /// Receives the close code and the reason, and nothing before.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.receive().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            message => panic!("unexpected {message:?}"),
        }
    }

    /// Asserts that no message is unread: a ping is answered next.
    pub(crate) async fn assert_silent(&mut self) {
        self.send(json!({ "type": "ping", "payload": { "quiet": true } }))
            .await;
        let pong = json!({ "type": "pong", "payload": { "quiet": true } });
        assert_eq!(self.next().await, pong);
    }
}
