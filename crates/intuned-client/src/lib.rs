//! A client for Intuned's HTTP API, both generations of it: the one that `@intuned/client` 0.3
//! speaks and the one of the 1.x clients. It knows nothing of GraphQL, of serving or of the database.

mod backoff;
mod client;
mod ends;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod metrics;
mod model;
mod outcome;
mod runs;
mod shares;
mod timely;
mod transport;
mod watches;
mod wire;

pub use backoff::Backoff;
pub use client::IntunedClient;
pub use error::{IntunedError, RunError, RunFailure, RunFailureKind};
pub use metrics::IntunedMetrics;
pub use model::{
    ApiGeneration, AuthSessionStatus, CreateAuthSession, CreateResult, InfoRequest, IntunedConfig,
    Question, UpstreamFailure,
};

#[cfg(test)]
mod http2_tests;
