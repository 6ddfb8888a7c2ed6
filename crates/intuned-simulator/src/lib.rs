//! Simulator of Intuned's HTTP API, in both of its generations, for a first run and for tests.
//!
//! It needs no account at Intuned and drives no browser: a list of demo accounts defines the course of
//! each sign-in.
//!
//! Some behaviour of Intuned is not documented and is assumed here. While a session is created again
//! under its id, the old one stays valid, also if the new sign-in fails. A second start for the same id
//! replaces the first. A failed sign-in to a new id leaves no session behind.
//!
//! Delays use tokio's clock. Each step of a sign-in or run is reported at least once before the next one
//! is taken. So even a simulator without delays goes through all steps.

mod accounts;
mod answers;
mod claims;
mod fault;
mod requests;
mod routes;
mod step;
mod store;
mod task;

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio::{net::TcpListener, time::Instant};

pub use accounts::{DemoAccount, PASSCODE, accounts};
pub use fault::{Call, Fault, RateLimit};
pub use store::{SessionStatus, SimulatedSession};

use ambient::{Clock, Random};
use fault::Script;
use store::Store;

/// Path of every call, before the workspace's id.
pub const BASE_PATH: &str = "/api/v1/workspace";

/// Generation of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimulatedGeneration {
    /// API of `@intuned/client` 0.3: sign-ins can ask the user, and runs can be synchronous.
    #[default]
    One,
    /// API of the 1.x clients: sign-ins that ask the user fail.
    Two,
}

/// Configuration of the simulator.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Generation of the API.
    pub generation: SimulatedGeneration,
    /// Factor of realistic delays; 0 for none.
    pub delay_scale: f64,
    /// Required `x-api-key`; none accepts any.
    pub api_key: Option<SecretString>,
}

/// Simulator, with methods to control and observe it. Clones share everything.
///
/// It keeps no password and no passcode.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

struct Shared {
    config: SimulatorConfig,
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
    script: Mutex<Script>,
    /// Result of runs, instead of the usual claims.
    claims: Mutex<Option<Box<RawValue>>>,
}

impl Simulator {
    /// Creates a simulator without sessions.
    pub fn new(config: SimulatorConfig, clock: Arc<dyn Clock>, random: Random) -> Self {
        let store = Store::new(config.generation, config.delay_scale, random);
        Self {
            shared: Arc::new(Shared {
                config,
                clock,
                store: Mutex::new(store),
                script: Mutex::default(),
                claims: Mutex::default(),
            }),
        }
    }

    /// Returns the routes below [`BASE_PATH`]. Any workspace and any project is accepted.
    pub fn router(&self) -> Router {
        routes::router(self)
    }

    /// Serves until `shutdown` resolves and running requests have ended.
    ///
    /// # Errors
    ///
    /// The listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// Returns the number of calls of this kind, with or without the right key.
    pub fn calls(&self, call: Call) -> usize {
        self.faults().calls(call)
    }

    /// Scripts a fault for the next `times` calls of this kind. Faults are used in the order of their
    /// scripts.
    pub fn script(&self, call: Call, times: usize, fault: &Fault) {
        self.faults().push(call, times, fault);
    }

    /// Limits the rate of calls from now on, as Intuned limits those of one key.
    pub fn limit(&self, limit: RateLimit) {
        self.faults().limit(limit);
    }

    /// Lists the sessions in no particular order.
    pub fn sessions(&self) -> Vec<SimulatedSession> {
        self.store().sessions(Instant::now())
    }

    /// Expires a session, and tells whether there is one with this id.
    pub fn expire(&self, session_id: &str) -> bool {
        self.store().expire(session_id, Instant::now())
    }

    /// Sets the JSON text that every run returns from now on.
    ///
    /// # Errors
    ///
    /// The text is no JSON.
    pub fn bring(&self, claims: impl Into<String>) -> serde_json::Result<()> {
        let claims = RawValue::from_string(claims.into())?;
        *self.claims() = Some(claims);
        Ok(())
    }

    fn claims(&self) -> MutexGuard<'_, Option<Box<RawValue>>> {
        self.shared
            .claims
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Script> {
        self.shared
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
