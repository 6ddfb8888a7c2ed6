//! Attempts to connect or re-connect an account.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Millis, connection::Service};

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// Makes a new auth session.
    #[sea_orm(string_value = "CONNECT")]
    Connect,
    /// Renews the connection's auth session.
    #[sea_orm(string_value = "RECONNECT")]
    Reconnect,
}

/// Where an operation stands; `docs/operations.md` has the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// Accepted; Intuned has not confirmed that it started.
    #[sea_orm(string_value = "STARTING")]
    Starting,
    /// Started; Intuned has not begun to work on it.
    #[sea_orm(string_value = "PENDING")]
    Pending,
    /// Intuned is signing in.
    #[sea_orm(string_value = "IN_PROGRESS")]
    InProgress,
    /// The sign-in waits for the user.
    #[sea_orm(string_value = "REQUESTED_MORE_INFO")]
    RequestedMoreInfo,
    /// Ended: connected.
    #[sea_orm(string_value = "DONE")]
    Done,
    /// Ended without success.
    #[sea_orm(string_value = "FAILED")]
    Failed,
    /// Ended by the user or by Intuned.
    #[sea_orm(string_value = "CANCELED")]
    Canceled,
}

/// Why an operation ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum FailureCode {
    /// OrangeHRM did not accept the sign-in.
    #[sea_orm(string_value = "SIGN_IN_REJECTED")]
    SignInRejected,
    /// Intuned could not be reached, refused the gateway, or failed by itself.
    #[sea_orm(string_value = "UPSTREAM_ERROR")]
    UpstreamError,
    /// The operation's time was up.
    #[sea_orm(string_value = "TIMED_OUT")]
    TimedOut,
    /// The gateway stopped before Intuned had confirmed the start.
    #[sea_orm(string_value = "INTERRUPTED")]
    Interrupted,
    /// Given up by the user.
    #[sea_orm(string_value = "CANCELED_BY_USER")]
    CanceledByUser,
    /// Ended by Intuned.
    #[sea_orm(string_value = "CANCELED_UPSTREAM")]
    CanceledUpstream,
}

/// What the sign-in asks the user for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct InfoRequest {
    /// Intuned's id of the request.
    pub id: String,
    /// What to show, in the words of the Intuned project.
    pub message: String,
    /// The offered choices; none when a one-time passcode is asked for.
    pub choices: Option<Vec<String>>,
}

/// One attempt; at most one in flight for each user and service.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    /// Chosen by the gateway; sorts by creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose attempt it is.
    pub user_id: Uuid,
    /// Which service is being connected.
    pub service: Service,
    /// Connect or re-connect.
    pub kind: Kind,
    /// Where it stands.
    pub status: Status,
    /// Number of the last change, from 1.
    pub sequence: i32,
    /// The auth session's id at Intuned, chosen before Intuned is called.
    pub auth_session_id: String,
    /// Intuned's id of the creation, once it has confirmed the start.
    pub upstream_operation_id: Option<String>,
    /// What the user is asked for; set exactly while the status is `REQUESTED_MORE_INFO`.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub info_request: Option<InfoRequest>,
    /// The request answered last, so that it is not asked again while Intuned takes the answer in.
    pub answered_request_id: Option<String>,
    /// Why it ended without success.
    pub failure_code: Option<FailureCode>,
    /// The same for people.
    pub failure_message: Option<String>,
    /// Whether trying again with nothing changed may work.
    pub failure_retryable: Option<bool>,
    /// Intuned's correlation id of it; none in rows of older releases.
    pub failure_reference: Option<String>,
    /// What it made; set exactly when the status is `DONE`.
    pub connection_id: Option<Uuid>,
    /// The caller's own key against starting twice; forgotten after a day.
    pub idempotency_key: Option<String>,
    /// A keyed code of what the key stands for; none without a key, and in rows of older releases.
    pub input_fingerprint: Option<String>,
    /// How many times Intuned had been asked as of the last change.
    pub polls: i32,
    /// The replica that drives it; none once it has ended.
    pub owner: Option<Uuid>,
    /// Grows with each change of owner.
    pub epoch: i32,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// When it is given up.
    pub expires_at: Millis,
    /// When it ended; none while in flight.
    pub ended_at: Option<Millis>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
