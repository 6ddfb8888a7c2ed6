//! What fuzzers call: functions that take any bytes, hand them to a part of the gateway that meets
//! such bytes in earnest, and panic when something does not hold that must.
//!
//! Only built with the feature `fuzzing`. `fuzz/` has a target for each function and its seeds;
//! `tests/fuzz` replays the seeds without a fuzzer.

pub use crate::{
    accounts::fuzz::token,
    operations::fuzz::{answer, upstream},
};
pub use graphql_server::fuzz::{CANARY, document, request, socket};

pub(crate) use graphql_server::fuzz::assert_no_canary;

/// Takes any bytes, and panics when what is under test goes wrong.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of the folder with its seeds.
pub const TARGETS: [(&str, Target); 6] = [
    ("answer", answer),
    ("document", document),
    ("request", request),
    ("socket", socket),
    ("token", token),
    ("upstream", upstream),
];
