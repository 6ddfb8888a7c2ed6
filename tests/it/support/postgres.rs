//! A Postgres server of one test's own, which may set it up as it likes.

use std::process::Stdio;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};
use url::Url;

/// It ends when this is dropped.
pub(crate) struct PostgresServer {
    pub(crate) url: Url,
    pub(crate) owner: DatabaseConnection,
    /// What it waits for the end of.
    _stdin: ChildStdin,
    _process: Child,
}

impl PostgresServer {
    pub(crate) async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/with-postgres");
        let mut process = Command::new(script)
            .args(["sh", "-c", "echo \"$TEST_POSTGRES_URL\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.expect("the server starts");
            if line.starts_with("postgres:") {
                break line;
            }
        };
        Self {
            owner: Database::connect(&url).await.unwrap(),
            url: url.parse().unwrap(),
            _stdin: process.stdin.take().unwrap(),
            _process: process,
        }
    }

    /// Has it speak TLS, by a certificate and key in PEM.
    pub(crate) async fn certify(&self, certificate: &str, key: &str) {
        for (text, file) in [(certificate, "server.crt"), (key, "server.key")] {
            let lines = format!("unnest(string_to_array('{}', E'\\n'))", text.trim());
            let copy = format!("COPY (SELECT {lines}) TO PROGRAM 'umask 077; cat > {file}'");
            self.owner.execute_unprepared(&copy).await.unwrap();
        }
        for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
            self.owner.execute_unprepared(sql).await.unwrap();
        }
    }
}
