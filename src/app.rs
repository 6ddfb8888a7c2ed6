//! The composition root: builds every part and hands it what it needs.

use tokio_util::sync::CancellationToken;

use crate::settings::{Settings, SimulateSettings};

/// Serves the gateway until `shutdown` is canceled.
///
/// # Errors
/// What kept it from starting or made it stop.
#[expect(clippy::unused_async, reason = "the parts to await are not merged yet")]
pub async fn serve(
    _settings: Settings,
    _shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err("the composition root is not merged yet".into())
}

/// Serves a simulator of Intuned until `shutdown` is canceled.
///
/// # Errors
/// What kept it from starting or made it stop.
#[expect(clippy::unused_async, reason = "the parts to await are not merged yet")]
pub async fn simulate(
    _settings: SimulateSettings,
    _shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err("the simulator is not merged yet".into())
}

/// The GraphQL schema in its own language.
pub fn schema() -> String {
    String::new()
}
