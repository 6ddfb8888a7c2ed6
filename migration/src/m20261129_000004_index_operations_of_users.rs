//! The index of idempotency keys takes in the operations that have none, so that all operations of a user
//! are found by it, when the user is deleted. Of indexes that cost the same, as on a table that was empty,
//! Postgres takes the last: those of operations in flight and of owners, which hold fewer, are made anew.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const IN_FLIGHT: &str = "operations_in_flight";
const OWNER: &str = "operations_owner";
const BEFORE: &str = "operations_idempotency_key";
const AFTER: &str = "operations_user_id_idempotency_key";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // First of all: this locks the table against all, and a lock that grew could meet those of others.
        for name in [BEFORE, IN_FLIGHT, OWNER] {
            drop_index(manager, name).await?;
        }
        manager.create_index(by_key(AFTER)).await?;
        let in_flight = of_users(IN_FLIGHT, "service")
            .and_where(Expr::col("ended_at").is_null())
            .take();
        manager.create_index(in_flight).await?;
        let owned = index(OWNER)
            .col("owner")
            .and_where(Expr::col("owner").is_not_null())
            .take();
        manager.create_index(owned).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let has_key = Expr::col("idempotency_key").is_not_null();
        let before = by_key(BEFORE).and_where(has_key).take();
        drop_index(manager, AFTER).await?;
        manager.create_index(before).await
    }
}

/// Where there is no key, none is the same as another.
fn by_key(name: &'static str) -> IndexCreateStatement {
    of_users(name, "idempotency_key")
}

fn of_users(name: &'static str, column: &'static str) -> IndexCreateStatement {
    index(name).unique().col("user_id").col(column).take()
}

fn index(name: &'static str) -> IndexCreateStatement {
    Index::create().name(name).table("operations").take()
}

async fn drop_index(manager: &SchemaManager<'_>, name: &'static str) -> Result<(), DbErr> {
    let index = Index::drop().name(name).table("operations").to_owned();
    manager.drop_index(index).await
}
