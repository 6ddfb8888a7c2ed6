//! What has been tried against accounts, and from where their owners sign in.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in TABLES {
            let create = Table::create()
                .table(table)
                .col(uuid("id").primary_key())
                .col(big_integer(column))
                .take();
            manager.create_table(create).await?;
            let index = Index::create()
                .name(format!("{table}_{column}"))
                .table(table)
                .col(column)
                .take();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, _) in TABLES {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}

/// Each with the column that says when a row may go.
const TABLES: [(&str, &str); 2] = [("tries", "settles_at"), ("known_clients", "expires_at")];
