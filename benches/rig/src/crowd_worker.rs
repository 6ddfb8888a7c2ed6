//! A part of the crowd: a process of this program that holds as many sockets as one process can, does
//! what it is told line by line, and answers each line with for how many sockets that went well.

use std::{
    env, io,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::spawn_blocking,
};
use uuid::Uuid;

use crate::{
    listeners::{self, Listeners},
    process::Server,
    seed::Person,
    socket::Socket,
};

/// The part of the program that runs in the worker's process.
pub(crate) const PART: &str = "crowd-worker";
/// Answers `hear` at once, when an event may come; the number follows when all have it.
const LISTENING: &str = "listening";

/// All workers, as whoever started them sees them; dropping them kills them.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Workers {
    /// One more, for sockets to this server. They come from addresses for the numbers from `first` on.
    pub(crate) async fn start(&mut self, server: &Server, first: usize, people: &[Person]) {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args([PART, &server.address.to_string(), &first.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a worker");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut worker = Worker {
            commands,
            answers,
            _child: child,
        };
        for person in people {
            let Person {
                user,
                token,
                operation,
            } = person;
            worker.tell(&format!("{user} {token} {operation}")).await;
        }
        worker.tell("").await;
        self.0.push(worker);
    }

    /// Opens and subscribes all sockets; for how many each went well.
    pub(crate) async fn come(&mut self) -> (usize, usize) {
        let opened = self.all("come").await;
        (opened, self.counts().await)
    }

    /// Begins to count events.
    pub(crate) async fn listen(&mut self) {
        for worker in &mut self.0 {
            worker.tell("hear").await;
            assert_eq!(worker.answer().await, LISTENING);
        }
    }

    /// How many events were heard since, once each socket has had one or that took too long.
    pub(crate) async fn heard(&mut self) -> usize {
        self.counts().await
    }

    /// Closes all sockets: those that the server had not closed before.
    pub(crate) async fn close(mut self) -> usize {
        self.all("close").await
    }

    async fn all(&mut self, command: &str) -> usize {
        for worker in &mut self.0 {
            worker.tell(command).await;
        }
        self.counts().await
    }

    async fn counts(&mut self) -> usize {
        let mut sum = 0;
        for worker in &mut self.0 {
            let count: usize = worker.answer().await.parse().expect("a number");
            sum += count;
        }
        sum
    }
}

impl Worker {
    async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.commands.write_all(line.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> String {
        let line = self.answers.next_line().await.unwrap();
        line.expect("a worker that lives")
    }
}

/// The worker itself.
pub(crate) async fn run() {
    let mut arguments = env::args().skip(2);
    let address = arguments.next().unwrap().parse().unwrap();
    let first = arguments.next().unwrap().parse().unwrap();
    let mut people = Vec::new();
    while let Some(line) = next_line().await.filter(|line| !line.is_empty()) {
        people.push(person(&line).expect("a person"));
    }
    let mut listeners = Listeners::default();
    while let Some(command) = next_line().await {
        match command.as_str() {
            "come" => {
                let opened = come(address, first, &people, &mut listeners).await;
                println!("{opened}\n{}", listeners.open());
            }
            "hear" => {
                let ready = async { println!("{LISTENING}") };
                let heard = listeners.hear(people.len(), ready).await;
                println!("{}", heard.len());
            }
            "close" => {
                println!("{}", listeners.open());
                return;
            }
            other => panic!("there is no command {other:?}"),
        }
    }
}

/// All sockets, each opened, subscribed, and listened to from then on; how many were opened.
async fn come(
    address: SocketAddr,
    first: usize,
    people: &[Person],
    listeners: &mut Listeners,
) -> usize {
    let opened = Arc::<AtomicUsize>::default();
    let coming = people.iter().enumerate().map(|(number, person)| {
        let (token, opened) = (person.token.clone(), Arc::clone(&opened));
        let follow = listeners::follow(person.operation);
        async move {
            let mut socket = Socket::open(address, first + number, &token).await?;
            opened.fetch_add(1, Ordering::Relaxed);
            socket.subscribe(&follow).await?;
            Ok(socket)
        }
    });
    listeners::each(coming, |socket| listeners.add(socket)).await;
    opened.load(Ordering::Relaxed)
}

/// Waits on another thread: the sockets go on meanwhile.
async fn next_line() -> Option<String> {
    let line = spawn_blocking(|| io::stdin().lines().next()).await.unwrap();
    line?.ok()
}

fn person(line: &str) -> Option<Person> {
    let mut words = line.split(' ');
    let user: Uuid = words.next()?.parse().ok()?;
    Some(Person {
        user,
        token: words.next()?.to_owned(),
        operation: words.next()?.parse().ok()?,
    })
}
