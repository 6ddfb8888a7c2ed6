//! A client of graphql-transport-ws that shows every message.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const EVENTS: &str = "subscription($id: ID!, $after: Int) { \
     operationStatus(operationId: $id, afterSequence: $after) { \
     kind sequence status message polls elapsedMs occurredAt \
     operation { id status sequence infoRequest { id ... on ChoiceRequest { choices } } failure { code message retryable reference } connection { id } } } }";

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a socket at the GraphQL address and is acknowledged.
    pub(crate) async fn open(url: &str, token: Option<&str>) -> Self {
        let opened = Self::try_open(url, token).await;
        opened.unwrap_or_else(|| panic!("no acknowledged socket at {url}"))
    }

    /// The same of a gateway that may die meanwhile.
    pub(crate) async fn try_open(url: &str, token: Option<&str>) -> Option<Self> {
        let url = url.replacen("http", "ws", 1);
        let mut request = url.into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, _) = timeout(DEADLINE, connect_async(request)).await.ok()?.ok()?;
        let mut socket = Self(socket);
        let payload = token.map(|token| json!({ "authorization": format!("Bearer {token}") }));
        let init = json!({ "type": "connection_init", "payload": payload });
        if !socket.try_send(&init).await {
            return None;
        }
        let answer = socket.next().await.ok()?;
        (answer["type"] == "connection_ack").then_some(socket)
    }

    /// Whether the message could be sent.
    pub(crate) async fn try_send(&mut self, message: &Value) -> bool {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .is_ok()
    }

    /// Waits until something has come, which is not read.
    pub(crate) async fn is_sent_something(&self) -> bool {
        match self.0.get_ref() {
            MaybeTlsStream::Plain(stream) => {
                stream.peek(&mut [0]).await.is_ok_and(|length| length > 0)
            }
            _ => false,
        }
    }

    /// The next message of the protocol; the close code when the server closes.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<u16>> {
        let text = self.next_text().await?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// The same, as it was sent.
    pub(crate) async fn next_text(&mut self) -> Result<String, Option<u16>> {
        loop {
            let message = timeout(DEADLINE, self.0.next())
                .await
                .expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() != r#"{"type":"ping"}"# => {
                    return Ok(text.as_str().to_owned());
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Follows an operation under the subscription id `id`.
    pub(crate) async fn follow(&mut self, id: &str, operation: &str, after: Option<i64>) {
        let sent = self.try_follow(id, operation, after).await;
        assert!(sent, "the socket is broken");
    }

    /// The same; whether the message could be sent.
    pub(crate) async fn try_follow(
        &mut self,
        id: &str,
        operation: &str,
        after: Option<i64>,
    ) -> bool {
        let variables = json!({ "id": operation, "after": after });
        let payload = json!({ "query": EVENTS, "variables": variables });
        self.try_send(&json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await
    }

    /// The next event of the only subscription; none once it is complete.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        let message = self
            .next()
            .await
            .unwrap_or_else(|code| panic!("closed: {code:?}"));
        match message["type"].as_str().unwrap() {
            "next" => {
                assert!(message["payload"].get("errors").is_none(), "{message:#}");
                Some(message["payload"]["data"]["operationStatus"].clone())
            }
            "complete" => None,
            _ => panic!("{message:#}"),
        }
    }

    /// All events from now on until the stream is complete.
    pub(crate) async fn events(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }

    /// Waits until something else is asked than `before`, and returns that request's id.
    pub(crate) async fn until_asked_anew(&mut self, before: &str) -> String {
        loop {
            let event = self.until("REQUESTED_MORE_INFO").await;
            let request = &event["operation"]["infoRequest"]["id"];
            if let Some(request) = request.as_str().filter(|request| *request != before) {
                return request.to_owned();
            }
        }
    }

    /// Waits for an event in this status.
    pub(crate) async fn until(&mut self, status: &str) -> Value {
        loop {
            let event = self
                .event()
                .await
                .unwrap_or_else(|| panic!("ended before {status}"));
            if event["status"] == status {
                return event;
            }
        }
    }
}
