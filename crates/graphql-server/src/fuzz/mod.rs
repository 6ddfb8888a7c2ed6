//! Fuzz targets, built with the feature `fuzzing` only.
//!
//! They hand any bytes to a part of the server, and panic when a promise does not hold.

mod connection;
mod document;
mod requests;
mod socket;

pub use document::document;
pub use requests::request;
pub use socket::socket;

/// Word that stands for a secret. Fuzzers put it everywhere, and output is searched for it.
pub const CANARY: &str = "canary7f3a";

/// Panics when `text` repeats the input.
#[expect(
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]
pub fn assert_no_canary(text: &str) {
    assert!(!text.contains(CANARY), "repeats its input: {text}");
}
