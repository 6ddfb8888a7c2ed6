//! Signed-in sessions of the gateway's own accounts. The token itself is in no table: it is signed,
//! names the row, and is worth nothing once the row is gone.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One sign-in that has not been ended.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// The token's `jti` claim.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose session it is.
    pub user_id: Uuid,
    /// When the user signed in.
    pub created_at: Millis,
    /// When the token stops working by itself.
    pub expires_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
