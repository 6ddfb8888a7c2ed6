//! Content negotiation: the media types of request bodies and of responses.

use axum::http::{HeaderMap, HeaderValue, header};
use mime::Mime;

/// Media type of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`: 200 for every well-formed request, even one whose query is invalid.
    Json,
    /// `application/graphql-response+json`: the status tells whether the query was executed.
    GraphqlResponse,
    /// `text/event-stream`.
    EventStream,
    /// `multipart/mixed` of Apollo's subscription protocol.
    Multipart,
}

impl Media {
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
            Self::Multipart => r#"multipart/mixed;boundary="graphql";subscriptionSpec="1.0""#,
        })
    }

    fn is_stream(self) -> bool {
        matches!(self, Self::EventStream | Self::Multipart)
    }

    fn matching(range: &Mime) -> Option<Self> {
        match range.essence_str() {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "application/graphql-response+json" => Some(Self::GraphqlResponse),
            "text/event-stream" => Some(Self::EventStream),
            "multipart/mixed" => range
                .get_param("subscriptionSpec")
                .filter(|version| version.as_str() == "1.0")
                .map(|_| Self::Multipart),
            _ => None,
        }
    }
}

/// Media types that the client accepts, in order of preference; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Accepted(Vec<Media>);

impl Accepted {
    /// Reads the `Accept` header; none when nothing is acceptable. No header means JSON.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut ranges: Vec<(Media, f32)> = Vec::new();
        let values = headers.get_all(header::ACCEPT);
        if values.iter().next().is_none() {
            return Some(Self(vec![Media::Json]));
        }
        for range in values.iter().filter_map(|value| value.to_str().ok()) {
            let parsed = range
                .split(',')
                .filter_map(|range| range.trim().parse().ok());
            ranges.extend(parsed.filter_map(|range: Mime| {
                let weight = range
                    .get_param("q")
                    .map_or(Some(1.0), |q| q.as_str().parse().ok());
                Media::matching(&range)
                    .filter(|_| is_utf8(&range))
                    .zip(weight)
            }));
        }
        ranges.retain(|(_, weight)| *weight > 0.0);
        ranges.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let media: Vec<Media> = ranges.into_iter().map(|(media, _)| media).collect();
        (!media.is_empty()).then_some(Self(media))
    }

    /// Returns the preferred media type of a single result. Multipart is for subscriptions alone.
    pub(crate) fn best(&self) -> Media {
        let best = self.0.iter().find(|media| **media != Media::Multipart);
        best.copied().unwrap_or(Media::Json)
    }

    /// Returns the preferred type of JSON.
    ///
    /// Clients that accept nothing but event streams read errors by their status.
    pub(crate) fn json(&self) -> Media {
        let json = self.0.iter().find(|media| !media.is_stream());
        json.copied().unwrap_or(Media::GraphqlResponse)
    }

    /// Tells whether the client accepts no JSON at all.
    pub(crate) fn only_streams(&self) -> bool {
        self.0.iter().all(|media| media.is_stream())
    }

    /// Returns the preferred media type of a stream of results.
    pub(crate) fn stream(&self) -> Option<Media> {
        self.0.iter().copied().find(|media| media.is_stream())
    }
}

/// Tells whether the body is declared as JSON.
///
/// Other types are refused: pages of other origins can send them without a preflight.
pub(crate) fn is_json_body(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    if value.is_some_and(|value| value == "application/json") {
        return true;
    }
    let media = value.and_then(|value| value.to_str().ok()?.parse::<Mime>().ok());
    media.is_some_and(|media| media.essence_str() == "application/json" && is_utf8(&media))
}

/// Tells whether the body is sent without a content coding.
pub(crate) fn is_plain_body(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    codings.iter().all(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    })
}

fn is_utf8(media: &Mime) -> bool {
    media
        .get_param(mime::CHARSET)
        .is_none_or(|charset| charset == mime::UTF_8)
}
