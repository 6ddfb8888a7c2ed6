//! Users of an identity provider that the operator has already. They bring the provider's tokens; who
//! they are is known from issuer and subject alone. An e-mail address never links them to an account
//! that was opened here: whoever could get the address confirmed elsewhere would take it over.
//!
//! A token that is seen first makes a session, and the user if need be, and stands in the trail as a
//! sign-in. From then on the session is watched, ended and forgotten as any other. That a session was ended, or a user deleted, is kept as a
//! revocation for as long as there may be such tokens.

mod keys;
mod token;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    Millis, revocation, session,
    user::{self, PasswordHash},
};
use hmac::Hmac;
use reqwest::Url;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    SqlErr,
    sea_query::{LockType, OnConflict},
};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;

use self::{keys::Keys, token::Identity};
use super::{AccountError, Accounts, Caller, cap::SessionCap, keyed};
use crate::{
    audit::{self, Origin, Trail},
    platform::database::{self, Database},
};
use ambient::Random;
use outbound::Outbound;

/// How often a first sight is tried that collides with another.
const TRIES: usize = 4;
/// No token of a deleted user's is taken to live longer.
const LONGEST_TOKEN: TimeDelta = TimeDelta::days(365);

/// Where tokens come from that are not the gateway's own.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The `iss` of its tokens, to the letter (setting `OIDC_ISSUER`).
    pub issuer: String,
    /// What their `aud` is or holds (setting `OIDC_AUDIENCE`).
    pub audience: String,
    /// Where its keys are (setting `OIDC_JWKS_URL`).
    pub jwks_url: Url,
    /// The way there.
    pub outbound: Outbound,
}

/// Where it is recorded that somebody was seen, if anywhere, and where they came from.
type Record<'a> = (Option<&'a Trail>, &'a Origin);

/// Tells whose tokens the provider's are.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    audience: String,
    keys: Keys,
    database: Database,
    mac: Hmac<Sha256>,
    cap: SessionCap,
    random: Random,
}

impl Provider {
    pub(super) fn new(
        config: ProviderConfig,
        accounts: &Accounts,
        secret: &SecretString,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            issuer: config.issuer,
            audience: config.audience,
            keys: Keys::new(config.jwks_url, &config.outbound)?,
            database: accounts.database.clone(),
            mac: keyed::mac(secret),
            cap: accounts.cap.clone(),
            random: accounts.random.clone(),
        })
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`AccountError::InvalidToken`], [`AccountError::NoKeys`], or the database's.
    pub(super) async fn authenticate(
        &self,
        token: &str,
        now: DateTime<Utc>,
        record: Record<'_>,
    ) -> Result<Caller, AccountError> {
        let identity = self.verify(token, now).await?;
        let session = session::Entity::find_by_id(identity.session_id)
            .one(&self.database)
            .await?;
        match session {
            Some(session) => caller(&session, now),
            None => self.admit(&identity, now, record).await,
        }
    }

    async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, AccountError> {
        let (id, algorithm) =
            token::claimed_key(token, &self.issuer).ok_or(AccountError::InvalidToken)?;
        let key = self.keys.find(&id, algorithm).await;
        let key = key
            .map_err(|_| AccountError::NoKeys)?
            .ok_or(AccountError::InvalidToken)?;
        let expected = (self.issuer.as_str(), self.audience.as_str());
        token::verify(token, (&key, algorithm), expected, now).ok_or(AccountError::InvalidToken)
    }

    /// Makes the session of a token that is seen for the first time.
    async fn admit(
        &self,
        identity: &Identity,
        now: DateTime<Utc>,
        record: Record<'_>,
    ) -> Result<Caller, AccountError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.admit_once(identity, now, record).await {
                // Another replica sees the same user or token, or deletes the user, right now.
                Err(AccountError::Database(error)) if collided(&error) && tries < TRIES => {}
                admitted => return admitted,
            }
        }
    }

    async fn admit_once(
        &self,
        identity: &Identity,
        now: DateTime<Utc>,
        (trail, origin): Record<'_>,
    ) -> Result<Caller, AccountError> {
        let transaction = database::begin(&self.database).await?;
        if let Some(session) = session::Entity::find_by_id(identity.session_id)
            .one(&transaction)
            .await?
        {
            return caller(&session, now);
        }
        let (user_id, seen) = self.user(&transaction, identity, now).await?;
        let session = session::Model {
            id: identity.session_id,
            user_id,
            created_at: now.into(),
            expires_at: identity.expires_at.into(),
        };
        let inserted = session.clone().into_active_model().reset_all();
        inserted.insert(&transaction).await?;
        if let Some(trail) = trail {
            let seen = audit::Event::new(user_id, seen).by(origin);
            trail.record(&transaction, seen).await?;
        }
        let ended = self.cap.end_oldest(&transaction, &session, trail).await?;
        // Last: who revokes at this moment has either left a row or finds the session.
        if self.is_revoked(&transaction, identity).await? {
            return Err(AccountError::InvalidToken);
        }
        transaction.commit().await?;
        self.cap.tell(&ended);
        caller(&session, now)
    }

    /// The user of the issuer and subject, made on first sight, and what that they were seen is to them. Of
    /// tokens that are seen at the same time, each sees the sessions of those before.
    async fn user(
        &self,
        database: &impl ConnectionTrait,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<(Uuid, audit::Kind), DbErr> {
        let known = user::Entity::find()
            .filter(user::Column::Issuer.eq(&self.issuer))
            .filter(user::Column::Subject.eq(&identity.subject))
            .lock(LockType::NoKeyUpdate)
            .one(database)
            .await?;
        if let Some(known) = known {
            let id = known.id;
            if known.contact_email != identity.email {
                let mut changed = known.into_active_model();
                changed.contact_email = Set(identity.email.clone());
                changed.update(database).await?;
            }
            return Ok((id, audit::Kind::SignedIn));
        }
        let id = self.random.uuid_at(now);
        let user = user::Model {
            id,
            email: format!("{id}@{NO_ADDRESS}"),
            password_hash: PasswordHash::none(),
            created_at: now.into(),
            issuer: Some(self.issuer.clone()),
            subject: Some(identity.subject.clone()),
            contact_email: identity.email.clone(),
        };
        let inserted = user.into_active_model().reset_all();
        inserted.insert(database).await?;
        tracing::info!(user.id = %id, "the identity provider sent a new user");
        Ok((id, audit::Kind::AccountOpened))
    }

    async fn is_revoked(
        &self,
        database: &impl ConnectionTrait,
        identity: &Identity,
    ) -> Result<bool, DbErr> {
        let whole_user = subject_id(&self.mac, &self.issuer, &identity.subject);
        let rows = revocation::Entity::find()
            .filter(revocation::Column::Id.is_in([identity.session_id, whole_user]))
            .all(database)
            .await?;
        Ok(rows.into_iter().any(|row| {
            let issued_later =
                || (identity.issued_at).is_some_and(|at| at > row.revoked_at.0.timestamp());
            row.id == identity.session_id || !issued_later()
        }))
    }
}

/// In place of an e-mail address: nobody can have one there (RFC 2606).
pub(super) const NO_ADDRESS: &str = "identity-provider.invalid";

/// Notes that the token of the session is refused from now on, if it is a provider's: the session alone
/// would come back with it.
pub(super) async fn revoke_session(
    database: &impl ConnectionTrait,
    session: &session::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    if !token::stands_for_token(session.id) {
        return Ok(());
    }
    revoke(database, session.id, now, session.expires_at.0).await
}

/// Notes that all tokens that were issued for the user so far are refused.
pub(super) async fn revoke_user(
    database: &impl ConnectionTrait,
    mac: &Hmac<Sha256>,
    user: &user::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (Some(issuer), Some(subject)) = (&user.issuer, &user.subject) else {
        return Ok(());
    };
    let id = subject_id(mac, issuer, subject);
    revoke(database, id, now, now + LONGEST_TOKEN).await
}

async fn revoke(
    database: &impl ConnectionTrait,
    id: Uuid,
    revoked_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = revocation::ActiveModel {
        id: Set(id),
        revoked_at: Set(Millis(revoked_at)),
        expires_at: Set(Millis(expires_at)),
    };
    let again = OnConflict::column(revocation::Column::Id)
        .update_columns([revocation::Column::RevokedAt, revocation::Column::ExpiresAt])
        .to_owned();
    revocation::Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(database)
        .await?;
    Ok(())
}

/// Deletes what no token needs any more.
pub(super) async fn prune(database: &Database, now: DateTime<Utc>) -> Result<(), DbErr> {
    revocation::Entity::delete_many()
        .filter(revocation::Column::ExpiresAt.lte(Millis(now)))
        .exec(database)
        .await?;
    Ok(())
}

fn subject_id(mac: &Hmac<Sha256>, issuer: &str, subject: &str) -> Uuid {
    keyed::id(mac, &["subject", issuer, subject])
}

fn caller(session: &session::Model, now: DateTime<Utc>) -> Result<Caller, AccountError> {
    if session.expires_at.0 <= now {
        return Err(AccountError::InvalidToken);
    }
    Ok(Caller {
        user_id: session.user_id,
        session_id: session.id,
        expires_at: session.expires_at.0,
    })
}

fn collided(error: &DbErr) -> bool {
    let gone = matches!(
        error.sql_err(),
        Some(SqlErr::ForeignKeyConstraintViolation(_))
    );
    gone || database::is_unique_violation(error)
}
