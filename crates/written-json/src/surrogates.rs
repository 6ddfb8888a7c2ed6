//! Lone surrogates, as they are escaped in JSON.
//!
//! A JavaScript string may hold one: `"😀".slice(0, 1)` does, and `JSON.stringify` writes it as
//! `"\ud83d"`.

/// Length of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// Replaces each lone surrogate by U+FFFD.
///
/// The text keeps its length, so nothing is moved.
pub(super) fn replace_lone(json: &mut [u8]) {
    let mut position = 0;
    while let Some(found) = memchr::memchr(b'\\', json.get(position..).unwrap_or_default()) {
        let escape = position + found;
        position = match unit(json, escape) {
            Some(0xD800..=0xDBFF)
                if matches!(unit(json, escape + ESCAPE), Some(0xDC00..=0xDFFF)) =>
            {
                escape + 2 * ESCAPE
            }
            Some(0xD800..=0xDFFF) => {
                if let Some(digits) = json.get_mut(escape + 2..escape + ESCAPE) {
                    digits.copy_from_slice(b"fffd");
                }
                escape + ESCAPE
            }
            Some(_) => escape + ESCAPE,
            // The escaped character may be a backslash itself.
            None => escape + 2,
        };
    }
}

/// Returns the UTF-16 code unit that is escaped at this position.
fn unit(json: &[u8], position: usize) -> Option<u16> {
    let digits = json
        .get(position..position + ESCAPE)?
        .strip_prefix(br"\u")?;
    let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    digits.into_iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | u16::try_from(digit?).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn replaced(json: &str) -> String {
        let mut bytes = json.as_bytes().to_vec();
        replace_lone(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[rstest]
    #[case::none("\"plain \u{1F600} \\n\"", "\"plain \u{1F600} \\n\"")]
    #[case::a_pair(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#)]
    #[case::capitals(r#""\uD83D\uDE00 \uD83D""#, r#""\uD83D\uDE00 \ufffd""#)]
    #[case::cut(r#""Taxi \ud83d""#, r#""Taxi \ufffd""#)]
    #[case::the_other_half(r#""\ude00 Taxi""#, r#""\ufffd Taxi""#)]
    #[case::the_wrong_way_round(r#""\uDC00\uD800""#, r#""\ufffd\ufffd""#)]
    #[case::two_first_halves(r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#)]
    #[case::two_other_halves(r#""\ud83d\ude00\ude00""#, r#""\ud83d\ude00\ufffd""#)]
    #[case::apart(r#""\ud83d \ude00""#, r#""\ufffd \ufffd""#)]
    #[case::a_letter_between(r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#)]
    #[case::no_escape(r#""\\ud83d""#, r#""\\ud83d""#)]
    #[case::an_escaped_backslash_before(r#""\\\ud83d""#, r#""\\\ufffd""#)]
    #[case::a_backslash_by_its_number(r#""\u005cud83d""#, r#""\u005cud83d""#)]
    #[case::no_second_escape(r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#)]
    #[case::a_key(r#"{"\ud83d":1}"#, r#"{"\ufffd":1}"#)]
    #[case::the_edges(
        r#""\ud7ff\ud800\udbff\udc00\udfff\ue000""#,
        r#""\ud7ff\ufffd\udbff\udc00\ufffd\ue000""#
    )]
    #[case::no_json_at_all(r"\ud83\u \", r"\ud83\u \")]
    fn lone_surrogates_are_replaced(#[case] json: &str, #[case] expected: &str) {
        assert_eq!(replaced(json), expected);
    }

    /// JavaScript strings as code units, with many surrogates.
    fn units() -> impl Strategy<Value = Vec<u16>> {
        let unit = prop_oneof![
            0xD800..=0xDBFFu16,
            0xDC00..=0xDFFFu16,
            prop::sample::select("\\ud83\"\n\0é".encode_utf16().collect::<Vec<_>>()),
            any::<u16>(),
        ];
        prop::collection::vec(unit, 0..32)
    }

    /// Serializes a string, with escapes where they are required or `escape` asks for them.
    fn written(units: &[u16], escape: impl Fn(usize) -> bool) -> String {
        let mut json = String::from('"');
        let mut position = 0;
        for decoded in char::decode_utf16(units.iter().copied()) {
            match decoded {
                Ok(letter) => {
                    let must = letter.is_control() || matches!(letter, '"' | '\\');
                    let mut pair = [0; 2];
                    if matches!(letter, '"' | '\\') && !escape(position) {
                        json.extend(['\\', letter]);
                    } else if must || escape(position) {
                        for unit in letter.encode_utf16(&mut pair) {
                            write!(json, "\\u{unit:04x}").unwrap();
                        }
                    } else {
                        json.push(letter);
                    }
                    position += letter.len_utf16();
                }
                Err(half) => {
                    write!(json, "\\u{:04X}", half.unpaired_surrogate()).unwrap();
                    position += 1;
                }
            }
        }
        json + "\""
    }

    proptest! {
        #[test]
        fn text_is_that_of_javascript_except_for_lone_surrogates(units in units(), escapes: u32) {
            let json = written(&units, |position| escapes >> (position % 32) & 1 == 1);
            let read: String = serde_json::from_str(&replaced(&json)).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn text_without_lone_surrogates_is_not_changed(text: String, ascii: bool) {
            let units: Vec<_> = text.encode_utf16().collect();
            let json = written(&units, |_| ascii);
            prop_assert_eq!(replaced(&json), json);
        }

        #[test]
        fn length_and_validity_of_bytes_do_not_change(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut replaced = bytes.clone();
            replace_lone(&mut replaced);
            prop_assert_eq!(replaced.len(), bytes.len());
            prop_assert_eq!(str::from_utf8(&replaced).is_ok(), str::from_utf8(&bytes).is_ok());
        }
    }
}
