//! The bodies as they are on the wire.

mod answers;
mod bodies;
mod failures;

pub(super) use answers::{
    RunEnd, is_usable_id, read_create_result, read_create_started, read_run, read_run_started,
    read_session,
};
pub(super) use bodies::{
    CreateBody, Credentials, Exposed, NoParameters, ResumeBody, Retry, RunBody, SessionRef, sealed,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Map, Value, json};

    use super::*;
    use written_json::WrittenJson;

    /// Answers made of the words of the wire, in shapes that they do not come in.
    fn answers() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "pending",
            "in_progress",
            "requested_more_info",
            "done",
            "failed",
            "canceled",
            "completed",
            "otp",
            "multiple_choice",
            "auth",
            "READY",
            "",
            "..",
            "\u{0}",
        ]);
        let leaf = prop_oneof![
            words.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!(true)),
        ];
        let keys = prop::sample::select(vec![
            "status",
            "id",
            "details",
            "requestType",
            "messageToUser",
            "choices",
            "authSessionId",
            "error",
            "message",
            "reason",
            "type",
            "code",
            "category",
            "retirable",
            "retriable",
            "correlation_id",
            "statusCode",
            "result",
            "runId",
            "operationId",
        ]);
        leaf.prop_recursive(4, 48, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(keys.clone(), inner, 0..8).prop_map(|fields| {
                    let fields = fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value));
                    Value::from(fields.collect::<Map<_, _>>())
                }),
            ]
        })
    }

    fn read(body: &[u8]) -> Option<WrittenJson> {
        WrittenJson::parse(body.to_vec()).ok()
    }

    proptest! {
        #[test]
        fn no_answer_panics_or_brings_an_id_that_escapes(answer in answers()) {
            let body = read(answer.to_string().as_bytes()).expect("JSON");
            for id in [read_create_started(&body), read_run_started(&body)].into_iter().flatten() {
                prop_assert!(is_usable_id(&id));
            }
            let _ = read_session(&body, "s");
            let _ = read_run(&body, Some("r"));
            // A status is always heard: what makes no sense of it is unknown, not unreadable.
            let has_status = answer.get("status").is_some_and(Value::is_string);
            let result = read_create_result(&body);
            prop_assert_eq!(result.is_ok(), has_status);
        }

        #[test]
        fn bytes_that_are_no_json_are_unreadable(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok() && str::from_utf8(&body).is_ok();
            prop_assert_eq!(read(&body).is_some(), is_json);
        }
    }
}
