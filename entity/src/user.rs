//! People who may sign in to the gateway.

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
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// When the account was opened.
    pub created_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
