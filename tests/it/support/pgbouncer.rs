//! A `PgBouncer` of one test's own.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use url::Url;

use super::eventually;

/// Stands between gateways and the test server; it ends when this is dropped.
pub(crate) struct PgBouncer {
    /// The database's address behind it.
    pub(crate) url: Url,
    _process: Child,
    _directory: TempDir,
}

impl PgBouncer {
    /// In front of the database at `url`, with these lines in its settings.
    pub(crate) async fn start(url: &str, settings: &[&str]) -> Self {
        let mut url: Url = url.parse().unwrap();
        let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = free.local_addr().unwrap().port();
        drop(free);
        let settings = settings.join("\n");
        let user = url.username();
        let ini = format!(
            "[databases]\n* = host={host} port={port} user={user}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own_port}\nunix_socket_dir =\n\
             auth_type = any\n{settings}\n"
        );
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, ini).unwrap();
        // Debian keeps it where only root looks, and it does not run as root.
        let start = "PATH=$PATH:/usr/sbin; [ \"$(id -u)\" -ne 0 ] || set -- -u nobody \"$@\"; \
                     exec pgbouncer \"$@\"";
        let mut process = Command::new("/bin/sh")
            .args(["-c", start, "pgbouncer"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        eventually(
            "PgBouncer runs (scripts/check-tools installs it)",
            async || TcpStream::connect(("127.0.0.1", own_port)).await.is_ok(),
        )
        .await;
        url.set_port(Some(own_port)).unwrap();
        Self {
            url,
            _process: process,
            _directory: directory,
        }
    }
}
