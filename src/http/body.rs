//! Reading a request's body: no more of it than allowed, no longer than allowed, and all bodies
//! together within bounds.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{refusal::Refusal, settings::HttpSettings};

/// Bytes of a body that anybody may send. Usual requests are shorter, so that they are taken in even
/// while long ones fill the room that there is for those.
const SHORT: usize = 16 * 1024;

/// Bytes of all long bodies together; one of the greatest length always fits.
const ROOM: usize = 64 * 1024 * 1024;

/// Reads bodies.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    /// Bytes that long bodies may still take.
    room: Arc<Semaphore>,
}

/// A body, with its room where it is long.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM.max(settings.body_limit))),
        }
    }

    /// Reads the whole body.
    pub(crate) async fn read(
        &self,
        body: Body,
        settings: &HttpSettings,
    ) -> Result<Received, Refusal> {
        let limit = settings.body_limit;
        let declared = body.size_hint();
        if declared.lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(Refusal::BodyLong(limit));
        }
        let longest = declared
            .upper()
            .and_then(|length| usize::try_from(length).ok())
            .map_or(limit, |length| length.min(limit));
        let collecting = self.collect(body, limit, longest);
        timeout(settings.body_timeout, collecting)
            .await
            .unwrap_or(Err(Refusal::BodySlow))
    }

    async fn collect(
        &self,
        mut body: Body,
        limit: usize,
        longest: usize,
    ) -> Result<Received, Refusal> {
        let mut collected = BytesMut::new();
        let mut room = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
                continue;
            };
            let length = collected.len() + data.len();
            if length > limit {
                return Err(Refusal::BodyLong(limit));
            }
            if length > SHORT && room.is_none() {
                room = Some(self.take_room(longest)?);
            }
            if collected.is_empty() && body.is_end_stream() {
                return Ok(Received {
                    bytes: data,
                    _room: room,
                });
            }
            collected.extend_from_slice(&data);
        }
        Ok(Received {
            bytes: collected.freeze(),
            _room: room,
        })
    }

    fn take_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        room.map_err(|_| Refusal::BodiesBusy)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};

    use super::*;

    fn slow(first: usize) -> Body {
        let first = stream::iter([Bytes::from(vec![b'x'; first])]).chain(stream::pending());
        Body::from_stream(first.map(Ok::<_, Infallible>))
    }

    #[tokio::test]
    async fn long_bodies_share_what_room_there_is_and_short_ones_need_none() {
        let settings = HttpSettings::default();
        let bodies = Bodies::new(&settings);
        let mut waiting = Vec::new();
        for _ in 0..64 {
            let mut reading = Box::pin(bodies.read(slow(SHORT + 1), &settings));
            assert!(futures_util::poll!(reading.as_mut()).is_pending());
            waiting.push(reading);
        }
        let refused = bodies.read(slow(SHORT + 1), &settings).await.err();
        assert!(matches!(refused, Some(Refusal::BodiesBusy)));
        let short = bodies.read(Body::from(vec![b'x'; SHORT]), &settings).await;
        assert_eq!(short.map(|body| body.bytes.len()).ok(), Some(SHORT));
        waiting.pop();
        let long = vec![b'x'; settings.body_limit];
        let long = bodies.read(Body::from(long), &settings).await;
        assert_eq!(
            long.map(|body| body.bytes.len()).ok(),
            Some(settings.body_limit)
        );
    }
}
