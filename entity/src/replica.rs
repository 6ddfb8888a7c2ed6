//! Running gateways: who is alive to drive operations.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One running gateway process.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "replicas")]
pub struct Model {
    /// Chosen by the process when it starts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it last gave a sign of life, by the database's clock.
    pub beat_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
