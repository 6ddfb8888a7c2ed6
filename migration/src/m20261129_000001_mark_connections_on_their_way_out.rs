//! A connection that is being removed says so itself, so that its lock alone tells.

use sea_orm_migration::{prelude::*, schema::text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let removing = Table::alter()
            .table("connections")
            .add_column(text_null("removing_session_id"))
            .to_owned();
        manager.alter_table(removing).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let removing = Table::alter()
            .table("connections")
            .drop_column("removing_session_id")
            .to_owned();
        manager.alter_table(removing).await
    }
}
