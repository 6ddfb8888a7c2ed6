//! What replicas tell each other over Postgres, counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use intuned_simulator::Call;
use secrecy::ExposeSecret;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, timeout};

use crate::support::{Backend, Setup, TestApp, eventually, socket::DEADLINE};

/// How often a replica tells of polls, whatever their number.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
const USERS: usize = 40;

/// Operations that Intuned is busy with for as long as the test runs.
fn endless() -> Setup {
    Setup {
        delay_scale: 1000.0,
        ..Setup::default()
    }
}

#[tokio::test]
async fn polls_cost_no_more_notifications_however_many_operations_there_are() {
    let app = TestApp::with(Backend::Postgres, endless()).await;
    let second = app.replica().await;
    let mut users = Vec::new();
    for number in 0..USERS {
        let user = app.user(&format!("user-{number}@example.com")).await;
        let operation = user.connect("Admin", "admin123").await;
        users.push((user, operation["id"].as_str().unwrap().to_owned()));
    }
    eventually("pending", async || {
        app.intuned.calls(Call::CreateResult) > 2 * USERS
    })
    .await;
    let notes = count_notes(app.config.database_url.expose_secret()).await;

    // Nobody follows: not a word, however often Intuned is asked.
    polled_by_each(&app, 10).await;
    assert_eq!(notes.load(Ordering::SeqCst), 0);

    // All are followed on the other replica: their polls travel together.
    let mut sockets = Vec::new();
    for (user, operation) in &users {
        let mut socket = second.socket(user).await;
        socket.follow("1", operation, None).await;
        sockets.push(socket);
    }
    for socket in &mut sockets {
        while socket.event().await.unwrap()["kind"] != "PROGRESS" {}
    }
    let (started, before) = (Instant::now(), notes.load(Ordering::SeqCst));
    polled_by_each(&app, 20).await;
    let told = notes.load(Ordering::SeqCst) - before;
    let spans = started.elapsed().div_duration_f64(PROGRESS_EVERY);
    assert!(
        told > 0 && f64::from(told) <= spans + 2.0,
        "{told} notes in {spans:.1} spans"
    );

    drop(sockets);
    for (user, operation) in &users {
        user.cancel(operation).await;
    }
    second.finish().await;
    app.finish().await;
}

/// Counts notes of polls from now on.
async fn count_notes(url: &str) -> Arc<AtomicU32> {
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("intuned_gateway_operations").await.unwrap();
    let notes = Arc::<AtomicU32>::default();
    let counted = notes.clone();
    tokio::spawn(async move {
        while let Ok(note) = listener.recv().await {
            counted.fetch_add(
                u32::from(note.payload().starts_with("polled")),
                Ordering::SeqCst,
            );
        }
    });
    notes
}

/// Waits until Intuned was asked so many times more, counted over all operations.
async fn polled_by_each(app: &TestApp, times: usize) {
    let polls = app.intuned.calls(Call::CreateResult);
    eventually("polled", async || {
        app.intuned.calls(Call::CreateResult) >= polls + times * USERS
    })
    .await;
}

#[tokio::test]
async fn new_followers_are_announced_without_the_others() {
    let app = TestApp::start(Backend::Postgres).await;
    let second = app.replica().await;
    let mut followed = Vec::new();
    for number in 0..5 {
        let user = app.user(&format!("{number}@example.com")).await;
        let asked = app.asked(&user, "passcode").await;
        followed.push((user, asked.id));
    }
    let mut listener = PgListener::connect(app.config.database_url.expose_secret())
        .await
        .unwrap();
    listener.listen("intuned_gateway_operations").await.unwrap();
    let started = Instant::now();
    let mut announced = Vec::new();
    let mut sockets = Vec::new();
    for (user, operation) in &followed {
        let mut socket = second.socket(user).await;
        socket.follow("1", operation, None).await;
        sockets.push(socket);
        let id = operation.replace('-', "");
        loop {
            let note = timeout(DEADLINE, listener.recv()).await.unwrap().unwrap();
            let note = note.payload().to_owned();
            let names_it = note.contains(&id);
            if note.starts_with("followed") {
                announced.push(note);
                if names_it {
                    break;
                }
            }
        }
    }
    let first = followed[0].1.replace('-', "");
    let times = announced
        .iter()
        .filter(|note| note.contains(&first))
        .count();
    // All of them every five seconds.
    let whole_lists = started.elapsed().as_secs() / 5 + 1;
    assert!(
        u64::try_from(times).unwrap() <= 1 + whole_lists,
        "{announced:#?}"
    );
    for (user, operation) in &followed {
        user.cancel(operation).await;
    }
    second.finish().await;
    app.finish().await;
}
