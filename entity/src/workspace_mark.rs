//! Which workspace at Intuned the database belongs to.

use sea_orm::entity::prelude::*;

/// The mark. There is one at most, from the first start of a gateway on.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace_marks")]
pub struct Model {
    /// Always the same, so that there can be no second one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The workspace's id at Intuned; none for a demo.
    pub workspace: Option<String>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
