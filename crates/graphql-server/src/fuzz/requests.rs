//! Fuzz target for HTTP requests.

#![expect(clippy::panic, reason = "a fuzz target tells what is wrong by a panic")]

use serde_json::Value as Json;

use super::{assert_no_canary, connection::exchange};

/// Statuses of answers. Nothing that is sent is an internal error.
const STATUSES: [u16; 14] = [
    101, 200, 204, 400, 403, 404, 405, 406, 408, 413, 414, 415, 429, 431,
];

/// Sends `data` on a connection.
///
/// Every answer has a known status and the usual headers, and repeats nothing. Then the connection ends.
pub fn request(data: &[u8]) {
    let output = exchange(data.to_vec());
    let mut rest = output.as_slice();
    while !rest.is_empty() {
        rest = match answer(rest) {
            Some(rest) => rest,
            None => return,
        };
    }
}

/// Checks the first answer and returns the bytes after it; none when its end is not looked for.
fn answer(output: &[u8]) -> Option<&[u8]> {
    let end = position(output, b"\r\n\r\n").unwrap_or_else(|| panic!("an answer without a head"));
    let (head, body) = output.split_at(end + 4);
    let head = std::str::from_utf8(head).unwrap_or_else(|_| panic!("a head in no UTF-8"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| {
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or(line.strip_prefix("HTTP/1.0 "))?;
        status.get(..3)?.parse().ok()
    });
    let status: u16 = status.unwrap_or_else(|| panic!("no status in {head}"));
    assert!(STATUSES.contains(&status), "{head}");
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    for line in head
        .lines()
        .filter(|line| !line.starts_with("x-request-id"))
    {
        assert_no_canary(line);
    }
    // Bytes that are no HTTP are answered by hyper, without a body.
    let ours = header("x-request-id").is_some();
    if ours && status != 101 {
        assert!(header("x-content-type-options").is_some(), "{head}");
        assert!(header("cache-control").is_some(), "{head}");
    }
    if status == 101 || header("transfer-encoding").is_some() {
        return None;
    }
    // To HTTP/1.0 a stream is all that comes until the connection ends.
    let (_, length) = header("content-length")?;
    // A HEAD is answered without its body.
    let length = length.parse().unwrap_or(0);
    let (body, rest) = match body.get(..length) {
        Some(whole) if !body.starts_with(b"HTTP/1.") => (whole, body.get(length..)),
        _ => return None,
    };
    if header("content-type").is_some_and(|(_, media)| media.contains("json")) {
        let text = String::from_utf8_lossy(body);
        let body: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        assert_errors(&body["errors"]);
        for answer in body.as_array().into_iter().flatten() {
            assert_errors(&answer["errors"]);
        }
    }
    rest
}

pub(super) fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Checks that errors have a code and a message that does not repeat the input.
pub(super) fn assert_errors(errors: &Json) {
    for error in errors.as_array().into_iter().flatten() {
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && message.len() < 2000, "{error}");
        assert_no_canary(message);
        assert!(error["extensions"]["code"].is_string(), "{error}");
    }
}
