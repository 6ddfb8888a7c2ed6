//! Functions for fuzzers: they take any bytes, hand them to a part of the server that meets such bytes in
//! earnest, and panic when something does not hold that must. Only built with the feature `fuzzing`.

mod document;
mod wire;

pub use document::document;
pub use wire::{request, socket};

/// A word that stands for a secret. The fuzzers know it and put it everywhere; where it must not be
/// repeated it is looked for.
pub const CANARY: &str = "canary7f3a";

/// Panics when `text` repeats what was sent.
#[expect(
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]
pub fn assert_no_canary(text: &str) {
    assert!(!text.contains(CANARY), "repeats its input: {text}");
}
