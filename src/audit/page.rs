//! Reads a trail page by page, the newest event first.

use entity::audit_event;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::Trail;

/// The most events that a page has.
pub const LONGEST_PAGE: u16 = 100;
/// How many it has when nobody says.
pub const DEFAULT_PAGE: u16 = 20;

/// Some events of a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub events: Vec<audit_event::Model>,
    /// Whether there are older ones.
    pub has_more: bool,
}

impl Trail {
    /// The user's `first` newest events, at most [`LONGEST_PAGE`], that are older than the one of the
    /// id `after`. Events that are added meanwhile move none from page to page.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(
        &self,
        user_id: Uuid,
        first: u16,
        after: Option<Uuid>,
    ) -> Result<Page, DbErr> {
        let first = first.min(LONGEST_PAGE);
        let mut query = audit_event::Entity::find().filter(audit_event::Column::UserId.eq(user_id));
        if let Some(after) = after {
            query = query.filter(audit_event::Column::Id.lt(after));
        }
        let mut events = query
            .order_by_desc(audit_event::Column::Id)
            .limit(u64::from(first) + 1)
            .all(&self.database)
            .await?;
        let length = usize::from(first);
        let has_more = events.len() > length;
        events.truncate(length);
        Ok(Page { events, has_more })
    }
}
