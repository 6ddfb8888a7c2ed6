//! Operations by who drives them, which nobody does once they have ended. The index before was one of
//! operations in flight, and with a table that had been empty Postgres took it for a user's, too, and went
//! through all of it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let owned = Expr::col("owner").is_not_null();
        manager
            .create_index(index("operations_owner", owned))
            .await?;
        drop_index(manager, "operations_in_flight_owner").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let in_flight = Expr::col("ended_at").is_null();
        let before = index("operations_in_flight_owner", in_flight);
        manager.create_index(before).await?;
        drop_index(manager, "operations_owner").await
    }
}

fn index(name: &'static str, of: Expr) -> IndexCreateStatement {
    Index::create()
        .name(name)
        .table("operations")
        .col("owner")
        .and_where(of)
        .take()
}

async fn drop_index(manager: &SchemaManager<'_>, name: &'static str) -> Result<(), DbErr> {
    let index = Index::drop().name(name).table("operations").to_owned();
    manager.drop_index(index).await
}
