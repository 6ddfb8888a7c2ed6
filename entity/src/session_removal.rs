//! Auth sessions that are to be deleted at Intuned: the durable to-do list of disconnecting, and of
//! tidying up after attempts that came to nothing.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// One auth session to delete. The row goes once Intuned has confirmed that the session is gone and
/// nothing under way there can bring it back.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_removals")]
pub struct Model {
    /// The auth session's id at Intuned.
    #[sea_orm(primary_key, auto_increment = false)]
    pub auth_session_id: String,
    /// Who had it made.
    pub user_id: Uuid,
    /// When it was asked for.
    pub requested_at: Millis,
    /// Until when an attempt still under way at Intuned may create the session anew.
    pub settles_at: Millis,
    /// When to ask Intuned next.
    pub due_at: Millis,
    /// How often Intuned has been asked in vain.
    pub attempts: i32,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
