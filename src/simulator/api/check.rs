//! What is wrong with a request: bodies, parameters and the pages of lists.
//!
//! Called by the API before it does anything. The answers have the shape of a
//! FastAPI service: 422, with a list that says where and why.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use hyper::Uri;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{Reply, Request};
use crate::simulator::State;
use crate::simulator::config::ApiKey;
use crate::simulator::exchange::Call;

/// Longest URL that is taken.
const URL_MAX: usize = 2048;
/// What a URL for media is to be.
pub(super) const MEDIA_URL: &str = "wss:// (here also ws:// to a loopback address)";

/// Which part of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    limit: usize,
    offset: usize,
    blocked: Option<bool>,
    created: Created,
}

impl Page {
    pub(super) fn of(query: Option<&str>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let page = Self {
            limit: problems.count(query, "limit", 1..=200, 50),
            offset: problems.count(query, "offset", 0..=i64::MAX, 0),
            blocked: problems.flag(query, "is_blocked"),
            created: Created::of(query, &mut problems),
        };
        if problems.is_empty() {
            Ok(page)
        } else {
            Err(problems)
        }
    }

    /// The calls on this page, newest first.
    pub(super) fn of_calls(
        &self,
        state: &State,
        key: &ApiKey,
        theirs: impl Fn(&Call) -> bool,
    ) -> Reply {
        let calls = state.exchange.calls().iter().rev();
        let page = calls
            .filter(|call| theirs(call))
            .filter(|call| !(call.blocked && key.identity.is_some()))
            .filter(|call| self.blocked.is_none_or(|blocked| blocked == call.blocked))
            .filter(|call| self.created.holds(call.created_at))
            .skip(self.offset)
            .take(self.limit)
            .map(Call::json);
        Reply::ok(page.collect())
    }
}

/// When the calls of a list were created: from, and up to but without.
#[derive(Debug)]
struct Created {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Created {
    /// Days are whole and both included; what names no zone is in `tz`, or UTC.
    fn of(query: Option<&str>, problems: &mut Problems) -> Self {
        let zone = match parameter(query, "tz") {
            // Needs no data of the system's.
            None => TimeZone::UTC,
            Some(name) if name.eq_ignore_ascii_case("UTC") => TimeZone::UTC,
            Some(name) => TimeZone::get(&name).unwrap_or_else(|_| {
                let why = "Value error, not the name of a time zone";
                problems.add("value_error", &["query", "tz"], why);
                TimeZone::UTC
            }),
        };
        let mut bound = |name, whole_day| {
            let text = parameter(query, name)?;
            let at = moment(&text, &zone, whole_day);
            if at.is_none() {
                let why = "Input should be a valid datetime or date";
                problems.add("datetime_from_date_parsing", &["query", name], why);
            }
            at
        };
        Self {
            from: bound("start_datetime", false),
            until: bound("end_datetime", true),
        }
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// A day (its end with `whole_day`), or a moment with or without a zone.
fn moment(text: &str, zone: &TimeZone, whole_day: bool) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let local = match text.parse::<Date>() {
        Ok(day) if text.len() == "2026-07-01".len() => {
            let day = if whole_day {
                day.checked_add(1.day()).ok()?
            } else {
                day
            };
            day.at(0, 0, 0, 0)
        }
        _ => text.parse::<DateTime>().ok()?,
    };
    zone.to_timestamp(local).ok()
}

/// The first value of a query parameter, its escapes undone.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(unescaped(value))
}

/// `%41` and `+` become what they stand for (WHATWG URL, §5.1). An escape that
/// is none stays as it is.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, used) = match (first, code) {
            (b'%', Some(code)) => (code, 3),
            (b'+', _) => (b' ', 1),
            (other, _) => (*other, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The identity a request is about: the key's own, or for an admin key the one
/// it names in `place`.
pub(super) fn identity(key: &ApiKey, asked: Option<&str>, place: &str) -> Result<String, Reply> {
    let mut problems = Problems::default();
    let place = [place, "agent_identity_id"];
    let identity = match (&key.identity, asked) {
        (Some(own), _) => own.clone(),
        (None, Some(asked)) => {
            problems.uuid(asked, &place);
            asked.to_ascii_lowercase()
        }
        (None, None) => {
            let why = "agent_identity_id is required with an admin key";
            problems.add("missing", &place, why);
            String::new()
        }
    };
    if problems.is_empty() {
        Ok(identity)
    } else {
        Err(problems.reply())
    }
}

/// The body of a request, which is to be a JSON object.
pub(super) fn body(request: &Request) -> Result<Value, Problems> {
    let wrong = |kind: &str, why: &str| {
        let mut problems = Problems::default();
        problems.add(kind, &["body"], why);
        Err(problems)
    };
    let kind = request.headers.get(hyper::header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(_) if !is_json => wrong(
            "model_attributes_type",
            "Content-Type must be application/json",
        ),
        Ok(body) if body.is_object() => Ok(body),
        Ok(_) => wrong("model_attributes_type", "Input should be an object"),
        Err(error) => wrong("json_invalid", &format!("JSON decode error: {error}")),
    }
}

/// What is wrong with a request: the `detail` of a 422.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Value>);

impl Problems {
    /// The refusal for a single one.
    pub(super) fn one(kind: &str, place: &[&str], message: &str) -> Reply {
        let mut problems = Self::default();
        problems.add(kind, place, message);
        problems.reply()
    }

    pub(super) fn add(&mut self, kind: &str, place: &[&str], message: &str) {
        self.0
            .push(json!({"type": kind, "loc": place, "msg": message}));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn reply(self) -> Reply {
        Reply::error(422, self.0)
    }

    /// An id in the path, which is to be a UUID.
    pub(super) fn path_id<'a>(&mut self, text: &'a str, name: &str) -> &'a str {
        self.uuid(text, &["path", name]);
        text
    }

    fn count(
        &mut self,
        query: Option<&str>,
        name: &str,
        range: RangeInclusive<i64>,
        default: usize,
    ) -> usize {
        let Some(text) = parameter(query, name) else {
            return default;
        };
        let (kind, why) = match text.parse::<i64>() {
            Ok(n) if range.contains(&n) => return usize::try_from(n).unwrap_or(default),
            Ok(n) if n < *range.start() => {
                let why = format!("Input should be greater than or equal to {}", range.start());
                ("greater_than_equal", why)
            }
            Ok(_) => {
                let why = format!("Input should be less than or equal to {}", range.end());
                ("less_than_equal", why)
            }
            Err(_) => ("int_parsing", "Input should be a valid integer".to_owned()),
        };
        self.add(kind, &["query", name], &why);
        default
    }

    fn flag(&mut self, query: Option<&str>, name: &str) -> Option<bool> {
        match parameter(query, name)?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => {
                let why = "Input should be a valid boolean";
                self.add("bool_parsing", &["query", name], why);
                None
            }
        }
    }

    /// One of a few words; `None` when it is not there.
    pub(super) fn choice<'a>(
        &mut self,
        body: &'a Value,
        name: &str,
        words: &[&str],
    ) -> Option<&'a str> {
        let value = body.get(name)?;
        match value.as_str().filter(|word| words.contains(word)) {
            Some(word) => Some(word),
            None => {
                let why = format!("Input should be one of: {}", words.join(", "));
                self.add("enum", &["body", name], &why);
                None
            }
        }
    }

    fn uuid(&mut self, text: &str, place: &[&str]) {
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(place, byte)| match place {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !well_formed {
            self.add("uuid_parsing", place, "Input should be a valid UUID");
        }
    }

    pub(super) fn number(&mut self, body: &Value, name: &str) -> Option<String> {
        let place = ["body", name];
        match &body[name] {
            Value::Null => self.add("missing", &place, "Field required"),
            Value::String(text) if is_e164(text) => return Some(text.clone()),
            Value::String(_) => {
                let why = "Value error, number must be in E.164 format";
                self.add("value_error", &place, why);
            }
            _ => self.add("string_type", &place, "Input should be a valid string"),
        }
        None
    }

    /// A URL, or `null` to have none; `None` when it is not there or wrong.
    pub(super) fn url(
        &mut self,
        body: &Value,
        name: &str,
        is_good: impl Fn(&str) -> bool,
        want: &str,
    ) -> Option<Option<String>> {
        let place = ["body", name];
        match body.get(name)? {
            Value::Null => return Some(None),
            Value::String(text) if is_good(text) => return Some(Some(text.clone())),
            Value::String(_) => {
                let why = format!("Value error, URL must be {want}");
                self.add("value_error", &place, &why);
            }
            _ => self.add("string_type", &place, "Input should be a valid string"),
        }
        None
    }
}

/// `+`, then 2 to 15 digits, the first not 0 (ITU-T E.164 §6).
fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// `wss://`, or `ws://` that stays on this machine.
pub(super) fn is_media_url(text: &str) -> bool {
    let Some(uri) = text.parse::<Uri>().ok().filter(|_| text.len() <= URL_MAX) else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match uri.scheme_str() {
        Some("wss") => !host.is_empty(),
        Some("ws") => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
        }
        _ => false,
    }
}

/// `https://`, somewhere.
pub(super) fn is_webhook_url(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok().filter(|_| text.len() <= URL_MAX);
    uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_urls_leave_the_machine_only_in_tls() {
        for good in [
            "wss://box.example/m/1",
            "wss://[2001:db8::1]:8443/",
            "ws://127.0.0.1:9/x",
            "ws://[::1]:9/x",
            "ws://localhost/x",
        ] {
            assert!(is_media_url(good), "{good}");
        }
        for bad in [
            "",
            "x",
            "ws://box.example/",
            "https://box.example/",
            "wss://",
            "ws://10.0.0.1/",
        ] {
            assert!(!is_media_url(bad), "{bad}");
        }
    }

    #[test]
    fn numbers_are_e164() {
        assert!(is_e164("+4930123456"));
        for bad in ["", "+", "+0123", "4930", "+49 30", "+1234567890123456"] {
            assert!(!is_e164(bad), "{bad}");
        }
    }

    #[test]
    fn days_are_whole_and_moments_exact() {
        let utc = TimeZone::UTC;
        // Named zones need the system's data, which a test machine may lack.
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let cases = [
            ("2026-07-01", &utc, false, "2026-07-01T00:00:00Z"),
            ("2026-07-01", &utc, true, "2026-07-02T00:00:00Z"),
            ("2026-07-01", &berlin, false, "2026-06-30T22:00:00Z"),
            ("2026-07-01T12:00:00", &berlin, true, "2026-07-01T10:00:00Z"),
            (
                "2026-07-01T12:00:00Z",
                &berlin,
                true,
                "2026-07-01T12:00:00Z",
            ),
            (
                "2026-07-01T12:00:00+02:00",
                &utc,
                false,
                "2026-07-01T10:00:00Z",
            ),
        ];
        for (text, zone, end, want) in cases {
            let want: Timestamp = want.parse().unwrap();
            assert_eq!(moment(text, zone, end), Some(want), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01", "2026-07"] {
            assert_eq!(moment(bad, &utc, false), None, "{bad}");
        }
    }

    #[test]
    fn escapes_are_undone_and_nonsense_stays() {
        for (text, want) in [
            ("plain", "plain"),
            ("a%20b+c", "a b c"),
            ("%2B49", "+49"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%C3%A4", "ä"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(unescaped(text), want, "{text}");
        }
        assert_eq!(parameter(Some("a=1&b=2&b=3"), "b").as_deref(), Some("2"));
        assert_eq!(parameter(Some("bb=2"), "b"), None);
    }
}
