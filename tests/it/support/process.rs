//! The real binary, in a process of its own that can be killed, stopped and started again.

use std::{
    collections::VecDeque,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{
    canaries::{assert_no_leaks, sieve, sieve_metrics},
    socket::DEADLINE,
};

const BINARY: &str = env!("CARGO_BIN_EXE_intuned-gateway");

/// What a gateway needs in earnest, as environment variables.
pub(crate) fn settings(database_url: &str, intuned_base_url: &str, api_key: &str) -> Settings {
    let settings = [
        ("DATABASE_URL", database_url),
        ("INTUNED_BASE_URL", intuned_base_url),
        ("INTUNED_API_KEY", api_key),
        ("INTUNED_WORKSPACE_ID", "workspace"),
        ("INTUNED_PROJECT_NAME", "project"),
        ("INTUNED_POLL_INTERVAL", "20ms"),
        ("AUTH_SECRET", "a secret for tests, thirty-two bytes"),
        // All of a test's users come from one client.
        ("SIGN_IN_TRIES_PER_CLIENT", "1000000"),
        ("SIGN_INS_PER_CLIENT", "1000000"),
        ("CONNECT_TRIES", "0"),
        ("CONNECT_TRIES_PER_CLIENT", "0"),
        ("RUN_TRIES", "0"),
        ("STATUS_TRIES", "0"),
        ("LEASE", "1s"),
        ("LOG_FORMAT", "json"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
    ];
    settings
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}

/// Environment variables, the later of the same name wins.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// A gateway's process; it is killed when this is dropped. All that it writes, and the metrics that it
/// shows at last, are looked at for secrets.
pub(crate) struct Process {
    child: Child,
    address: watch::Receiver<Option<String>>,
    metrics: watch::Receiver<Option<String>>,
    log: Log,
    /// Those who read what it writes.
    readers: JoinSet<()>,
    _directory: TempDir,
}

type Log = Arc<Mutex<VecDeque<String>>>;
const LINES_KEPT: usize = 200;

impl Process {
    /// Starts one; it may take a while until it is [`ready`](Self::ready).
    pub(crate) fn spawn(settings: &Settings) -> Self {
        Self::spawn_by(Command::new(BINARY), settings)
    }

    /// Starts one that may have no more than `files` open unless it asks for more.
    pub(crate) fn spawn_with_files(settings: &Settings, files: u32) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args([
            "-c",
            &format!("ulimit -S -n {files} && exec \"$0\""),
            BINARY,
        ]);
        Self::spawn_by(shell, settings)
    }

    fn spawn_by(mut command: Command, settings: &Settings) -> Self {
        let directory = TempDir::new().unwrap();
        let mut child = command
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (found_address, address) = watch::channel(None);
        let (found_metrics, metrics) = watch::channel(None);
        let log = Log::default();
        let (kept, mut readers) = (log.clone(), JoinSet::new());
        readers.spawn(read("stderr", child.stderr.take().unwrap(), move |line| {
            if line.contains("\"listening\"") {
                found_address.send_replace(address_in(&line));
            }
            if line.contains("\"showing metrics\"") {
                found_metrics.send_replace(address_in(&line));
            }
            let mut log = kept.lock().unwrap();
            if log.len() == LINES_KEPT {
                log.pop_front();
            }
            log.push_back(line);
        }));
        readers.spawn(read("stdout", child.stdout.take().unwrap(), drop));
        Self {
            child,
            address,
            metrics,
            log,
            readers,
            _directory: directory,
        }
    }

    /// The host and port that it serves at; none until it does.
    pub(crate) fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.clone()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its GraphQL address, once it serves.
    pub(crate) async fn ready(&self) -> String {
        let mut address = self.address.clone();
        let found = timeout(DEADLINE, address.wait_for(Option::is_some)).await;
        match found {
            Ok(Ok(address)) => format!("http://{}/graphql", address.as_deref().unwrap()),
            _ => panic!("it does not serve:\n{}", self.log()),
        }
    }

    /// The last that it logged.
    pub(crate) fn log(&self) -> String {
        Vec::from(self.log.lock().unwrap().clone()).join("\n")
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.id();
        let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log()));
        self.told_no_secret().await;
        status.unwrap()
    }

    /// Kills it at once, as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
        self.told_no_secret().await;
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let metrics = self.metrics.borrow().clone();
        if let Some(address) = metrics {
            sieve_metrics(address).await;
        }
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// To be called when it has ended: all that it wrote has been read then.
    async fn told_no_secret(&mut self) {
        let read = async { while self.readers.join_next().await.is_some() {} };
        assert!(timeout(DEADLINE, read).await.is_ok(), "its output ends");
        assert_no_leaks();
    }
}

async fn read(place: &str, output: impl AsyncRead + Unpin, mut each: impl FnMut(String)) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        sieve(place, line.as_bytes());
        each(line);
    }
}

/// An address of 127.0.0.1 with its port.
fn address_in(line: &str) -> Option<String> {
    let start = line.find("127.0.0.1:")?;
    let address = line[start..].split('"').next()?;
    Some(address.to_owned())
}
