//! The database schema, one file a change, for `SQLite` and Postgres alike.
//!
//! Changes go "expand, then contract": a release only adds what the release before it can live
//! with, so that replicas of both may run side by side during an upgrade.

pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261121_000001_create_tables;
mod m20261122_000001_limit_tries;
mod m20261122_000002_identity_provider;
mod m20261122_000003_tell_of_connections;
mod m20261127_000001_identify_changes;
mod m20261129_000001_mark_connections_on_their_way_out;
mod m20261129_000002_count_tries_in_place;
mod m20261129_000003_index_owners;
mod m20261129_000004_index_operations_of_users;
mod m20261130_000015_refer_to_intuneds_correlation_id;
mod m20261130_000016_tell_auth_sessions_apart;
mod m20261130_000017_tell_creations_apart;
mod m20261130_000018_tell_repeats_from_other_wishes;
mod m20261130_000040_mark_the_workspace;
mod m20261201_000001_keep_statuses;

/// Every migration, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_tables::Migration),
            Box::new(m20261122_000001_limit_tries::Migration),
            Box::new(m20261122_000002_identity_provider::Migration),
            Box::new(m20261122_000003_tell_of_connections::Migration),
            Box::new(m20261127_000001_identify_changes::Migration),
            Box::new(m20261129_000001_mark_connections_on_their_way_out::Migration),
            Box::new(m20261129_000002_count_tries_in_place::Migration),
            Box::new(m20261129_000003_index_owners::Migration),
            Box::new(m20261129_000004_index_operations_of_users::Migration),
            Box::new(m20261130_000015_refer_to_intuneds_correlation_id::Migration),
            Box::new(m20261130_000016_tell_auth_sessions_apart::Migration),
            Box::new(m20261130_000017_tell_creations_apart::Migration),
            Box::new(m20261130_000018_tell_repeats_from_other_wishes::Migration),
            Box::new(m20261130_000040_mark_the_workspace::Migration),
            Box::new(m20261201_000001_keep_statuses::Migration),
        ]
    }
}
