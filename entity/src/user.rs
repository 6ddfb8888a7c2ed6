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
    /// The address in lower case; unique.
    #[sea_orm(unique)]
    pub email: String,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// When the account was opened.
    pub created_at: Millis,
}

/// Argon2id, as a PHC string. It is not printed.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
