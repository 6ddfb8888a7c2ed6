//! The end of an account.

use std::{future::Future, net::IpAddr};

use entity::{connection, operation, session, user};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    AccountError, Accounts, Caller, passwords::Verdict, provider, tolerate, tries::Trying,
};
use crate::platform::database::{self, Transaction};

/// It is tried so often against a user who goes on connecting.
const TRIES: usize = 3;

/// The reason why an account was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError<E> {
    /// The password is wrong, or the like.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What the user has elsewhere could not be cleared.
    #[error("what the user has elsewhere could not be cleared")]
    Elsewhere(#[source] E),
    /// The user goes on connecting.
    #[error("the account kept changing")]
    Busy,
}

impl Accounts {
    /// Deletes the caller's account, if the password is right: has `clear` do away with what the user has
    /// elsewhere, and erases the user. After a crash in between, the rest is done when it is asked for again.
    ///
    /// # Errors
    /// [`DeletionError`]; the account stands.
    pub async fn delete<E, F>(
        &self,
        caller: Caller,
        password: Option<SecretString>,
        client: IpAddr,
        clear: impl Fn() -> F,
    ) -> Result<(), DeletionError<E>>
    where
        F: Future<Output = Result<(), E>>,
    {
        self.confirm(caller, password, client).await?;
        for _ in 0..TRIES {
            clear().await.map_err(DeletionError::Elsewhere)?;
            if self.erase(caller.user_id).await? {
                return Ok(());
            }
        }
        Err(DeletionError::Busy)
    }

    /// Makes sure that it is the caller who asks: the password must be right. Tries at it count as those
    /// at signing in do. A user of the identity provider's has none; their token must do.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`], [`AccountError::TooManyTries`], [`AccountError::Busy`],
    /// [`AccountError::InvalidToken`] when the account is gone, or that hashing or the database failed.
    async fn confirm(
        &self,
        caller: Caller,
        password: Option<SecretString>,
        client: IpAddr,
    ) -> Result<(), AccountError> {
        let user = user::Entity::find_by_id(caller.user_id)
            .one(&self.database)
            .await?
            .ok_or(AccountError::InvalidToken)?;
        let Some(hash) = user.password_hash.as_phc() else {
            return Ok(());
        };
        let password = password.ok_or(AccountError::InvalidCredentials)?;
        let place = self.passwords.place(client)?;
        let now = self.clock.now();
        let counted = self.tries.count(Trying::Password, &user.email, client, now);
        let counted = counted.await?;
        let hash = Some(hash.to_owned());
        let salt = self.random.bytes();
        let verdict = self.passwords.verify(place, password.into(), hash, salt);
        if let Verdict::Wrong = verdict.await? {
            return Err(AccountError::InvalidCredentials);
        }
        tolerate(self.tries.forgive(&counted, now).await);
        Ok(())
    }

    /// Erases the user with all that is theirs, and ends their sessions, on every replica. False when
    /// something is in flight or connected: then nothing is changed.
    ///
    /// # Errors
    /// The database's; nothing is changed.
    async fn erase(&self, user_id: Uuid) -> Result<bool, AccountError> {
        let transaction = database::begin(&self.database).await?;
        // Nothing can be begun in the user's name from here on: it would refer to this row.
        let user = user::Entity::find_by_id(user_id)
            .lock_exclusive()
            .one(&transaction)
            .await?;
        let Some(user) = user else {
            return Ok(true);
        };
        if leaves_something(&transaction, user_id).await? {
            return Ok(false);
        }
        let sessions = session::Entity::find()
            .filter(session::Column::UserId.eq(user_id))
            .all(&transaction)
            .await?;
        let now = self.clock.now();
        provider::revoke_user(&transaction, self.tries.mac(), &user, now).await?;
        // Sessions, connections, operations and their events go with it.
        user::Entity::delete_by_id(user_id)
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        for session in sessions {
            self.watch.end(session.id);
        }
        tracing::info!(user.id = %user_id, "an account was deleted");
        Ok(true)
    }
}

/// Tells whether deleting the user now would leave something at Intuned that nobody knows of.
async fn leaves_something(transaction: &Transaction, user_id: Uuid) -> Result<bool, DbErr> {
    let in_flight = operation::Entity::find()
        .filter(operation::Column::UserId.eq(user_id))
        .filter(operation::Column::EndedAt.is_null())
        .count(transaction)
        .await?;
    let connections = connection::Entity::find()
        .filter(connection::Column::UserId.eq(user_id))
        .count(transaction)
        .await?;
    Ok(in_flight + connections > 0)
}
