//! People who may sign in to the gateway.

use std::fmt;

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Chosen by the gateway.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The address in lower case, or, for a user of an identity provider's, a stand-in that is no address;
    /// unique.
    #[sea_orm(unique)]
    pub email: String,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// When the account was opened.
    pub created_at: Millis,
    /// The identity provider that knows the user; none for an account of the gateway's own.
    pub issuer: Option<String>,
    /// What the provider calls the user; unique for each issuer.
    pub subject: Option<String>,
    /// The address that the provider has verified.
    pub contact_email: Option<String>,
}

impl Model {
    /// The address to show.
    pub fn address(&self) -> &str {
        self.contact_email.as_deref().unwrap_or(&self.email)
    }
}

/// Argon2id, as a PHC string. It is not printed.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct PasswordHash(pub String);

impl PasswordHash {
    /// For users who have no password here.
    pub fn none() -> Self {
        Self("none".to_owned())
    }

    /// The PHC string, if there is a password.
    pub fn as_phc(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| text.starts_with('$'))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
