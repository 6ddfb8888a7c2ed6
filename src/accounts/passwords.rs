//! Passwords: their form, their length, their hashes, and the cost of these kept off the async threads.

use std::{net::IpAddr, sync::Arc};

use argon2::{
    Argon2, Params,
    password_hash::{self, PasswordHasher, PasswordVerifier},
};
use entity::user::PasswordHash;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::metrics::PasswordMetrics;
use super::{
    AccountError,
    queue::{Place, Queue},
};

/// In characters of the normalized password, not bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Bytes of a password as it is typed. What may be one has fewer: a character of the normal form comes of four at
/// the most, which have four bytes each.
const LONGEST: usize = 128 * 4 * 4;

/// Hashes and checks passwords with Argon2id, a bounded number at a time, while a bounded number waits.
#[derive(Clone, Debug)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// Checked for unknown addresses: as costly as a real hash, and the hash of no password.
    dummy: Arc<str>,
    queue: Queue,
    metrics: PasswordMetrics,
}

/// A password in the forms that a hash may be of.
#[derive(Clone, Debug)]
pub(super) struct Password {
    /// Unicode's NFC: the same for all keyboards on which it is the same text.
    normalized: SecretString,
    /// As it was typed, where that is another: hashes of old are of it.
    typed: Option<SecretString>,
}

/// A password beside a hash.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Wrong,
    Right,
    /// Right, but the hash is one of the password as it was typed; this one is of its normal form.
    Outdated(PasswordHash),
}

impl From<SecretString> for Password {
    fn from(typed: SecretString) -> Self {
        let text = typed.expose_secret();
        if text.len() > LONGEST {
            return Self::nobodys();
        }
        if is_nfc_quick(text.chars()) == IsNormalized::Yes {
            return Self {
                normalized: typed,
                typed: None,
            };
        }
        let normalized: String = text.nfc().collect();
        let differs = normalized != text;
        Self {
            normalized: normalized.into(),
            typed: differs.then_some(typed),
        }
    }
}

impl Password {
    /// The empty one, which is too short for anybody to have. It stands for what is too long to be looked at.
    fn nobodys() -> Self {
        Self {
            normalized: SecretString::default(),
            typed: None,
        }
    }

    /// Makes sure that it is neither too short nor too long for a new one.
    pub(super) fn check_length(&self) -> Result<(), AccountError> {
        let length = self.normalized.expose_secret().chars().count();
        if LENGTH.contains(&length) {
            Ok(())
        } else {
            Err(AccountError::PasswordLength)
        }
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
            queue: Queue::new(threads, waiting),
            metrics,
        }
    }

    /// A place in the queue for a password of `client`'s.
    ///
    /// # Errors
    /// [`AccountError::Busy`], at once, when there is none left for it.
    pub(super) fn place(&self, client: IpAddr) -> Result<Place, AccountError> {
        self.queue.place(client)
    }

    /// The hash to store, a PHC string.
    pub(super) async fn hash(
        &self,
        place: Place,
        password: Password,
        salt: [u8; 16],
    ) -> Result<String, AccountError> {
        let argon2 = self.argon2.clone();
        self.work(place, move || hash(&argon2, &password, &salt))
            .await
    }

    /// Compares the password with the hash. Without a hash it is wrong, which takes as long: the number of
    /// hashes that are computed for a wrong password depends on its text alone. `salt` is for a new hash, if
    /// need be.
    pub(super) async fn verify(
        &self,
        place: Place,
        password: Password,
        stored: Option<String>,
        salt: [u8; 16],
    ) -> Result<Verdict, AccountError> {
        let argon2 = self.argon2.clone();
        let stored = stored.map_or_else(|| self.dummy.clone(), Into::into);
        self.work(place, move || {
            if fits(&argon2, &password.normalized, &stored)? {
                return Ok(Verdict::Right);
            }
            match &password.typed {
                Some(typed) if fits(&argon2, typed, &stored)? => {
                    let renewed = hash(&argon2, &password, &salt)?;
                    Ok(Verdict::Outdated(PasswordHash(renewed)))
                }
                _ => Ok(Verdict::Wrong),
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
        let thread = place.thread().await;
        let thread = thread.map_err(|error| AccountError::Hashing(error.to_string()))?;
        spawn_blocking(move || {
            let _held = (place, thread);
            work()
        })
        .await
        .map_err(|error| AccountError::Hashing(error.to_string()))?
        .map_err(|error| AccountError::Hashing(error.to_string()))
    }
}

fn hash(
    argon2: &Argon2<'_>,
    password: &Password,
    salt: &[u8],
) -> Result<String, password_hash::Error> {
    argon2
        .hash_password_with_salt(password.normalized.expose_secret().as_bytes(), salt)
        .map(|hash: password_hash::phc::PasswordHash| hash.to_string())
}

fn fits(
    argon2: &Argon2<'_>,
    password: &SecretString,
    stored: &str,
) -> Result<bool, password_hash::Error> {
    match argon2.verify_password(password.expose_secret().as_bytes(), stored) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstest::rstest;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
    /// Five letters that are a letter and an accent each, and three that are not.
    const DECOMPOSED: &str = "e\u{301}a\u{308}o\u{308}u\u{308}n\u{303}abc";
    const COMPOSED: &str = "éäöüñabc";

    fn cheap() -> Passwords {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        Passwords::new(params, 1, 1, PasswordMetrics::default())
    }

    fn password(text: &str) -> Password {
        SecretString::from(text).into()
    }

    async fn hash_for(client: IpAddr, passwords: &Passwords, salt: u8) -> String {
        let place = passwords.place(client).unwrap();
        let hash = passwords.hash(place, password("password"), [salt; 16]);
        hash.await.unwrap()
    }

    async fn hash(passwords: &Passwords, salt: u8) -> String {
        hash_for(CLIENT, passwords, salt).await
    }

    /// A hash of the text as it is.
    fn hash_of_old(passwords: &Passwords, text: &str) -> String {
        let typed = Password {
            normalized: text.into(),
            typed: None,
        };
        super::hash(&passwords.argon2, &typed, &[7; 16]).unwrap()
    }

    async fn verdict(
        passwords: &Passwords,
        text: &str,
        hash: Option<&str>,
    ) -> Result<Verdict, AccountError> {
        let place = passwords.place(CLIENT).unwrap();
        let hash = hash.map(str::to_owned);
        passwords.verify(place, password(text), hash, [9; 16]).await
    }

    async fn fits(passwords: &Passwords, text: &str, hash: Option<&str>) -> bool {
        let verdict = verdict(passwords, text, hash).await.unwrap();
        matches!(verdict, Verdict::Right)
    }

    #[rstest]
    #[case("1234567", false)]
    #[case("12345678", true)]
    #[case("äöüäöüäö", true)]
    #[case("äöüäöüä", false)]
    #[case(DECOMPOSED, true)]
    // Thirteen characters as they are typed, and seven when normalized.
    #[case("e\u{301}a\u{308}o\u{308}u\u{308}n\u{303}a\u{308}b", false)]
    #[case(&"a".repeat(128), true)]
    #[case(&"ä".repeat(128), true)]
    #[case(&"a\u{308}".repeat(128), true)]
    #[case(&"a".repeat(129), false)]
    #[case(&"a\u{308}".repeat(129), false)]
    fn length_is_counted_in_characters_of_the_normal_form(
        #[case] text: &str,
        #[case] accepted: bool,
    ) {
        assert_eq!(password(text).check_length().is_ok(), accepted);
    }

    #[rstest]
    #[case::bytes(&"a".repeat(LONGEST + 1))]
    #[case::accents(&"a\u{308}".repeat(300_000))]
    #[case::accents_of_one_letter(&format!("a{}", "\u{308}\u{316}".repeat(200_000)))]
    #[tokio::test]
    async fn what_is_far_too_long_is_not_looked_at(#[case] text: &str) {
        let password = password(text);
        assert!(password.check_length().is_err());
        assert!(password.normalized.expose_secret().is_empty() && password.typed.is_none());
        let passwords = cheap();
        let stored = hash(&passwords, 1).await;
        assert!(!fits(&passwords, text, Some(&stored)).await);
        assert!(!fits(&passwords, text, None).await);
    }

    #[test]
    fn what_takes_the_most_bytes_is_looked_at() {
        for letter in [
            "\u{1d15f}",
            "\u{1f82}",
            "\u{1F600}",
            "\u{3b1}\u{313}\u{300}\u{345}",
        ] {
            let text = letter.repeat(64);
            assert!(password(&text).check_length().is_ok(), "{letter}");
        }
    }

    #[tokio::test]
    async fn one_text_is_one_password_however_it_is_typed() {
        let passwords = cheap();
        for stored in [DECOMPOSED, COMPOSED] {
            let place = passwords.place(CLIENT).unwrap();
            let hash = passwords.hash(place, password(stored), [1; 16]);
            let hash = hash.await.unwrap();
            for typed in [DECOMPOSED, COMPOSED] {
                assert!(fits(&passwords, typed, Some(&hash)).await);
            }
            // Compatibility characters are others.
            assert!(!fits(&passwords, "éäöüñａｂｃ", Some(&hash)).await);
        }
    }

    #[tokio::test]
    async fn a_hash_of_what_was_typed_fits_and_is_renewed() {
        let passwords = cheap();
        let old = hash_of_old(&passwords, DECOMPOSED);
        let verdict = verdict(&passwords, DECOMPOSED, Some(&old)).await.unwrap();
        let Verdict::Outdated(renewed) = verdict else {
            panic!("{verdict:?}");
        };
        for typed in [DECOMPOSED, COMPOSED] {
            assert!(fits(&passwords, typed, renewed.as_phc()).await);
        }
        let plain = hash_of_old(&passwords, "password");
        assert!(fits(&passwords, "password", Some(&plain)).await);
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
        assert!(fits(&passwords, "password", Some(&first)).await);
        assert!(!fits(&passwords, "Password", Some(&first)).await);
        assert!(!fits(&passwords, "", Some(&first)).await);
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
        for text in ["password", DECOMPOSED] {
            assert!(!fits(&passwords, text, None).await);
        }

        // Only what is hashed needs a thread.
        let other = passwords.place(ELSEWHERE).unwrap();
        let thread = other.thread().await.unwrap();
        let mut checked = std::pin::pin!(fits(&passwords, "password", None));
        assert!(futures_util::poll!(&mut checked).is_pending());
        drop(thread);
        assert!(!checked.await);
    }

    #[tokio::test]
    async fn a_hash_that_is_none_is_an_error() {
        let result = verdict(&cheap(), "password", Some("x")).await;
        assert!(matches!(result, Err(AccountError::Hashing(_))));
    }

    #[tokio::test]
    async fn work_beyond_the_bound_waits_for_its_turn_and_beyond_the_queue_is_refused() {
        let passwords = cheap();
        let mut first = std::pin::pin!(hash(&passwords, 1));
        let mut second = std::pin::pin!(hash_for(ELSEWHERE, &passwords, 1));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        let third = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert!(matches!(passwords.place(third), Err(AccountError::Busy)));
        first.await;
        second.await;
        passwords.place(third).unwrap();
    }
}
