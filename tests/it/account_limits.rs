//! Limits on guessing passwords, on both databases, alone and across replicas.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use ambient::{Clock, Random};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, known_client, tries};
use futures_util::future::join_all;
use intuned_gateway::{
    accounts::{AccountError, Accounts, AccountsConfig, PasswordParams, SignedIn, TryLimits},
    platform::database::{self, Database},
};
use rstest::rstest;
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Backend, Setup, TestApp, TestDatabase, socket::DEADLINE};

const ADA: &str = "ada@example.com";
const RIGHT: &str = "correct horse";
const WRONG: &str = "wrong password";
const HOME: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.1";
const LIMITS: TryLimits = TryLimits {
    for_each_address: 3,
    for_each_client: 10,
    sign_ins_for_each_client: 30,
    window: Duration::from_mins(5),
};

#[derive(Debug)]
struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

struct Fixture {
    accounts: Accounts,
    clock: Arc<SetClock>,
    database: Database,
    _files: TestDatabase,
}

impl Fixture {
    async fn new(backend: Backend) -> Self {
        let files = TestDatabase::create(backend).await;
        let database = database::connect(&files.url, 5).await.unwrap();
        database::migrate(&database).await.unwrap();
        let start = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Arc::new(SetClock(Mutex::new(start)));
        let config = AccountsConfig {
            password_params: PasswordParams::new(8, 1, 1, None).unwrap(),
            passwords_waiting: 1_000_000,
            tries: LIMITS,
            ..AccountsConfig::new("a secret of thirty-two characters".into(), DEADLINE)
        };
        let shared: Arc<dyn Clock> = clock.clone();
        let random = Random::from_seed(1);
        Self {
            accounts: Accounts::with_config(database.clone(), &config, shared, random).unwrap(),
            clock,
            database,
            _files: files,
        }
    }

    fn advance(&self, seconds: i64) {
        *self.clock.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }

    async fn sign_up(&self, email: &str, client: &str) -> Result<SignedIn, AccountError> {
        let client: IpAddr = client.parse().unwrap();
        self.accounts.sign_up(email, RIGHT.into(), client).await
    }

    async fn try_it(&self, email: &str, password: &str, client: &str) -> Outcome {
        let client: IpAddr = client.parse().unwrap();
        match self.accounts.sign_in(email, password.into(), client).await {
            Ok(_) => Outcome::In,
            Err(AccountError::InvalidCredentials) => Outcome::Wrong,
            Err(AccountError::TooManyTries { retry_after }) => {
                Outcome::Refused(retry_after.as_secs())
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    In,
    Wrong,
    /// For so many seconds.
    Refused(u64),
}

use Outcome::{In, Refused, Wrong};

#[rstest]
#[tokio::test]
async fn an_address_has_so_many_tries_and_gets_them_back_one_by_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(true, false)] there_is_an_account: bool,
) {
    let fixture = Fixture::new(backend).await;
    if there_is_an_account {
        fixture.sign_up(ADA, HOME).await.unwrap();
    }
    let guess = || fixture.try_it(" ADA@example.com", WRONG, STRANGER);
    for _ in 0..3 {
        assert_eq!(guess().await, Wrong);
    }
    assert_eq!(guess().await, Refused(100));
    fixture.advance(99);
    // Trying on does not make it longer.
    assert_eq!(guess().await, Refused(1));
    fixture.advance(1);
    assert_eq!(guess().await, Wrong);
    assert_eq!(guess().await, Refused(100));
    // From elsewhere it is the same address; and a right password makes no difference.
    let elsewhere = fixture.try_it(ADA, RIGHT, "203.0.113.1").await;
    assert_eq!(elsewhere, Refused(100));
    let other = fixture.try_it("bob@example.com", WRONG, STRANGER).await;
    assert_eq!(other, Wrong);

    fixture.advance(300);
    for _ in 0..3 {
        assert_eq!(guess().await, Wrong);
    }
    assert_eq!(guess().await, Refused(100));
}

#[rstest]
#[tokio::test]
async fn a_stranger_does_not_lock_the_owner_out_at_home(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, HOME).await.unwrap();
    for _ in 0..3 {
        assert_eq!(fixture.try_it(ADA, WRONG, STRANGER).await, Wrong);
    }
    assert_eq!(fixture.try_it(ADA, RIGHT, STRANGER).await, Refused(100));
    assert_eq!(fixture.try_it(ADA, RIGHT, HOME).await, In);
    // That did not renew the stranger's tries.
    assert_eq!(fixture.try_it(ADA, WRONG, STRANGER).await, Refused(100));
    // At home there is a limit too.
    for _ in 0..3 {
        assert_eq!(fixture.try_it(ADA, WRONG, HOME).await, Wrong);
    }
    assert_eq!(fixture.try_it(ADA, RIGHT, HOME).await, Refused(100));
}

#[rstest]
#[tokio::test]
async fn a_right_password_gives_the_tries_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, HOME).await.unwrap();
    for _ in 0..20 {
        assert_eq!(fixture.try_it(ADA, WRONG, "203.0.113.1").await, Wrong);
        assert_eq!(fixture.try_it(ADA, RIGHT, "203.0.113.1").await, In);
        // The client's own wrong tries stay counted.
        fixture.advance(30);
    }
}

#[rstest]
#[case("198.51.100.1", "198.51.100.1", "198.51.100.2")]
#[case("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1")]
#[tokio::test]
async fn a_client_has_so_many_tries_at_all_addresses(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] client: &str,
    #[case] same: &str,
    #[case] other: &str,
) {
    let fixture = Fixture::new(backend).await;
    for number in 0..10 {
        let email = format!("user-{number}@example.com");
        assert_eq!(fixture.try_it(&email, WRONG, client).await, Wrong);
    }
    assert_eq!(fixture.try_it(ADA, WRONG, same).await, Refused(30));
    let refused = fixture.sign_up(ADA, same).await;
    assert!(matches!(refused, Err(AccountError::TooManyTries { .. })));
    // Nothing of that was taken from the address.
    for _ in 0..3 {
        assert_eq!(fixture.try_it(ADA, WRONG, other).await, Wrong);
    }
}

/// A right password gives the try back, but not the sign-in.
#[rstest]
#[case::v4("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2")]
#[case::v6("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1")]
#[tokio::test]
async fn a_client_signs_in_so_often_with_success(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] client: &str,
    #[case] same: &str,
    #[case] other: &str,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, client).await.unwrap();
    for _ in 1..30 {
        assert_eq!(fixture.try_it(ADA, RIGHT, client).await, In);
    }
    assert_eq!(fixture.try_it(ADA, RIGHT, same).await, Refused(10));
    let refused = fixture.sign_up("bob@example.com", same).await;
    assert!(matches!(refused, Err(AccountError::TooManyTries { .. })));
    assert_eq!(fixture.try_it(ADA, RIGHT, other).await, In);
    // What was refused was counted nowhere.
    fixture.advance(10);
    assert_eq!(fixture.try_it(ADA, WRONG, client).await, Wrong);
    assert_eq!(fixture.try_it(ADA, RIGHT, client).await, Refused(10));
}

#[rstest]
#[tokio::test]
async fn right_passwords_of_one_client_get_no_further_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, STRANGER).await.unwrap();
    let outcomes = join_all((0..60).map(|_| fixture.try_it(ADA, RIGHT, HOME))).await;
    let signed_in = outcomes.iter().filter(|outcome| **outcome == In).count();
    assert!((1..=30).contains(&signed_in), "{outcomes:?}");
    let mut more = 0;
    while fixture.try_it(ADA, RIGHT, HOME).await == In {
        more += 1;
    }
    assert!(signed_in + more <= 30, "{signed_in} and {more}");
}

/// A site has ten times what one of its networks has.
#[rstest]
#[tokio::test]
async fn networks_of_one_site_are_counted_together(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    for number in 0..100 {
        let client = format!("2001:db8:7:{number:x}::1");
        let email = format!("user-{number}@example.com");
        assert_eq!(fixture.try_it(&email, WRONG, &client).await, Wrong);
    }
    let more = fixture.try_it(ADA, WRONG, "2001:db8:7:ffff::1").await;
    assert_eq!(more, Refused(3));
    let refused = fixture.sign_up(ADA, "2001:db8:7:ffff::1").await;
    assert!(matches!(refused, Err(AccountError::TooManyTries { .. })));
    let elsewhere = fixture.try_it(ADA, WRONG, "2001:db8:8:ffff::1").await;
    assert_eq!(elsewhere, Wrong);
    // What succeeds is given back to the site, too.
    fixture.advance(3);
    fixture.sign_up(ADA, HOME).await.unwrap();
    for number in 0..3 {
        let client = format!("2001:db8:7:f{number:x}::1");
        assert_eq!(fixture.try_it(ADA, RIGHT, &client).await, In);
    }
}

/// By as much as no limit's window explains.
#[rstest]
#[case::ahead(20 * 60)]
#[case::far_ahead(40 * 24 * 3600)]
#[case::behind(-20 * 60)]
#[tokio::test]
async fn a_clock_that_jumps_locks_nobody_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] seconds: i64,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, HOME).await.unwrap();
    for client in [HOME, STRANGER] {
        fixture.advance(seconds);
        for _ in 0..2 {
            assert_eq!(fixture.try_it(ADA, WRONG, client).await, Wrong);
        }
        assert_eq!(fixture.try_it(ADA, RIGHT, client).await, In);
        fixture.advance(-seconds);
        for _ in 0..3 {
            assert_eq!(fixture.try_it(ADA, WRONG, client).await, Wrong);
        }
        let refused = fixture.try_it(ADA, RIGHT, client).await;
        assert!(matches!(refused, Refused(..=100)), "{refused:?}");
        fixture.advance(100);
        assert_eq!(fixture.try_it(ADA, RIGHT, client).await, In);
    }
}

#[rstest]
#[tokio::test]
async fn signing_up_counts_for_the_client_and_the_address(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    for number in 0..10 {
        let email = format!("user-{number}@example.com");
        fixture.sign_up(&email, HOME).await.unwrap();
    }
    let refused = fixture.sign_up(ADA, HOME).await;
    assert!(matches!(refused, Err(AccountError::TooManyTries { .. })));

    for _ in 0..3 {
        let taken = fixture.sign_up("user-1@example.com", STRANGER).await;
        assert!(matches!(taken, Err(AccountError::EmailTaken)));
    }
    let refused = fixture.sign_up("user-1@example.com", STRANGER).await;
    assert!(matches!(refused, Err(AccountError::TooManyTries { .. })));
    // It keeps nobody from signing in.
    let user = "user-1@example.com";
    assert_eq!(fixture.try_it(user, RIGHT, STRANGER).await, In);
}

#[rstest]
#[tokio::test]
async fn many_at_once_get_no_further(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, HOME).await.unwrap();
    let clients: Vec<String> = (0..40).map(|n| format!("198.51.100.{n}")).collect();
    let guesses = clients
        .iter()
        .map(|client| fixture.try_it(ADA, WRONG, client));
    let outcomes = join_all(guesses).await;
    let looked_at = outcomes.iter().filter(|outcome| **outcome == Wrong);
    assert_eq!(looked_at.count(), 3, "{outcomes:?}");
}

#[rstest]
#[tokio::test]
async fn what_is_forgotten_is_deleted_and_the_table_names_nobody(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let fixture = Fixture::new(backend).await;
    fixture.sign_up(ADA, HOME).await.unwrap();
    fixture.try_it(ADA, WRONG, STRANGER).await;
    let database = &fixture.database;
    let rows = format!(
        "{:?} {:?}",
        tries::Entity::find().all(database).await.unwrap(),
        known_client::Entity::find().all(database).await.unwrap(),
    );
    for name in ["ada", HOME, STRANGER] {
        assert!(!rows.contains(name), "{rows}");
    }
    let count = async || {
        let tries = tries::Entity::find().count(database).await.unwrap();
        tries + known_client::Entity::find().count(database).await.unwrap()
    };
    assert_eq!(count().await, 6);
    // The first and the last of all ids.
    let ends = [Uuid::nil(), Uuid::max()].map(|id| tries::ActiveModel {
        id: Set(id),
        settles_at: Set(Millis(fixture.clock.now())),
    });
    tries::Entity::insert_many(ends)
        .exec_without_returning(database)
        .await
        .unwrap();
    fixture.advance(31 * 24 * 3600);
    let none_left = async {
        while count().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = fixture.accounts.run() => unreachable!("runs until dropped"),
        done = timeout(DEADLINE, none_left) => done.unwrap(),
    }
}

const SIGN_IN: &str = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";

fn input(email: &str, password: &str) -> Value {
    json!({ "input": { "email": email, "password": password } })
}

fn strict() -> Setup {
    Setup {
        configure: |config| {
            config.accounts.tries.for_each_address = 4;
            config.http.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn replicas_share_the_limit_and_clients_are_told_when_to_come_back() {
    let app = TestApp::with(Backend::Postgres, strict()).await;
    let replica = app.replica().await;
    let there = app.api.at(&replica.url);
    for api in [&app.api, &there, &app.api, &there] {
        let code = api.error_code(SIGN_IN, input(ADA, WRONG)).await;
        assert_eq!(code, "INVALID_CREDENTIALS");
    }
    for api in [&app.api, &there] {
        let answer = api.send(SIGN_IN, input(ADA, WRONG)).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "RATE_LIMITED", "{answer}");
        let seconds = extensions["retryAfterSeconds"].as_u64().unwrap();
        assert!((1..=225).contains(&seconds), "{answer}");
    }
    replica.finish().await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn behind_a_trusted_proxy_the_client_counts(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, strict()).await;
    app.user(ADA).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = async |password: &str, client: &str| {
        let body = json!({ "query": SIGN_IN, "variables": input(ADA, password) });
        let request = http.post(&app.api.url).json(&body);
        let request = request.header("x-forwarded-for", client);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or("IN").to_owned()
    };
    // So this client is known; what it writes in front of its own address counts for nothing.
    assert_eq!(sign_in(RIGHT, HOME).await, "IN");
    for number in 0..4 {
        let line = format!("192.0.2.1, 198.51.100.{number}");
        assert_eq!(sign_in(WRONG, &line).await, "INVALID_CREDENTIALS");
    }
    assert_eq!(sign_in(RIGHT, STRANGER).await, "RATE_LIMITED");
    assert_eq!(
        sign_in(RIGHT, "192.0.2.1, 198.51.100.9").await,
        "RATE_LIMITED"
    );
    assert_eq!(sign_in(RIGHT, "203.0.113.7, 192.0.2.1").await, "IN");
    app.finish().await;
}
