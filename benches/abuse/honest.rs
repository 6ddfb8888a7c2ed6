//! The honest client asks a small question at a steady pace and notes how long each
//! answer takes from when it was due to be asked.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, interval},
};

/// Pause between two questions.
const PACE: Duration = Duration::from_millis(20);

const SIGN_UP: &str = "mutation($input: SignUpInput!) { signUp(input: $input) { token } }";
const ASK: &str = "query Me { me { email connection { status } } }";

/// How long answers took, sorted.
pub(crate) struct Waits {
    sorted: Vec<Duration>,
    /// Questions that were not answered as they should be.
    pub(crate) failed: usize,
}

impl Waits {
    /// The wait that so many in a hundred do not exceed.
    pub(crate) fn at(&self, share: usize) -> Duration {
        let at = self.sorted.len() * share / 100;
        let wait = self.sorted.get(at).or(self.sorted.last());
        wait.copied().unwrap_or(Duration::MAX)
    }
}

/// Asks for as long as `time`, on this thread.
pub(crate) fn watch(url: &str, token: &str, time: Duration) -> Waits {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask(url, token, time))
}

async fn ask(url: &str, token: &str, time: Duration) -> Waits {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut asked = JoinSet::new();
    let mut pace = interval(PACE);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let due = pace.tick().await;
        let question = http.post(url).bearer_auth(token);
        let question = question.json(&json!({ "query": ASK }));
        asked.spawn(async move {
            let answer: Value = question.send().await.ok()?.json().await.ok()?;
            answer["data"]["me"]["email"].as_str()?;
            Some(due.elapsed())
        });
    }
    let waits = asked.join_all().await;
    let mut sorted: Vec<_> = waits.iter().flatten().copied().collect();
    sorted.sort();
    Waits {
        failed: waits.len() - sorted.len(),
        sorted,
    }
}

/// Opens the client's account, and returns its token.
pub(crate) async fn sign_up(url: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let input = json!({ "email": "honest@example.com", "password": "correct horse" });
    let body = json!({ "query": SIGN_UP, "variables": { "input": input } });
    let answer = http.post(url).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let token = answer["data"]["signUp"]["token"].as_str();
    token.unwrap().to_owned()
}
