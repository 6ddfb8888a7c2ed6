//! Passwords: their length, their hashes, and the cost of both kept off the async threads.

use std::sync::Arc;

use argon2::{
    Argon2, Params,
    password_hash::{self, PasswordHasher, PasswordVerifier},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::AccountError;
use crate::metrics::PasswordMetrics;

/// In characters, not bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Hashes and checks passwords with Argon2id, a bounded number at a time, while a bounded number waits.
#[derive(Clone, Debug)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// Checked for unknown addresses: as costly as a real hash, and the hash of no password.
    dummy: Arc<str>,
    threads: Arc<Semaphore>,
    /// For those that are worked on and those that wait.
    places: Arc<Semaphore>,
    metrics: PasswordMetrics,
}

/// The right to have one password worked on in a while.
#[derive(Debug)]
pub(super) struct Place {
    _held: OwnedSemaphorePermit,
}

/// Whether a new password is neither too short nor too long.
pub(super) fn check_length(password: &SecretString) -> Result<(), AccountError> {
    let length = password.expose_secret().chars().count();
    if LENGTH.contains(&length) {
        Ok(())
    } else {
        Err(AccountError::PasswordLength)
    }
}

impl Passwords {
    /// At most `threads` (at least one) passwords are worked on at the same time, while at most
    /// `waiting` wait for it.
    pub(super) fn new(
        params: Params,
        threads: usize,
        waiting: usize,
        metrics: PasswordMetrics,
    ) -> Self {
        let threads = threads.max(1);
        let places = threads.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        let dummy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            "A".repeat(22),
            "A".repeat(43),
        );
        Self {
            argon2: Argon2::from(params),
            dummy: dummy.into(),
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(places)),
            metrics,
        }
    }

    /// A place in the queue.
    ///
    /// # Errors
    /// [`AccountError::Busy`], at once, when there is none left.
    pub(super) fn place(&self) -> Result<Place, AccountError> {
        let place = self.places.clone().try_acquire_owned();
        place
            .map(|held| Place { _held: held })
            .map_err(|_| AccountError::Busy)
    }

    /// The hash to store, a PHC string.
    pub(super) async fn hash(
        &self,
        place: Place,
        password: SecretString,
        salt: [u8; 16],
    ) -> Result<String, AccountError> {
        let argon2 = self.argon2.clone();
        self.work(place, move || {
            argon2
                .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
                .map(|hash: password_hash::phc::PasswordHash| hash.to_string())
        })
        .await
    }

    /// Whether the password is the one of the hash. Without a hash the answer is no, and takes as
    /// long.
    pub(super) async fn verify(
        &self,
        place: Place,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, AccountError> {
        let argon2 = self.argon2.clone();
        let hash = hash.map_or_else(|| self.dummy.clone(), Into::into);
        self.work(place, move || {
            match argon2.verify_password(password.expose_secret().as_bytes(), &*hash) {
                Ok(()) => Ok(true),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Does the work on a thread that may block. Thread and place are given back when the work is done,
    /// not when the caller stops waiting for it.
    async fn work<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, AccountError> {
        let _pending = self.metrics.begin();
        let thread = self
            .threads
            .clone()
            .acquire_owned()
            .await
            .map_err(|error| AccountError::Hashing(error.to_string()))?;
        spawn_blocking(move || {
            let _held = (place, thread);
            work()
        })
        .await
        .map_err(|error| AccountError::Hashing(error.to_string()))?
        .map_err(|error| AccountError::Hashing(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn cheap() -> Passwords {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        Passwords::new(params, 1, 1, PasswordMetrics::default())
    }

    async fn hash(passwords: &Passwords, salt: u8) -> String {
        let place = passwords.place().unwrap();
        let hash = passwords.hash(place, "password".into(), [salt; 16]).await;
        hash.unwrap()
    }

    async fn verify(
        passwords: &Passwords,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, AccountError> {
        let place = passwords.place().unwrap();
        let hash = hash.map(str::to_owned);
        passwords.verify(place, password.into(), hash).await
    }

    #[rstest]
    #[case("1234567", false)]
    #[case("12345678", true)]
    #[case("äöüäöüäö", true)]
    #[case("äöüäöüä", false)]
    #[case(&"a".repeat(128), true)]
    #[case(&"ä".repeat(128), true)]
    #[case(&"a".repeat(129), false)]
    fn length_is_counted_in_characters(#[case] password: &str, #[case] accepted: bool) {
        assert_eq!(check_length(&password.into()).is_ok(), accepted);
    }

    #[tokio::test]
    async fn the_default_is_what_owasp_recommends() {
        let passwords = Passwords::new(Params::default(), 1, 0, PasswordMetrics::default());
        let hash = hash(&passwords, 1).await;
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_alone() {
        let passwords = cheap();
        let first = hash(&passwords, 1).await;
        let fits = async |password| verify(&passwords, password, Some(&first)).await.unwrap();
        assert!(fits("password").await);
        assert!(!fits("Password").await);
        assert!(!fits("").await);
        assert_ne!(first, hash(&passwords, 2).await);
    }

    /// The dummy must be hashed against, not refused for its form: that would take no time.
    #[tokio::test]
    async fn without_a_hash_a_dummy_of_the_same_cost_is_checked() {
        let passwords = cheap();
        let real = hash(&passwords, 1).await;
        let parts = |hash: &str| hash.split('$').map(str::to_owned).collect::<Vec<_>>();
        let (real, dummy) = (parts(&real), parts(&passwords.dummy));
        assert_eq!(real[..4], dummy[..4]);
        assert_eq!(real[4].len(), dummy[4].len());
        assert_eq!(real[5].len(), dummy[5].len());
        assert!(!verify(&passwords, "password", None).await.unwrap());

        // Only what is hashed needs a thread.
        let thread = passwords.threads.clone().acquire_owned().await.unwrap();
        let mut checked = std::pin::pin!(verify(&passwords, "password", None));
        assert!(futures_util::poll!(&mut checked).is_pending());
        drop(thread);
        assert!(!checked.await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_that_is_none_is_an_error() {
        let result = verify(&cheap(), "password", Some("x")).await;
        assert!(matches!(result, Err(AccountError::Hashing(_))));
    }

    #[tokio::test]
    async fn work_beyond_the_bound_waits_for_its_turn_and_beyond_the_queue_is_refused() {
        let passwords = cheap();
        let thread = passwords.threads.clone().acquire_owned().await.unwrap();
        let mut first = std::pin::pin!(hash(&passwords, 1));
        let mut second = std::pin::pin!(hash(&passwords, 1));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(passwords.place(), Err(AccountError::Busy)));
        drop(thread);
        first.await;
        second.await;
        passwords.place().unwrap();
        assert_eq!(passwords.threads.available_permits(), 1);
        assert_eq!(passwords.places.available_permits(), 2);
    }
}
