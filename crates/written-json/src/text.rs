//! Builder of JSON texts that share long parts.
//!
//! A long part is added by reference, so a text takes only its own bytes, however often it shows the
//! part.

use std::{io, iter};

use bytes::Bytes;

/// Length from which a part is shared. Shorter parts are cheaper to copy.
const MIN_SHARED: usize = 16 * 1024;

/// JSON text under construction.
#[derive(Debug, Default)]
pub struct JsonText {
    /// All bytes except those of shared parts.
    own: Vec<u8>,
    /// Shared parts in the order of their positions.
    shared: Vec<Shared>,
}

/// Shared part of a text.
#[derive(Debug)]
struct Shared {
    /// Number of own bytes before the part.
    position: usize,
    bytes: Bytes,
}

/// Chunk of a text.
#[derive(Debug)]
pub struct Chunk {
    /// Bytes of the chunk.
    pub bytes: Bytes,
    /// Tells whether other texts may share the bytes.
    pub is_shared: bool,
}

impl JsonText {
    /// Creates an empty text with room for this many own bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            own: Vec::with_capacity(bytes),
            shared: Vec::new(),
        }
    }

    /// Tells whether a part is long enough to be shared.
    pub fn is_long(written: &Bytes) -> bool {
        written.len() >= MIN_SHARED
    }

    /// Reserves room for more own bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.own.reserve(bytes);
    }

    /// Appends a byte.
    pub fn push(&mut self, byte: u8) {
        self.own.push(byte);
    }

    /// Appends a string.
    pub fn push_str(&mut self, text: &str) {
        self.own.extend_from_slice(text.as_bytes());
    }

    /// Appends serialized JSON, shared if it is long.
    pub fn push_json(&mut self, written: &Bytes) {
        if Self::is_long(written) {
            self.shared.push(Shared {
                position: self.own.len(),
                bytes: written.clone(),
            });
        } else {
            self.own.extend_from_slice(written);
        }
    }

    /// Returns the own bytes, without shared parts.
    pub fn own_mut(&mut self) -> &mut [u8] {
        &mut self.own
    }

    /// Tells whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        let shared = self.shared.iter().map(|shared| shared.bytes.len());
        self.own.len() + shared.sum::<usize>()
    }

    /// Returns the bytes if no part is shared.
    ///
    /// # Errors
    ///
    /// The text itself, if a part is shared.
    pub fn try_into_bytes(self) -> Result<Vec<u8>, Self> {
        if self.shared.is_empty() {
            Ok(self.own)
        } else {
            Err(self)
        }
    }

    /// Returns the bytes, with shared parts copied.
    pub fn into_bytes(self) -> Vec<u8> {
        self.try_into_bytes().unwrap_or_else(|text| {
            let mut bytes = Vec::with_capacity(text.len());
            for chunk in text.into_chunks() {
                bytes.extend_from_slice(&chunk.bytes);
            }
            bytes
        })
    }

    /// Returns the bytes in chunks.
    pub fn into_chunks(self) -> Vec<Chunk> {
        let mut chunks = Vec::with_capacity(2 * self.shared.len() + 1);
        let (mut own, mut position) = (Bytes::from(self.own), 0);
        let mut add = |bytes, is_shared| chunks.push(Chunk { bytes, is_shared });
        for shared in self.shared {
            add(own.split_to(shared.position - position), false);
            add(shared.bytes, true);
            position = shared.position;
        }
        add(own, false);
        chunks
    }

    /// Returns the bytes in chunks of limited length.
    pub fn into_chunks_of(self, longest: usize) -> impl Iterator<Item = Chunk> {
        let chunks = self.into_chunks().into_iter();
        chunks.flat_map(move |mut chunk| {
            iter::from_fn(move || {
                let length = chunk.bytes.len().min(longest);
                (length > 0).then(|| Chunk {
                    bytes: chunk.bytes.split_to(length),
                    is_shared: chunk.is_shared,
                })
            })
        })
    }
}

/// Appends to the own bytes.
impl io::Write for JsonText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.own.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.own.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(written: &Bytes) -> JsonText {
        let mut text = JsonText::default();
        text.push(b'[');
        text.push_json(written);
        text.push_str(", ");
        text.push_json(written);
        text.push(b']');
        text
    }

    #[test]
    fn long_parts_are_shared_and_short_ones_copied() {
        for (length, is_shared) in [
            (MIN_SHARED - 1, false),
            (MIN_SHARED, true),
            (5 * MIN_SHARED, true),
        ] {
            let written = Bytes::from(vec![b'1'; length]);
            let expected = [b"[", &*written, b", ", &*written, b"]"].concat();
            let text = joined(&written);
            assert_eq!(text.len(), expected.len());
            assert_eq!(text.into_bytes(), expected);

            assert_eq!(joined(&written).try_into_bytes().is_err(), is_shared);
            let chunks = joined(&written).into_chunks();
            let same = |chunk: &&Chunk| chunk.bytes.as_ptr() == written.as_ptr();
            let shared = chunks.iter().filter(same).count();
            assert_eq!(shared, if is_shared { 2 } else { 0 });
        }
    }

    #[test]
    fn chunks_are_limited_in_length_and_complete() {
        let written = Bytes::from(vec![b'1'; MIN_SHARED + 1]);
        let expected = joined(&written).into_bytes();
        for longest in [1, 100, MIN_SHARED, MIN_SHARED + 1, usize::MAX] {
            let slices: Vec<_> = joined(&written).into_chunks_of(longest).collect();
            let lengths = slices.iter().map(|slice| slice.bytes.len());
            assert!(
                lengths
                    .into_iter()
                    .all(|length| (1..=longest).contains(&length))
            );
            let bytes: Vec<_> = slices
                .iter()
                .flat_map(|slice| slice.bytes.to_vec())
                .collect();
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn empty_text_has_one_empty_chunk() {
        assert_eq!(JsonText::default().into_chunks().len(), 1);
        assert_eq!(JsonText::default().into_chunks_of(1).count(), 0);
    }
}
