//! Why something came to nothing, in the words of either generation, read leniently.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use written_json::{lenient, read};

use crate::UpstreamFailure;

/// The longest correlation id that is passed on, in bytes.
const MAX_REFERENCE: usize = 128;

/// The fields of `failed` and `canceled`, of both generations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(default, deserialize_with = "error_of_either")]
    error: Option<Cause>,
    #[serde(default, deserialize_with = "lenient")]
    reason: Option<Cause>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) status_code: Option<u16>,
}

/// `error`, which is a text in generation 1 and stands for the code then; or `reason`, whose code is its type.
#[derive(Default, Deserialize)]
struct Cause {
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    code: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    category: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    retirable: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    retriable: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    correlation_id: Option<String>,
}

fn error_of_either<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cause>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    Ok(match read(text) {
        Ok(code) => Some(Cause {
            code: Some(code),
            ..Cause::default()
        }),
        Err(_) => read(text).ok(),
    })
}

impl Cause {
    /// To try again in vain costs more than not to try again.
    fn retryable(&self) -> Option<bool> {
        match (self.retriable, self.retirable) {
            (Some(documented), Some(sent)) => Some(documented && sent),
            (documented, sent) => documented.or(sent),
        }
    }
}

impl From<Failure> for UpstreamFailure {
    fn from(failure: Failure) -> Self {
        let error = failure.error.unwrap_or_default();
        let reason = failure.reason.unwrap_or_default();
        Self {
            retryable: error.retryable().or(reason.retryable()),
            code: error.code.or(reason.kind).or(reason.code),
            category: error.category.or(reason.category),
            reference: error
                .correlation_id
                .or(reason.correlation_id)
                .filter(|id| is_reference(id)),
            message: failure
                .message
                .or(error.message)
                .or(reason.message)
                .unwrap_or_default(),
        }
    }
}

/// Whether a correlation id has the shape of one: it is logged, stored and shown, and must not be any text.
fn is_reference(id: &str) -> bool {
    (1..=MAX_REFERENCE).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn failure(failure: &Value) -> UpstreamFailure {
        let failure: Failure = read(&failure.to_string()).unwrap();
        failure.into()
    }

    #[rstest]
    #[case::sent(json!({ "retirable": true }), Some(true))]
    #[case::documented(json!({ "retriable": true }), Some(true))]
    #[case::both_agree(json!({ "retirable": false, "retriable": false }), Some(false))]
    #[case::only_the_documented_says_yes(json!({ "retirable": false, "retriable": true }), Some(false))]
    #[case::only_the_sent_says_yes(json!({ "retirable": true, "retriable": false }), Some(false))]
    #[case::one_makes_no_sense(json!({ "retirable": "yes", "retriable": true }), Some(true))]
    #[case::neither(json!({}), None)]
    fn both_spellings_of_whether_to_try_again_are_read(
        #[case] cause: Value,
        #[case] expected: Option<bool>,
        #[values("error", "reason")] field: &str,
    ) {
        assert_eq!(failure(&json!({ field: cause })).retryable, expected);
    }

    #[rstest]
    #[case::uuid("7f3a1c0e-5d2b-4c3a-9b1e-0a1b2c3d4e5f", true)]
    #[case::words("req_01J.8:z", true)]
    #[case::empty("", false)]
    #[case::with_blanks("a b", false)]
    #[case::with_markup("<b>", false)]
    #[case::with_a_line_end("a\nb", false)]
    #[case::of_other_letters("\u{e9}", false)]
    #[case::longest(&"x".repeat(128), true)]
    #[case::too_long(&"x".repeat(129), false)]
    fn only_what_looks_like_a_correlation_id_is_one(
        #[case] id: &str,
        #[case] is_one: bool,
        #[values("error", "reason")] field: &str,
    ) {
        let failure = failure(&json!({ field: { "correlation_id": id } }));
        assert_eq!(failure.reference, is_one.then(|| id.to_owned()));
    }
}
