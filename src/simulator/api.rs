//! What the service answers: one request in, one reply out.
//!
//! Called by `http` for every request whose body has been read. It decides by
//! the document of the API (`calls-api.txt`) and, where that is silent, as a
//! FastAPI service does: 404 and 405 before the key, the key before the
//! contents, 422 with a list of what is wrong.

mod check;
mod numbers;

use hyper::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::config::{Answer, ApiKey, Route, Service};
use super::event::What;
use super::exchange::{Call, Direction, Status, Usage};
use super::{Begins, Command, OPENAPI, Shared, State, new_id};
use check::{MEDIA_URL, Page, Problems, is_media_url};

/// Where the document of this API is.
const DOCUMENT: &str = "/openapi.json";

/// A reply to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    /// A call that begins with this reply.
    pub(super) begins: Option<Box<Begins>>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body,
            begins: None,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    PlaceCall,
    NumberCalls,
    NumberCall,
    NumberTranscripts,
    Calls,
    Call,
    HangUp,
    Transcripts,
    Numbers,
    Number,
    IncomingAction,
}

/// Where ids are in a path, as the document writes it.
const NUMBER_ID: &str = "{phone_number_id}";
const CALL_ID: &str = "{call_id}";

/// Every path there is, and its methods.
const PATHS: [(&str, Resource, &[Method]); 11] = [
    ("/place-call", Resource::PlaceCall, &[Method::POST]),
    ("/numbers", Resource::Numbers, &[Method::GET]),
    (
        "/numbers/{phone_number_id}",
        Resource::Number,
        &[Method::GET, Method::PATCH],
    ),
    (
        "/numbers/{phone_number_id}/calls",
        Resource::NumberCalls,
        &[Method::GET],
    ),
    (
        "/numbers/{phone_number_id}/calls/{call_id}",
        Resource::NumberCall,
        &[Method::GET],
    ),
    (
        "/numbers/{phone_number_id}/calls/{call_id}/transcripts",
        Resource::NumberTranscripts,
        &[Method::GET],
    ),
    ("/calls", Resource::Calls, &[Method::GET]),
    ("/calls/{call_id}", Resource::Call, &[Method::GET]),
    ("/calls/{call_id}/hangup", Resource::HangUp, &[Method::POST]),
    (
        "/calls/{call_id}/transcripts",
        Resource::Transcripts,
        &[Method::GET],
    ),
    (
        "/incoming-call-action",
        Resource::IncomingAction,
        &[Method::GET, Method::PUT],
    ),
];

/// What a path names, with the ids in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Endpoint<'a> {
    resource: Resource,
    methods: &'static [Method],
    number: Option<&'a str>,
    call: Option<&'a str>,
}

impl<'a> Endpoint<'a> {
    /// `None` for a path the service does not have.
    pub(super) fn of(base_path: &str, path: &'a str) -> Option<Self> {
        let path = path.strip_prefix(base_path)?;
        PATHS.iter().find_map(|(template, resource, methods)| {
            let mut endpoint = Self {
                resource: *resource,
                methods,
                number: None,
                call: None,
            };
            endpoint.fit(template, path).then_some(endpoint)
        })
    }

    /// Whether `path` is one of these; takes the ids in it.
    fn fit(&mut self, template: &str, path: &'a str) -> bool {
        let mut parts = path.split('/');
        let alike = template.split('/').all(|want| match (want, parts.next()) {
            (_, None) => false,
            (NUMBER_ID, id) => {
                self.number = id;
                true
            }
            (CALL_ID, id) => {
                self.call = id;
                true
            }
            (want, Some(part)) => want == part,
        });
        alike && parts.next().is_none()
    }

    pub(super) fn route(&self, method: &Method) -> Route {
        match self.resource {
            Resource::PlaceCall => Route::Place,
            Resource::NumberCalls | Resource::Calls => Route::List,
            Resource::NumberCall | Resource::Call => Route::Get,
            Resource::HangUp => Route::HangUp,
            Resource::NumberTranscripts | Resource::Transcripts => Route::Transcripts,
            Resource::Number if *method == Method::PATCH => Route::UpdateNumber,
            Resource::Numbers | Resource::Number => Route::Numbers,
            Resource::IncomingAction => Route::IncomingAction,
        }
    }

    /// Whether this version of the service has it.
    fn exists(&self, service: &Service) -> bool {
        let newer = matches!(
            self.resource,
            Resource::Calls | Resource::Call | Resource::HangUp | Resource::Transcripts
        );
        let absent = match self.resource {
            Resource::HangUp => !service.hangup_by_rest,
            Resource::Transcripts | Resource::NumberTranscripts => !service.transcripts_by_rest,
            _ => false,
        };
        !absent && (service.newer_paths || !newer)
    }

    fn allows(&self) -> String {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        methods.join(", ")
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
    let path = request.uri.path();
    if path == DOCUMENT && request.method == Method::GET {
        return Reply::ok(document(&shared.base_path));
    }
    let endpoint = Endpoint::of(&shared.base_path, path);
    let Some(endpoint) = endpoint.filter(|endpoint| endpoint.exists(&shared.service)) else {
        return Reply::error(404, "Not Found");
    };
    if !endpoint.methods.contains(&request.method) {
        return Reply::error(405, "Method Not Allowed").with("allow", endpoint.allows());
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
    let mut problems = Problems::default();
    let number = endpoint.number;
    let number = number.map(|id| problems.path_id(id, "phone_number_id"));
    let call = endpoint.call.map(|id| problems.path_id(id, "call_id"));
    let asks = Asks {
        shared,
        key: &key,
        request,
        number: number.unwrap_or_default(),
        call: call.unwrap_or_default(),
    };
    let reply = match endpoint.resource {
        _ if !problems.is_empty() => Err(problems.reply()),
        Resource::PlaceCall => place(&asks),
        Resource::NumberCalls => list(&asks),
        Resource::Calls => list_all(&asks),
        Resource::NumberCall | Resource::Call => get(&asks),
        Resource::HangUp => hang_up(&asks),
        Resource::NumberTranscripts | Resource::Transcripts => transcripts(&asks),
        Resource::Numbers => Ok(numbers::list(&asks)),
        Resource::Number if request.method == Method::PATCH => numbers::update(&asks),
        Resource::Number => numbers::get(&asks),
        Resource::IncomingAction if request.method == Method::PUT => numbers::set_action(&asks),
        Resource::IncomingAction => numbers::action(&asks),
    };
    reply.unwrap_or_else(|refusal| refusal)
}

/// The description of this API, as it is served here.
fn document(base_path: &str) -> Value {
    let mut document: Value = serde_json::from_str(OPENAPI).expect("the document is JSON");
    document["servers"][0]["url"] = base_path.into();
    document
}

/// A request that is understood so far: by whom, and about what.
struct Asks<'a> {
    shared: &'a Shared,
    key: &'a ApiKey,
    request: &'a Request,
    /// The number's id in the path; empty where there is none.
    number: &'a str,
    /// The call's.
    call: &'a str,
}

/// The error is a reply, too: the refusal.
type Answered = Result<Reply, Reply>;

// Place call.

/// A body of place-call that is well formed.
#[derive(Debug)]
struct Placement {
    from: String,
    to: String,
    url: Option<String>,
    /// What the request says of voicemail.
    detects_voicemail: Option<bool>,
}

fn place(asks: &Asks<'_>) -> Answered {
    let shared = asks.shared;
    let asked = placement(asks.request).map_err(Problems::reply)?;
    let now = shared.now();
    let mut state = shared.state();
    let number = state.exchange.number_called(&asked.from).cloned();
    let Some(number) = number.filter(|number| sees(asks.key, number)) else {
        let why = "from_number does not belong to your organization";
        return Err(Reply::error(403, why));
    };
    if !number.active {
        return Err(Reply::error(400, "from_number is not active"));
    }
    let Some(url) = asked.url.or(number.client_websocket_url) else {
        let why = "client_websocket_url is required: the number has none of its own";
        return Err(Problems::one(
            "value_error",
            &["body", "client_websocket_url"],
            why,
        ));
    };
    let usage = state.exchange.usage(&number.organization, now);
    if let Some(until) = usage.exceeded_until() {
        return Err(limited(&usage, until, now));
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
        return Err(Reply::error(502, "Carrier dial failed"));
    }
    let mut body = call.json();
    body["rate_limit"] = usage.json();
    let detects = asked.detects_voicemail;
    Ok(Reply {
        begins: Some(Box::new(Begins {
            call: call.id,
            direction: Direction::Outbound,
            detects_voicemail: detects.unwrap_or(shared.service.voicemail_detection),
        })),
        ..Reply::ok(body)
    })
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
    let body = check::body(request)?;
    let mut problems = Problems::default();
    let from = problems.number(&body, "from_number");
    let to = problems.number(&body, "to_number");
    let url = problems.url(&body, "client_websocket_url", is_media_url, MEDIA_URL);
    let detection = problems.choice(&body, "voicemail_detection", &["enabled", "disabled"]);
    let voicemail = ["hang_up", "ignore", "leave_message"];
    let voicemail = problems.choice(&body, "on_voicemail", &voicemail);
    if voicemail == Some("leave_message") {
        let why = "Value error, only a call of mode hosted_agent leaves a message";
        problems.add("value_error", &["body", "on_voicemail"], why);
    }
    match (from, to, problems.is_empty()) {
        (Some(from), Some(to), true) => Ok(Placement {
            from,
            to,
            url: url.flatten(),
            detects_voicemail: match (voicemail, detection) {
                (Some(on_voicemail), _) => Some(on_voicemail == "hang_up"),
                (None, detection) => detection.map(|detection| detection == "enabled"),
            },
        }),
        _ => Err(problems),
    }
}

// List and get.

fn list(asks: &Asks<'_>) -> Answered {
    let page = Page::of(asks.request.uri.query()).map_err(Problems::reply)?;
    let state = asks.shared.state();
    let id = &numbers::visible(&state, asks)?.number.id;
    Ok(page.of_calls(&state, asks.key, |call| call.number_id == *id))
}

fn list_all(asks: &Asks<'_>) -> Answered {
    let query = asks.request.uri.query();
    let asked = check::parameter(query, "agent_identity_id");
    let identity = check::identity(asks.key, asked.as_deref(), "query")?;
    let page = Page::of(query).map_err(Problems::reply)?;
    let state = asks.shared.state();
    Ok(page.of_calls(&state, asks.key, |call| {
        let number = state.exchange.number(&call.number_id);
        number.is_some_and(|number| {
            sees(asks.key, number) && number.identity.as_ref() == Some(&identity)
        })
    }))
}

fn get(asks: &Asks<'_>) -> Answered {
    let call = visible(&asks.shared.state(), asks)?;
    Ok(Reply::ok(call.json()))
}

fn transcripts(asks: &Asks<'_>) -> Answered {
    let state = asks.shared.state();
    let call = visible(&state, asks)?;
    let segments = state.exchange.transcript(&call.id).iter();
    Ok(Reply::ok(segments.map(|s| s.json(&call.id)).collect()))
}

fn hang_up(asks: &Asks<'_>) -> Answered {
    let call = visible(&asks.shared.state(), asks)?;
    let conflict = |error: &str, message: &str| {
        Err(Reply::error(
            409,
            json!({"error": error, "message": message}),
        ))
    };
    if call.status.is_over() {
        return conflict("call_already_ended", "Call has already ended.");
    }
    if call.status == Status::Initiated || !asks.shared.command(&call.id, Command::HangUp) {
        return conflict("call_not_live", "Call has no active carrier leg yet.");
    }
    Ok(Reply::ok(call.json()))
}

/// The call in the path, if the key may see it.
fn visible(state: &State, asks: &Asks<'_>) -> Result<Call, Reply> {
    let not_found = || Reply::error(404, "Call not found");
    let call = state.exchange.call(asks.call).ok_or_else(not_found)?;
    let number = state.exchange.number(&call.number_id);
    if !number.is_some_and(|number| sees(asks.key, number)) {
        return Err(Reply::error(
            403,
            "Call does not belong to your organization",
        ));
    }
    let elsewhere = !asks.number.is_empty() && !asks.number.eq_ignore_ascii_case(&call.number_id);
    if elsewhere || call.blocked && asks.key.identity.is_some() {
        return Err(not_found());
    }
    Ok(call.clone())
}

/// Whether calls of `number` are this key's business.
fn sees(key: &ApiKey, number: &super::Number) -> bool {
    key.organization == number.organization
        && (key.identity.is_none() || key.identity == number.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        for (template, resource, _) in PATHS {
            let path = template.replace(NUMBER_ID, "n").replace(CALL_ID, "c");
            let path = format!("/api/v1/phone{path}");
            let endpoint = Endpoint::of("/api/v1/phone", &path).unwrap();
            assert_eq!(endpoint.resource, resource, "{path}");
            let number = template.contains(NUMBER_ID).then_some("n");
            let call = template.contains(CALL_ID).then_some("c");
            assert_eq!((endpoint.number, endpoint.call), (number, call), "{path}");
        }
        for other in [
            "/",
            "/place-call",
            "/api/v1/phone",
            "/api/v1/phone/place-call/",
            "/api/v1/phone/calls/c/hangup/now",
        ] {
            assert_eq!(Endpoint::of("/api/v1/phone", other), None, "{other}");
        }
    }

    /// A route that is not in the document does not exist, and the other way
    /// round.
    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let operations = operations.as_object().unwrap();
            let methods = operations.keys().filter(|key| *key != "parameters");
            described.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
        }
        let mut served: Vec<(String, String)> = Vec::new();
        for (path, _, methods) in PATHS {
            let methods = methods.iter();
            served.extend(methods.map(|method| (path.to_owned(), method.to_string())));
        }
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }
}
