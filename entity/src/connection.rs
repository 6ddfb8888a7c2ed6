//! Links of users to services, each backed by one auth session at Intuned.

use sea_orm::entity::prelude::*;

use crate::Millis;

/// A service that an account can be connected at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "Text",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
pub enum Service {
    /// OrangeHRM, the HR system.
    #[sea_orm(string_value = "ORANGE_HRM")]
    OrangeHrm,
}

/// One connected account; at most one for each user and service.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connections")]
pub struct Model {
    /// Chosen by the gateway; kept when the account is re-connected.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose account it is.
    pub user_id: Uuid,
    /// Where it is.
    pub service: Service,
    /// The auth session's id at Intuned.
    pub auth_session_id: String,
    /// When it was first connected.
    pub created_at: Millis,
    /// When it was last connected or re-connected with success.
    pub connected_at: Millis,
    /// When Intuned was first heard to say that it has expired; none since it was last connected.
    pub expired_at: Option<Millis>,
    /// The auth session that its user wants removed. While it is the one above, the connection is on its way
    /// out; once the account has been connected anew, it means nothing any more.
    pub removing_session_id: Option<String>,
}

/// None that queries use.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
