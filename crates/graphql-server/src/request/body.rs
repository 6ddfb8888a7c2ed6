//! Request bodies, limited in length and time, and in the memory of all bodies together.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::error::RequestError;
use crate::options::ServerOptions;

/// Length of a body that needs no permit.
///
/// Usual requests are shorter, so they are read even while long ones use up all permits.
const SHORT_BODY: usize = 16 * 1024;

/// Bytes of all long bodies together. One of the greatest length always fits.
const LONG_BODIES: usize = 64 * 1024 * 1024;

/// Reads request bodies.
#[derive(Clone, Debug)]
pub(crate) struct BodyReader {
    /// Bytes that long bodies may still take.
    memory: Arc<Semaphore>,
}

/// Body with the permit for its memory, if it is long.
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            memory: Arc::new(Semaphore::new(LONG_BODIES.max(options.body_limit))),
        }
    }

    /// Reads the whole body.
    pub(crate) async fn read(
        &self,
        body: Body,
        options: &ServerOptions,
    ) -> Result<RequestBody, RequestError> {
        let limit = options.body_limit;
        let declared = body.size_hint();
        if declared.lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(RequestError::BodyLong(limit));
        }
        let longest = declared
            .upper()
            .and_then(|length| usize::try_from(length).ok())
            .map_or(limit, |length| length.min(limit));
        let collecting = self.collect(body, limit, longest);
        timeout(options.body_timeout, collecting)
            .await
            .unwrap_or(Err(RequestError::BodySlow))
    }

    async fn collect(
        &self,
        mut body: Body,
        limit: usize,
        longest: usize,
    ) -> Result<RequestBody, RequestError> {
        let mut collected = BytesMut::new();
        let mut permit = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| RequestError::BodyBroken)?.into_data() else {
                continue;
            };
            let length = collected.len() + data.len();
            if length > limit {
                return Err(RequestError::BodyLong(limit));
            }
            if length > SHORT_BODY && permit.is_none() {
                permit = Some(self.acquire(longest)?);
            }
            if collected.is_empty() && body.is_end_stream() {
                return Ok(RequestBody {
                    bytes: data,
                    _permit: permit,
                });
            }
            collected.extend_from_slice(&data);
        }
        Ok(RequestBody {
            bytes: collected.freeze(),
            _permit: permit,
        })
    }

    fn acquire(&self, bytes: usize) -> Result<OwnedSemaphorePermit, RequestError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(bytes);
        permit.map_err(|_| RequestError::BodiesBusy)
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
    async fn long_bodies_share_a_memory_limit_and_short_ones_do_not() {
        let options = ServerOptions::default();
        let bodies = BodyReader::new(&options);
        let mut waiting = Vec::new();
        for _ in 0..64 {
            let mut reading = Box::pin(bodies.read(slow(SHORT_BODY + 1), &options));
            assert!(futures_util::poll!(reading.as_mut()).is_pending());
            waiting.push(reading);
        }
        let refused = bodies.read(slow(SHORT_BODY + 1), &options).await.err();
        assert!(matches!(refused, Some(RequestError::BodiesBusy)));
        let short = bodies
            .read(Body::from(vec![b'x'; SHORT_BODY]), &options)
            .await;
        assert_eq!(short.map(|body| body.bytes.len()).ok(), Some(SHORT_BODY));
        waiting.pop();
        let long = vec![b'x'; options.body_limit];
        let long = bodies.read(Body::from(long), &options).await;
        assert_eq!(
            long.map(|body| body.bytes.len()).ok(),
            Some(options.body_limit)
        );
    }
}
