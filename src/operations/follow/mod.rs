//! Following operations: followers, and the bus that wakes them within this process.

mod follower;
mod local_bus;
mod renderings;

pub(super) use self::{
    follower::follow,
    local_bus::{LocalBus, Polls},
};
pub use follower::{Follower, Update};
pub use renderings::Renderings;
