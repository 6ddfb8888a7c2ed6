//! Each change's own id, by which its writer knows it again.

use sea_orm_migration::{prelude::*, schema::uuid_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change_id = Table::alter()
            .table("operation_events")
            .add_column(uuid_null("change_id"))
            .to_owned();
        manager.alter_table(change_id).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change_id = Table::alter()
            .table("operation_events")
            .drop_column("change_id")
            .to_owned();
        manager.alter_table(change_id).await
    }
}
