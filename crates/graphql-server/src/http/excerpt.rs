//! Excerpts of a client's input for the log, short and in harmless characters.

/// Bytes of a method, a path, an origin or an operation's name in the log.
const LOGGED: usize = 100;

/// Cuts a text to the length of an excerpt.
pub(super) fn truncate(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOGGED))
        .unwrap_or_default()
}

/// Cuts bytes to the length of an excerpt, and escapes them as ASCII.
pub(super) fn escape(bytes: &[u8]) -> String {
    let bytes = bytes.get(..LOGGED).unwrap_or(bytes);
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_cut_and_escaped() {
        assert_eq!(escape(b"https://a.example"), "https://a.example");
        let escaped = escape("a\u{202e}\r\n\"\u{1b}[2J".as_bytes());
        assert_eq!(escaped, r#"a\xe2\x80\xae\r\n\"\x1b[2J"#);
        assert_eq!(escape(&[b'x'; 500]).len(), LOGGED);
        assert_eq!(truncate(&"\u{fc}".repeat(500)).len(), LOGGED);
    }
}
