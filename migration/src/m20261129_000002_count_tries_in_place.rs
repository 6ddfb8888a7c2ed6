//! Counting a try changes one number of one row. An index on that number makes Postgres write the row's
//! other index anew, too, and look through all that it was before; deleting what has settled can do
//! without.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name(INDEX).table("tries").to_owned();
        manager.drop_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::create()
            .name(INDEX)
            .table("tries")
            .col("settles_at")
            .take();
        manager.create_index(index).await
    }
}

const INDEX: &str = "tries_settles_at";
