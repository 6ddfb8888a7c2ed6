//! A case over HTTP, and whether what came of it is what was due.

use serde_json::Value;

use crate::{
    reply::Reply,
    report::Outcome,
    send::Send,
    stage::{CANARY, Stage},
};

/// One thing that an attacker does.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) send: Send,
    pub(crate) due: Due,
}

/// What must come of it. But for [`Due::Data`] nothing may have been done.
#[derive(Debug)]
pub(crate) enum Due {
    /// This status, and this code in the first error.
    Error(u16, &'static str),
    /// This status, whatever is said.
    Status(u16),
    /// One of these statuses.
    OneOf(&'static [u16]),
    /// 200 and exactly this data.
    Data(Value),
    /// 200 and an error, and nothing but null for data.
    NoData,
    /// 200 and nothing but null for data, with no hint at what the schema has.
    Unhinted,
    /// The connection ends: without a word, or with a status that blames the client.
    Refused,
    /// An event stream of one answer, whose error has this code.
    Streams(&'static str),
    /// 200 and so many answers: with this code in the first error of each, or with data where it is empty.
    Batch(&'static [&'static str]),
    /// This status, a header with this value, or without it when the value is empty.
    Header(u16, &'static str, &'static str),
}

/// One line of a table.
pub(crate) fn case(name: impl Into<String>, send: Send, due: Due) -> Case {
    Case {
        name: name.into(),
        send,
        due,
    }
}

/// Plays the cases one after the other.
pub(crate) async fn play(stage: &Stage, cases: Vec<Case>) -> Outcome {
    let mut outcome = Outcome::default();
    for Case { name, send, due } in cases {
        let before = stage.effects().await;
        let result = match Reply::to(&stage.address, &send.bytes(&stage.names)).await {
            Ok(reply) => check(&reply, &due),
            Err(problem) => Err(problem),
        };
        let after = stage.effects().await;
        let result = result.and_then(|()| match due {
            Due::Data(_) => Ok(()),
            _ if before == after => Ok(()),
            _ => Err(format!("something was done: {before:?} became {after:?}")),
        });
        outcome.case(&name, result);
    }
    stage.finish(&mut outcome).await;
    outcome
}

fn check(reply: &Reply, due: &Due) -> Result<(), String> {
    let status = reply.status();
    let fits = match due {
        Due::Error(due, code) => status == Some(*due) && reply.code() == *code,
        Due::Status(due) => status == Some(*due),
        Due::OneOf(due) => status.is_some_and(|status| due.contains(&status)),
        Due::Data(data) => {
            let answer = reply.json();
            status == Some(200) && answer.get("errors").is_none() && answer["data"] == *data
        }
        Due::NoData => status == Some(200) && is_empty(&reply.json()),
        Due::Unhinted => {
            let hints = ["Did you mean", "did you mean", "queryType", "\"fields\""];
            status == Some(200)
                && is_null(&reply.json()["data"])
                && !hints.iter().any(|hint| reply.text.contains(hint))
        }
        Due::Streams(code) => {
            let ends = reply.text.contains("event: complete")
                && reply.text.matches("event: next").count() == 1;
            status == Some(200) && ends && reply.text.contains(&format!("\"code\":\"{code}\""))
        }
        Due::Batch(codes) => status == Some(200) && is_batch(&reply.json(), codes),
        Due::Refused => status.is_none_or(|status| (400..500).contains(&status)),
        Due::Header(due, name, value) => {
            status == Some(*due) && reply.header(name).unwrap_or_default() == *value
        }
    };
    if !fits {
        Err(format!("{due:?} was due, not {}", shorten(&reply.text)))
    } else if reply.count() > 1 {
        Err(format!("{} answers to one request", reply.count()))
    } else if reply.text.contains(CANARY) {
        Err(format!("a secret is repeated: {}", shorten(&reply.text)))
    } else if reply.text.len() > 16 * 1024 {
        Err(format!("an answer of {} bytes", reply.text.len()))
    } else {
        Ok(())
    }
}

pub(crate) fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(1500))
        .unwrap_or_default()
}

fn is_batch(answers: &Value, codes: &[&str]) -> bool {
    let Some(answers) = answers.as_array() else {
        return false;
    };
    let fits = |(answer, code): (&Value, &&str)| match *code {
        "" => answer.get("errors").is_none() && answer["data"].is_object(),
        code => answer["errors"][0]["extensions"]["code"] == code,
    };
    answers.len() == codes.len() && answers.iter().zip(codes).all(fits)
}

/// Whether there are errors, and nothing was told.
fn is_empty(answer: &Value) -> bool {
    !answer["errors"].as_array().is_none_or(Vec::is_empty) && is_null(&answer["data"])
}

fn is_null(data: &Value) -> bool {
    data.is_null()
        || data
            .as_object()
            .is_some_and(|fields| fields.values().all(Value::is_null))
}
