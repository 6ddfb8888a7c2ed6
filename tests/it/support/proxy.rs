//! Stands between gateways and Postgres, and breaks their connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use url::Url;

/// How Postgres tells that a COMMIT has taken effect.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
const COMMITTED: &[u8] = b"COMMIT\0";
/// How it tells that the connection is in no transaction: what was written before is committed.
const OUTSIDE: &[u8] = b"Z\0\0\0\x05I";
/// How a statement begins that writes, and is committed by itself where there is no transaction around it.
const WRITE: &[u8] = b"WITH \"written\" (";
/// How a statement begins that reads operations as they are.
const READ: &[u8] = b"SELECT \"operations\".\"id\", \"operations\".\"user_id\"";
/// How a connection begins to listen.
const LISTEN: &[u8] = b"LISTEN \"";
/// How the names of prepared statements begin.
const NAME: &[u8] = b"sqlx_s_";

/// A proxy at a port of its own; clones share it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    random: Mutex<StdRng>,
    /// Of a hundred connections, so many are reset when this changes.
    resets: watch::Sender<(u64, u32)>,
    away: AtomicBool,
    /// So many milliseconds later each answer arrives.
    late: AtomicU64,
    /// Of a thousand acknowledgements of a COMMIT, or of a write that is one by itself, so many never arrive.
    commits_to_lose: AtomicU32,
    /// Whether those acknowledgements are held up.
    held: watch::Sender<bool>,
    /// Whether what was read of operations is.
    reads_held: watch::Sender<bool>,
    /// How many of either have been.
    held_up: AtomicU32,
    broken: AtomicU32,
    lost_commits: AtomicU32,
    /// Changes when connections that listen by then hear nothing any more.
    deafened: watch::Sender<()>,
    /// The same for all connections.
    silenced: watch::Sender<()>,
}

impl Proxy {
    /// In front of what this address leads to; answers the address to it.
    pub(crate) async fn before(url: &Url) -> (Self, Url) {
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let proxy = Self::start(target, StdRng::seed_from_u64(1)).await;
        let mut url = url.clone();
        url.set_port(Some(proxy.address.port())).unwrap();
        (proxy, url)
    }

    pub(crate) async fn start(target: String, random: StdRng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            target,
            random: Mutex::new(random),
            resets: watch::Sender::new((0, 0)),
            away: AtomicBool::new(false),
            late: AtomicU64::new(0),
            commits_to_lose: AtomicU32::new(0),
            held: watch::Sender::new(false),
            reads_held: watch::Sender::new(false),
            held_up: AtomicU32::new(0),
            broken: AtomicU32::new(0),
            lost_commits: AtomicU32::new(0),
            deafened: watch::Sender::new(()),
            silenced: watch::Sender::new(()),
        });
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            shared: shared.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(shared.clone().carry(client));
            }
        });
        proxy
    }

    /// Resets each connection with a probability of `percent`.
    pub(crate) fn reset(&self, percent: u32) {
        let resets = &self.shared.resets;
        resets.send_modify(|(number, share)| (*number, *share) = (*number + 1, percent));
    }

    /// Whether connections are refused.
    pub(crate) fn set_away(&self, away: bool) {
        self.shared.away.store(away, Relaxed);
    }

    /// How many milliseconds later each answer arrives.
    pub(crate) fn set_late(&self, late: u64) {
        self.shared.late.store(late, Relaxed);
    }

    /// Of a thousand acknowledgements of a COMMIT, or of a write that is committed by itself, so many never
    /// arrive from now on.
    pub(crate) fn lose_commits(&self, share: u32) {
        self.shared.commits_to_lose.store(share, Relaxed);
    }

    /// Whether acknowledgements of a COMMIT, or of a write that is committed by itself, are held up.
    pub(crate) fn hold_commits(&self, hold: bool) {
        self.shared.held.send_replace(hold);
    }

    /// Whether what is read of operations is held up.
    pub(crate) fn hold_reads(&self, hold: bool) {
        self.shared.reads_held.send_replace(hold);
    }

    /// How many acknowledgements and reads have been held up.
    pub(crate) fn held_up(&self) -> u32 {
        self.shared.held_up.load(Relaxed)
    }

    /// Lets those that listen for notifications hear nothing any more, although their connections stand.
    pub(crate) fn deafen(&self) {
        self.shared.deafened.send_replace(());
    }

    /// Lets nobody hear anything any more whose connection stands, as when the server's machine is gone.
    pub(crate) fn silence(&self) {
        self.shared.silenced.send_replace(());
    }

    /// How many connections broke, and how many of them over the acknowledgement of a COMMIT.
    pub(crate) fn broken(&self) -> (u32, u32) {
        (
            self.shared.broken.load(Relaxed),
            self.shared.lost_commits.load(Relaxed),
        )
    }
}

/// What a connection's client has said.
#[derive(Default)]
struct Asked {
    /// The last was a statement that writes, and is committed by itself.
    writes: AtomicBool,
    /// The last was a statement that reads operations.
    reads: AtomicBool,
    /// It listens for notifications.
    listens: AtomicBool,
}

impl Shared {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        client.set_zero_linger().ok();
        if self.away.load(Relaxed) {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.target).await else {
            return;
        };
        server.set_zero_linger().ok();
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asked = Asked::default();
        tokio::select! {
            _ = copy_requests(from_client, to_server, &asked) => {}
            _ = self.copy_answers(from_server, to_client, &asked) => {}
            () = self.struck() => {
                self.broken.fetch_add(1, Relaxed);
            }
        }
    }

    /// Passes on what the server says, but for some acknowledgements: there the connection breaks.
    async fn copy_answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        asked: &Asked,
    ) -> io::Result<()> {
        let (deafened, silenced) = (self.deafened.subscribe(), self.silenced.subscribe());
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let is_deaf = asked.listens.load(Relaxed) && deafened.has_changed().unwrap_or_default();
            if is_deaf || silenced.has_changed().unwrap_or_default() {
                continue;
            }
            let said = &buffer[..length];
            let written = asked.writes.swap(false, Relaxed) && said.ends_with(OUTSIDE);
            let committed = written || find(said, COMMITTED).is_some();
            if committed && self.draw(self.commits_to_lose.load(Relaxed), 1000) {
                self.broken.fetch_add(1, Relaxed);
                self.lost_commits.fetch_add(1, Relaxed);
                return Ok(());
            }
            if committed {
                self.hold_up(&self.held).await;
            }
            if asked.reads.swap(false, Relaxed) && said.ends_with(OUTSIDE) {
                self.hold_up(&self.reads_held).await;
            }
            tokio::time::sleep(Duration::from_millis(self.late.load(Relaxed))).await;
            to.write_all(&buffer[..length]).await?;
        }
    }

    /// Waits for as long as such answers are held.
    async fn hold_up(&self, held: &watch::Sender<bool>) {
        if *held.borrow() {
            self.held_up.fetch_add(1, Relaxed);
            let mut held = held.subscribe();
            held.wait_for(|held| !held).await.ok();
        }
    }

    /// Waits until this connection is one that is reset.
    async fn struck(&self) {
        let mut resets = self.resets.subscribe();
        while resets.changed().await.is_ok() {
            let (_, percent) = *resets.borrow_and_update();
            if self.draw(percent, 100) {
                return;
            }
        }
    }

    fn draw(&self, share: u32, of: u32) -> bool {
        self.random.lock().unwrap().random_ratio(share, of)
    }
}

/// Passes on what the client says, and tells when it is a statement that writes and is committed by itself, or
/// one that reads operations.
async fn copy_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asked: &Asked,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut bindings: Vec<(Vec<u8>, &AtomicBool)> = Vec::new();
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let said = &buffer[..length];
        for (binding, is_asked) in &bindings {
            if find(said, binding).is_some() {
                is_asked.store(true, Relaxed);
            }
        }
        if find(said, LISTEN).is_some() {
            asked.listens.store(true, Relaxed);
        }
        for (beginning, is_asked) in [(WRITE, &asked.writes), (READ, &asked.reads)] {
            let Some(statement) = find(said, beginning) else {
                continue;
            };
            // It is prepared: its name and a zero stand in front of it, and between zeros where it is bound.
            let before = &said[..statement];
            let name = before
                .windows(NAME.len())
                .rposition(|window| window == NAME);
            let binding = [b"\0", &before[name.unwrap_or_default()..]].concat();
            bindings.push((binding, is_asked));
        }
        to.write_all(said).await?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
