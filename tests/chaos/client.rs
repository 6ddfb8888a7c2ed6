//! A user whose client never rests: connects, follows, answers, cancels, disconnects.

use std::sync::Arc;

use intuned_simulator::PASSCODE;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    follow::{Follower, PATIENCE, PAUSE, Told, is_no_answer},
    plan::millis,
    replicas::Replicas,
    report::Violations,
};

const CONNECT: &str = "mutation($input: ConnectOrangeHrmInput!) {
    connectOrangeHrm(input: $input) { operation { id } } }";
const RESUME: &str = "mutation($input: ResumeConnectionInput!) {
    resumeConnection(input: $input) { operation { id status } } }";
const CANCEL: &str = "mutation($id: ID!) {
    cancelOperation(operationId: $id) { operation { id status } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

/// What a client was told in all.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) told: Vec<Told>,
    /// What the answers to cancellations said: the operation, and its status.
    pub(crate) canceled: Vec<(String, String)>,
    /// Whether the user is connected now, as far as the client was told.
    pub(crate) connected: bool,
    pub(crate) disconnections: u32,
}

/// One user's client.
pub(crate) struct Client {
    pub(crate) user: Api,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) violations: Violations,
    pub(crate) random: StdRng,
}

impl Client {
    /// Goes on until `calm`, and to the end of what it has begun.
    pub(crate) async fn live(mut self, calm: CancellationToken) -> Story {
        let mut story = Story::default();
        let mut number = 0;
        while !calm.is_cancelled() {
            number += 1;
            self.connect_once(number, &mut story).await;
            if self.random.random_bool(0.25) {
                self.disconnect().await;
                story.connected = false;
                story.disconnections += 1;
            }
            sleep(millis(&mut self.random, 0, 500)).await;
        }
        story
    }

    /// One attempt, from the request to what the last follower was told.
    async fn connect_once(&mut self, number: u32, story: &mut Story) {
        let username = [
            "Admin", "Admin", "Admin", "passcode", "passcode", "choice", "rejected",
        ][self.random.random_range(0..7)];
        let operation = self.connect(username, number).await;
        let (news, mut events) = mpsc::unbounded_channel();
        let mut followers = vec![self.follow(&operation, Some(0), news)];
        if self.random.random_bool(0.4) {
            let (unheard, _) = mpsc::unbounded_channel();
            followers.push(self.follow(&operation, None, unheard));
        }
        let cancel = self.random.random_bool(0.1).then(|| {
            let canceling = self.fork().cancel(operation.clone());
            tokio::spawn(canceling)
        });
        let mut answers = Vec::new();
        let mut asked = 0;
        while let Some(event) = events.recv().await {
            let sequence = event["sequence"].as_i64().unwrap();
            let request = &event["operation"]["infoRequest"];
            if let Some(id) = request["id"].as_str()
                && event["kind"] == "CHANGE"
                && event["status"] == "REQUESTED_MORE_INFO"
                && sequence > asked
            {
                asked = sequence;
                let input = self.input(&request["choices"]);
                answers.extend(input.map(|input| {
                    let answering = self.fork();
                    tokio::spawn(answering.answer(operation.clone(), id.to_owned(), input))
                }));
            }
        }
        for follower in followers {
            let told = follower.await.unwrap();
            if told
                .events
                .last()
                .is_some_and(|event| event["status"] == "DONE")
            {
                story.connected = true;
            }
            story.told.push(told);
        }
        for answer in answers {
            answer.await.unwrap();
        }
        if let Some(cancel) = cancel {
            let status = cancel.await.unwrap();
            story.canceled.push((operation, status));
        }
    }

    /// Asks until it is told which operation it has begun. The key keeps it from beginning two.
    async fn connect(&mut self, username: &str, number: u32) -> String {
        let key = number.to_string();
        let input = json!({ "username": username, "password": "admin123", "idempotencyKey": key });
        loop {
            let answer = self.insist(CONNECT, json!({ "input": input })).await;
            let id = &answer["data"]["connectOrangeHrm"]["operation"]["id"];
            if let Some(id) = id.as_str() {
                return id.to_owned();
            }
            // The client has seen the end of all that it began before.
            self.violations
                .contradictory(format!("could not connect: {answer}"));
            sleep(PAUSE).await;
        }
    }

    fn follow(
        &mut self,
        operation: &str,
        after: Option<i64>,
        news: mpsc::UnboundedSender<Value>,
    ) -> JoinHandle<Told> {
        let Self {
            user,
            replicas,
            violations,
            random,
        } = self.fork();
        let follower = Follower {
            user,
            replicas,
            violations,
            random,
        };
        tokio::spawn(follower.follow(operation.to_owned(), after, news))
    }

    /// What the user types; none for a user who has left.
    fn input(&mut self, choices: &Value) -> Option<String> {
        let input = match (self.random.random_range(0..100), choices.as_array()) {
            (0..5, _) => return None,
            (draw, Some(choices)) => choices[draw % choices.len()].as_str().unwrap(),
            (5..15, None) => "000000",
            (_, None) => PASSCODE,
        };
        Some(input.to_owned())
    }

    /// Sends an answer, and again elsewhere when nobody says what came of it.
    async fn answer(mut self, operation: String, request: String, input: String) {
        let input = json!({ "operationId": operation, "infoRequestId": request, "input": input });
        for _ in 0..4 {
            if let Some(answer) = self.ask(RESUME, json!({ "input": input })).await {
                self.expect(
                    &answer,
                    &["INFO_REQUEST_STALE", "UPSTREAM_ERROR", "UPSTREAM_TIMEOUT"],
                );
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Gives up at some time; what the operation's status is then.
    async fn cancel(mut self, operation: String) -> String {
        sleep(millis(&mut self.random, 0, 2_000)).await;
        let answer = self.insist(CANCEL, json!({ "id": operation })).await;
        self.expect(&answer, &[]);
        let status = &answer["data"]["cancelOperation"]["operation"]["status"];
        status.as_str().unwrap_or_default().to_owned()
    }

    /// Disconnects until it is told that nothing is connected.
    async fn disconnect(&mut self) {
        loop {
            let answer = self.insist(DISCONNECT, json!({})).await;
            self.expect(&answer, &["UPSTREAM_ERROR", "UPSTREAM_TIMEOUT"]);
            let disconnected = &answer["data"]["disconnectOrangeHrm"]["disconnected"];
            if disconnected.is_boolean() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    fn expect(&self, answer: &Value, codes: &[&str]) {
        if let Some(error) = answer["errors"].get(0)
            && !codes
                .iter()
                .any(|code| error["extensions"]["code"] == *code)
        {
            self.violations.contradictory(format!("answered {answer}"));
        }
    }

    /// Asks until there is an answer that says something.
    async fn insist(&mut self, query: &str, variables: Value) -> Value {
        loop {
            if let Some(answer) = self.ask(query, variables.clone()).await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    }

    /// The answer of some replica; none when nobody knows what came of it.
    async fn ask(&mut self, query: &str, variables: Value) -> Option<Value> {
        let user = self.user.at(&self.replicas.any(&mut self.random).await);
        let sent = timeout(PATIENCE, user.try_send(query, variables)).await;
        let answer = sent.ok()?.ok()?;
        (!is_no_answer(&answer["errors"][0])).then_some(answer)
    }

    /// The same user with randomness of its own.
    fn fork(&mut self) -> Self {
        Self {
            user: self.user.clone(),
            replicas: self.replicas.clone(),
            violations: self.violations.clone(),
            random: StdRng::seed_from_u64(self.random.random()),
        }
    }
}
