//! Webhook deliveries and the users' audit trails, and when a connection was found to have expired.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, big_pk_auto, integer, text, text_null, uuid, uuid_null,
        uuid_uniq,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let expired_at = Table::alter()
            .table("connections")
            .add_column(big_integer_null("expired_at"))
            .to_owned();
        manager.alter_table(expired_at).await?;
        manager.create_table(webhook_deliveries()).await?;
        manager.create_table(audit_events()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["audit_events", "webhook_deliveries"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        let expired_at = Table::alter()
            .table("connections")
            .drop_column("expired_at")
            .to_owned();
        manager.alter_table(expired_at).await
    }
}

/// Without foreign keys: a delivery outlives the account and the connection that it is about.
fn webhook_deliveries() -> TableCreateStatement {
    Table::create()
        .table("webhook_deliveries")
        .col(big_pk_auto("position"))
        .col(uuid_uniq("event_id"))
        .col(text("kind"))
        .col(uuid("connection_id"))
        .col(uuid("user_id"))
        .col(big_integer("occurred_at"))
        .col(big_integer("due_at"))
        .col(integer("attempts"))
        .col(text_null("outcome"))
        .col(big_integer_null("settled_at"))
        .to_owned()
}

fn audit_events() -> TableCreateStatement {
    Table::create()
        .table("audit_events")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(text("kind"))
        .col(big_integer("occurred_at"))
        .col(text_null("client_address"))
        .col(text_null("request_id"))
        .col(uuid_null("operation_id"))
        .col(text_null("failure_code"))
        .foreign_key(
            ForeignKey::create()
                .name("audit_events_user_id")
                .from("audit_events", "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unsettled = || Expr::col("settled_at").is_null();
    vec![
        index("webhook_deliveries_due_at", "webhook_deliveries")
            .col("due_at")
            .and_where(unsettled())
            .take(),
        // Finds what a connection's earlier events are still waiting for.
        index("webhook_deliveries_connection_id", "webhook_deliveries")
            .col("connection_id")
            .col("position")
            .and_where(unsettled())
            .take(),
        index("webhook_deliveries_settled_at", "webhook_deliveries")
            .col("settled_at")
            .take(),
        // A page of a trail is one range of this.
        index("audit_events_user_id_id", "audit_events")
            .col("user_id")
            .col("id")
            .take(),
    ]
}

fn index(name: &'static str, table: &'static str) -> IndexCreateStatement {
    Index::create().name(name).table(table).take()
}
