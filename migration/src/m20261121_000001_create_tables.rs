//! The first tables: accounts, connections, operations and their events.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, boolean_null, integer, json_binary_null, text, text_null,
        uuid, uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            users(),
            sessions(),
            connections(),
            operations(),
            operation_events(),
            session_removals(),
            replicas(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "replicas",
            "session_removals",
            "operation_events",
            "operations",
            "connections",
            "sessions",
            "users",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn users() -> TableCreateStatement {
    Table::create()
        .table("users")
        .col(uuid("id").primary_key())
        .col(text("email").unique_key())
        .col(text("password_hash"))
        .col(big_integer("created_at"))
        .to_owned()
}

fn sessions() -> TableCreateStatement {
    Table::create()
        .table("sessions")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(big_integer("created_at"))
        .col(big_integer("expires_at"))
        .foreign_key(&mut belongs_to_user("sessions"))
        .to_owned()
}

fn connections() -> TableCreateStatement {
    Table::create()
        .table("connections")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(text("service"))
        .col(text("auth_session_id"))
        .col(big_integer("created_at"))
        .col(big_integer("connected_at"))
        .foreign_key(&mut belongs_to_user("connections"))
        .to_owned()
}

fn operations() -> TableCreateStatement {
    Table::create()
        .table("operations")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        .col(text("service"))
        .col(text("kind"))
        .col(text("status"))
        .col(integer("sequence"))
        .col(text("auth_session_id"))
        .col(text_null("upstream_operation_id"))
        .col(json_binary_null("info_request"))
        .col(text_null("answered_request_id"))
        .col(text_null("failure_code"))
        .col(text_null("failure_message"))
        .col(boolean_null("failure_retryable"))
        .col(uuid_null("connection_id"))
        .col(text_null("idempotency_key"))
        .col(integer("polls"))
        .col(uuid_null("owner"))
        .col(integer("epoch"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer("expires_at"))
        .col(big_integer_null("ended_at"))
        .foreign_key(&mut belongs_to_user("operations"))
        .to_owned()
}

fn operation_events() -> TableCreateStatement {
    Table::create()
        .table("operation_events")
        .col(uuid("operation_id"))
        .col(integer("sequence"))
        .col(text("status"))
        .col(text("message"))
        .col(integer("polls"))
        .col(big_integer("elapsed_ms"))
        .col(big_integer("occurred_at"))
        .primary_key(Index::create().col("operation_id").col("sequence"))
        .foreign_key(
            ForeignKey::create()
                .name("operation_events_operation_id")
                .from("operation_events", "operation_id")
                .to("operations", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

/// Without a foreign key: a removal outlives the account that wanted it.
fn session_removals() -> TableCreateStatement {
    Table::create()
        .table("session_removals")
        .col(text("auth_session_id").primary_key())
        .col(uuid("user_id"))
        .col(big_integer("requested_at"))
        .col(big_integer("settles_at"))
        .col(big_integer("due_at"))
        .col(integer("attempts"))
        .to_owned()
}

fn replicas() -> TableCreateStatement {
    Table::create()
        .table("replicas")
        .col(uuid("id").primary_key())
        .col(big_integer("beat_at"))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let in_flight = || Expr::col("ended_at").is_null();
    vec![
        index("sessions_user_id", "sessions").col("user_id").take(),
        index("sessions_expires_at", "sessions")
            .col("expires_at")
            .take(),
        index("connections_user_id_service", "connections")
            .unique()
            .col("user_id")
            .col("service")
            .take(),
        // What allows one operation in flight for each user and service.
        index("operations_in_flight", "operations")
            .unique()
            .col("user_id")
            .col("service")
            .and_where(in_flight())
            .take(),
        index("operations_in_flight_owner", "operations")
            .col("owner")
            .and_where(in_flight())
            .take(),
        index("operations_idempotency_key", "operations")
            .unique()
            .col("user_id")
            .col("idempotency_key")
            .and_where(Expr::col("idempotency_key").is_not_null())
            .take(),
        index("session_removals_due_at", "session_removals")
            .col("due_at")
            .take(),
    ]
}

fn index(name: &'static str, table: &'static str) -> IndexCreateStatement {
    Index::create().name(name).table(table).take()
}

fn belongs_to_user(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_user_id"))
        .from(table, "user_id")
        .to("users", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}
