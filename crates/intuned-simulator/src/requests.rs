//! Validation of requests, and error responses.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use url::Url;

use super::{SimulatedGeneration, store::Unknown, task::NotAsked};

/// Error response.
pub(super) enum ErrorResponse {
    Invalid(&'static str),
    Unauthorized,
    NotFound,
    Conflict,
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, message),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::Conflict => (StatusCode::CONFLICT, "This information was not asked for"),
        };
        (status, Json(json!({"message": message}))).into_response()
    }
}

impl From<Unknown> for ErrorResponse {
    fn from(_: Unknown) -> Self {
        Self::NotFound
    }
}

impl From<NotAsked> for ErrorResponse {
    fn from(_: NotAsked) -> Self {
        Self::Conflict
    }
}

/// Body of `create.start` and `update.start`.
#[derive(Deserialize)]
struct SignInBody {
    id: Option<String>,
    parameters: Option<Credentials>,
    proxy: Option<SecretString>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Credentials {
    pub(super) username: SecretString,
    pub(super) password: SecretString,
}

#[derive(Deserialize)]
pub(super) struct ResumeBody {
    pub(super) input: SecretString,
    pub(super) info_request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunBody {
    pub(super) api: String,
    #[serde(rename = "parameters")]
    _parameters: Map<String, Value>,
    pub(super) auth_session: SessionRef,
}

#[derive(Deserialize)]
pub(super) struct SessionRef {
    pub(super) id: String,
}

/// Parses a body. The error does not repeat the input.
pub(super) fn read<T: DeserializeOwned>(
    body: &[u8],
    expected: &'static str,
) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|_| ErrorResponse::Invalid(expected))
}

pub(super) fn read_sign_in(
    generation: SimulatedGeneration,
    body: &[u8],
) -> Result<(Option<String>, Credentials), ErrorResponse> {
    let body: SignInBody = read(body, "Invalid body: id?, parameters, proxy?")?;
    if body.parameters.is_none() && generation == SimulatedGeneration::Two {
        return Err(ErrorResponse::Invalid("parameters is required"));
    }
    let is_id = |id: &String| {
        !id.is_empty()
            && id
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '-')
    };
    if !body.id.as_ref().is_none_or(is_id) {
        return Err(ErrorResponse::Invalid(
            "id may have letters, digits and hyphens",
        ));
    }
    let is_url = |proxy: &SecretString| Url::parse(proxy.expose_secret()).is_ok();
    if !body.proxy.as_ref().is_none_or(is_url) {
        return Err(ErrorResponse::Invalid("proxy is no URL"));
    }
    Ok((body.id, body.parameters.unwrap_or_default()))
}
