//! Remembers which workspace at Intuned the auth sessions are in that a database knows of: asked for by the
//! settings of another, they would seem to be gone.

use std::{fmt, time::Duration};

use entity::{connection, operation, replica, session_removal, workspace_mark};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{Database, clock};

/// There is one mark.
const ID: i32 = 1;

/// Where auth sessions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workspace {
    /// In the simulator of a demo.
    Demo,
    /// At Intuned, in the workspace of this id.
    Intuned(String),
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("a demo"),
            Self::Intuned(id) => write!(f, "workspace {id:?} at Intuned"),
        }
    }
}

impl From<workspace_mark::Model> for Workspace {
    fn from(mark: workspace_mark::Model) -> Self {
        mark.workspace.map_or(Self::Demo, Self::Intuned)
    }
}

impl Workspace {
    fn id(&self) -> Option<String> {
        match self {
            Self::Demo => None,
            Self::Intuned(id) => Some(id.clone()),
        }
    }
}

/// Why a gateway may not use a database.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The database belongs to another workspace.
    #[error(
        "the database (DATABASE_URL) belongs to {marked}, and the gateway is set to {wanted} \
         (INTUNED_WORKSPACE_ID, DEMO). Set what is right, or take another database; if this one is to belong \
         to {wanted} from now on, stop every gateway on it and run `intuned-gateway reassign-database`"
    )]
    Other {
        /// Which it belongs to.
        marked: Workspace,
        /// Which the gateway is set to.
        wanted: Workspace,
    },
    /// The database cannot be asked.
    #[error("the database does not tell which workspace it belongs to (DATABASE_URL)")]
    Database(#[from] DbErr),
}

/// Makes sure that the database belongs to `wanted`. One that belongs to none belongs to the first that
/// comes: of several that come at once, one.
///
/// # Errors
/// [`WorkspaceError`].
pub async fn claim_for(database: &Database, wanted: &Workspace) -> Result<(), WorkspaceError> {
    let mut marked = mark(database).await?;
    if marked.is_none() {
        set_mark(database, wanted, OnConflict::new().do_nothing().to_owned()).await?;
        marked = mark(database).await?;
    }
    match marked {
        Some(marked) if marked != *wanted => Err(WorkspaceError::Other {
            marked,
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}

/// Which workspace the database belongs to; none while no gateway has served from it.
///
/// # Errors
/// The database's.
pub async fn mark(database: &Database) -> Result<Option<Workspace>, DbErr> {
    let mark = workspace_mark::Entity::find_by_id(ID).one(database).await?;
    Ok(mark.map(Workspace::from))
}

/// Has the database belong to `workspace` from now on. Nothing else is changed.
///
/// # Errors
/// The database's.
pub async fn reassign(database: &Database, workspace: &Workspace) -> Result<(), DbErr> {
    let over = OnConflict::column(workspace_mark::Column::Id)
        .update_column(workspace_mark::Column::Workspace)
        .to_owned();
    set_mark(database, workspace, over).await
}

async fn set_mark(
    database: &Database,
    workspace: &Workspace,
    again: OnConflict,
) -> Result<(), DbErr> {
    let mark = workspace_mark::ActiveModel {
        id: Set(ID),
        workspace: Set(workspace.id()),
    };
    workspace_mark::Entity::insert(mark)
        .on_conflict(again)
        .exec_without_returning(database)
        .await?;
    Ok(())
}

/// What a database knows of that is in its workspace, and nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Gateways that are running on it.
    pub gateways: u64,
    /// Connections.
    pub connections: u64,
    /// Auth sessions that operations in flight may be making.
    pub being_made: Vec<String>,
    /// Auth sessions that are still to be deleted.
    pub to_be_deleted: Vec<String>,
}

/// Looks for what is in the database's workspace. A gateway that gave no sign of life for `lease` is not
/// running.
///
/// # Errors
/// The database's.
pub async fn left_behind(database: &Database, lease: Duration) -> Result<Left, DbErr> {
    let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let alive = Expr::col(replica::Column::BeatAt).gte(clock(database).sub(lease));
    let being_made = operation::Entity::find()
        .select_only()
        .column(operation::Column::AuthSessionId)
        .filter(operation::Column::EndedAt.is_null())
        .order_by_asc(operation::Column::Id);
    let to_be_deleted = session_removal::Entity::find()
        .select_only()
        .column(session_removal::Column::AuthSessionId)
        .order_by_asc(session_removal::Column::RequestedAt);
    Ok(Left {
        gateways: replica::Entity::find()
            .filter(alive)
            .count(database)
            .await?,
        connections: connection::Entity::find().count(database).await?,
        being_made: being_made.into_tuple().all(database).await?,
        to_be_deleted: to_be_deleted.into_tuple().all(database).await?,
    })
}
