//! Demo accounts, and the course of a sign-in with each.

use std::time::Duration;

use super::step::{Cause, Step};

/// Correct one-time passcode of every account that asks for one.
pub const PASSCODE: &str = "123456";

/// Choices of the `choice` account.
pub(super) const CHOICES: [&str; 2] = ["Text message", "Email"];

/// Account of the simulated OrangeHRM. Its password is no secret.
#[derive(Clone, Copy, Debug)]
pub struct DemoAccount {
    /// Username, in upper or lower case.
    pub username: &'static str,
    /// Password.
    pub password: &'static str,
    /// Description of the sign-in for people.
    pub shows: &'static str,
    conduct: Conduct,
}

/// Behaviour of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Plain,
    Passcode,
    Choice,
    Slow,
    Expires,
    Flaky,
    Rejected,
}

/// Lists all accounts. Any other username or password is rejected.
pub const fn accounts() -> &'static [DemoAccount] {
    const fn account(username: &'static str, shows: &'static str, conduct: Conduct) -> DemoAccount {
        DemoAccount {
            username,
            password: "admin123",
            shows,
            conduct,
        }
    }
    const {
        &[
            account("Admin", "connects after a few seconds", Conduct::Plain),
            account(
                "passcode",
                "asks for a one-time passcode: 123456 is right, three wrong ones fail",
                Conduct::Passcode,
            ),
            account(
                "choice",
                "asks how to send the passcode, then for the passcode: 123456",
                Conduct::Choice,
            ),
            account("slow", "connects after a minute", Conduct::Slow),
            account(
                "expires",
                "connects, and its session expires a minute later",
                Conduct::Expires,
            ),
            account(
                "flaky",
                "connects although every other look at it fails in a new way",
                Conduct::Flaky,
            ),
            account(
                "rejected",
                "is rejected, as any wrong password is",
                Conduct::Rejected,
            ),
        ]
    }
}

/// Returns the behaviour of a sign-in with these credentials.
pub(super) fn conduct(username: &str, password: &str) -> Conduct {
    accounts()
        .iter()
        .find(|account| {
            account.username.eq_ignore_ascii_case(username) && account.password == password
        })
        .map_or(Conduct::Rejected, |account| account.conduct)
}

impl Conduct {
    /// Returns the steps of a sign-in, unscaled. `can_ask` tells whether the user can be asked.
    pub(super) fn sign_in(self, can_ask: bool) -> Vec<Step> {
        const LOAD_PAGE: Step = Step::Work(Duration::from_millis(2_500));
        const TYPE_ANSWER: Step = Step::Work(Duration::from_millis(1_500));
        let asking: &[Step] = match self {
            Self::Passcode if can_ask => &[Step::AskPasscode, TYPE_ANSWER],
            Self::Choice if can_ask => {
                &[Step::AskChoice, TYPE_ANSWER, Step::AskPasscode, TYPE_ANSWER]
            }
            Self::Slow => &[Step::Work(Duration::from_secs(57))],
            _ => &[],
        };
        let end = match self {
            Self::Rejected => Step::Fail(Cause::Rejected),
            Self::Passcode | Self::Choice if !can_ask => Step::Fail(Cause::CannotAsk),
            _ => Step::Succeed,
        };
        let mut steps = vec![Step::Queue(Duration::from_millis(500)), LOAD_PAGE];
        steps.extend_from_slice(asking);
        steps.push(end);
        steps
    }

    /// Returns the unscaled lifetime of a session; none when it does not expire.
    pub(super) fn lifetime(self) -> Option<Duration> {
        (self == Self::Expires).then_some(Duration::from_mins(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_found_by_username_and_password() {
        assert_eq!(conduct("Admin", "admin123"), Conduct::Plain);
        assert_eq!(conduct("ADMIN", "admin123"), Conduct::Plain);
        assert_eq!(conduct("Admin", "Admin123"), Conduct::Rejected);
        assert_eq!(conduct("nobody", "admin123"), Conduct::Rejected);
        assert_eq!(conduct("", ""), Conduct::Rejected);
    }
}
