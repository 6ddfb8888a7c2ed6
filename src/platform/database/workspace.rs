//! Remembers which workspace at Intuned the auth sessions are in that a database knows of: asked for by the
//! settings of another, they would seem to be gone.

use std::{fmt, time::Duration};

use entity::{connection, operation, replica, session_removal, workspace_mark};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LockType, OnConflict, SelectStatement},
};

use super::{Database, begin, clock};
use crate::platform::shell;

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
    /// What names it on the command line, as a shell takes it.
    fn flag(&self) -> String {
        match self {
            Self::Demo => "--demo".to_owned(),
            Self::Intuned(id) => {
                format!("--intuned-workspace-id={}", shell::word(id))
            }
        }
    }

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
         to {wanted} from now on, stop every gateway on it and run `intuned-gateway reassign-database {} --yes`",
        wanted.flag()
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

/// Selects the mark where it is `wanted`'s. It stays that as long as the statement, or its transaction, lasts.
pub fn marked_for(wanted: &Workspace) -> SelectStatement {
    let workspace = workspace_mark::Column::Workspace;
    let is_wanted = match wanted.id() {
        Some(id) => workspace.eq(id),
        None => workspace.is_null(),
    };
    workspace_mark::Entity::find_by_id(ID)
        .select_only()
        .filter(is_wanted)
        .lock(LockType::Share)
        .into_query()
}

/// Has the database belong to `workspace` from now on, unless gateways are running on it. Answers how many
/// are; one that gave no sign of life for `lease` is not. Nothing else is changed.
///
/// # Errors
/// The database's.
pub async fn reassign(
    database: &Database,
    workspace: &Workspace,
    lease: Duration,
) -> Result<u64, DbErr> {
    let over = OnConflict::column(workspace_mark::Column::Id)
        .update_column(workspace_mark::Column::Workspace)
        .to_owned();
    let transaction = begin(database).await?;
    // In this order: a sign of life is given before the mark changes, and counts, or not at all.
    set_mark(&transaction, workspace, over).await?;
    let running = running_gateways(&transaction, lease).await?;
    if running > 0 {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(running)
}

async fn set_mark(
    database: &impl ConnectionTrait,
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
        gateways: running_gateways(database, lease).await?,
        connections: connection::Entity::find().count(database).await?,
        being_made: being_made.into_tuple().all(database).await?,
        to_be_deleted: to_be_deleted.into_tuple().all(database).await?,
    })
}

async fn running_gateways(database: &impl ConnectionTrait, lease: Duration) -> Result<u64, DbErr> {
    if database.get_database_backend() == DbBackend::Sqlite {
        // Whoever asks has the file's lock: those who gave signs of life there are dead.
        return Ok(0);
    }
    let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let alive = Expr::col(replica::Column::BeatAt).gte(clock(database).sub(lease));
    replica::Entity::find().filter(alive).count(database).await
}
