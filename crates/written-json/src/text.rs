//! A text of JSON in the making. What is written already and long stands in it by reference: an answer takes
//! its own bytes alone, however often it shows the same text, and however many others do.

use std::{io, iter};

use bytes::Bytes;

/// Bytes from which on what is written already is not copied. To copy less costs less than to send it apart.
const LONG: usize = 16 * 1024;

/// A text that is put together.
#[derive(Debug, Default)]
pub struct Text {
    /// All of it but what is shared.
    own: Vec<u8>,
    /// In the order of their places.
    shared: Vec<Shared>,
}

/// Bytes that stand in a text by reference.
#[derive(Debug)]
struct Shared {
    /// The number of the text's own bytes that come before them.
    place: usize,
    bytes: Bytes,
}

/// A part of a text.
#[derive(Debug)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Bytes,
    /// Tells whether others have them, too.
    pub is_shared: bool,
}

impl Text {
    /// An empty one, with room for so many bytes of its own.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            own: Vec::with_capacity(bytes),
            shared: Vec::new(),
        }
    }

    /// Tells whether what is written already is long enough to stand by reference.
    pub fn is_long(written: &Bytes) -> bool {
        written.len() >= LONG
    }

    /// Makes room for so many more bytes of its own.
    pub fn reserve(&mut self, bytes: usize) {
        self.own.reserve(bytes);
    }

    /// Adds a byte.
    pub fn push(&mut self, byte: u8) {
        self.own.push(byte);
    }

    /// Adds these.
    pub fn push_str(&mut self, text: &str) {
        self.own.extend_from_slice(text.as_bytes());
    }

    /// Adds what is written already.
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

    /// Its own bytes, all that is shared apart.
    pub fn own_mut(&mut self) -> &mut [u8] {
        &mut self.own
    }

    /// Tells whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of all of its bytes.
    pub fn len(&self) -> usize {
        let shared = self.shared.iter().map(|shared| shared.bytes.len());
        self.own.len() + shared.sum::<usize>()
    }

    /// All of its bytes, where none are shared.
    ///
    /// # Errors
    /// Itself, where some are.
    pub fn whole(self) -> Result<Vec<u8>, Self> {
        if self.shared.is_empty() {
            Ok(self.own)
        } else {
            Err(self)
        }
    }

    /// All of its bytes, what is shared copied where there is any.
    pub fn into_bytes(self) -> Vec<u8> {
        self.whole().unwrap_or_else(|text| {
            let mut bytes = Vec::with_capacity(text.len());
            for piece in text.into_pieces() {
                bytes.extend_from_slice(&piece.bytes);
            }
            bytes
        })
    }

    /// Its bytes in their order.
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

    /// The same, so many bytes at a time and no more.
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

/// Serializers add to its own bytes.
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
