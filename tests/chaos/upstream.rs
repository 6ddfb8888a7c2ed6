//! Intuned: the simulator, with faults, and a record of what it was asked.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use ambient::{Random, SystemClock};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use intuned_simulator::{
    BASE_PATH, SimulatedGeneration, SimulatedSession, Simulator, SimulatorConfig,
};
use rand::{RngExt, rngs::StdRng};
use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};

pub(crate) const API_KEY: &str = "a-key-for-tests";
/// The longest that a gateway waits for an answer.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_BODY: usize = 64 * 1024;

/// What Intuned was asked that must not be asked twice.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// `create.start` for this session; not one that was certainly turned away.
    Start { session: String },
    /// `create.resume` of this task.
    Resume { task: String },
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    TurnedAway,
    Failed(u16),
    FailedAfterWork(u16),
    Cut,
    CutAfterWork,
    Silent,
    SilentAfterWork,
    Slow(Duration),
    Nonsense,
}

/// The simulator, its faults and its record; clones share everything.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    simulator: Simulator,
    random: Mutex<StdRng>,
    /// Of a thousand requests.
    rate: AtomicU32,
    asked: Mutex<Vec<Asked>>,
    requests: AtomicU32,
    faults: AtomicU32,
}

impl Upstream {
    pub(crate) async fn start(random: StdRng) -> Self {
        let config = SimulatorConfig {
            generation: SimulatedGeneration::One,
            delay_scale: 0.2,
            api_key: Some(API_KEY.into()),
        };
        let shared = Arc::new(Shared {
            simulator: Simulator::new(config, Arc::new(SystemClock), Random::from_system()),
            random: Mutex::new(random),
            rate: AtomicU32::new(0),
            asked: Mutex::default(),
            requests: AtomicU32::new(0),
            faults: AtomicU32::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
        let faulty = middleware::from_fn_with_state(shared.clone(), intercept);
        let router = shared.simulator.router().layer(faulty);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, shared }
    }

    /// Of a thousand requests, so many go wrong from now on.
    pub(crate) fn set_rate(&self, rate: u32) {
        self.shared.rate.store(rate, Relaxed);
    }

    /// What was asked, in this order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The sessions that stand.
    pub(crate) fn sessions(&self) -> Vec<SimulatedSession> {
        self.shared.simulator.sessions()
    }

    /// How many requests came, and how many went wrong.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let Shared {
            requests, faults, ..
        } = &*self.shared;
        (requests.load(Relaxed), faults.load(Relaxed))
    }
}

async fn intercept(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    shared.requests.fetch_add(1, Relaxed);
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let fault = shared.draw();
    let turned_away = matches!(fault, Some(Fault::TurnedAway));
    if let Some(asked) = asked(&parts.method, parts.uri.path(), &body)
        && !turned_away
    {
        shared.asked.lock().unwrap().push(asked);
    }
    let work = next.run(Request::from_parts(parts, Body::from(body)));
    match fault {
        Some(fault) => {
            shared.faults.fetch_add(1, Relaxed);
            fault.play(work).await
        }
        None => work.await,
    }
}

/// None for what may be asked again and again.
fn asked(method: &Method, path: &str, body: &Bytes) -> Option<Asked> {
    if *method != Method::POST {
        return None;
    }
    let mut segments = path.rsplit('/');
    match (segments.next()?, segments.next()?) {
        ("create", "auth-sessions") => {
            let body: Value = serde_json::from_slice(body).ok()?;
            let session = body["id"].as_str()?.to_owned();
            Some(Asked::Start { session })
        }
        ("resume", task) => Some(Asked::Resume {
            task: task.to_owned(),
        }),
        _ => None,
    }
}

impl Shared {
    fn draw(&self) -> Option<Fault> {
        let mut random = self.random.lock().unwrap();
        if !random.random_ratio(self.rate.load(Relaxed), 1000) {
            return None;
        }
        let status = [500, 502, 503, 504][random.random_range(0..4)];
        Some(match random.random_range(0..10) {
            0 => Fault::TurnedAway,
            1 => Fault::Failed(status),
            2 | 3 => Fault::FailedAfterWork(status),
            4 => Fault::Cut,
            5 => Fault::CutAfterWork,
            6 => Fault::Silent,
            7 => Fault::SilentAfterWork,
            8 => Fault::Slow(Duration::from_millis(random.random_range(100..900))),
            _ => Fault::Nonsense,
        })
    }
}

impl Fault {
    async fn play(self, work: impl Future<Output = Response>) -> Response {
        match self {
            Self::TurnedAway => {
                let headers = [("retry-after", "1")];
                (StatusCode::TOO_MANY_REQUESTS, headers, "later").into_response()
            }
            Self::Failed(status) => failed(status),
            Self::FailedAfterWork(status) => {
                work.await;
                failed(status)
            }
            Self::Cut => cut(),
            Self::CutAfterWork => {
                work.await;
                cut()
            }
            Self::Silent => silent().await,
            Self::SilentAfterWork => {
                work.await;
                silent().await
            }
            Self::Slow(pause) => {
                sleep(pause).await;
                work.await
            }
            Self::Nonsense => {
                work.await;
                (StatusCode::OK, "<html>Just a moment...</html>").into_response()
            }
        }
    }
}

fn failed(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, "<html>Bad Gateway</html>").into_response()
}

fn cut() -> Response {
    let cut = Err::<&str, _>(io::Error::from(io::ErrorKind::ConnectionReset));
    Body::from_stream(stream::iter([Ok("{\"status\":"), cut])).into_response()
}

async fn silent() -> Response {
    sleep(REQUEST_TIMEOUT * 3).await;
    failed(504)
}
