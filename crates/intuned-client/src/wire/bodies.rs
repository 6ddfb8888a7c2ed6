//! What is sent.

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Serialize, Serializer};

use crate::IntunedError;

/// The body of `create.start`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateBody<'a> {
    pub(crate) id: &'a str,
    pub(crate) parameters: Credentials<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<Exposed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) save_trace: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) create_attempts: Option<u32>,
}

/// What the project's sign-in takes.
#[derive(Serialize)]
pub(crate) struct Credentials<'a> {
    pub(crate) username: Exposed<'a>,
    pub(crate) password: Exposed<'a>,
}

/// The body of `create.resume`: the one call whose field is in snake case.
#[derive(Serialize)]
pub(crate) struct ResumeBody<'a> {
    pub(crate) input: Exposed<'a>,
    pub(crate) info_request_id: &'a str,
}

/// The body of `run.sync` and `run.start`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunBody<'a> {
    pub(crate) api: &'a str,
    pub(crate) parameters: NoParameters,
    pub(crate) retry: Retry,
    pub(crate) auth_session: SessionRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) save_trace: Option<bool>,
}

/// `{}`
#[derive(Serialize)]
pub(crate) struct NoParameters {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Retry {
    pub(crate) maximum_attempts: u32,
}

#[derive(Serialize)]
pub(crate) struct SessionRef<'a> {
    pub(crate) id: &'a str,
}

/// A secret on its way into a body: the one place where secrets are serialized.
pub(crate) struct Exposed<'a>(pub(crate) &'a SecretString);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// Writes a body into memory that is wiped once it has been sent. The length is counted first, for a
/// buffer that grew would leave its earlier halves behind.
pub(crate) fn sealed(body: &impl Serialize) -> Result<Bytes, IntunedError> {
    let write = || {
        let mut length = Length(0);
        serde_json::to_writer(&mut length, body)?;
        let mut buffer = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *buffer, body)?;
        Ok(Bytes::from_owner(buffer))
    };
    // Strings and numbers can always be written as JSON.
    write().map_err(|_: serde_json::Error| IntunedError::Refused { status: 400 })
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
