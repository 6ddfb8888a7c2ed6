//! What interrupts a socket, and seldom: pauses, the gateway's departure, the end of the user's session.

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

/// One of them.
pub(super) enum Interruption {
    /// The pause is over; the next one begins.
    Pause,
    /// The gateway leaves, or the session has ended.
    End(Close),
}

/// Looked at only when one of them has woken the task: an event to ten thousand sockets costs mostly what
/// each of them has to fetch from memory for it.
pub(super) struct Interruptions(SelectAll<Source>);

enum Source {
    Gateway {
        departure: Pin<Box<WaitForCancellationFutureOwned>>,
        pause: Pin<Box<Sleep>>,
        period: Duration,
    },
    Session(BoxFuture<'static, ()>),
}

impl Interruptions {
    pub(super) fn new(departure: WaitForCancellationFutureOwned, period: Duration) -> Self {
        Self(SelectAll::from_iter([Source::Gateway {
            departure: Box::pin(departure),
            pause: Box::pin(sleep(period)),
            period,
        }]))
    }

    /// Has pauses take this long, from now on.
    pub(super) fn pause_for(&mut self, pause_period: Duration) {
        for source in &mut self.0 {
            if let Source::Gateway { pause, period, .. } = source {
                *period = pause_period;
                pause.as_mut().reset(Instant::now() + pause_period);
            }
        }
    }

    /// From now on the end of the user's session interrupts, too.
    pub(super) fn watch_session(&mut self, ended: BoxFuture<'static, ()>) {
        self.0.push(Source::Session(ended));
    }

    pub(super) async fn next(&mut self) -> Interruption {
        match self.0.next().await {
            Some(interruption) => interruption,
            None => future::pending().await,
        }
    }
}

impl Stream for Source {
    type Item = Interruption;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Interruption>> {
        let close = match self.get_mut() {
            Self::Session(ended) => ended.poll_unpin(cx).map(|()| Close::Forbidden),
            Self::Gateway {
                departure,
                pause,
                period,
            } => {
                if pause.poll_unpin(cx).is_ready() {
                    pause.as_mut().reset(Instant::now() + *period);
                    return Poll::Ready(Some(Interruption::Pause));
                }
                departure.poll_unpin(cx).map(|()| Close::Restart)
            }
        };
        close.map(|close| Some(Interruption::End(close)))
    }
}
