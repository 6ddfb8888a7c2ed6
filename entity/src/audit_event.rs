//! What was done with an account and when, for its owner to read.

use sea_orm::entity::prelude::*;

use crate::{Millis, operation::FailureCode};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "Text",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
pub enum Kind {
    /// The account was opened, and signed in.
    AccountOpened,
    /// Somebody signed in.
    SignedIn,
    /// Somebody tried to sign in with a wrong password.
    SignInFailed,
    /// A session was ended.
    SignedOut,
    /// Connecting or re-connecting began.
    ConnectStarted,
    /// What a sign-in asked for was answered.
    InfoRequestAnswered,
    /// A sign-in was given up.
    OperationCanceled,
    /// The account was connected.
    Connected,
    /// The connection was renewed.
    Reconnected,
    /// Connecting or re-connecting ended without success.
    ConnectFailed,
    /// The connection was found to have expired.
    ConnectionExpired,
    /// Disconnecting was asked for.
    DisconnectRequested,
    /// The connection is gone, here and at Intuned.
    Disconnected,
    /// Claims were read.
    ClaimsRead,
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Chosen by the gateway; sorts by time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose trail it belongs to.
    pub user_id: Uuid,
    /// What was done.
    pub kind: Kind,
    /// When.
    pub occurred_at: Millis,
    /// The address that asked for it; none when the gateway did it by itself.
    pub client_address: Option<String>,
    /// The request that asked for it, as the log names it.
    pub request_id: Option<String>,
    /// The operation that it belongs to.
    pub operation_id: Option<Uuid>,
    /// Why connecting ended without success.
    pub failure_code: Option<FailureCode>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
