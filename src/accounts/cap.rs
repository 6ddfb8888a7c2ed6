//! The most sessions that a user may have: when one more begins, the oldest ends.

use std::sync::Arc;

use entity::session;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};

use super::{provider, watch::SessionWatch};
use crate::audit::{self, Trail};

/// The most sessions that end for one that begins: the setting may have been a larger one.
const AT_ONCE: u64 = 1000;

/// Keeps the sessions of each user within their number. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct SessionCap {
    most: u64,
    watch: Arc<SessionWatch>,
}

impl SessionCap {
    pub(super) fn new(most: u32, watch: Arc<SessionWatch>) -> Self {
        let most = u64::from(most.max(1));
        Self { most, watch }
    }

    /// Ends the oldest sessions of the user of `begun`, as many as there are too many with it. The
    /// transaction holds the user's row: two at once would each miss the other's session.
    ///
    /// Those that have expired count for nothing, and are left to whoever prunes them.
    pub(super) async fn end_oldest(
        &self,
        transaction: &impl ConnectionTrait,
        begun: &session::Model,
        trail: Option<&Trail>,
    ) -> Result<Vec<session::Model>, DbErr> {
        let now = begun.created_at;
        let oldest = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(session::Column::UserId.eq(begun.user_id))
            .filter(session::Column::Id.ne(begun.id))
            .filter(session::Column::ExpiresAt.gt(now))
            .order_by_desc(session::Column::CreatedAt)
            .order_by_desc(session::Column::Id)
            .offset(self.most - 1)
            .limit(AT_ONCE)
            .into_query();
        let ended = session::Entity::delete_many()
            .filter(session::Column::Id.in_subquery(oldest))
            .exec_with_returning(transaction)
            .await?;
        for session in &ended {
            provider::revoke_session(transaction, session, now.0).await?;
            if let Some(trail) = trail {
                let event = audit::Event::new(session.user_id, audit::Kind::SignedOut);
                trail.record(transaction, event).await?;
            }
        }
        Ok(ended)
    }

    /// Tells those who watch the sessions, now that their end is committed.
    pub(super) fn tell(&self, ended: &[session::Model]) {
        for session in ended {
            self.watch.end(session.id);
        }
    }
}
