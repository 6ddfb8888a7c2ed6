//! A stand-in for Intuned that speaks its wire, either generation of it: for a first run with no
//! account at Intuned, and for tests. It drives no browser; a list of demo accounts says how each
//! sign-in goes.
//!
//! What Intuned does where its clients do not tell is assumed here: while a session is created again
//! under the id that it has, the old one answers for itself, and stays if the new sign-in fails; a
//! second start for the same id takes the place of the first; a sign-in to a new id that fails
//! leaves no session behind.
//!
//! Time goes by tokio's clock, but each step of a sign-in or run is shown to somebody who asks before
//! the next one is taken, so that a simulator without delays still goes through all of them.

mod accounts;
mod answers;
mod claims;
mod fault;
mod requests;
mod routes;
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

/// The path that every call begins with; what follows is the workspace's id.
pub const BASE_PATH: &str = "/api/v1/workspace";

/// Which generation of the API the simulator speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimulatedGeneration {
    /// What `@intuned/client` 0.3 speaks: sign-ins can ask the user, runs can be synchronous.
    #[default]
    One,
    /// What the 1.x clients speak: it has no way to ask the user, so sign-ins that would have to fail.
    Two,
}

/// How the simulator behaves.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Which generation it speaks.
    pub generation: SimulatedGeneration,
    /// What realistic delays are multiplied by: 0 is none at all.
    pub delay_scale: f64,
    /// The `x-api-key` that it wants; none when any will do.
    pub api_key: Option<SecretString>,
}

/// The simulator, and the handle to look into it; clones share everything. It keeps no password and
/// no passcode.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

struct Shared {
    config: SimulatorConfig,
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
    script: Mutex<Script>,
    /// What runs bring in the place of the claims that they usually bring.
    claims: Mutex<Option<Box<RawValue>>>,
}

impl Simulator {
    /// One that knows no sessions yet.
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

    /// The routes, from [`BASE_PATH`] on. Any workspace and any project will do.
    pub fn router(&self) -> Router {
        routes::router(self)
    }

    /// Serves until `shutdown` resolves and what was under way has been answered.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// How many calls of this kind have come, with or without the right key.
    pub fn calls(&self, call: Call) -> usize {
        self.faults().calls(call)
    }

    /// Has the next `times` calls of this kind go wrong in this way. Faults are used up in the order
    /// in which they were given.
    pub fn script(&self, call: Call, times: usize, fault: &Fault) {
        self.faults().push(call, times, fault);
    }

    /// Turns away, from now on, the calls beyond this limit, as Intuned does those of one key.
    pub fn limit(&self, limit: RateLimit) {
        self.faults().limit(limit);
    }

    /// The sessions that stand, in no certain order.
    pub fn sessions(&self) -> Vec<SimulatedSession> {
        self.store().sessions(Instant::now())
    }

    /// Expires a session before its time; whether there is one of that id.
    pub fn expire(&self, session_id: &str) -> bool {
        self.store().expire(session_id, Instant::now())
    }

    /// Has every run from now on bring this JSON, to the letter.
    ///
    /// # Errors
    ///
    /// When it is none.
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
