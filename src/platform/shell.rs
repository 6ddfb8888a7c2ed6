//! Commands that people copy into a shell.

/// The text as a shell takes it for one word.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let quoted = text.replace('\'', r"'\''");
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("data/gateway.sqlite-wal", "data/gateway.sqlite-wal")]
    #[case("it's here", r"'it'\''s here'")]
    #[case("$HOME", "'$HOME'")]
    #[case("", "''")]
    fn a_text_is_one_word(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(word(text), expected);
    }
}
