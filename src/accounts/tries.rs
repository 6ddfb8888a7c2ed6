//! Limits on guessing: how much may be tried against one address, and by one client.
//!
//! Every try counts before the password is looked at, in the table that all replicas share, so that
//! many at once get no further than one after the other. Each limit is a bucket that leaks (GCRA): one
//! number for each who is counted, changed by one statement. What is refused does not count, so nobody
//! is kept out for longer by trying on.
//!
//! A stranger who guesses uses up the address's tries and would keep its owner out as well. So an owner
//! who signs in from where they have signed in before is counted apart.

mod connects;
mod counting;

use std::{fmt, net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, known_client, tries};
use hmac::Hmac;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;

use super::{AccountError, keyed};
use crate::{database::Database, metrics::TryMetrics};

pub use self::connects::ConnectLimits;
use self::{connects::Connects, counting::Counting};

/// For so long a client is known from which an owner has signed in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(30);
/// What has settled is deleted in slices of ids, which begin with any bits equally often: by so many bits,
/// so that no statement reads all of a long table, or blocks it for long.
const SLICE_BITS: u32 = 6;
/// A provider gives each of its customers at least this much of the IPv6 space.
const IPV6_NETWORK: u32 = 64;

/// How much may be tried within a span of time. Tries come back one by one, evenly over the span.
#[derive(Clone, Copy, Debug)]
pub struct TryLimits {
    /// Against one e-mail address (setting `SIGN_IN_TRIES`).
    pub for_each_address: u32,
    /// By one client (setting `SIGN_IN_TRIES_PER_CLIENT`).
    pub for_each_client: u32,
    /// The span (setting `SIGN_IN_WINDOW`).
    pub window: Duration,
}

impl Default for TryLimits {
    fn default() -> Self {
        Self {
            for_each_address: 10,
            for_each_client: 100,
            window: Duration::from_mins(15),
        }
    }
}

/// What is being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trying {
    /// To guess a password.
    Password,
    /// To open an account.
    SignUp,
}

impl Trying {
    /// As it is counted.
    fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SignUp => "sign_up",
        }
    }
}

/// A try that was counted.
#[derive(Debug)]
pub(super) struct Counted {
    client: Uuid,
    address: Uuid,
    /// The owner of the address at this client.
    pair: Uuid,
}

/// Counts tries.
pub(super) struct Tries {
    database: Database,
    counting: Counting,
    /// Its key makes ids of addresses that nobody else can make.
    mac: Hmac<Sha256>,
    for_each_address: Limit,
    for_each_client: Limit,
    connects: Connects,
    metrics: TryMetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Limit {
    /// Whose it is, as it is counted.
    whose: &'static str,
    /// All that may be tried at once takes so long to be forgotten.
    window: TimeDelta,
    /// One try takes so long.
    each: TimeDelta,
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").finish_non_exhaustive()
    }
}

impl Limit {
    fn new(whose: &'static str, tries: u32, window: Duration) -> Self {
        let longest = TimeDelta::days(365);
        let window = TimeDelta::from_std(window).unwrap_or(longest);
        let tries = i32::try_from(tries).unwrap_or(i32::MAX).clamp(1, i32::MAX);
        // The database counts in milliseconds.
        let each = (window / tries).max(TimeDelta::milliseconds(1));
        Self {
            whose,
            window: window.max(each),
            each,
        }
    }
}

impl Tries {
    pub(super) fn new(
        database: Database,
        secret: &SecretString,
        limits: TryLimits,
        connects: ConnectLimits,
        metrics: TryMetrics,
    ) -> Self {
        Self {
            counting: Counting::new(database.clone()),
            database,
            mac: keyed::mac(secret),
            for_each_address: Limit::new("address", limits.for_each_address, limits.window),
            for_each_client: Limit::new("client", limits.for_each_client, limits.window),
            connects: connects.into(),
            metrics,
        }
    }

    /// Counts one try by `client` against the account of `address`, which need not be one.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database's.
    pub(super) async fn count(
        &self,
        trying: Trying,
        address: &str,
        client: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<Counted, AccountError> {
        let network = network(client).to_string();
        let counted = Counted {
            client: self.id(&["client", &network]),
            address: match trying {
                Trying::Password => self.id(&["address", address]),
                Trying::SignUp => self.id(&["sign-up", address]),
            },
            pair: self.id(&["pair", address, &network]),
        };
        // First the client's: one that is refused takes nothing from the address.
        let kind = trying.name();
        self.take(kind, counted.client, self.for_each_client, now)
            .await?;
        let known = trying == Trying::Password && self.is_known(counted.pair, now).await?;
        let id = if known { counted.pair } else { counted.address };
        self.take(kind, id, self.for_each_address, now).await?;
        Ok(Counted {
            address: id,
            ..counted
        })
    }

    /// Forgets what was tried against the address, now that its owner has shown up, and remembers the
    /// client. The client gets the one try back: its others may have been against anyone.
    pub(super) async fn forgive(&self, counted: &Counted, now: DateTime<Utc>) -> Result<(), DbErr> {
        self.give_back(counted.client, self.for_each_client).await?;
        self.welcome(counted, now).await
    }

    /// Gives one try back.
    async fn give_back(&self, id: Uuid, limit: Limit) -> Result<(), DbErr> {
        let each = limit.each.num_milliseconds();
        tries::Entity::update_many()
            .col_expr(
                tries::Column::SettlesAt,
                Expr::col(tries::Column::SettlesAt).sub(each),
            )
            .filter(tries::Column::Id.eq(id))
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// As [`Tries::forgive`], but the client's try stays counted: it has opened an account.
    pub(super) async fn welcome(&self, counted: &Counted, now: DateTime<Utc>) -> Result<(), DbErr> {
        tries::Entity::delete_by_id(counted.address)
            .exec(&self.database)
            .await?;
        let known = known_client::ActiveModel {
            id: Set(counted.pair),
            expires_at: Set(Millis(now + KNOWN_FOR)),
        };
        let column = known_client::Column::ExpiresAt;
        let again = OnConflict::column(known_client::Column::Id)
            .update_column(column)
            .to_owned();
        known_client::Entity::insert(known)
            .on_conflict(again)
            .exec_without_returning(&self.database)
            .await?;
        Ok(())
    }

    async fn take(
        &self,
        kind: &'static str,
        id: Uuid,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        if self.counting.take(id, limit, now).await? {
            return Ok(());
        }
        self.metrics.refused(kind, limit.whose);
        let row = tries::Entity::find_by_id(id).one(&self.database).await?;
        let wait = row.map_or(limit.each, |row| {
            row.settles_at.0 + limit.each - (now + limit.window)
        });
        Err(AccountError::TooManyTries {
            retry_after: wait.to_std().unwrap_or_default(),
        })
    }

    async fn is_known(&self, pair: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
        let row = known_client::Entity::find_by_id(pair)
            .one(&self.database)
            .await?;
        Ok(row.is_some_and(|row| row.expires_at.0 > now))
    }

    /// Deletes what has been forgotten.
    pub(super) async fn prune(&self, now: DateTime<Utc>) -> Result<(), DbErr> {
        for slice in 0..1 << SLICE_BITS {
            let first = slice << (u128::BITS - SLICE_BITS);
            let last = first | (u128::MAX >> SLICE_BITS);
            tries::Entity::delete_many()
                .filter(tries::Column::Id.between(Uuid::from_u128(first), Uuid::from_u128(last)))
                .filter(tries::Column::SettlesAt.lte(Millis(now)))
                .exec(&self.database)
                .await?;
        }
        known_client::Entity::delete_many()
            .filter(known_client::Column::ExpiresAt.lte(Millis(now)))
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// What makes ids of what must not be named.
    pub(super) fn mac(&self) -> &Hmac<Sha256> {
        &self.mac
    }

    fn id(&self, parts: &[&str]) -> Uuid {
        keyed::id(&self.mac, parts)
    }
}

/// What counts as one client: an IPv4 address, or the IPv6 network that a customer is given.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - IPV6_NETWORK);
            IpAddr::V6((address.to_bits() & mask).into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("192.0.2.1", "192.0.2.1")]
    #[case("::ffff:192.0.2.1", "192.0.2.1")]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    #[case("2001:db8:1:2::", "2001:db8:1:2::")]
    fn a_client_is_an_address_or_a_network(#[case] client: &str, #[case] expected: &str) {
        assert_eq!(network(client.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn a_limit_is_spread_over_its_window() {
        let limit = Limit::new("client", 10, Duration::from_mins(15));
        assert_eq!(limit.each, TimeDelta::seconds(90));
        assert_eq!(limit.window, TimeDelta::minutes(15));
        let absurd = Limit::new("client", u32::MAX, Duration::ZERO);
        assert!(absurd.each > TimeDelta::zero() && absurd.window >= absurd.each);
        assert_eq!(
            Limit::new("client", 0, Duration::from_secs(1)).each,
            TimeDelta::seconds(1)
        );
    }
}
