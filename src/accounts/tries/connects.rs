//! Limits on attempts to connect: each tries a password at `OrangeHRM`, and has Intuned do work.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Limit, Tries, network};
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
    for_each_client: Option<Limit>,
}

impl From<ConnectLimits> for Connects {
    fn from(limits: ConnectLimits) -> Self {
        let limit = |whose, tries| (tries > 0).then(|| Limit::new(whose, tries, limits.window));
        Self {
            for_each_user: limit("user", limits.for_each_user),
            for_each_client: limit("client", limits.for_each_client),
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
        if let Some(limit) = self.connects.for_each_user {
            self.take(CONNECT, self.user(user_id), limit, now).await?;
        }
        if let Some(limit) = self.connects.for_each_client {
            let taken = self.take(CONNECT, self.client(client), limit, now).await;
            if taken.is_err()
                && let Some(limit) = self.connects.for_each_user
            {
                self.give_back(self.user(user_id), limit).await?;
            }
            return taken;
        }
        Ok(())
    }

    /// Gives an attempt back that came to nothing here.
    pub(in crate::accounts) async fn give_back_connect(
        &self,
        user_id: Uuid,
        client: IpAddr,
    ) -> Result<(), DbErr> {
        if let Some(limit) = self.connects.for_each_user {
            self.give_back(self.user(user_id), limit).await?;
        }
        if let Some(limit) = self.connects.for_each_client {
            self.give_back(self.client(client), limit).await?;
        }
        Ok(())
    }

    fn user(&self, user_id: Uuid) -> Uuid {
        self.id(&["connect", &user_id.to_string()])
    }

    fn client(&self, client: IpAddr) -> Uuid {
        self.id(&["connect from", &network(client).to_string()])
    }
}
