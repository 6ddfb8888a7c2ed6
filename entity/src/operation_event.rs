//! Every change of every operation: what followers are told.

use sea_orm::entity::prelude::*;

use crate::{Millis, operation::Status};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation_events")]
pub struct Model {
    /// Whose change it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: Uuid,
    /// Its number, from 1, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i32,
    /// The operation's status after it.
    pub status: Status,
    /// For people, one line.
    pub message: String,
    /// How many times Intuned had been asked.
    pub polls: i32,
    /// Milliseconds since the operation began.
    pub elapsed_ms: i64,
    /// When it happened.
    pub occurred_at: Millis,
    /// Chosen by whoever wrote it, who knows it again by this; none in rows of older releases.
    pub change_id: Option<Uuid>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
