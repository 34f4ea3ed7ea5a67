//! An HTTP answer turned into what was asked for, or into the error it is.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::call::{Call, CallPage, Placed, RateLimit};
use super::error::{ApiError, Detail, Foreign, Limited, fit_for_a_log};

/// Most bytes read of an answer that holds one call.
pub const CALL_LIMIT: usize = 64 * 1024;

/// Most bytes read of an answer that holds a list of up to 200 calls.
pub const LIST_LIMIT: usize = 1024 * 1024;

/// An answer as it came off the wire.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The headers that say something to us.
    pub headers: Headers<'a>,
    /// The body, as far as it was read.
    pub body: Body<'a>,
}

/// The headers that say something to us, as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `Retry-After`, in seconds.
    pub retry_after: Option<&'a str>,
    /// `X-RateLimit-Limit`.
    pub limit: Option<&'a str>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<&'a str>,
    /// `X-RateLimit-Reset`.
    pub reset: Option<&'a str>,
    /// `Location`.
    pub location: Option<&'a str>,
}

/// A body, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The connection ended before the body did.
    Truncated,
    /// It was longer than `limit` bytes; reading stopped there.
    Oversized {
        /// The most that would have been read.
        limit: usize,
    },
}

/// Reads the answer to place-call.
///
/// # Errors
/// Any but those of the transport.
pub fn read_placed(answer: &Answer<'_>) -> Result<Placed, ApiError> {
    let mut value: Value = json(answer)?;
    let quota = value
        .as_object_mut()
        .and_then(|object| object.remove("rate_limit"));
    let rate_limit = quota.and_then(|quota| serde_json::from_value::<RateLimit>(quota).ok());
    let call = serde_json::from_value(value).map_err(|why| unreadable(&why))?;
    Ok(Placed { call, rate_limit })
}

/// Reads the answer to get-call.
///
/// # Errors
/// Any but those of the transport.
pub fn read_call(answer: &Answer<'_>) -> Result<Call, ApiError> {
    json(answer)
}

/// Reads the answer to a hang-up: the call. A service without the route
/// answers 405, or 404 with the words its router has for every unknown path.
///
/// # Errors
/// Any but those of the transport.
pub fn read_hang_up(answer: &Answer<'_>) -> Result<Call, ApiError> {
    match read_call(answer) {
        Err(ApiError::Rejected { status: 405, .. }) => Err(ApiError::Unsupported),
        Err(ApiError::NotTheService {
            status: 404 | 405, ..
        }) => Err(ApiError::Unsupported),
        Err(ApiError::NotFound(detail)) if detail.as_str() == "Not Found" => {
            Err(ApiError::Unsupported)
        }
        other => other,
    }
}

/// Reads the answer to list-calls. The API document does not show its shape:
/// the vendor's SDK reads a bare array, and an array under `calls`, `items` or
/// `data` is taken as well.
///
/// # Errors
/// Any but those of the transport.
pub fn read_page(answer: &Answer<'_>) -> Result<CallPage, ApiError> {
    let entries = match json(answer)? {
        Value::Array(entries) => entries,
        Value::Object(mut object) => ["calls", "items", "data"]
            .iter()
            .find_map(|key| match object.remove(*key) {
                Some(Value::Array(entries)) => Some(entries),
                _ => None,
            })
            .ok_or_else(|| ApiError::Unreadable("there is no list of calls in it".to_owned()))?,
        _ => {
            return Err(ApiError::Unreadable(
                "there is no list of calls in it".to_owned(),
            ));
        }
    };
    let count = entries.len();
    let read = |entry| serde_json::from_value(entry).ok();
    let calls: Vec<Call> = entries.into_iter().filter_map(read).collect();
    let unreadable = count - calls.len();
    Ok(CallPage { calls, unreadable })
}

/// Reads a `Date` header (RFC 9110 §5.6.7).
#[must_use]
pub fn read_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

/// The JSON of an answer with a good status.
fn json<T: DeserializeOwned>(answer: &Answer<'_>) -> Result<T, ApiError> {
    if !(200..300).contains(&answer.status) {
        return Err(refusal(answer));
    }
    let body = match answer.body {
        Body::Whole(body) => body,
        Body::Truncated => return Err(ApiError::Truncated),
        Body::Oversized { limit } => return Err(ApiError::Oversized { limit }),
    };
    let foreign = look_at(body);
    if foreign != Foreign::Json {
        return Err(ApiError::NotJson(foreign));
    }
    serde_json::from_slice(body).map_err(|why| match why.classify() {
        serde_json::error::Category::Eof => ApiError::Truncated,
        serde_json::error::Category::Data => unreadable(&why),
        _ => ApiError::NotJson(Foreign::Other),
    })
}

/// The error that a status outside 200 to 299 stands for.
fn refusal(answer: &Answer<'_>) -> ApiError {
    let status = answer.status;
    if (300..400).contains(&status) {
        let to = answer.headers.location.and_then(host_of);
        return ApiError::Redirected { status, to };
    }
    let (said, what) = match answer.body {
        Body::Whole(body) => (Detail::read_all(body), look_at(body)),
        Body::Truncated => (None, Foreign::Truncated),
        Body::Oversized { .. } => (None, Foreign::Oversized),
    };
    if status == 429 {
        return ApiError::Limited(limited(&answer.headers, said));
    }
    let Some(said) = said else {
        return ApiError::NotTheService { status, what };
    };
    if status == 422 {
        return ApiError::Invalid(said);
    }
    let detail = Detail::join(&said);
    match status {
        400 => ApiError::NotActive(detail),
        401 => ApiError::Key(detail),
        403 => ApiError::NotYours(detail),
        404 => ApiError::NotFound(detail),
        409 => ApiError::Conflict(detail),
        502 => ApiError::CarrierFailed(detail),
        500.. => ApiError::Server { status, detail },
        _ => ApiError::Rejected { status, detail },
    }
}

fn limited(headers: &Headers<'_>, said: Option<Vec<Detail>>) -> Limited {
    let number = |text: Option<&str>| text?.trim().parse::<u64>().ok();
    Limited {
        detail: said.map(|said| Detail::join(&said)),
        retry_after: number(headers.retry_after).map(Duration::from_secs),
        limit: number(headers.limit),
        remaining: number(headers.remaining),
        reset: number(headers.reset),
    }
}

/// What a body is, by its first visible byte.
fn look_at(body: &[u8]) -> Foreign {
    match body.trim_ascii_start().first() {
        None => Foreign::Empty,
        Some(b'<') => Foreign::Html,
        Some(b'{' | b'[') => Foreign::Json,
        Some(_) => Foreign::Other,
    }
}

/// The host of an absolute URL, fit for a message.
fn host_of(location: &str) -> Option<String> {
    let (_, rest) = location.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    (!host.is_empty()).then(|| {
        host.chars()
            .filter(|c| c.is_ascii_graphic())
            .take(100)
            .collect()
    })
}

fn unreadable(why: &serde_json::Error) -> ApiError {
    ApiError::Unreadable(fit_for_a_log(&why.to_string()))
}
