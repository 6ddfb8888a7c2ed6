//! A fingerprint of the input that an idempotency key came with.

use sea_orm_migration::{prelude::*, schema::text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let fingerprint = Table::alter()
            .table("operations")
            .add_column(text_null("input_fingerprint"))
            .to_owned();
        manager.alter_table(fingerprint).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let fingerprint = Table::alter()
            .table("operations")
            .drop_column("input_fingerprint")
            .to_owned();
        manager.alter_table(fingerprint).await
    }
}
