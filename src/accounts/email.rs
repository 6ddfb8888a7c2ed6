//! What counts as an e-mail address, and which two are the same.

use email_address::{EmailAddress, Options};

use super::provider::NO_ADDRESS;

/// RFC 5321 allows paths of 256 octets, angle brackets included.
const MAX_LENGTH: usize = 254;

/// The address in the form that accounts are kept under; none when it is no address.
pub(super) fn normalize(input: &str) -> Option<String> {
    let options = Options::default()
        .with_required_tld()
        .without_display_text()
        .without_domain_literal();
    let email = input.trim().to_lowercase();
    if email.len() > MAX_LENGTH {
        return None;
    }
    if email.ends_with(NO_ADDRESS) {
        return None;
    }
    let valid = EmailAddress::parse_with_options(&email, options).is_ok();
    valid.then_some(email)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ada@example.com", "ada@example.com")]
    #[case("  Ada@Example.COM\n", "ada@example.com")]
    #[case("ada+tag@sub.example.com", "ada+tag@sub.example.com")]
    #[case("ÄDA@example.com", "äda@example.com")]
    fn addresses_are_put_in_one_form(#[case] input: &str, #[case] expected: &str) {
        assert_eq!(normalize(input).as_deref(), Some(expected));
    }

    #[rstest]
    #[case("")]
    #[case("ada")]
    #[case("@example.com")]
    #[case("ada@")]
    #[case("ada@localhost")]
    #[case("ada@Identity-Provider.invalid")]
    #[case("ada@[127.0.0.1]")]
    #[case("Ada <ada@example.com>")]
    #[case("ada@example.com\r\nBcc: bob@example.com")]
    #[case("ada\0@example.com")]
    #[case("\"a\0b\"@example.com")]
    #[case("ada@example.com, bob@example.com")]
    fn others_are_refused(#[case] input: &str) {
        assert_eq!(normalize(input), None);
    }

    #[test]
    fn the_longest_address_has_254_octets() {
        let domain = format!(
            "{}.{}.{}.com",
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(60)
        );
        let address = |local: usize| format!("{}@{domain}", "a".repeat(local));
        let longest = MAX_LENGTH - domain.len() - 1;
        assert!(normalize(&address(longest)).is_some());
        assert!(normalize(&address(longest + 1)).is_none());
    }
}
