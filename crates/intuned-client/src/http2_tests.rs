//! An Intuned that speaks HTTP/2, frame by frame.
//! <https://www.rfc-editor.org/rfc/rfc9113#section-4.1>

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::{
    ApiGeneration, CreateAuthSession, IntunedClient, IntunedConfig, IntunedError,
    transport::{Transport, http_client},
    watches::Watches,
};
use crate::metrics::IntunedMetrics;
use ambient::{Random, SystemClock};
use outbound::Outbound;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

const BROKEN: IntunedError = IntunedError::Broken;
const NOT_PROCESSED: IntunedError = IntunedError::NotProcessed { retry_after: None };

/// What the server does when a request begins.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Resets its stream.
    Reset(u32),
    /// Answers it, and resets its stream before the answer is whole.
    ResetAfterHead(u32),
    /// Goes away and hangs up; streams later than that of the request, or else the request as well, have not
    /// been looked at.
    GoAway { has_looked: bool, reason: u32 },
    /// Hangs up.
    HangUp,
    /// Answers with this JSON.
    Answer(&'static str),
    /// Lets the body come after this, and answers when the stream is reset.
    LetBodyCome(Duration),
}

/// The types of frames that the server has seen: those that begin, end and reset requests.
type Seen = Arc<Mutex<Vec<u8>>>;

async fn server(acts: &[Act]) -> (IntunedClient, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Seen::default();
    let (acts, watched) = (Mutex::new(acts.to_vec()), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // It ends when either side hangs up.
            serve(socket, &acts, &watched).await.ok();
        }
    });
    (client(&origin), seen)
}

fn client(origin: &str) -> IntunedClient {
    let config = IntunedConfig {
        base_url: origin.parse().unwrap(),
        api_key: "key".into(),
        workspace_id: "w".into(),
        project_name: "p".into(),
        api: ApiGeneration::Auto,
        request_timeout: Duration::from_secs(10),
        run_poll_interval: Duration::from_millis(1),
        result_limit: 1 << 20,
        outbound: Outbound::default(),
    };
    let metrics = IntunedMetrics::default();
    let prior_knowledge = |config: &IntunedConfig| http_client(config).http2_prior_knowledge();
    let transport = Transport::over(prior_knowledge, config, Arc::new(SystemClock), metrics);
    IntunedClient {
        transport: Arc::new(transport.unwrap()),
        api: ApiGeneration::Auto,
        run_poll_interval: Duration::from_millis(1),
        result_limit: 1 << 20,
        watches: Watches::default(),
        random: Random::from_seed(1),
    }
}

async fn serve(mut socket: TcpStream, acts: &Mutex<Vec<Act>>, seen: &Seen) -> io::Result<()> {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await?;
    // No body comes unless it is let.
    let no_window = [0, 4, 0, 0, 0, 0];
    write(&mut socket, (SETTINGS, 0, 0), &no_window).await?;
    loop {
        let (kind, flags, stream) = read(&mut socket).await?;
        let is_last = kind == DATA && flags & END_STREAM != 0;
        if is_last || [HEADERS, RST_STREAM].contains(&kind) {
            seen.lock().unwrap().push(kind);
        }
        match kind {
            SETTINGS if flags & 1 == 0 => write(&mut socket, (SETTINGS, 1, 0), &[]).await?,
            HEADERS => {
                let act = acts.lock().unwrap().remove(0);
                if !play(&mut socket, stream, act).await? {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

/// Whether it stays.
async fn play(socket: &mut TcpStream, stream: u32, act: Act) -> io::Result<bool> {
    let reset = (RST_STREAM, 0, stream);
    match act {
        Act::Reset(reason) => write(socket, reset, &reason.to_be_bytes()).await?,
        Act::ResetAfterHead(reason) => {
            head(socket, stream).await?;
            write(socket, reset, &reason.to_be_bytes()).await?;
        }
        Act::GoAway { has_looked, reason } => {
            let last = if has_looked { stream } else { 0 };
            let told = [last.to_be_bytes(), reason.to_be_bytes()].concat();
            write(socket, (GOAWAY, 0, 0), &told).await?;
            // What is hung up on with something unread is reset, and takes with it what was told.
            socket.shutdown().await?;
            socket.read_to_end(&mut Vec::new()).await?;
            return Ok(false);
        }
        Act::HangUp => return Ok(false),
        Act::Answer(json) => {
            head(socket, stream).await?;
            write(socket, (DATA, END_STREAM, stream), json.as_bytes()).await?;
        }
        Act::LetBodyCome(pause) => {
            sleep(pause).await;
            let room = 60_000_u32.to_be_bytes();
            write(socket, (WINDOW_UPDATE, 0, stream), &room).await?;
        }
    }
    Ok(true)
}

/// Of an answer of 200, which is number 8 of HPACK's static table.
async fn head(socket: &mut TcpStream, stream: u32) -> io::Result<()> {
    write(socket, (HEADERS, END_HEADERS, stream), &[0x88]).await
}

async fn write(
    socket: &mut TcpStream,
    (kind, flags, stream): (u8, u8, u32),
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    socket.write_all(&frame).await
}

/// The next frame's type, flags and stream.
async fn read(socket: &mut TcpStream) -> io::Result<(u8, u8, u32)> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).await?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok((head[3], head[4], stream))
}

fn request() -> CreateAuthSession {
    CreateAuthSession {
        id: "s".into(),
        username: "user".into(),
        password: "password".into(),
        proxy: None,
    }
}

/// Only what the other side has certainly not looked at may be sent again.
#[rstest]
#[case::refused(Act::Reset(REFUSED_STREAM), NOT_PROCESSED)]
#[case::reset(Act::Reset(INTERNAL_ERROR), BROKEN)]
#[case::canceled(Act::Reset(CANCEL), BROKEN)]
#[case::reset_without_error(Act::Reset(NO_ERROR), BROKEN)]
#[case::refused_in_mid_answer(Act::ResetAfterHead(REFUSED_STREAM), BROKEN)]
#[case::going_away(Act::GoAway { has_looked: false, reason: NO_ERROR }, NOT_PROCESSED)]
#[case::too_much(Act::GoAway { has_looked: false, reason: ENHANCE_YOUR_CALM }, NOT_PROCESSED)]
#[case::going_away_after_a_look(Act::GoAway { has_looked: true, reason: NO_ERROR }, BROKEN)]
#[case::failing_after_a_look(Act::GoAway { has_looked: true, reason: INTERNAL_ERROR }, BROKEN)]
#[case::hung_up(Act::HangUp, BROKEN)]
#[tokio::test]
async fn what_was_not_looked_at_is_told_from_what_may_have_been(
    #[case] act: Act,
    #[case] expected: IntunedError,
) {
    let (client, seen) = server(&[act, act, act]).await;
    assert_eq!(client.start_create(&request()).await, Err(expected.clone()));
    assert_eq!(client.create_result("op").await, Err(expected.clone()));
    let resumed = client.resume_create("op", "q", &"123456".into()).await;
    assert_eq!(resumed, Err(expected.clone()));
    assert_eq!(expected.may_have_acted(), expected == BROKEN);
    let seen = seen.lock().unwrap();
    let requests = seen.iter().filter(|kind| **kind == HEADERS);
    assert_eq!(requests.count(), 3, "each is sent once");
}

#[tokio::test]
async fn a_run_that_was_not_looked_at_is_begun_again() {
    let (client, _) = server(&[
        Act::Reset(REFUSED_STREAM),
        Act::GoAway {
            has_looked: false,
            reason: NO_ERROR,
        },
        Act::Answer(r#"{"runId":"r"}"#),
        Act::Answer(r#"{"status":"completed","runId":"r","result":[1]}"#),
    ])
    .await;
    let result = client.run("get-claims", "s", Duration::from_secs(30)).await;
    assert_eq!(result.unwrap().as_str(), "[1]");
}

#[rstest]
#[case::in_time(Duration::from_mins(1), false)]
#[case::late(Duration::from_millis(100), true)]
#[tokio::test]
async fn a_body_that_waits_in_the_client_is_sent_in_time_or_not_at_all(
    #[case] patience: Duration,
    #[case] is_late: bool,
) {
    let pending = Act::Answer(r#"{"status":"pending"}"#);
    let let_it = Act::LetBodyCome(Duration::from_millis(500));
    let (client, seen) = server(&[pending, let_it]).await;
    // By now it knows that it must wait with bodies.
    client.create_result("op").await.unwrap();
    let until = Instant::now() + patience;
    let request = request();
    let starting = client.start_create_before(until, &request);
    // The server answers nothing: what was sent waits for ever.
    let started = timeout(Duration::from_secs(3), starting).await.ok();
    assert_eq!(started, is_late.then_some(Err(IntunedError::TooLate)));
    let has_seen = async |kind| {
        while !seen.lock().unwrap().contains(&kind) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    has_seen(if is_late { RST_STREAM } else { DATA }).await;
    assert_eq!(seen.lock().unwrap().contains(&DATA), !is_late);
}

#[tokio::test]
async fn what_is_late_from_the_beginning_is_not_sent() {
    let (client, seen) = server(&[]).await;
    let started = client.start_create_before(Instant::now(), &request()).await;
    assert_eq!(started, Err(IntunedError::TooLate));
    assert!(seen.lock().unwrap().is_empty());
}
