//! How much has been tried against accounts lately.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// The tries of one client, or against one address. A limit allows so many in a span of time; what is
/// kept is the instant at which all that was tried will have been forgotten.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tries")]
pub struct Model {
    /// Made of who or what is counted and a secret, so that the table tells neither.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When nothing is left to count.
    pub settles_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
