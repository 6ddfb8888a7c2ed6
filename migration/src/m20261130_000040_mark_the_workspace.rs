//! The database says which workspace at Intuned it belongs to, so that no gateway of another uses it.

use sea_orm_migration::{
    prelude::*,
    schema::{integer, text_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let marks = Table::create()
            .table("workspace_marks")
            .col(integer("id").primary_key())
            .col(text_null("workspace"))
            .take();
        manager.create_table(marks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let marks = Table::drop().table("workspace_marks").take();
        manager.drop_table(marks).await
    }
}
