//! The bodies as they are on the wire.

mod answers;
mod bodies;

pub(super) use answers::{
    RunEnd, is_usable_id, json, read_create_result, read_create_started, read_run,
    read_run_started, read_session,
};
pub(super) use bodies::{
    CreateBody, Credentials, Exposed, NoParameters, ResumeBody, Retry, RunBody, SessionRef, sealed,
};
