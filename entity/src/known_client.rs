//! From where the owners of accounts have signed in.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One client's network that the owner of one address has signed in from.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_clients")]
pub struct Model {
    /// Made of address, network and a secret, so that the table tells neither.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Until when it counts as known.
    pub expires_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
