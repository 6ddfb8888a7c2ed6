//! Users that an identity provider knows, and tokens of theirs that are refused before they expire.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, text_null, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            let add = Table::alter()
                .table("users")
                .add_column(text_null(column))
                .take();
            manager.alter_table(add).await?;
        }
        // Users without a provider have nulls here, which are all different.
        let subjects = Index::create()
            .name("users_issuer_subject")
            .table("users")
            .unique()
            .col("issuer")
            .col("subject")
            .take();
        manager.create_index(subjects).await?;
        let revocations = Table::create()
            .table("revocations")
            .col(uuid("id").primary_key())
            .col(big_integer("revoked_at"))
            .col(big_integer("expires_at"))
            .take();
        manager.create_table(revocations).await?;
        let expiry = Index::create()
            .name("revocations_expires_at")
            .table("revocations")
            .col("expires_at")
            .take();
        manager.create_index(expiry).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::drop().table("revocations").take();
        manager.drop_table(table).await?;
        let index = Index::drop()
            .name("users_issuer_subject")
            .table("users")
            .to_owned();
        manager.drop_index(index).await?;
        for column in COLUMNS {
            let drop = Table::alter().table("users").drop_column(column).take();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}

const COLUMNS: [&str; 3] = ["issuer", "subject", "contact_email"];
