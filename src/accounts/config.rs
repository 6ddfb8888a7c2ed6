//! What accounts are built with.

use std::{num::NonZero, thread, time::Duration};

use secrecy::SecretString;

use super::metrics::{PasswordMetrics, TryMetrics};
use super::{ConnectLimits, PasswordParams, ProviderConfig, ReadBudgets, TryLimits};

/// Passwords that may wait for each one that is being hashed: some two seconds' work.
const WAITING_FOR_EACH_THREAD: usize = 64;

/// What [`Accounts`](super::Accounts) are built with.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// Signs tokens (setting `AUTH_SECRET`).
    pub secret: SecretString,
    /// How long a session lasts, in whole seconds (setting `SESSION_LIFETIME`).
    pub session_lifetime: Duration,
    /// The most sessions that a user may have (setting `MAX_USER_SESSIONS`).
    pub max_user_sessions: u32,
    /// What a password hash costs: Argon2id's parameters.
    pub password_params: PasswordParams,
    /// How many passwords may be hashed at the same time; each keeps one core busy.
    pub password_threads: usize,
    /// The most that may wait for that, an eighth of them of one client. Beyond them one is refused at once.
    pub passwords_waiting: usize,
    /// What is counted of that.
    pub password_metrics: PasswordMetrics,
    /// How often a password may be tried.
    pub tries: TryLimits,
    /// How often it may be tried to connect.
    pub connects: ConnectLimits,
    /// Budgets of what users read from Intuned.
    pub reads: ReadBudgets,
    /// What is counted of tries beyond that.
    pub try_metrics: TryMetrics,
    /// Whether accounts may be opened here (setting `ALLOW_SIGN_UP`).
    pub allow_sign_up: bool,
    /// The identity provider whose tokens are taken as well.
    pub provider: Option<ProviderConfig>,
}

impl AccountsConfig {
    /// OWASP's parameters for Argon2id (19 MiB, two passes, one lane), and as many threads as there
    /// are cores.
    pub fn new(secret: SecretString, session_lifetime: Duration) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            secret,
            session_lifetime,
            max_user_sessions: 50,
            password_params: PasswordParams::default(),
            password_threads: threads,
            passwords_waiting: threads * WAITING_FOR_EACH_THREAD,
            password_metrics: PasswordMetrics::default(),
            tries: TryLimits::default(),
            connects: ConnectLimits::default(),
            reads: ReadBudgets::default(),
            try_metrics: TryMetrics::default(),
            allow_sign_up: true,
            provider: None,
        }
    }
}
