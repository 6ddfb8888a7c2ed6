//! Builder of JSON texts that share long parts.
//!
//! A long part is added by reference, so a text takes only its own bytes, however often it shows the
//! part.

use std::{io, iter};

use bytes::Bytes;

/// Length from which a part is shared. Shorter parts are cheaper to copy.
const LONG: usize = 16 * 1024;

/// Text under construction.
#[derive(Debug, Default)]
pub struct Text {
    /// All bytes except those of shared parts.
    own: Vec<u8>,
    /// Shared parts in the order of their positions.
    shared: Vec<Shared>,
}

/// Shared part of a text.
#[derive(Debug)]
struct Shared {
    /// Number of own bytes before the part.
    place: usize,
    bytes: Bytes,
}

/// Piece of a text.
#[derive(Debug)]
pub struct Piece {
    /// Bytes of the piece.
    pub bytes: Bytes,
    /// Tells whether other texts may share the bytes.
    pub is_shared: bool,
}

impl Text {
    /// Creates an empty text with room for this many own bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            own: Vec::with_capacity(bytes),
            shared: Vec::new(),
        }
    }

    /// Tells whether a part is long enough to be shared.
    pub fn is_long(written: &Bytes) -> bool {
        written.len() >= LONG
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
    pub fn push_written(&mut self, written: &Bytes) {
        if Self::is_long(written) {
            self.shared.push(Shared {
                place: self.own.len(),
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
    pub fn whole(self) -> Result<Vec<u8>, Self> {
        if self.shared.is_empty() {
            Ok(self.own)
        } else {
            Err(self)
        }
    }

    /// Returns the bytes, with shared parts copied.
    pub fn into_bytes(self) -> Vec<u8> {
        self.whole().unwrap_or_else(|text| {
            let mut bytes = Vec::with_capacity(text.len());
            for piece in text.into_pieces() {
                bytes.extend_from_slice(&piece.bytes);
            }
            bytes
        })
    }

    /// Returns the bytes in pieces.
    pub fn into_pieces(self) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(2 * self.shared.len() + 1);
        let (mut own, mut place) = (Bytes::from(self.own), 0);
        let mut add = |bytes, is_shared| pieces.push(Piece { bytes, is_shared });
        for shared in self.shared {
            add(own.split_to(shared.place - place), false);
            add(shared.bytes, true);
            place = shared.place;
        }
        add(own, false);
        pieces
    }

    /// Returns the bytes in pieces of limited length.
    pub fn into_slices(self, longest: usize) -> impl Iterator<Item = Piece> {
        let pieces = self.into_pieces().into_iter();
        pieces.flat_map(move |mut piece| {
            iter::from_fn(move || {
                let length = piece.bytes.len().min(longest);
                (length > 0).then(|| Piece {
                    bytes: piece.bytes.split_to(length),
                    is_shared: piece.is_shared,
                })
            })
        })
    }
}

/// Appends to the own bytes.
impl io::Write for Text {
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

    fn put_together(written: &Bytes) -> Text {
        let mut text = Text::default();
        text.push(b'[');
        text.push_written(written);
        text.push_str(", ");
        text.push_written(written);
        text.push(b']');
        text
    }

    #[test]
    fn what_is_long_stands_by_reference_and_what_is_short_is_copied() {
        for (length, is_shared) in [(LONG - 1, false), (LONG, true), (5 * LONG, true)] {
            let written = Bytes::from(vec![b'1'; length]);
            let expected = [b"[", &*written, b", ", &*written, b"]"].concat();
            let text = put_together(&written);
            assert_eq!(text.len(), expected.len());
            assert_eq!(text.into_bytes(), expected);

            assert_eq!(put_together(&written).whole().is_err(), is_shared);
            let pieces = put_together(&written).into_pieces();
            let same = |piece: &&Piece| piece.bytes.as_ptr() == written.as_ptr();
            let shared = pieces.iter().filter(same).count();
            assert_eq!(shared, if is_shared { 2 } else { 0 });
        }
    }

    #[test]
    fn slices_are_no_longer_than_they_may_be_and_leave_nothing_out() {
        let written = Bytes::from(vec![b'1'; LONG + 1]);
        let expected = put_together(&written).into_bytes();
        for longest in [1, 100, LONG, LONG + 1, usize::MAX] {
            let slices: Vec<_> = put_together(&written).into_slices(longest).collect();
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
    fn an_empty_text_has_one_empty_piece() {
        assert_eq!(Text::default().into_pieces().len(), 1);
        assert_eq!(Text::default().into_slices(1).count(), 0);
    }
}
