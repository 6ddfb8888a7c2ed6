//! Input of users, checked and made ready to be passed on.

use secrecy::{ExposeSecret, SecretString};

use super::{error::OperationError, model::Credentials};
use intuned_client::{InfoRequest, Question};

const MAX_IDEMPOTENCY_KEY: usize = 255;
const MAX_CREDENTIAL: usize = 1024;

/// Makes sure that the sign-in can be passed on.
pub(super) fn check_credentials(credentials: &Credentials) -> Result<(), OperationError> {
    for (field, value) in [
        ("username", &credentials.username),
        ("password", &credentials.password),
    ] {
        if !(1..=MAX_CREDENTIAL).contains(&value.expose_secret().len()) {
            return Err(OperationError::Input {
                field,
                problem: "give 1 to 1024 bytes",
            });
        }
    }
    Ok(())
}

/// Makes sure that the key can be kept.
pub(super) fn check_idempotency_key(key: Option<&str>) -> Result<(), OperationError> {
    let fits = |key: &str| {
        (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && !key.contains(char::is_control)
    };
    if key.is_none_or(fits) {
        return Ok(());
    }
    Err(OperationError::Input {
        field: "idempotencyKey",
        problem: "give 1 to 255 bytes without control characters, or leave it out",
    })
}

/// The answer as it is passed on: a choice word for word, a passcode without the blanks that it was copied with.
pub(super) fn answer(
    request: &InfoRequest,
    input: SecretString,
) -> Result<SecretString, OperationError> {
    let refused = |problem| OperationError::Input {
        field: "input",
        problem,
    };
    match &request.question {
        Question::Otp => {
            let passcode = passcode(input.expose_secret());
            match passcode.expose_secret().len() {
                0 => Err(refused("the passcode is empty")),
                1..=MAX_CREDENTIAL => Ok(passcode),
                _ => Err(refused("the passcode is too long")),
            }
        }
        Question::Choice(choices)
            if choices.iter().any(|choice| choice == input.expose_secret()) =>
        {
            Ok(input)
        }
        Question::Choice(_) => Err(refused("give one of the offered choices, word for word")),
    }
}

/// Without blanks around it and, where only digits are left then, without any: people read them in groups.
fn passcode(typed: &str) -> SecretString {
    let trimmed = typed.trim_matches(is_blank);
    let is_of_digits = trimmed
        .chars()
        .all(|letter| letter.is_numeric() || is_blank(letter));
    let keep = |letter: &char| !(is_of_digits && is_blank(*letter));
    // All the room at once: what grows, or shrinks, leaves copies behind.
    let length = trimmed.chars().filter(keep).map(char::len_utf8).sum();
    let mut kept = String::with_capacity(length);
    kept.extend(trimmed.chars().filter(keep));
    kept.into()
}

/// White space, and what takes no room although it is copied along: joiners, marks of direction, the mark at the
/// beginning of a file, fillers.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
        )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn asked(question: Question) -> InfoRequest {
        InfoRequest {
            id: "q".into(),
            message: String::new(),
            question,
        }
    }

    fn answered(question: Question, input: &str) -> Option<String> {
        let answer = answer(&asked(question), input.into());
        answer.ok().map(|answer| answer.expose_secret().to_owned())
    }

    #[rstest]
    #[case::as_it_is("123456", "123456")]
    #[case::around(" \t123456\r\n", "123456")]
    #[case::in_groups("123 456", "123456")]
    #[case::no_break("\u{a0}123\u{202f}456\u{3000}", "123456")]
    #[case::of_no_width("\u{feff}123\u{200b}456\u{2060}\u{200e}", "123456")]
    #[case::other_digits("\u{661}\u{662} \u{663}", "\u{661}\u{662}\u{663}")]
    #[case::with_letters(" ab 12 ", "ab 12")]
    #[case::with_a_hyphen(" 123-456 ", "123-456")]
    fn passcode_loses_its_blanks(#[case] typed: &str, #[case] expected: &str) {
        assert_eq!(answered(Question::Otp, typed).as_deref(), Some(expected));
    }

    #[rstest]
    #[case("")]
    #[case("   ")]
    #[case("\u{a0}\u{200b}\n\u{feff}")]
    #[case(&"1".repeat(1025))]
    fn empty_or_long_passcode_is_refused(#[case] typed: &str) {
        assert_eq!(answered(Question::Otp, typed), None);
    }

    #[test]
    fn choice_is_passed_on_word_for_word() {
        let choices = || Question::Choice(vec!["by mail".into(), " 1 2 ".into()]);
        for (typed, is_one) in [
            ("by mail", true),
            (" 1 2 ", true),
            (" by mail", false),
            ("12", false),
        ] {
            assert_eq!(answered(choices(), typed).is_some(), is_one, "{typed:?}");
        }
        assert_eq!(answered(choices(), " 1 2 ").as_deref(), Some(" 1 2 "));
    }
}
