//! Response body of a text. Shared parts are sent as they are in memory, without a copy.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use written_json::{Chunk, JsonText};

/// Creates a body of known length.
pub(crate) fn json_body(text: JsonText) -> Body {
    match text.try_into_bytes() {
        Ok(bytes) => Body::from(bytes),
        Err(text) => Body::new(Chunks {
            left: text.len(),
            chunks: text.into_chunks().into_iter(),
        }),
    }
}

/// Parts that are still to be sent.
struct Chunks {
    chunks: vec::IntoIter<Chunk>,
    /// Bytes of the remaining parts.
    left: usize,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.next().map(|chunk| chunk.bytes);
        self.left -= next.as_ref().map_or(0, Bytes::len);
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        u64::try_from(self.left).map_or_else(|_| SizeHint::new(), SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn body_has_a_length_and_shares_long_parts() {
        let long = Bytes::from(vec![b'1'; 1 << 20]);
        for written in [Bytes::from_static(b"1"), long] {
            let mut text = JsonText::default();
            text.push(b'[');
            text.push_json(&written);
            text.push(b',');
            text.push_json(&written);
            text.push(b']');
            let expected = [b"[", &*written, b",", &*written, b"]"].concat();
            let body = json_body(text);
            let length = u64::try_from(expected.len()).ok();
            assert_eq!(body.size_hint().exact(), length);
            let sent = body.collect().await.expect("a body").to_bytes();
            assert!(sent == expected);
        }
    }
}
