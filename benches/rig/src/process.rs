//! Servers under measurement: started on a core of their own, and looked at from outside.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{accounting, http};

/// The core that servers run on; everything else runs on the others.
const CORE: &str = "0";
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: HashMap<&'static str, String>,
    /// Answers 200 by GET once the server is ready; none when listening is all there is.
    pub(crate) ready_path: Option<&'static str>,
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// From being started to being ready.
    pub(crate) ready_after: Duration,
    pid: u32,
    child: Child,
}

impl Recipe {
    pub(crate) fn new(name: &'static str, program: impl Into<String>) -> Self {
        Self {
            name,
            program: program.into(),
            arguments: Vec::new(),
            environment: HashMap::new(),
            ready_path: None,
        }
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.insert(name, value.into());
        self
    }

    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn ready_path(mut self, path: &'static str) -> Self {
        self.ready_path = Some(path);
        self
    }

    pub(crate) async fn start(&self) -> Server {
        let address = free_address();
        let begun = Instant::now();
        let mut child = Command::new("taskset")
            .args(["-c", CORE, &self.program])
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LISTEN_ADDR", address.to_string())
            .env("PORT", address.port().to_string())
            .envs(&self.environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server's program starts");
        let pid = child.id().expect("a running server");
        while !is_ready(address, self.ready_path).await {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{} ended before it was ready: {status}", self.name);
            }
            assert!(begun.elapsed() < READY_WITHIN, "{} got ready", self.name);
            sleep(Duration::from_millis(1)).await;
        }
        Server {
            name: self.name,
            address,
            ready_after: begun.elapsed(),
            pid,
            child,
        }
    }
}

async fn is_ready(address: SocketAddr, path: Option<&str>) -> bool {
    match path {
        Some(path) => http::get(address, path).await.is_ok(),
        None => tokio::net::TcpStream::connect(address).await.is_ok(),
    }
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

impl Server {
    /// Time on the processor since the start.
    pub(crate) fn cpu(&self) -> Duration {
        let times = accounting::times(self.pid).expect("a running server");
        times.own
    }

    /// Time on the processor since it was `before`.
    pub(crate) fn cpu_since(&self, before: Duration) -> Duration {
        self.cpu().saturating_sub(before)
    }

    /// Resident memory of its own, in bytes: files of the page cache that it maps do not count.
    pub(crate) fn memory(&self) -> u64 {
        accounting::memory(self.pid, "RssAnon:")
    }

    /// All of the resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        accounting::memory(self.pid, "VmRSS:")
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        accounting::descriptors(self.pid)
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("the server ends");
    }
}
