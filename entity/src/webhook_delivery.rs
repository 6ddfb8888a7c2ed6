//! What the operator's endpoint is told of connections: the durable list of deliveries to make. A
//! delivery outlives the account that it is about.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "Text",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
pub enum Kind {
    /// An account was connected for the first time.
    Created,
    /// A connection was connected again.
    Renewed,
    /// Intuned said that the user must connect again.
    Expired,
    /// The connection is gone: here and at Intuned, or with its account, and then perhaps not yet there.
    Removed,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "Text",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
pub enum Outcome {
    /// The endpoint took it.
    Delivered,
    /// The endpoint did not take it for so long that it was given up.
    Dead,
}

/// One event to deliver.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_deliveries")]
pub struct Model {
    /// Given by the database; events of one connection are delivered in this order.
    #[sea_orm(primary_key)]
    pub position: i64,
    /// What the receiver knows it by: the same at every try.
    #[sea_orm(unique)]
    pub event_id: Uuid,
    /// What happened.
    pub kind: Kind,
    /// To which connection.
    pub connection_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// When it happened.
    pub occurred_at: Millis,
    /// When to try next, by the database's clock: the epoch for at once. Whoever takes it up moves it
    /// ahead, so that the others leave it alone meanwhile.
    pub due_at: Millis,
    /// How often it was taken up. A try that was overtaken by another knows it by this.
    pub attempts: i32,
    /// How it ended; none while it is to be delivered.
    pub outcome: Option<Outcome>,
    /// When it ended, by the database's clock.
    pub settled_at: Option<Millis>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
