//! Intuned's id of a creation stands for one operation in flight alone.
//!
//! Nobody can tell, of several that have it, whose Intuned's answers under it are. None of them keeps it: they are
//! watched by their own sessions from then on, as if their starts had not been confirmed.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const INDEX: &str = "operations_in_flight_upstream_operation_id";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let several = Query::select()
            .column("upstream_operation_id")
            .from("operations")
            .and_where(in_flight())
            .and_where(is_known())
            .group_by_col("upstream_operation_id")
            .and_having(Expr::col("id").count().gt(1))
            .take();
        let part = Query::update()
            .table("operations")
            .value("upstream_operation_id", Option::<String>::None)
            .and_where(in_flight())
            .and_where(Expr::col("upstream_operation_id").in_subquery(several))
            .take();
        manager.get_connection().execute(&part).await?;
        let index = Index::create()
            .name(INDEX)
            .table("operations")
            .unique()
            .col("upstream_operation_id")
            .and_where(in_flight())
            .and_where(is_known())
            .take();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name(INDEX).table("operations").to_owned();
        manager.drop_index(index).await
    }
}

fn in_flight() -> Expr {
    Expr::col("ended_at").is_null()
}

fn is_known() -> Expr {
    Expr::col("upstream_operation_id").is_not_null()
}
