//! What Intuned last said of connections' sessions, so that each replica need not ask by itself.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// A status of an auth session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "Text",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
pub enum Status {
    /// Being prepared.
    Pending,
    /// Fit for runs.
    Ready,
    /// The user must sign in again.
    Expired,
}

/// The last status of one connection's session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "kept_statuses")]
pub struct Model {
    /// Whose session it is. The row goes with the connection.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    /// The connection as it was when Intuned was asked: of any other, the status says nothing.
    pub version: String,
    /// What Intuned said.
    pub status: Status,
    /// When it was heard.
    pub told_at: Millis,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
