//! What the service answers: one request in, one reply out.
//!
//! Called by `http` for every request whose body has been read. It decides by
//! the document of the API (`calls-api.txt`) and, where that is silent, as a
//! FastAPI service does: 404 and 405 before the key, the key before the
//! contents, 422 with a list of what is wrong.

use std::net::IpAddr;

use hyper::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::config::{Answer, ApiKey, Route};
use super::event::What;
use super::exchange::{Call, Direction, Status, Usage};
use super::{Command, Shared, State, new_id};

/// Longest URL that is taken for a call's media.
const URL_MAX: usize = 2048;

/// A reply to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    /// A call that begins with this reply.
    pub(super) placed: Option<String>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body,
            placed: None,
        }
    }

    /// An error: `{"detail": …}`.
    pub(super) fn error(status: u16, detail: impl Into<Value>) -> Self {
        Self {
            status,
            ..Self::ok(json!({"detail": detail.into()}))
        }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What a path names.
#[derive(Debug, PartialEq)]
pub(super) enum Endpoint<'a> {
    Place,
    List { number: &'a str },
    Get { number: &'a str, call: &'a str },
    ListAll,
    GetAny { call: &'a str },
    HangUp { call: &'a str },
}

impl<'a> Endpoint<'a> {
    /// `None` for a path the service does not have.
    pub(super) fn of(base_path: &str, path: &'a str) -> Option<Self> {
        let path = path.strip_prefix(base_path)?;
        let parts: Vec<_> = path.split('/').collect();
        match parts[..] {
            ["", "place-call"] => Some(Self::Place),
            ["", "numbers", number, "calls"] => Some(Self::List { number }),
            ["", "numbers", number, "calls", call] => Some(Self::Get { number, call }),
            ["", "calls"] => Some(Self::ListAll),
            ["", "calls", call] => Some(Self::GetAny { call }),
            ["", "calls", call, "hangup"] => Some(Self::HangUp { call }),
            _ => None,
        }
    }

    pub(super) fn route(&self) -> Route {
        match self {
            Self::Place => Route::Place,
            Self::List { .. } | Self::ListAll => Route::List,
            Self::Get { .. } | Self::GetAny { .. } => Route::Get,
            Self::HangUp { .. } => Route::HangUp,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Place | Self::HangUp { .. } => Method::POST,
            _ => Method::GET,
        }
    }
}

/// A request whose body has been read.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Answers a request, and does what it asks.
pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    let Some(endpoint) = Endpoint::of(&shared.base_path, request.uri.path()) else {
        return Reply::error(404, "Not Found");
    };
    if matches!(endpoint, Endpoint::HangUp { .. }) && !shared.service.hangup_by_rest {
        return Reply::error(404, "Not Found");
    }
    if request.method != endpoint.method() {
        return Reply::error(405, "Method Not Allowed").with("allow", endpoint.method());
    }
    let key = {
        let state = shared.state();
        let secret = request.headers.get("x-api-key");
        let secret = secret.and_then(|secret| secret.to_str().ok());
        secret.and_then(|secret| state.exchange.key(secret).cloned())
    };
    let Some(key) = key else {
        return Reply::error(401, "Invalid or missing API key");
    };
    match endpoint {
        Endpoint::Place => place(shared, &key, request),
        Endpoint::List { number } => list(shared, &key, number, request.uri.query()),
        Endpoint::ListAll => list_all(shared, &key, request.uri.query()),
        Endpoint::Get { number, call } => get(shared, &key, Some(number), call),
        Endpoint::GetAny { call } => get(shared, &key, None, call),
        Endpoint::HangUp { call } => hang_up(shared, &key, call),
    }
}

// Place call.

/// A body of place-call that is well formed.
#[derive(Debug)]
struct Placement {
    from: String,
    to: String,
    url: Option<String>,
}

fn place(shared: &Shared, key: &ApiKey, request: &Request) -> Reply {
    let asked = match placement(request) {
        Ok(asked) => asked,
        Err(problems) => return problems.reply(),
    };
    let now = shared.now();
    let mut state = shared.state();
    let number = state.exchange.number_called(&asked.from).cloned();
    let Some(number) = number.filter(|number| sees(key, number)) else {
        return Reply::error(403, "from_number does not belong to your organization");
    };
    if !number.active {
        return Reply::error(400, "from_number is not active");
    }
    let Some(url) = asked.url.or(number.client_websocket_url) else {
        let mut problems = Problems::default();
        let why = "client_websocket_url is required: the number has none of its own";
        problems.add("value_error", &["body", "client_websocket_url"], why);
        return problems.reply();
    };
    let usage = state.exchange.usage(&number.organization, now);
    if let Some(until) = usage.exceeded_until() {
        return limited(&usage, until, now);
    }
    let call = Call {
        id: new_id(),
        number_id: number.id,
        local: number.number,
        remote: asked.to,
        direction: Direction::Outbound,
        status: Status::Initiated,
        url: Some(url),
        use_inkbox_tts: None,
        use_inkbox_stt: None,
        reason: None,
        started_at: None,
        ended_at: None,
        blocked: false,
        created_at: now,
        updated_at: now,
    };
    let dials = !refused_by_carrier(&state, &call.remote);
    state.exchange.enter(call.clone());
    let usage = state.exchange.usage(&number.organization, now);
    drop(state);

    shared.note(Some(&call.id), What::Status(Status::Initiated, None));
    if !dials {
        shared.advance(&call.id, Status::Failed, None);
        return Reply::error(502, "Carrier dial failed");
    }
    let mut body = call.json();
    body["rate_limit"] = usage.json();
    Reply {
        placed: Some(call.id),
        ..Reply::ok(body)
    }
}

fn refused_by_carrier(state: &State, to: &str) -> bool {
    let callee = state.callees.get(to).unwrap_or(&state.callee);
    callee.answer == Answer::DialFails
}

fn limited(usage: &Usage, until: Timestamp, now: Timestamp) -> Reply {
    // Whole seconds, and never too early.
    let wait = (until.as_millisecond() - now.as_millisecond() + 999) / 1000;
    let rate_limit = usage.json();
    let detail = json!({
        "error": "rate_limit_exceeded",
        "message": "Your organization has used its calls or minutes of the last 24 hours.",
        "rate_limit": rate_limit,
    });
    Reply::error(429, detail)
        .with("retry-after", wait)
        .with("x-ratelimit-limit", &rate_limit["calls_limit"])
        .with("x-ratelimit-remaining", &rate_limit["calls_remaining"])
        .with("x-ratelimit-reset", now.as_second() + wait)
}

fn placement(request: &Request) -> Result<Placement, Problems> {
    let mut problems = Problems::default();
    let kind = request.headers.get(hyper::header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) if is_json => body,
        Ok(_) => {
            let why = "Content-Type must be application/json";
            problems.add("model_attributes_type", &["body"], why);
            return Err(problems);
        }
        Err(error) => {
            problems.add(
                "json_invalid",
                &["body"],
                &format!("JSON decode error: {error}"),
            );
            return Err(problems);
        }
    };
    if !body.is_object() {
        problems.add(
            "model_attributes_type",
            &["body"],
            "Input should be an object",
        );
        return Err(problems);
    }
    let from = problems.number(&body, "from_number");
    let to = problems.number(&body, "to_number");
    let url = problems.url(&body, "client_websocket_url");
    match (from, to, problems.0.is_empty()) {
        (Some(from), Some(to), true) => Ok(Placement { from, to, url }),
        _ => Err(problems),
    }
}

// List and get.

fn list(shared: &Shared, key: &ApiKey, number_id: &str, query: Option<&str>) -> Reply {
    let mut problems = Problems::default();
    problems.uuid(number_id, "phone_number_id");
    let page = Page::of(query, &mut problems);
    if !problems.0.is_empty() {
        return problems.reply();
    }
    let state = shared.state();
    let Some(number) = state.exchange.number(number_id) else {
        return Reply::error(404, "Phone number not found");
    };
    if !sees(key, number) {
        return Reply::error(403, "Phone number does not belong to your organization");
    }
    page.of_calls(&state, key, |call| call.number_id == number.id)
}

fn list_all(shared: &Shared, key: &ApiKey, query: Option<&str>) -> Reply {
    let mut problems = Problems::default();
    let page = Page::of(query, &mut problems);
    let asked = parameter(query, "agent_identity_id");
    if let Some(identity) = asked {
        problems.uuid(identity, "agent_identity_id");
    }
    let Some(identity) = key.identity.as_deref().or(asked) else {
        let why = "agent_identity_id is required with an admin key";
        problems.add("missing", &["query", "agent_identity_id"], why);
        return problems.reply();
    };
    if !problems.0.is_empty() {
        return problems.reply();
    }
    let state = shared.state();
    page.of_calls(&state, key, |call| {
        let number = state.exchange.number(&call.number_id);
        number
            .is_some_and(|number| sees(key, number) && number.identity.as_deref() == Some(identity))
    })
}

fn get(shared: &Shared, key: &ApiKey, number_id: Option<&str>, call_id: &str) -> Reply {
    let mut problems = Problems::default();
    if let Some(number_id) = number_id {
        problems.uuid(number_id, "phone_number_id");
    }
    problems.uuid(call_id, "call_id");
    if !problems.0.is_empty() {
        return problems.reply();
    }
    match visible(&shared.state(), key, number_id, call_id) {
        Ok(call) => Reply::ok(call.json()),
        Err((status, detail)) => Reply::error(status, detail),
    }
}

fn hang_up(shared: &Shared, key: &ApiKey, call_id: &str) -> Reply {
    let mut problems = Problems::default();
    problems.uuid(call_id, "call_id");
    if !problems.0.is_empty() {
        return problems.reply();
    }
    let call = match visible(&shared.state(), key, None, call_id) {
        Ok(call) => call,
        Err((status, detail)) => return Reply::error(status, detail),
    };
    let conflict =
        |error: &str, message: &str| Reply::error(409, json!({"error": error, "message": message}));
    if call.status.is_over() {
        return conflict("call_already_ended", "Call has already ended.");
    }
    if call.status == Status::Initiated || !shared.command(&call.id, Command::HangUp) {
        return conflict("call_not_live", "Call has no active carrier leg yet.");
    }
    Reply::ok(call.json())
}

/// The call, if the key may see it; otherwise the status and detail to refuse with.
fn visible(
    state: &State,
    key: &ApiKey,
    number_id: Option<&str>,
    call_id: &str,
) -> Result<Call, (u16, &'static str)> {
    let not_found = (404, "Call not found");
    let call = state.exchange.call(call_id).ok_or(not_found)?;
    let number = state.exchange.number(&call.number_id);
    if !number.is_some_and(|number| sees(key, number)) {
        return Err((403, "Call does not belong to your organization"));
    }
    let elsewhere = number_id.is_some_and(|id| !id.eq_ignore_ascii_case(&call.number_id));
    if elsewhere || call.blocked && key.identity.is_some() {
        return Err(not_found);
    }
    Ok(call.clone())
}

/// Whether calls of `number` are this key's business.
fn sees(key: &ApiKey, number: &super::Number) -> bool {
    key.organization == number.organization
        && (key.identity.is_none() || key.identity == number.identity)
}

/// Which part of a list is asked for.
#[derive(Debug)]
struct Page {
    limit: usize,
    offset: usize,
    blocked: Option<bool>,
}

impl Page {
    fn of(query: Option<&str>, problems: &mut Problems) -> Self {
        let number =
            |problems: &mut Problems, name, range: std::ops::RangeInclusive<i64>, default| {
                let Some(text) = parameter(query, name) else {
                    return default;
                };
                match text.parse::<i64>() {
                    Ok(n) if range.contains(&n) => usize::try_from(n).unwrap_or(default),
                    Ok(n) if n < *range.start() => {
                        let why =
                            format!("Input should be greater than or equal to {}", range.start());
                        problems.add("greater_than_equal", &["query", name], &why);
                        default
                    }
                    Ok(_) => {
                        let why = format!("Input should be less than or equal to {}", range.end());
                        problems.add("less_than_equal", &["query", name], &why);
                        default
                    }
                    Err(_) => {
                        let why = "Input should be a valid integer";
                        problems.add("int_parsing", &["query", name], why);
                        default
                    }
                }
            };
        let limit = number(problems, "limit", 1..=200, 50);
        let offset = number(problems, "offset", 0..=i64::MAX, 0);
        let blocked = parameter(query, "is_blocked").and_then(|text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
                "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
                _ => {
                    let why = "Input should be a valid boolean";
                    problems.add("bool_parsing", &["query", "is_blocked"], why);
                    None
                }
            }
        });
        Self {
            limit,
            offset,
            blocked,
        }
    }

    /// The calls on this page, newest first.
    fn of_calls(&self, state: &State, key: &ApiKey, theirs: impl Fn(&Call) -> bool) -> Reply {
        let calls = state.exchange.calls().iter().rev();
        let page = calls
            .filter(|call| theirs(call))
            .filter(|call| !(call.blocked && key.identity.is_some()))
            .filter(|call| self.blocked.is_none_or(|blocked| blocked == call.blocked))
            .skip(self.offset)
            .take(self.limit)
            .map(Call::json);
        Reply::ok(page.collect())
    }
}

/// The first value of a query parameter. None of ours needs escapes.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What is wrong with a request: the `detail` of a 422.
#[derive(Debug, Default)]
struct Problems(Vec<Value>);

impl Problems {
    fn add(&mut self, kind: &str, place: &[&str], message: &str) {
        self.0
            .push(json!({"type": kind, "loc": place, "msg": message}));
    }

    fn reply(self) -> Reply {
        Reply::error(422, self.0)
    }

    fn uuid(&mut self, text: &str, name: &str) {
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(place, byte)| match place {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !well_formed {
            let why = "Input should be a valid UUID";
            self.add("uuid_parsing", &["path", name], why);
        }
    }

    fn number(&mut self, body: &Value, name: &str) -> Option<String> {
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

    fn url(&mut self, body: &Value, name: &str) -> Option<String> {
        let place = ["body", name];
        match &body[name] {
            Value::Null => {}
            Value::String(text) if is_media_url(text) => return Some(text.clone()),
            Value::String(_) => {
                let why = "Value error, URL must be wss:// (here also ws:// to a loopback address)";
                self.add("value_error", &place, why);
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
fn is_media_url(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let of = |path| Endpoint::of("/api/v1/phone", path);
        let (number, call) = ("n", "c");
        assert_eq!(of("/api/v1/phone/place-call"), Some(Endpoint::Place));
        assert_eq!(
            of("/api/v1/phone/numbers/n/calls"),
            Some(Endpoint::List { number })
        );
        assert_eq!(
            of("/api/v1/phone/numbers/n/calls/c"),
            Some(Endpoint::Get { number, call })
        );
        assert_eq!(of("/api/v1/phone/calls"), Some(Endpoint::ListAll));
        assert_eq!(of("/api/v1/phone/calls/c"), Some(Endpoint::GetAny { call }));
        assert_eq!(
            of("/api/v1/phone/calls/c/hangup"),
            Some(Endpoint::HangUp { call })
        );
        for other in [
            "/",
            "/place-call",
            "/api/v1/phone",
            "/api/v1/phone/place-call/",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

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
}
