//! Limits on guessing: how much may be tried against one address, and by one client.
//!
//! Every try counts before the password is looked at, in the table that all replicas share, so that
//! many at once get no further than one after the other. Each limit is a bucket that leaks (GCRA): one
//! number for each who is counted, changed by one statement. What is refused does not count, so nobody
//! is kept out for longer by trying on.
//!
//! A stranger who guesses uses up the address's tries and would keep its owner out as well. So an owner
//! who signs in from where they have signed in before is counted apart.

mod answers;
mod bucket;
mod connects;
mod counting;
mod reads;

use std::{fmt, net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, known_client, tries};
use futures_util::future::join_all;
use hmac::Hmac;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use sha2::Sha256;
use uuid::Uuid;

use super::metrics::TryMetrics;
use super::{AccountError, AccountsConfig, keyed};
use crate::platform::database::Database;

pub(super) use self::bucket::{network, site};
use self::{
    bucket::{Bucket, ClientLimits, Limit},
    connects::Connects,
    counting::Counting,
};
pub use self::{
    connects::ConnectLimits,
    reads::{Budget, Read, ReadBudgets},
};

/// For so long a client is known from which an owner has signed in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(30);
/// What has settled is deleted in slices of ids, which begin with any bits equally often: by so many bits,
/// so that no statement reads all of a long table, or blocks it for long.
const SLICE_BITS: u32 = 6;

/// How much may be tried within a span of time. Tries come back one by one, evenly over the span.
#[derive(Clone, Copy, Debug)]
pub struct TryLimits {
    /// Against one e-mail address (setting `SIGN_IN_TRIES`).
    pub for_each_address: u32,
    /// By one client, without success (setting `SIGN_IN_TRIES_PER_CLIENT`).
    pub for_each_client: u32,
    /// By one client, with success or without (setting `SIGN_INS_PER_CLIENT`).
    pub sign_ins_for_each_client: u32,
    /// The span (setting `SIGN_IN_WINDOW`).
    pub window: Duration,
}

impl Default for TryLimits {
    fn default() -> Self {
        Self {
            for_each_address: 10,
            for_each_client: 100,
            sign_ins_for_each_client: 300,
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
    /// The buckets that get the try back on success.
    client: Vec<Bucket>,
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
    for_each_client: ClientLimits,
    sign_ins_for_each_client: ClientLimits,
    connects: Connects,
    reads: ReadBudgets,
    metrics: TryMetrics,
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").finish_non_exhaustive()
    }
}

impl Tries {
    pub(super) fn new(database: Database, config: &AccountsConfig) -> Self {
        let limits = config.tries;
        Self {
            counting: Counting::new(database.clone()),
            database,
            mac: keyed::mac(&config.secret),
            for_each_address: Limit::new("address", limits.for_each_address, limits.window),
            for_each_client: ClientLimits::new(limits.for_each_client, limits.window),
            sign_ins_for_each_client: ClientLimits::of_sign_ins(
                limits.sign_ins_for_each_client,
                limits.window,
            ),
            connects: config.connects.into(),
            reads: config.reads,
            metrics: config.try_metrics.clone(),
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
        let mut client_buckets = self.of_client("client", client, self.for_each_client);
        let returned = client_buckets.clone();
        client_buckets.extend(self.of_client(
            "sign-ins of client",
            client,
            self.sign_ins_for_each_client,
        ));
        let pair = self.id(&["pair", address, &network(client).to_string()]);
        // First the client's: one that is refused takes nothing from the address.
        let kind = trying.name();
        self.take(kind, &client_buckets, now).await?;
        let id = match trying {
            Trying::Password if self.is_known(pair, now).await? => pair,
            Trying::Password => self.id(&["address", address]),
            Trying::SignUp => self.id(&["sign-up", address]),
        };
        let limit = self.for_each_address;
        self.take(kind, &[Bucket { id, limit }], now).await?;
        Ok(Counted {
            client: returned,
            address: id,
            pair,
        })
    }

    /// Forgets what was tried against the address, now that its owner has shown up, and remembers the
    /// client. The client gets the one try back: its others may have been against anyone.
    pub(super) async fn forgive(&self, counted: &Counted, now: DateTime<Utc>) -> Result<(), DbErr> {
        self.give_back(&counted.client).await?;
        self.welcome(counted, now).await
    }

    /// Gives one try back to each bucket, one after the other: two statements that each hold a row of the
    /// other's would wait in a circle.
    async fn give_back(&self, buckets: &[Bucket]) -> Result<(), DbErr> {
        for Bucket { id, limit } in buckets {
            let each = limit.each.num_milliseconds();
            tries::Entity::update_many()
                .col_expr(
                    tries::Column::SettlesAt,
                    Expr::col(tries::Column::SettlesAt).sub(each),
                )
                .filter(tries::Column::Id.eq(*id))
                .exec(&self.database)
                .await?;
        }
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

    /// Takes one try from each of the buckets, or from none.
    async fn take(
        &self,
        kind: &'static str,
        buckets: &[Bucket],
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        let taking = buckets
            .iter()
            .map(|bucket| self.counting.take(*bucket, now));
        let taken: Result<Vec<bool>, DbErr> = join_all(taking).await.into_iter().collect();
        let of_bucket = buckets.iter().zip(taken?);
        let (taken, full): (Vec<_>, Vec<_>) = of_bucket.partition(|(_, taken)| *taken);
        if full.is_empty() {
            return Ok(());
        }
        let taken: Vec<Bucket> = taken.into_iter().map(|(bucket, _)| *bucket).collect();
        self.give_back(&taken).await?;
        let mut retry_after = TimeDelta::zero();
        for (bucket, _) in full {
            self.metrics.refused(kind, bucket.limit.whose);
            retry_after = retry_after.max(self.wait(*bucket, now).await?);
        }
        Err(AccountError::TooManyTries {
            retry_after: retry_after.to_std().unwrap_or_default(),
        })
    }

    /// Time until the bucket, which is full, has room for one more.
    async fn wait(&self, bucket: Bucket, now: DateTime<Utc>) -> Result<TimeDelta, DbErr> {
        let row = tries::Entity::find_by_id(bucket.id);
        let row = row.one(&self.database).await?;
        let full = now + bucket.limit.window;
        let settles_at = row.map_or(full, |row| Ord::min(row.settles_at.0, full));
        Ok(settles_at + bucket.limit.each - full)
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

    /// The bucket of a client, and that of the site that it is part of, if any.
    fn of_client(&self, counted: &str, client: IpAddr, limits: ClientLimits) -> Vec<Bucket> {
        let own = Bucket {
            id: self.id(&[counted, &network(client).to_string()]),
            limit: limits.own,
        };
        let around = site(client).map(|site| Bucket {
            id: self.id(&[counted, "site", &site.to_string()]),
            limit: limits.site,
        });
        [own].into_iter().chain(around).collect()
    }

    fn id(&self, parts: &[&str]) -> Uuid {
        keyed::id(&self.mac, parts)
    }
}
