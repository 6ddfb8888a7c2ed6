//! Tokens of the identity provider's that are refused although they have not expired. A row outlives the
//! user whom it was about.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One token, or all those of one user that were issued up to an instant.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocations")]
pub struct Model {
    /// The session that the token stands for, or an id made of the user's issuer and subject.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Since when.
    pub revoked_at: Millis,
    /// When there are no such tokens any more.
    pub expires_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
