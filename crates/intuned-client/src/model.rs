//! What the gateway says to Intuned and hears from it, in the gateway's terms: whichever generation
//! spoke on the wire, callers see these types.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use url::Url;

use outbound::Outbound;

/// Which generation of the API to speak (setting `INTUNED_API`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ApiGeneration {
    /// What both take; every answer of either is read.
    #[default]
    #[cfg_attr(feature = "clap", value(name = "auto"))]
    Auto,
    /// `@intuned/client` 0.3: runs go through `run.sync`, fields of later generations are left out.
    #[cfg_attr(feature = "clap", value(name = "0.3"))]
    V0_3,
    /// The 1.x clients.
    #[cfg_attr(feature = "clap", value(name = "1"))]
    V1,
}

/// Where Intuned is and how to speak to it.
#[derive(Clone, Debug)]
pub struct IntunedConfig {
    /// Up to and with `/workspace`, without a slash at its end.
    pub base_url: Url,
    /// The `x-api-key` header.
    pub api_key: SecretString,
    /// First segment of every path.
    pub workspace_id: String,
    /// Third segment of every path.
    pub project_name: String,
    /// Which generation to speak.
    pub api: ApiGeneration,
    /// The longest that one request may take.
    pub request_timeout: Duration,
    /// Pause between two looks at a run's result.
    pub run_poll_interval: Duration,
    /// The longest text of a run's result that is passed on, in bytes.
    pub result_limit: usize,
    /// The way there.
    pub outbound: Outbound,
}

/// The body of `create.start`.
#[derive(Clone, Debug)]
pub struct CreateAuthSession {
    /// The auth session's id, of the caller's choosing; one that exists is re-created.
    pub id: String,
    /// Handed to the project's sign-in as `parameters.username`.
    pub username: SecretString,
    /// Handed to the project's sign-in as `parameters.password`.
    pub password: SecretString,
    /// `http://username:password@domain:port`, for all of the session's traffic.
    pub proxy: Option<SecretString>,
}

/// Where a creation stands: the answer of `create.result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateResult {
    /// Not begun.
    Pending,
    /// Signing in.
    InProgress,
    /// The sign-in waits for the user.
    RequestedMoreInfo(InfoRequest),
    /// The session stands.
    Done {
        /// Its id.
        auth_session_id: String,
    },
    /// It came to nothing.
    Failed(UpstreamFailure),
    /// Ended by Intuned.
    Canceled(UpstreamFailure),
    /// A status that this client does not know, or a known one whose fields make no sense.
    Unknown {
        /// The status word, cut to a length fit for a log.
        status: String,
    },
}

/// What the sign-in asks the user for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoRequest {
    /// Intuned's id of the request.
    pub id: String,
    /// What to show, in the words of the Intuned project.
    pub message: String,
    /// What kind of answer is due.
    pub question: Question,
}

/// What kind of answer is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A one-time passcode.
    Otp,
    /// One of these, word for word.
    Choice(Vec<String>),
}

/// Why Intuned says that something came to nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamFailure {
    /// The generation 1 `error` text, or the later generations' `error.code` or `reason.type`, where sent.
    pub code: Option<String>,
    /// The later generations' `error.category`, where sent.
    pub category: Option<String>,
    /// What the later generations say of trying again, where they do. They spell it `retirable` and
    /// `retriable`; of two that differ, the one that says no counts.
    pub retryable: Option<bool>,
    /// The later generations' correlation id, for Intuned's support: where sent, and of the shape of one.
    pub reference: Option<String>,
    /// Intuned's words. They may repeat what the user typed: for a decision, never for a log or a client.
    pub message: String,
}

impl UpstreamFailure {
    /// The code if it has the shape of one, and so is fit for a log: a generation 1 `error` may be
    /// any text.
    pub fn loggable_code(&self) -> Option<&str> {
        self.code.as_deref().filter(|code| is_word(code))
    }

    /// The category if it has the shape of one.
    pub fn loggable_category(&self) -> Option<&str> {
        self.category
            .as_deref()
            .filter(|category| is_word(category))
    }
}

/// Intuned's own codes are lower-case words with hyphens between them.
fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'))
}

impl fmt::Debug for UpstreamFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamFailure")
            .field("code", &self.loggable_code())
            .field("category", &self.loggable_category())
            .field("retryable", &self.retryable)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// Where an auth session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthSessionStatus {
    /// Being prepared.
    Pending,
    /// Fit for runs.
    Ready,
    /// The user must sign in again.
    Expired,
}
