//! Accounts and sessions against a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use ambient::{Clock, Random};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{session, user};
use intuned_gateway::{
    accounts::{AccountError, Accounts, AccountsConfig, Caller, PasswordParams, SignedIn},
    audit::Origin,
    platform::database::{self, Database},
};
use sea_orm::{EntityTrait, PaginatorTrait};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::time::timeout;

const LIFETIME: Duration = Duration::from_hours(24);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long enough for any machine: what is waited for comes sooner or not at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that stands still until it is told to move on.
#[derive(Debug)]
struct StoppedClock(Mutex<DateTime<Utc>>);

impl StoppedClock {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += TimeDelta::from_std(by).unwrap();
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// A fresh database with its tables; it goes with the directory.
async fn database() -> (Database, TempDir) {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}/gateway.sqlite", directory.path().display());
    let database = database::connect(&url.into(), 4).await.unwrap();
    database::migrate(&database).await.unwrap();
    (database, directory)
}

struct Fixture {
    accounts: Accounts,
    clock: Arc<StoppedClock>,
    database: Database,
    _directory: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let (database, directory) = database().await;
        let start = "2026-11-21T12:00:00.123Z".parse().unwrap();
        let clock = Arc::new(StoppedClock(Mutex::new(start)));
        Self {
            accounts: replica(&database, &clock, 1),
            clock,
            database,
            _directory: directory,
        }
    }

    async fn sign_up(&self, email: &str) -> SignedIn {
        let password = "correct horse".into();
        self.accounts
            .sign_up(email, password, CLIENT)
            .await
            .unwrap()
    }

    async fn caller(&self, signed_in: &SignedIn) -> Caller {
        let token = signed_in.token.expose_secret();
        self.accounts
            .authenticate(token, Origin::default())
            .await
            .unwrap()
    }

    async fn session_rows(&self) -> u64 {
        session::Entity::find().count(&self.database).await.unwrap()
    }
}

/// One process's accounts; several share the database and the signing secret.
fn replica(database: &Database, clock: &Arc<StoppedClock>, seed: u64) -> Accounts {
    let config = AccountsConfig {
        password_params: PasswordParams::new(PasswordParams::MIN_M_COST, 1, 1, None).unwrap(),
        ..AccountsConfig::new("a secret of thirty-two characters".into(), LIFETIME)
    };
    let clock: Arc<dyn Clock> = clock.clone();
    let random = Random::from_seed(seed);
    Accounts::with_config(database.clone(), &config, clock, random).unwrap()
}

#[tokio::test]
async fn signing_up_opens_an_account_and_a_session() {
    let fixture = Fixture::new().await;
    let signed_in = fixture.sign_up("  Ada@Example.com ").await;
    assert_eq!(signed_in.user.email, "ada@example.com");
    assert_eq!(
        signed_in.expires_at,
        "2026-11-22T12:00:00Z".parse::<DateTime<Utc>>().unwrap()
    );

    let caller = fixture.caller(&signed_in).await;
    assert_eq!(caller.user_id, signed_in.user.id);
    assert_eq!(caller.expires_at, signed_in.expires_at);

    let stored = user::Entity::find_by_id(signed_in.user.id)
        .one(&fixture.database)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored, signed_in.user);
    assert!(stored.password_hash.0.starts_with("$argon2id$"));
}

#[tokio::test]
async fn what_is_no_address_or_no_password_is_refused() {
    let accounts = Fixture::new().await.accounts;
    let result = accounts
        .sign_up("ada", "correct horse".into(), CLIENT)
        .await;
    assert!(matches!(result, Err(AccountError::InvalidEmail)));
    for password in ["short", &"a".repeat(129)] {
        let result = accounts
            .sign_up("ada@example.com", password.into(), CLIENT)
            .await;
        assert!(matches!(result, Err(AccountError::PasswordLength)));
    }
}

#[tokio::test]
async fn an_address_has_one_account() {
    let fixture = Fixture::new().await;
    fixture.sign_up("ada@example.com").await;
    let again = fixture
        .accounts
        .sign_up("ADA@example.com", "another password".into(), CLIENT);
    assert!(matches!(again.await, Err(AccountError::EmailTaken)));
    assert_eq!(fixture.session_rows().await, 1);
}

#[tokio::test]
async fn of_many_who_sign_up_at_once_one_gets_the_address() {
    let fixture = Fixture::new().await;
    let attempts = (0..8).map(|_| {
        fixture
            .accounts
            .sign_up("ada@example.com", "correct horse".into(), CLIENT)
    });
    let results = futures_util::future::join_all(attempts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, AccountError::EmailTaken), "{error}");
    }
    assert_eq!(fixture.session_rows().await, 1);
}

#[tokio::test]
async fn signing_in_takes_the_right_password() {
    let fixture = Fixture::new().await;
    let first = fixture.sign_up("ada@example.com").await;
    let second = fixture
        .accounts
        .sign_in(" ADA@example.com", "correct horse".into(), CLIENT)
        .await
        .unwrap();
    assert_eq!(second.user, first.user);
    let (first, second) = (fixture.caller(&first).await, fixture.caller(&second).await);
    assert_ne!(first.session_id, second.session_id);
}

#[tokio::test]
async fn wrong_password_and_unknown_address_get_the_same_answer() {
    let fixture = Fixture::new().await;
    fixture.sign_up("ada@example.com").await;
    let long = "a".repeat(10_000);
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("ada@example.com", ""),
        ("ada@example.com", &long),
        ("bob@example.com", "correct horse"),
        ("no address", "correct horse"),
    ] {
        let result = fixture
            .accounts
            .sign_in(email, password.into(), CLIENT)
            .await;
        assert!(
            matches!(result, Err(AccountError::InvalidCredentials)),
            "{email}"
        );
    }
    assert_eq!(fixture.session_rows().await, 1);
}

#[tokio::test]
async fn a_token_stops_working_when_its_session_ends() {
    let fixture = Fixture::new().await;
    let signed_in = fixture.sign_up("ada@example.com").await;
    let other = fixture.sign_up("bob@example.com").await;
    let caller = fixture.caller(&signed_in).await;

    fixture.accounts.sign_out(caller, CLIENT).await.unwrap();
    fixture.accounts.sign_out(caller, CLIENT).await.unwrap();
    let result = fixture
        .accounts
        .authenticate(signed_in.token.expose_secret(), Origin::default())
        .await;
    assert!(matches!(result, Err(AccountError::InvalidToken)));
    fixture.caller(&other).await;
}

#[tokio::test]
async fn a_session_cannot_be_ended_in_anothers_name() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada@example.com").await;
    let bob = fixture.sign_up("bob@example.com").await;
    let forged = Caller {
        user_id: bob.user.id,
        ..fixture.caller(&ada).await
    };
    fixture.accounts.sign_out(forged, CLIENT).await.unwrap();
    fixture.caller(&ada).await;
}

#[tokio::test]
async fn a_token_stops_working_when_its_time_is_up() {
    let fixture = Fixture::new().await;
    let signed_in = fixture.sign_up("ada@example.com").await;
    // The session ends on the full second.
    fixture
        .clock
        .advance(LIFETIME.saturating_sub(Duration::from_millis(124)));
    fixture.caller(&signed_in).await;
    fixture.clock.advance(Duration::from_millis(1));
    let result = fixture
        .accounts
        .authenticate(signed_in.token.expose_secret(), Origin::default())
        .await;
    assert!(matches!(result, Err(AccountError::InvalidToken)));
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let fixture = Fixture::new().await;
    for token in ["", "Bearer", "a.b.c", "....", &"a".repeat(1 << 20)] {
        let result = fixture
            .accounts
            .authenticate(token, Origin::default())
            .await;
        assert!(matches!(result, Err(AccountError::InvalidToken)));
    }
}

#[tokio::test]
async fn tokens_of_another_secret_are_refused() {
    let fixture = Fixture::new().await;
    let signed_in = fixture.sign_up("ada@example.com").await;
    let clock: Arc<dyn Clock> = fixture.clock.clone();
    let stranger = Accounts::new(
        fixture.database.clone(),
        &"another secret of thirty-two chars".into(),
        LIFETIME,
        clock,
        Random::from_seed(2),
    );
    let result = stranger
        .authenticate(signed_in.token.expose_secret(), Origin::default())
        .await;
    assert!(matches!(result, Err(AccountError::InvalidToken)));
}

#[tokio::test]
async fn sockets_on_this_replica_hear_of_the_end_at_once() {
    let fixture = Fixture::new().await;
    let caller = fixture
        .caller(&fixture.sign_up("ada@example.com").await)
        .await;
    let other = fixture
        .caller(&fixture.sign_up("bob@example.com").await)
        .await;
    let ended = fixture.accounts.session_ended(caller);
    let mut others = std::pin::pin!(fixture.accounts.session_ended(other));

    // Nobody runs the look from time to time here.
    fixture.accounts.sign_out(caller, CLIENT).await.unwrap();
    timeout(PATIENCE, ended).await.unwrap();
    assert!(futures_util::poll!(&mut others).is_pending());
}

#[tokio::test]
async fn sockets_elsewhere_hear_of_the_end_by_looking() {
    let fixture = Fixture::new().await;
    let here = &fixture.accounts;
    let there = replica(&fixture.database, &fixture.clock, 2);
    let caller = fixture
        .caller(&fixture.sign_up("ada@example.com").await)
        .await;
    let other = fixture
        .caller(&fixture.sign_up("bob@example.com").await)
        .await;
    let ended = there.session_ended(caller);
    let mut others = std::pin::pin!(there.session_ended(other));

    here.sign_out(caller, CLIENT).await.unwrap();
    tokio::select! {
        () = there.run() => unreachable!("runs until dropped"),
        ended = timeout(PATIENCE, ended) => ended.unwrap(),
    }
    assert!(futures_util::poll!(&mut others).is_pending());
}

#[tokio::test]
async fn thousands_of_sessions_are_looked_up_together() {
    let fixture = Fixture::new().await;
    let owner = fixture
        .caller(&fixture.sign_up("ada@example.com").await)
        .await;
    let random = Random::from_seed(3);
    // None of these has a row, but for the last.
    let watched: Vec<_> = (0..2500)
        .map(|_| Caller {
            session_id: random.uuid(),
            ..owner
        })
        .map(|caller| fixture.accounts.session_ended(caller))
        .collect();
    let mut standing = std::pin::pin!(fixture.accounts.session_ended(owner));

    tokio::select! {
        () = fixture.accounts.run() => unreachable!("runs until dropped"),
        all = timeout(PATIENCE, futures_util::future::join_all(watched)) => drop(all.unwrap()),
    }
    assert!(futures_util::poll!(&mut standing).is_pending());
}

#[tokio::test]
async fn sockets_hear_of_the_expiry() {
    let fixture = Fixture::new().await;
    let caller = fixture
        .caller(&fixture.sign_up("ada@example.com").await)
        .await;
    let watching = fixture.accounts.clone();
    // From here on the runtime's clock jumps ahead to whatever is waited for.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    watching.session_ended(caller).await;
    assert!(begun.elapsed() >= LIFETIME.saturating_sub(Duration::from_secs(1)));

    fixture.clock.advance(LIFETIME);
    watching.session_ended(caller).await;
}

#[tokio::test]
async fn rows_of_expired_sessions_are_deleted() {
    let fixture = Fixture::new().await;
    fixture.sign_up("ada@example.com").await;
    fixture.clock.advance(LIFETIME);
    let standing = fixture.sign_up("bob@example.com").await;
    assert_eq!(fixture.session_rows().await, 2);

    let one_left = async {
        while fixture.session_rows().await > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = fixture.accounts.run() => unreachable!("runs until dropped"),
        done = timeout(PATIENCE, one_left) => done.unwrap(),
    }
    fixture.caller(&standing).await;
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let fixture = Fixture::new().await;
    let signed_in = fixture.sign_up("ada@example.com").await;
    let row = user::ActiveModel::from(signed_in.user.clone());
    let printed = format!("{:?} {signed_in:?} {row:?}", fixture.accounts);
    assert!(!printed.contains("secret of thirty-two"), "{printed}");
    assert!(!printed.contains("argon2"), "{printed}");
    assert!(
        !printed.contains(signed_in.token.expose_secret()),
        "{printed}"
    );
}
