//! Limits on a document's text, checked before it is parsed.

use super::DocumentLimits;
use crate::document::DocumentError;

/// Upper bound of open brackets, which keeps the parser's recursion shallow.
const NESTING: usize = 50;

/// Checks the length, the number of tokens and the open brackets of a text.
///
/// Returns the number of tokens.
pub(in crate::document) fn check_text(
    text: &str,
    limits: &DocumentLimits,
) -> Result<usize, DocumentError> {
    if text.len() > limits.length {
        return Err(DocumentError::Length(limits.length));
    }
    let mut rest = text.as_bytes();
    let mut tokens = 0_usize;
    let mut open = 0_usize;
    while let [first, tail @ ..] = rest {
        rest = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = tail;
                continue;
            }
            b'#' => {
                rest = skip_while(tail, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'"' => skip_string(rest),
            b'.' => tail.strip_prefix(b"..").unwrap_or(tail),
            b'{' | b'(' | b'[' => {
                open += 1;
                tail
            }
            b'}' | b')' | b']' => {
                open = open.saturating_sub(1);
                tail
            }
            b'0'..=b'9' | b'-' => skip_while(tail, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')
            }),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                skip_while(tail, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
            _ => tail,
        };
        tokens += 1;
        if tokens > limits.tokens {
            return Err(DocumentError::Tokens(limits.tokens));
        }
        if open > NESTING {
            return Err(DocumentError::Depth(limits.depth));
        }
    }
    Ok(tokens)
}

fn skip_while(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|byte| !belongs(*byte));
    end.and_then(|end| bytes.get(end..)).unwrap_or_default()
}

/// Skips the string or block string at the beginning of `bytes`.
fn skip_string(bytes: &[u8]) -> &[u8] {
    let block = bytes.starts_with(br#"""""#);
    let (quote, escape): (&[u8], &[u8]) = if block {
        (br#"""""#, br#"\""""#)
    } else {
        (br#"""#, br"\")
    };
    let mut rest = bytes.strip_prefix(quote).unwrap_or_default();
    while !rest.is_empty() {
        if let Some(end) = rest.strip_prefix(quote) {
            return end;
        }
        let escaped = rest.strip_prefix(escape);
        let step = match escaped {
            Some(after) if block => after,
            Some(after) => after.get(1..).unwrap_or_default(),
            None => rest.get(1..).unwrap_or_default(),
        };
        rest = step;
    }
    rest
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn text(query: &str) -> Result<(), DocumentError> {
        check_text(query, &DocumentLimits::default()).map(|_| ())
    }

    #[rstest]
    #[case("", 0)]
    #[case("{ a }", 3)]
    #[case("\u{feff}{,a,}", 3 + 3)]
    #[case("query A($a: [Int!]! = 5) { a(b: -1.5e+3) }", 22)]
    #[case("{ ...F } # { } ( )\n # more", 4)]
    #[case(r#"{ a(b: "( { \" \\") }"#, 8)]
    #[case(r#"{ a(b: """ { " \""" "" """) }"#, 8)]
    #[case(r#"{ a(b: "") }"#, 8)]
    fn tokens_are_counted(#[case] query: &str, #[case] tokens: usize) {
        let limits = |tokens| DocumentLimits {
            tokens,
            ..DocumentLimits::default()
        };
        assert_eq!(check_text(query, &limits(tokens)), Ok(tokens));
        if let Some(fewer) = tokens.checked_sub(1) {
            let expected = Err(DocumentError::Tokens(fewer));
            assert_eq!(check_text(query, &limits(fewer)), expected);
        }
    }

    #[rstest]
    #[case("\"")]
    #[case("\"\\")]
    #[case("\"\"\"")]
    #[case("\"\"\" \\\"\"\"")]
    #[case("{ a(b: \"é")]
    fn unterminated_strings_end_with_the_text(#[case] query: &str) {
        assert_eq!(text(query), Ok(()));
    }

    #[test]
    fn long_and_deep_texts_are_refused_before_parsing() {
        let one_token = |length: usize| format!("{{ a(b: \"{}\") }}", "x".repeat(length - 12));
        assert_eq!(text(&one_token(64 * 1024)), Ok(()));
        assert_eq!(
            text(&one_token(64 * 1024 + 1)),
            Err(DocumentError::Length(64 * 1024))
        );
        let long = format!("{{ a {} }}", "@d ".repeat(10_000));
        assert_eq!(text(&long), Err(DocumentError::Tokens(2_000)));
        let deep_value = format!("{{ a(b: {}{}) }}", "[".repeat(900), "]".repeat(900));
        assert_eq!(text(&deep_value), Err(DocumentError::Depth(8)));
        assert_eq!(text(&"{ a ".repeat(30)), Ok(()));
    }
}
