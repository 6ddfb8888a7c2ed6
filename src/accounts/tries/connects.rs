//! Limits on attempts to connect: each tries a password at `OrangeHRM`, and has Intuned do work.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Bucket, ClientLimits, Limit, Tries};
use crate::accounts::AccountError;

/// As it is counted.
const CONNECT: &str = "connect";

/// How many attempts to connect may be begun within a span of time. They come back one by one, evenly
/// over the span.
#[derive(Clone, Copy, Debug)]
pub struct ConnectLimits {
    /// By one user (setting `CONNECT_TRIES`); 0 for any number.
    pub for_each_user: u32,
    /// By one client (setting `CONNECT_TRIES_PER_CLIENT`); 0 for any number.
    pub for_each_client: u32,
    /// The span (setting `CONNECT_WINDOW`).
    pub window: Duration,
}

impl Default for ConnectLimits {
    fn default() -> Self {
        Self {
            for_each_user: 20,
            for_each_client: 200,
            window: Duration::from_mins(15),
        }
    }
}

/// The limits as they are counted with; none for any number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connects {
    for_each_user: Option<Limit>,
    for_each_client: Option<ClientLimits>,
}

impl From<ConnectLimits> for Connects {
    fn from(limits: ConnectLimits) -> Self {
        let some = |tries: u32| (tries > 0).then_some(tries);
        let user = |tries| Limit::new("user", tries, limits.window);
        let client = |tries| ClientLimits::new(tries, limits.window);
        Self {
            for_each_user: some(limits.for_each_user).map(user),
            for_each_client: some(limits.for_each_client).map(client),
        }
    }
}

impl Tries {
    /// Counts one attempt to connect.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database's.
    pub(in crate::accounts) async fn count_connect(
        &self,
        user_id: Uuid,
        client: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        // First the user's: one that is refused takes nothing from others behind the same address.
        let user = self.of_user(user_id);
        self.take(CONNECT, &user, now).await?;
        let taken = self.take(CONNECT, &self.of_users(client), now).await;
        if taken.is_err() {
            self.give_back(&user).await?;
        }
        taken
    }

    /// Gives an attempt back that came to nothing here.
    pub(in crate::accounts) async fn give_back_connect(
        &self,
        user_id: Uuid,
        client: IpAddr,
    ) -> Result<(), DbErr> {
        self.give_back(&self.of_user(user_id)).await?;
        self.give_back(&self.of_users(client)).await
    }

    fn of_user(&self, user_id: Uuid) -> Vec<Bucket> {
        let id = self.id(&["connect", &user_id.to_string()]);
        let limit = self.connects.for_each_user;
        limit
            .map(|limit| Bucket { id, limit })
            .into_iter()
            .collect()
    }

    /// Of all users of a client.
    fn of_users(&self, client: IpAddr) -> Vec<Bucket> {
        let limits = self.connects.for_each_client;
        let buckets = limits.map(|limits| self.of_client("connect from", client, limits));
        buckets.unwrap_or_default()
    }
}
