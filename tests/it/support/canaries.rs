//! Secrets that every test uses, and the sieve that finds them where none of them may ever stand.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The `x-api-key` of every gateway under test.
pub(crate) const API_KEY: &str = "canary-api-key-6f1d";

/// What every gateway under test signs sessions with.
pub(crate) const AUTH_SECRET: &str = "a secret for tests, thirty-two bytes";

/// What every gateway under test signs webhooks with: `canary-webhook-secret-of-32-bytes-or-more` in base64.
pub(crate) const WEBHOOK_SECRET: &str =
    "whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmU=";

/// The password of every account at the gateway.
const ACCOUNT_PASSWORD: &str = "correct horse";

/// The password of every account at the simulated OrangeHRM.
const ORANGEHRM_PASSWORD: &str = "admin123";

/// What every session token begins with: its header never changes.
const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.";

/// What tests of their own make up as secrets begins with this.
const CANARY: &str = "canary-";

const EVERYWHERE: [&str; 7] = [
    API_KEY,
    AUTH_SECRET,
    WEBHOOK_SECRET,
    ACCOUNT_PASSWORD,
    ORANGEHRM_PASSWORD,
    TOKEN,
    CANARY,
];

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Looks at what is about to be kept or told.
pub(crate) fn sieve(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in EVERYWHERE {
        if text.contains(secret) {
            let leak = format!("{secret} in {place}: {}", excerpt(&text, secret));
            leaks().push(leak);
        }
    }
}

/// Looks at the metrics that are shown at this address.
pub(crate) async fn sieve_metrics(address: impl fmt::Display) {
    let page = reqwest::get(format!("http://{address}/metrics")).await;
    sieve("metrics", &page.unwrap().bytes().await.unwrap());
}

/// Fails when a secret has been found anywhere so far.
pub(crate) fn assert_no_leaks() {
    let leaks = leaks();
    assert!(leaks.is_empty(), "secrets leaked: {leaks:#?}");
}

fn leaks() -> MutexGuard<'static, Vec<String>> {
    LEAKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn excerpt(text: &str, secret: &str) -> String {
    let line = text.lines().find(|line| line.contains(secret));
    line.unwrap_or_default().chars().take(500).collect()
}
