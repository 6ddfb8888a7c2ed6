//! Timers of a socket: ticks, the stop of the server, and the end of the session.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream::SelectAll,
};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::close::Close;

/// Event of the timers.
pub(super) enum TimerEvent {
    /// Tick; the next period begins.
    Tick,
    /// Stop of the server, or end of the session.
    Close(Close),
}

/// Timers of a socket.
///
/// They are polled only when one of them has woken the task. With ten thousand sockets, an event costs
/// mostly the memory that each socket touches.
pub(super) struct Timers(SelectAll<Source>);

enum Source {
    Server {
        drain: Pin<Box<WaitForCancellationFutureOwned>>,
        tick: Pin<Box<Sleep>>,
        period: Duration,
    },
    Session(BoxFuture<'static, ()>),
}

impl Timers {
    pub(super) fn new(drain: WaitForCancellationFutureOwned, period: Duration) -> Self {
        Self(SelectAll::from_iter([Source::Server {
            drain: Box::pin(drain),
            tick: Box::pin(sleep(period)),
            period,
        }]))
    }

    /// Sets the period of the ticks and starts a new one.
    pub(super) fn set_period(&mut self, new_period: Duration) {
        for source in &mut self.0 {
            if let Source::Server { tick, period, .. } = source {
                *period = new_period;
                tick.as_mut().reset(Instant::now() + new_period);
            }
        }
    }

    /// Adds the end of the user's session.
    pub(super) fn watch_session(&mut self, ended: BoxFuture<'static, ()>) {
        self.0.push(Source::Session(ended));
    }

    pub(super) async fn next(&mut self) -> TimerEvent {
        match self.0.next().await {
            Some(event) => event,
            None => future::pending().await,
        }
    }
}

impl Stream for Source {
    type Item = TimerEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TimerEvent>> {
        let close = match self.get_mut() {
            Self::Session(ended) => ended.poll_unpin(cx).map(|()| Close::Forbidden),
            Self::Server {
                drain,
                tick,
                period,
            } => {
                if tick.poll_unpin(cx).is_ready() {
                    tick.as_mut().reset(Instant::now() + *period);
                    return Poll::Ready(Some(TimerEvent::Tick));
                }
                drain.poll_unpin(cx).map(|()| Close::Restart)
            }
        };
        close.map(|close| Some(TimerEvent::Close(close)))
    }
}
