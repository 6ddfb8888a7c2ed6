//! The throwaway Postgres server, which can be restarted.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use secrecy::ExposeSecret;
use tokio::process::Command;
use url::Url;

use crate::database::{Backend, TestDatabase};

/// A database of this run's own on a server that is at its mercy.
pub(crate) struct Postgres {
    pub(crate) url: Url,
    programs: PathBuf,
    data: PathBuf,
}

impl Postgres {
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::create(Backend::Postgres).await;
        let url: Url = database.url.expose_secret().parse().unwrap();
        let connection = Database::connect(url.as_str()).await.unwrap();
        // The server is going to crash, and what it has acknowledged must stand.
        let name = url.path().trim_start_matches('/');
        let durable = format!("ALTER DATABASE {name} SET synchronous_commit = on");
        connection.execute_unprepared(&durable).await.unwrap();
        let programs = text(
            &connection,
            "SELECT setting AS text FROM pg_config() WHERE name = 'BINDIR'",
        )
        .await;
        let data = text(
            &connection,
            "SELECT current_setting('data_directory') AS text",
        )
        .await;
        connection.close().await.unwrap();
        Self {
            url,
            programs: programs.into(),
            data: data.into(),
        }
    }

    /// Where the server listens.
    pub(crate) fn target(&self) -> String {
        let host = self.url.host_str().unwrap();
        format!("{host}:{}", self.url.port().unwrap())
    }

    /// The database's address by way of a proxy at `port`.
    pub(crate) fn url_at(&self, port: u16) -> String {
        let mut url = self.url.clone();
        url.set_port(Some(port)).unwrap();
        url.to_string()
    }

    /// A connection that nothing stands between.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        loop {
            match Database::connect(self.url.as_str()).await {
                Ok(connection) => return connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Restarts the server, `fast` in good order or `immediate`ly, as after a crash.
    pub(crate) async fn restart(&self, mode: &str) {
        let owner = Path::metadata(&self.data).unwrap();
        let status = Command::new(self.programs.join("pg_ctl"))
            .arg("restart")
            .args(["-s", "-w", "-t", "60", "-m", mode, "-l", "/dev/null", "-D"])
            .arg(&self.data)
            .current_dir(&self.data)
            .uid(owner.uid())
            .gid(owner.gid())
            .status()
            .await
            .unwrap();
        assert!(status.success(), "Postgres did not restart: {status}");
    }
}

async fn text(connection: &DatabaseConnection, query: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, query);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "text").unwrap()
}
