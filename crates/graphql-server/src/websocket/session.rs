//! Session of one socket: a single task that reads, runs operations and writes.
//!
//! Nothing is queued. While a result is written, no operation is polled, so a slow reader slows down its
//! own operations only. A reader that stops is closed by the connection's write time-out.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    future::{self, BoxFuture},
    stream::BoxStream,
};
use secrecy::SecretString;
use tokio_stream::{StreamMap, StreamNotifyClose};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;
use written_json::JsonText;

use super::{
    close::{self, Close},
    end::{End, read_error},
    handshake::Socket,
    message::{self, ClientMessage, Credentials, ServerMessage},
    outgoing::Outgoing,
    timers::{TimerEvent, Timers},
};
use crate::{
    execute::ExecutionResult,
    hooks::{Hooks, Lifetime},
    metrics::{OpenSocket, StreamWatch, Transport},
    request::{RequestInfo, error::RequestError, parameters::Parameters},
    service::{GraphqlService, Sender, StreamPermit},
};

type Outcome = Result<(), End>;

/// State of a session.
enum State<S> {
    /// Before `connection_init`, until the first tick.
    Connected,
    /// During authentication.
    Authenticating(BoxFuture<'static, Result<Option<S>, Close>>),
    /// After the acknowledgement.
    Acknowledged {
        session: Option<S>,
        _permit: StreamPermit,
    },
}

/// Event of a session.
enum Event<S> {
    Message(Option<Result<Message, SocketError>>),
    Result(Arc<str>, Option<ExecutionResult>),
    Authenticated(Result<Option<S>, Close>),
    Timer(TimerEvent),
}

pub(super) struct Session<H: Hooks> {
    socket: Socket,
    service: Arc<GraphqlService<H>>,
    info: RequestInfo,
    /// Token of the handshake, for a `connection_init` without one.
    token: Option<SecretString>,
    state: State<H::Session>,
    operations: StreamMap<Arc<str>, StreamNotifyClose<BoxStream<'static, ExecutionResult>>>,
    timers: Timers,
    /// Tells whether the peer has sent anything since the last ping.
    is_alive: bool,
    watch: StreamWatch,
    metrics: OpenSocket,
    /// Dropped last: whoever waits for it finds nothing of the session left.
    _task: TaskTrackerToken,
}

impl<H: Hooks> Session<H> {
    pub(super) fn new(
        socket: Socket,
        service: Arc<GraphqlService<H>>,
        info: RequestInfo,
        token: Option<SecretString>,
        task: TaskTrackerToken,
    ) -> Self {
        let init_timeout = service.options.socket_init_timeout;
        let drain = service.drain.register();
        Self {
            socket,
            info,
            token,
            state: State::Connected,
            operations: StreamMap::new(),
            timers: Timers::new(drain, init_timeout),
            is_alive: true,
            watch: StreamWatch::new(Transport::WebSocket),
            metrics: service.metrics.open_socket(),
            service,
            _task: task,
        }
    }

    /// Runs the session to its end.
    ///
    /// Rare steps are boxed, because ten thousand sessions may wait at once.
    pub(super) async fn run(&mut self) {
        loop {
            let outcome = match self.next_event().await {
                Event::Message(message) => Box::pin(self.read(message)).await,
                Event::Timer(TimerEvent::Tick) => Box::pin(self.tick()).await,
                Event::Timer(TimerEvent::Close(close)) => Err(close.into()),
                Event::Authenticated(authenticated) => match self.acknowledge(authenticated) {
                    Ok(outgoing) => self.send(outgoing).await,
                    Err(end) => Err(end),
                },
                Event::Result(id, result) => match self.next_result(&id, result) {
                    Ok(outgoing) => self.send(outgoing).await,
                    Err(end) => Err(end),
                },
            };
            if let Err(end) = outcome {
                return Box::pin(self.end(end)).await;
            }
        }
    }

    /// Counts the end, and closes the socket.
    pub(super) async fn end(&mut self, end: End) {
        let (streams, reason) = end.labels();
        self.watch.set_end(streams);
        self.metrics.set_end(reason);
        self.operations.clear();
        match end {
            End::Close(close) => {
                debug!(code = close.code(), "closing a socket");
                close.send(&mut self.socket).await;
            }
            End::Closed => close::finish(&mut self.socket).await,
            End::Gone => {}
        }
    }

    async fn next_event(&mut self) -> Event<H::Session> {
        tokio::select! {
            event = self.timers.next() => Event::Timer(event),
            authenticated = self.state.authenticated() => Event::Authenticated(authenticated),
            message = self.socket.next() => {
                self.is_alive = true;
                Event::Message(message)
            }
            Some((id, result)) = self.operations.next() => Event::Result(id, result),
        }
    }

    /// Ends the wait for `connection_init` on the first tick; pings the peer on later ones.
    async fn tick(&mut self) -> Outcome {
        if matches!(self.state, State::Connected) {
            return Err(Close::InitTimeout.into());
        }
        if self.is_alive {
            self.is_alive = false;
            return self.write(Message::Ping(Bytes::new())).await;
        }
        // The peer's pong may be there, unread, after a long write.
        let message = self.socket.next().now_or_never().ok_or(End::Gone)?;
        self.is_alive = true;
        self.read(message).await
    }

    async fn read(&mut self, message: Option<Result<Message, SocketError>>) -> Outcome {
        match message
            .ok_or(End::Gone)?
            .map_err(|error| read_error(&error))?
        {
            Message::Text(text) => self.receive(text.as_str()).await,
            Message::Binary(_) => Err(Close::Invalid.into()),
            // Frames are not delivered one by one.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(_) => Err(End::Closed),
        }
    }

    async fn receive(&mut self, text: &str) -> Outcome {
        let limit = self.service.options.value_limit;
        match ClientMessage::parse(text, limit).ok_or(Close::Invalid)? {
            ClientMessage::Init(credentials) => self.connection_init(credentials),
            ClientMessage::Ping(payload) => {
                let pong = serialized(&ServerMessage::Pong { payload })?;
                self.send(pong).await
            }
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, parameters } => match self.subscribe(id, parameters)? {
                Some(error) => self.send(error).await,
                None => Ok(()),
            },
            ClientMessage::Complete { id } => {
                self.operations.remove(id.as_str());
                Ok(())
            }
        }
    }

    fn connection_init(&mut self, credentials: Credentials) -> Outcome {
        if !matches!(self.state, State::Connected) {
            return Err(Close::SecondInit.into());
        }
        let from_handshake = self.token.take();
        let token = match credentials {
            Credentials::Absent => from_handshake,
            Credentials::Token(token) => Some(token),
            Credentials::Malformed => return Err(Close::Forbidden.into()),
        };
        let service = Arc::clone(&self.service);
        let info = self.info.clone();
        self.timers.set_period(service.options.keep_alive);
        self.state = State::Authenticating(Box::pin(async move {
            let has_token = token.is_some();
            match service
                .authenticate(token, &info, Lifetime::Connection)
                .await
            {
                Ok(None) if has_token => Err(Close::Forbidden),
                Ok(session) => Ok(session),
                Err(_) => Err(Close::TryAgain),
            }
        }));
        Ok(())
    }

    /// Opens the session and returns the acknowledgement.
    fn acknowledge(
        &mut self,
        authenticated: Result<Option<H::Session>, Close>,
    ) -> Result<Outgoing, End> {
        let session = authenticated?;
        let permit = self.service.stream_permit(session.as_ref());
        let permit = permit.ok_or(Close::TooManySockets)?;
        if let Some(session) = &session {
            let session_ended = self.service.hooks.session_ended(session);
            self.timers.watch_session(session_ended);
        }
        self.state = State::Acknowledged {
            session,
            _permit: permit,
        };
        serialized(&ServerMessage::ConnectionAck)
    }

    /// Starts an operation; returns its error if it does not start.
    fn subscribe(&mut self, id: String, parameters: Parameters) -> Result<Option<Outgoing>, End> {
        let State::Acknowledged { session, .. } = &self.state else {
            return Err(Close::Unauthorized.into());
        };
        if self.operations.contains_key(id.as_str()) {
            return Err(Close::Subscriber(id).into());
        }
        let prepared = if self.operations.len() >= self.service.options.operations_per_socket {
            Err(RequestError::TooManyOperations)
        } else {
            let sender = Sender {
                session: session.as_ref(),
                request: &self.info,
                page: None,
            };
            let prepared = self.service.prepare(parameters, &sender);
            prepared.map_err(RequestError::from)
        };
        match prepared {
            Ok(operation) => {
                let results = StreamNotifyClose::new(self.service.stream(operation, &self.watch));
                self.operations.insert(id.into(), results);
                Ok(None)
            }
            Err(error) => {
                let error = self.service.count_refusal(error);
                self.serialize_result(&id, &ExecutionResult::from(&error))
                    .map(Some)
            }
        }
    }

    fn next_result(&mut self, id: &str, result: Option<ExecutionResult>) -> Result<Outgoing, End> {
        if let Some(result) = result {
            return self.serialize_result(id, &result);
        }
        self.operations.remove(id);
        serialized(&ServerMessage::Complete { id })
    }

    /// Serializes a result.
    ///
    /// An operation that was not executed ends with `error`, without `complete`.
    fn serialize_result(&mut self, id: &str, result: &ExecutionResult) -> Result<Outgoing, End> {
        if result.is_request_error() {
            self.operations.remove(id);
            let payload = &result.errors;
            serialized(&ServerMessage::Error { id, payload })
        } else {
            outgoing(message::next(id, result))
        }
    }

    async fn send(&mut self, outgoing: Outgoing) -> Outcome {
        match outgoing {
            Outgoing::Message(message) => self.write(message).await,
            Outgoing::Long(text) => {
                // One after the other, so that little of a long message is copied at a time.
                let fragments = async {
                    for fragment in text.into_fragments() {
                        self.write(fragment).await?;
                    }
                    Ok(())
                };
                Box::pin(fragments).await
            }
        }
    }

    /// Writes a message, unless the session ends in the meantime.
    async fn write(&mut self, message: Message) -> Outcome {
        let mut sending = SinkExt::send(&mut self.socket, message);
        loop {
            tokio::select! {
                biased;
                written = &mut sending => return written.map_err(|_| End::Gone),
                event = self.timers.next() => match event {
                    TimerEvent::Close(close) => return Err(close.into()),
                    TimerEvent::Tick if matches!(self.state, State::Connected) => {
                        return Err(Close::InitTimeout.into());
                    }
                    // The write itself shows whether the peer is alive.
                    TimerEvent::Tick => {}
                },
            }
        }
    }
}

fn serialized(message: &ServerMessage<'_>) -> Result<Outgoing, End> {
    outgoing(message.to_text())
}

fn outgoing(text: serde_json::Result<JsonText>) -> Result<Outgoing, End> {
    let serialized = text.map(Outgoing::from);
    serialized.map_err(|_| End::Gone)
}

impl<S> State<S> {
    async fn authenticated(&mut self) -> Result<Option<S>, Close> {
        match self {
            Self::Authenticating(check) => check.await,
            Self::Connected | Self::Acknowledged { .. } => future::pending().await,
        }
    }
}
