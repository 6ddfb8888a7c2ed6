//! Intuned's correlation id of what ended an operation, for its support.

use sea_orm_migration::{prelude::*, schema::text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reference = Table::alter()
            .table("operations")
            .add_column(text_null("failure_reference"))
            .to_owned();
        manager.alter_table(reference).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reference = Table::alter()
            .table("operations")
            .drop_column("failure_reference")
            .to_owned();
        manager.alter_table(reference).await
    }
}
