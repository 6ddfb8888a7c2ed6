//! What a case sends over HTTP.

use serde_json::{Value, json};

/// What a client of its own may hold; `{alice}` and the like in a case's text stand for it.
pub(crate) type Names = Vec<(&'static str, String)>;

/// A request, as bytes once names are filled in.
#[derive(Clone, Debug)]
pub(crate) enum Send {
    /// A head and a body as text: lines of the head end with LF here, and `{length}` is the body's.
    Text(String),
    /// As it is.
    Bytes(Vec<u8>),
}

impl Send {
    /// With one more header.
    pub(crate) fn with(self, header: &str) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.replacen("\n\n", &format!("\n{header}\n\n"), 1)),
            bytes @ Self::Bytes(_) => bytes,
        }
    }

    pub(crate) fn bytes(&self, names: &Names) -> Vec<u8> {
        match self {
            Self::Text(text) => {
                let text = fill(text, names);
                let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
                let head = head
                    .replace('\n', "\r\n")
                    .replace("{length}", &body.len().to_string());
                format!("{head}\r\n\r\n{body}").into_bytes()
            }
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

pub(crate) fn fill(text: &str, names: &Names) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

/// The usual POST of a JSON body, with more headers before its own.
pub(crate) fn post_body(headers: &str, body: &str) -> Send {
    Send::Text(format!(
        "POST /graphql HTTP/1.1\nHost: {{host}}\nConnection: close\n\
         Content-Type: application/json\nContent-Length: {{length}}\n{headers}\n{body}"
    ))
}

/// The usual POST of a document by Alice.
pub(crate) fn by_alice(query: &str, variables: &Value) -> Send {
    let body = json!({ "query": query, "variables": variables }).to_string();
    post_body("Authorization: Bearer {alice}\n", &body)
}

/// The usual POST of a document by nobody in particular.
pub(crate) fn by_nobody(query: &str, variables: &Value) -> Send {
    post_body(
        "",
        &json!({ "query": query, "variables": variables }).to_string(),
    )
}

/// JSON that is nested `texts` times `lists` deep for whoever takes the texts in it for JSON, as
/// `serde_json` does with what stands under one certain key.
pub(crate) fn read_anew(texts: usize, lists: usize) -> String {
    (0..texts).fold(String::from("1"), |inner, _| {
        let text = json!({ "$serde_json::private::RawValue": inner });
        format!("{}{text}{}", "[".repeat(lists), "]".repeat(lists))
    })
}
