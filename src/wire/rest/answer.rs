//! An HTTP answer turned into what was asked for, or into the error it is.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::call::{Call, CallPage, Placed, RateLimit};
use super::error::{ApiError, Detail, Foreign, Limited, fit_for_a_log};
use super::number::Number;
use super::request::PhoneNumberId;
use super::transcript::Segment;
use crate::units::CallId;

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

/// Reads the answer to get-call: the call with the id that was asked for.
///
/// # Errors
/// Any but those of the transport.
pub fn read_call(answer: &Answer<'_>, asked: &CallId) -> Result<Call, ApiError> {
    let call: Call = json(answer)?;
    match call.id == *asked {
        true => Ok(call),
        false => Err(ApiError::OtherThan("call")),
    }
}

/// Reads the answer to a hang-up: the call that was to end.
///
/// # Errors
/// Any but those of the transport; [`ApiError::Unsupported`] when the service
/// has no such route.
pub fn read_hang_up(answer: &Answer<'_>, asked: &CallId) -> Result<Call, ApiError> {
    read_call(answer, asked).map_err(without_route)
}

/// Reads the transcript of a call: the segments of the call asked for, in
/// their order. What cannot be read is left out, since each stands for itself.
///
/// # Errors
/// Any but those of the transport; [`ApiError::Unsupported`] when the service
/// has no such route.
pub fn read_transcript(answer: &Answer<'_>, asked: &CallId) -> Result<Vec<Segment>, ApiError> {
    let (segments, _) =
        list(answer, &["transcripts", "segments", "items", "data"]).map_err(without_route)?;
    let mut segments: Vec<Segment> = segments;
    if segments.iter().any(|segment| !segment.belongs_to(asked)) {
        return Err(ApiError::OtherThan("call"));
    }
    segments.sort_by_key(|segment| segment.seq);
    Ok(segments)
}

/// Reads the list of the account's numbers.
///
/// # Errors
/// Any but those of the transport.
pub fn read_numbers(answer: &Answer<'_>) -> Result<Vec<Number>, ApiError> {
    let (numbers, unreadable) = list(answer, &["numbers", "phone_numbers", "items", "data"])?;
    match (numbers.is_empty(), unreadable) {
        (true, 1..) => Err(ApiError::Unreadable(
            "no number in it can be read".to_owned(),
        )),
        _ => Ok(numbers),
    }
}

/// Reads one number, the one with the id that was asked for.
///
/// # Errors
/// Any but those of the transport.
pub fn read_number(answer: &Answer<'_>, asked: &PhoneNumberId) -> Result<Number, ApiError> {
    let number: Number = json(answer)?;
    match number.id == *asked {
        true => Ok(number),
        false => Err(ApiError::OtherThan("number")),
    }
}

/// A service without a route answers 405, or 404 with the words its router has
/// for every unknown path.
fn without_route(error: ApiError) -> ApiError {
    match error {
        ApiError::Rejected { status: 405, .. }
        | ApiError::NotTheService {
            status: 404 | 405, ..
        } => ApiError::Unsupported,
        ApiError::NotFound(detail) if detail.as_str() == "Not Found" => ApiError::Unsupported,
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
    let (calls, unreadable) = list(answer, &["calls", "items", "data"])?;
    Ok(CallPage { calls, unreadable })
}

/// The entries of a list that can be read, and how many cannot.
fn list<T: DeserializeOwned>(
    answer: &Answer<'_>,
    keys: &[&str],
) -> Result<(Vec<T>, usize), ApiError> {
    let none = || ApiError::Unreadable(format!("there is no list of {} in it", keys[0]));
    let entries = match json(answer)? {
        Value::Array(entries) => entries,
        Value::Object(mut object) => keys
            .iter()
            .find_map(|key| match object.remove(*key) {
                Some(Value::Array(entries)) => Some(entries),
                _ => None,
            })
            .ok_or_else(none)?,
        _ => return Err(none()),
    };
    let count = entries.len();
    let read = |entry| serde_json::from_value(entry).ok();
    let read: Vec<T> = entries.into_iter().filter_map(read).collect();
    let unreadable = count - read.len();
    Ok((read, unreadable))
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
