//! Signing up and signing in.

use chrono::{DateTime, SubsecRound, Utc};
use entity::{
    session,
    user::{self, PasswordHash},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect, sea_query::LockType,
};
use secrecy::SecretString;

use super::{
    AccountError, Accounts, SignedIn, email,
    passwords::{Password, Verdict},
    tolerate,
    tries::Trying,
};
use crate::{
    audit::{self, Origin},
    platform::database,
};

impl Accounts {
    /// Opens an account and signs it in. `origin` is who asks, for the limit on tries.
    ///
    /// # Errors
    /// [`AccountError::SignUpClosed`], [`AccountError::InvalidEmail`], [`AccountError::PasswordLength`],
    /// [`AccountError::TooManyTries`], [`AccountError::Busy`], [`AccountError::EmailTaken`], or that
    /// hashing, signing or the database failed.
    pub async fn sign_up(
        &self,
        email: &str,
        password: SecretString,
        origin: impl Into<Origin>,
    ) -> Result<SignedIn, AccountError> {
        let origin = origin.into();
        if !self.allow_sign_up {
            return Err(AccountError::SignUpClosed);
        }
        let email = email::normalize(email).ok_or(AccountError::InvalidEmail)?;
        let password = Password::from(password);
        password.check_length()?;
        let place = self.passwords.place(origin.address())?;
        let now = self.clock.now();
        let counted = self
            .tries
            .count(Trying::SignUp, &email, origin.address(), now);
        let counted = counted.await?;
        let salt = self.random.bytes();
        let password_hash = self.passwords.hash(place, password, salt).await?;
        let now = self.clock.now();
        let user = user::Model {
            id: self.random.uuid_at(now),
            email,
            password_hash: PasswordHash(password_hash),
            created_at: now.into(),
            issuer: None,
            subject: None,
            contact_email: None,
        };

        let transaction = database::begin(&self.database).await?;
        let inserted = user.into_active_model().reset_all();
        let user = inserted
            .insert(&transaction)
            .await
            .map_err(|error| match error {
                error if database::is_unique_violation(&error) => AccountError::EmailTaken,
                error => error.into(),
            })?;
        let (signed_in, _) = self.open_session(&transaction, user).await?;
        let opened = audit::Event::new(signed_in.user.id, audit::Kind::AccountOpened).by(&origin);
        self.record(&transaction, opened).await?;
        transaction.commit().await?;
        tolerate(self.tries.welcome(&counted, now).await);
        Ok(signed_in)
    }

    /// Signs in. An unknown address costs as much time, and as many tries, as a wrong password.
    /// `origin` is who asks, for the limit on tries.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`], [`AccountError::TooManyTries`], [`AccountError::Busy`],
    /// or that hashing, signing or the database failed.
    pub async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
        origin: impl Into<Origin>,
    ) -> Result<SignedIn, AccountError> {
        let origin = origin.into();
        let place = self.passwords.place(origin.address())?;
        let normalized = email::normalize(email);
        let address = normalized.as_deref().unwrap_or(email);
        let now = self.clock.now();
        // Before the password is looked at: many at once must not all find the limit unreached.
        let counted = self
            .tries
            .count(Trying::Password, address, origin.address(), now);
        let counted = counted.await?;
        let user = match &normalized {
            Some(email) => {
                user::Entity::find()
                    .filter(user::Column::Email.eq(email))
                    .one(&self.database)
                    .await?
            }
            None => None,
        };
        let hash = user.as_ref().and_then(|user| user.password_hash.as_phc());
        let hash = hash.map(str::to_owned);
        let salt = self.random.bytes();
        let verdict = self.passwords.verify(place, password.into(), hash, salt);
        let verdict = verdict.await?;
        let is_right = !matches!(verdict, Verdict::Wrong);
        if let (Some(user), false, Some(trail)) = (&user, is_right, &self.trail) {
            // Written later: it must not take longer than for an address that nobody has.
            trail.note(audit::Event::new(user.id, audit::Kind::SignInFailed).by(&origin));
        }
        let user = user
            .filter(|_| is_right)
            .ok_or(AccountError::InvalidCredentials)?;
        let signed_in = self.enter(user, verdict, &origin).await?;
        tolerate(self.tries.forgive(&counted, now).await);
        Ok(signed_in)
    }

    /// Signs the user in, whose password was right.
    async fn enter(
        &self,
        user: user::Model,
        verdict: Verdict,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        let transaction = database::begin(&self.database).await?;
        // Of sign-ins at the same time, each sees the sessions of those before.
        let held = user::Entity::find_by_id(user.id).lock(LockType::NoKeyUpdate);
        let held = held.one(&transaction).await?;
        // The account may have been deleted since.
        let mut user = held.ok_or(AccountError::InvalidCredentials)?;
        if let Verdict::Outdated(renewed) = verdict {
            let mut changed = user.into_active_model();
            changed.password_hash = Set(renewed);
            user = changed.update(&transaction).await?;
        }
        let event = audit::Event::new(user.id, audit::Kind::SignedIn).by(origin);
        self.record(&transaction, event).await?;
        let (signed_in, session) = self.open_session(&transaction, user).await?;
        let trail = self.trail.as_ref();
        let ended = self.cap.end_oldest(&transaction, &session, trail).await?;
        transaction.commit().await?;
        self.cap.tell(&ended);
        Ok(signed_in)
    }

    async fn open_session(
        &self,
        database: &impl ConnectionTrait,
        user: user::Model,
    ) -> Result<(SignedIn, session::Model), AccountError> {
        let now = self.clock.now();
        // Tokens count in whole seconds; row, token and answer are to say the same.
        let expires_at = now
            .checked_add_signed(self.session_lifetime)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
            .trunc_subsecs(0);
        let session = session::Model {
            id: self.random.uuid(),
            user_id: user.id,
            created_at: now.into(),
            expires_at: expires_at.into(),
        };
        let token = self.tokens.sign(&session)?;
        let inserted = session.into_active_model().reset_all();
        let session = inserted.insert(database).await?;
        let signed_in = SignedIn {
            token,
            expires_at,
            user,
        };
        Ok((signed_in, session))
    }
}
