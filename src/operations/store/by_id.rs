//! Reading operations by id, many at once.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use entity::operation;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryTrait,
};
use uuid::Uuid;

use crate::platform::{
    batch_loader::{BatchLoader, padded},
    database::Database,
};

/// Reads operations by id together. One row that makes no sense is an error to those alone who ask for it.
pub(super) type ById = BatchLoader<Uuid, OperationLoader>;

/// [`ById`] from this database.
pub(in crate::operations) fn by_id(database: Database) -> ById {
    BatchLoader::new(OperationLoader(database))
}

/// Loads the rows of operations by id; a row that makes no sense is nobody's trouble but its own.
pub(super) struct OperationLoader(Database);

impl Loader<Uuid> for OperationLoader {
    type Value = Result<operation::Model, DbErr>;
    type Error = DbErr;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, DbErr> {
        let found = operation::Entity::find()
            .filter(operation::Column::Id.is_in(padded(ids)))
            .into_query();
        let rows = self.0.query_all(&found).await?;
        let rows = rows.iter().map(|row| {
            let id = row.try_get("", "id")?;
            Ok((id, operation::Model::from_query_result(row, "")))
        });
        rows.collect()
    }
}
