//! Passwords: their length, their hashes, and the cost of both kept off the async threads.

use std::sync::Arc;

use argon2::{
    Argon2, Params,
    password_hash::{self, PasswordHasher, PasswordVerifier},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::AccountError;
use crate::metrics::PasswordMetrics;

/// In characters, not bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Hashes and checks passwords with Argon2id, a bounded number at a time.
#[derive(Clone, Debug)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// Checked for unknown addresses: as costly as a real hash, and the hash of no password.
    dummy: Arc<str>,
    threads: Arc<Semaphore>,
    metrics: PasswordMetrics,
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
    /// At most `threads` (at least one) passwords are worked on at the same time.
    pub(super) fn new(params: Params, threads: usize, metrics: PasswordMetrics) -> Self {
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
            threads: Arc::new(Semaphore::new(threads.max(1))),
            metrics,
        }
    }

    /// The hash to store, a PHC string.
    pub(super) async fn hash(
        &self,
        password: SecretString,
        salt: [u8; 16],
    ) -> Result<String, AccountError> {
        let argon2 = self.argon2.clone();
        self.work(move || {
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
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, AccountError> {
        let argon2 = self.argon2.clone();
        let hash = hash.map_or_else(|| self.dummy.clone(), Into::into);
        self.work(move || {
            match argon2.verify_password(password.expose_secret().as_bytes(), &*hash) {
                Ok(()) => Ok(true),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Does the work on a thread that may block. Its place is given back when the work is done,
    /// not when the caller stops waiting for it.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, AccountError> {
        let _pending = self.metrics.begin();
        let place = self
            .threads
            .clone()
            .acquire_owned()
            .await
            .map_err(|error| AccountError::Hashing(error.to_string()))?;
        spawn_blocking(move || {
            let _place = place;
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
        Passwords::new(
            Params::new(Params::MIN_M_COST, 1, 1, None).unwrap(),
            1,
            PasswordMetrics::default(),
        )
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
        let passwords = Passwords::new(Params::default(), 1, PasswordMetrics::default());
        let hash = passwords.hash("password".into(), [1; 16]).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_alone() {
        let passwords = cheap();
        let hash = passwords.hash("password".into(), [1; 16]).await.unwrap();
        let verify = async |password: &str| {
            let hash = Some(hash.clone());
            passwords.verify(password.into(), hash).await.unwrap()
        };
        assert!(verify("password").await);
        assert!(!verify("Password").await);
        assert!(!verify("").await);
        let salted = passwords.hash("password".into(), [2; 16]).await.unwrap();
        assert_ne!(hash, salted);
    }

    /// The dummy must be hashed against, not refused for its form: that would take no time.
    #[tokio::test]
    async fn without_a_hash_a_dummy_of_the_same_cost_is_checked() {
        let passwords = cheap();
        let real = passwords.hash("password".into(), [1; 16]).await.unwrap();
        let parts = |hash: &str| hash.split('$').map(str::to_owned).collect::<Vec<_>>();
        let (real, dummy) = (parts(&real), parts(&passwords.dummy));
        assert_eq!(real[..4], dummy[..4]);
        assert_eq!(real[4].len(), dummy[4].len());
        assert_eq!(real[5].len(), dummy[5].len());
        assert!(!passwords.verify("password".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_that_is_none_is_an_error() {
        let result = cheap().verify("password".into(), Some("x".into())).await;
        assert!(matches!(result, Err(AccountError::Hashing(_))));
    }

    #[tokio::test]
    async fn work_beyond_the_bound_waits_for_its_turn() {
        let passwords = cheap();
        let place = passwords.threads.clone().acquire_owned().await.unwrap();
        let mut hash = std::pin::pin!(passwords.hash("password".into(), [1; 16]));
        assert!(futures_util::poll!(&mut hash).is_pending());
        assert_eq!(passwords.threads.available_permits(), 0);
        drop(place);
        hash.await.unwrap();
        assert_eq!(passwords.threads.available_permits(), 1);
    }
}
