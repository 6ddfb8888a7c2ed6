//! What Intuned last said of a connection's session, for all replicas.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, text, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statuses = Table::create()
            .table("kept_statuses")
            .col(uuid("connection_id").primary_key())
            .col(text("version"))
            .col(text("status"))
            .col(big_integer("told_at"))
            .foreign_key(
                ForeignKey::create()
                    .name("kept_statuses_connection_id")
                    .from("kept_statuses", "connection_id")
                    .to("connections", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .take();
        manager.create_table(statuses).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statuses = Table::drop().table("kept_statuses").take();
        manager.drop_table(statuses).await
    }
}
