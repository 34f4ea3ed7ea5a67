//! What can go wrong with a request, named after what to do next.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::units::E164;

/// Everything but a good answer.
///
/// The variants that carry a [`Detail`] are the service's own word: its JSON
/// was there and was read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// 400. For place-call: `from_number` is not active.
    #[error(
        "the service refused the request: {0}. Check that from_number is an active number of \
         your organization"
    )]
    NotActive(Detail),
    /// 401.
    #[error("the service does not accept the API key: {0}. Put a valid key in the key file")]
    Key(Detail),
    /// 403.
    #[error(
        "the number or call belongs to another organization: {0}. Check from_number, \
         phone_number_id and which organization the API key is from"
    )]
    NotYours(Detail),
    /// 404.
    #[error(
        "the service does not know it: {0}. Check phone_number_id and the base URL; a call may \
         also have been removed"
    )]
    NotFound(Detail),
    /// 409. For hang-up: the call has ended, or has no live leg yet.
    #[error("not possible in the call's present state: {0}. Look the call up, then try again")]
    Conflict(Detail),
    /// 422: one message per field.
    #[error(
        "the service rejects what was sent: {}. If the configuration looks right, update callbox",
        Joined(.0)
    )]
    Invalid(Vec<Detail>),
    /// 429. Not retried by itself.
    #[error("{0}")]
    Limited(Limited),
    /// 502 in the service's own words: the carrier would not dial.
    #[error("the carrier did not dial: {0}. Check the number called, then press again")]
    CarrierFailed(Detail),
    /// Another status from 400 to 499, in the service's own words.
    #[error("the service refused the request with status {status}: {detail}. Update callbox")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// What the service said.
        detail: Detail,
    },
    /// Another status from 500 on, in the service's own words.
    #[error("the service has a fault (status {status}): {detail}. Try again in a minute")]
    Server {
        /// The HTTP status.
        status: u16,
        /// What the service said.
        detail: Detail,
    },
    /// A status outside 200 to 299 without the service's JSON: somebody
    /// between us and the service spoke, or the service's own gateway.
    #[error("status {status} came with {what} where the service sends JSON. {}", gateway(*.status))]
    NotTheService {
        /// The HTTP status.
        status: u16,
        /// What was in the body.
        what: Foreign,
    },
    /// 300 to 399. Never followed.
    #[error(
        "the answer sends us to {}, and redirects are not followed. Check the base URL; a guest \
         network's login page does this too",
        .to.as_deref().unwrap_or("another address")
    )]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// The host we were sent to.
        to: Option<String>,
    },
    /// 200 to 299 with something that is not JSON.
    #[error(
        "a good status came with {0} where the service sends JSON. Check the base URL, and that \
         no guest network's login page or filter answers in the service's place"
    )]
    NotJson(Foreign),
    /// JSON, but not what was asked for.
    #[error("the answer is JSON, but not what was asked for: {0}. Update callbox")]
    Unreadable(String),
    /// The answer ended too early.
    #[error("the answer broke off. Check the network, then try again")]
    Truncated,
    /// The answer was longer than we read.
    #[error(
        "the answer is longer than {limit} bytes and was not read. Check the base URL; ask for \
         fewer calls at once"
    )]
    Oversized {
        /// How much would have been read.
        limit: usize,
    },
    /// A good answer about something else than was asked for.
    #[error(
        "the answer is about another {0} than was asked for, and was not taken. Check that no \
         proxy or filter answers in the service's place"
    )]
    OtherThan(&'static str),
    /// `from_number` is none of the numbers the key shows.
    #[error(
        "from_number {from} is none of the {count} numbers this API key shows. Check from_number, \
         and which organization the key is from"
    )]
    NoSuchNumber {
        /// The number looked for.
        from: E164,
        /// How many there are.
        count: usize,
    },
    /// No connection: nothing was sent.
    #[error("{0}")]
    Unreachable(ConnectFault),
    /// No answer in time.
    #[error(
        "no answer within {} s. Check the network, and whether the service has a fault",
        .after.as_secs_f32()
    )]
    TimedOut {
        /// How long was waited.
        after: Duration,
        /// False when not a byte of the request's body had gone to the
        /// connection: then the service cannot have acted.
        sent: bool,
    },
    /// The connection broke before an answer, or brought something that is not
    /// HTTP.
    #[error("no answer that can be read ({text}). Check the network and the base URL")]
    Lost {
        /// False when not a byte of the request's body had gone to the
        /// connection: then the service cannot have acted.
        sent: bool,
        /// What the system said.
        text: String,
    },
    /// This version of the service has no such route.
    #[error(
        "this version of the service cannot do that over REST. Nothing is lost by it: calls go on"
    )]
    Unsupported,
}

/// What a person or the daemon can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The configuration is wrong: nothing works until somebody changes it.
    FixSetup,
    /// The network here is the matter: show *offline*.
    CheckNetwork,
    /// A limit is reached: show *limited*, wait this long if it is known.
    Wait(Option<Duration>),
    /// The service or the carrier has a passing fault.
    TryLater,
    /// The call is not in the state that was thought: look it up.
    LookUp,
}

impl ApiError {
    /// The HTTP status of the answer, when there was one that says it.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotActive(_) => Some(400),
            Self::Key(_) => Some(401),
            Self::NotYours(_) => Some(403),
            Self::NotFound(_) => Some(404),
            Self::Conflict(_) => Some(409),
            Self::Invalid(_) => Some(422),
            Self::Limited(_) => Some(429),
            Self::CarrierFailed(_) => Some(502),
            Self::Rejected { status, .. } | Self::Server { status, .. } => Some(*status),
            Self::NotTheService { status, .. } | Self::Redirected { status, .. } => Some(*status),
            Self::NotJson(_) | Self::Unreadable(_) | Self::Truncated | Self::Oversized { .. } => {
                None
            }
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::Lost { .. } => None,
            Self::Unsupported | Self::OtherThan(_) | Self::NoSuchNumber { .. } => None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Next {
        match self {
            Self::NotActive(_) | Self::Key(_) | Self::NotYours(_) | Self::NotFound(_) => {
                Next::FixSetup
            }
            Self::Invalid(_) | Self::Rejected { .. } | Self::Unsupported => Next::FixSetup,
            Self::Unreadable(_) | Self::Oversized { .. } => Next::FixSetup,
            Self::NoSuchNumber { .. } => Next::FixSetup,
            Self::OtherThan(_) => Next::CheckNetwork,
            Self::Redirected { .. } | Self::NotJson(_) | Self::Truncated => Next::CheckNetwork,
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::Lost { .. } => Next::CheckNetwork,
            Self::NotTheService { status: 500.., .. } => Next::TryLater,
            Self::NotTheService { .. } => Next::CheckNetwork,
            Self::CarrierFailed(_) | Self::Server { .. } => Next::TryLater,
            Self::Limited(limited) => Next::Wait(limited.retry_after),
            Self::Conflict(_) => Next::LookUp,
        }
    }
}

fn gateway(status: u16) -> &'static str {
    if status >= 500 {
        "The service or a proxy before it has a fault: try again in a minute"
    } else {
        "Check the base URL, and that no guest network or filter answers in the service's place"
    }
}

/// What stood where the service's JSON should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A web page.
    Html,
    /// Some other text, or bytes.
    Other,
    /// JSON without the service's `detail`.
    Json,
    /// Nothing.
    Empty,
    /// An answer that broke off.
    Truncated,
    /// An answer longer than we read.
    Oversized,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "a web page",
            Self::Other => "something else",
            Self::Json => "JSON of somebody else",
            Self::Empty => "nothing",
            Self::Truncated => "an answer that broke off",
            Self::Oversized => "an answer too long to read",
        })
    }
}

/// 429: the organization has used up its 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limited {
    /// What the service said, when it was the service.
    pub detail: Option<Detail>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// `X-RateLimit-Limit`.
    pub limit: Option<u64>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<u64>,
    /// `X-RateLimit-Reset`, in seconds, as it came: the API document does not
    /// say whether it is a moment or a duration.
    pub reset: Option<u64>,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the organization's calls or minutes of the last 24 hours are used up")?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(limit) = self.limit {
            write!(f, " (limit {limit}, {} left)", self.remaining.unwrap_or(0))?;
        }
        match self.retry_after {
            Some(wait) => write!(f, ". Try again in {} min", wait.as_secs().div_ceil(60)),
            None => f.write_str(". Try again later"),
        }
    }
}

/// Why no connection came about. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The host has no address here.
    #[error(
        "the service's name was not found. Check the network, the name server and the base URL"
    )]
    Name,
    /// The host is there and says no.
    #[error("nothing answers at the service's address. Check the base URL and the network")]
    Refused,
    /// The certificate is not the service's, or the clock is wrong.
    #[error(
        "the service could not prove who it is ({0}). Check the clock, the base URL, and that no \
         guest network or filter stands between"
    )]
    Certificate(String),
    /// What answers does not speak TLS.
    #[error(
        "what answers at the service's address does not speak TLS. Check the base URL, and that \
         no guest network or filter stands between"
    )]
    NotTls,
    /// Not within the time allowed.
    #[error("no connection within {} s. Check the network", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Something else.
    #[error("no connection to the service ({0}). Check the network")]
    Other(String),
}

/// What the service said about an error: `detail`, which is a text, an object
/// or, for a body that fails validation, one entry of a list.
///
/// `Display` is fit for a log: one line, bounded, numbers and the paths of
/// URLs masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail(String);

/// Longest detail shown, in characters.
const MAX_DETAIL: usize = 200;

impl Detail {
    /// The `detail` of an error body, one for each entry if it is a list.
    /// `None` when the body is not the service's: no JSON object, or no
    /// `detail` in it.
    pub(super) fn read_all(body: &[u8]) -> Option<Vec<Self>> {
        match serde_json::from_slice::<Value>(body).ok()?.get("detail")? {
            Value::Array(entries) => Some(entries.iter().map(Self::entry).collect()),
            one => Some(vec![Self::entry(one)]),
        }
    }

    fn entry(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let message = text("msg")
            .or(text("detail"))
            .or(text("message"))
            .or(text("error"));
        let plain = value.as_str().or(message).map(str::to_owned);
        let said = plain.unwrap_or_else(|| value.to_string());
        match field_of(value) {
            Some(field) => Self(fit_for_a_log(&format!("{field}: {said}"))),
            None => Self(fit_for_a_log(&said)),
        }
    }

    /// Several as one.
    pub(super) fn join(all: &[Self]) -> Self {
        Self(fit_for_a_log(&Joined(all).to_string()))
    }

    /// The text, fit for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last name in `loc`, where a validation error says which field it means.
fn field_of(value: &Value) -> Option<&str> {
    value
        .get("loc")?
        .as_array()?
        .iter()
        .rev()
        .find_map(Value::as_str)
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

struct Joined<'a>(&'a [Detail]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, detail) in self.0.iter().take(5).enumerate() {
            write!(f, "{}{detail}", if at == 0 { "" } else { "; " })?;
        }
        if self.0.is_empty() {
            f.write_str("no reason given")
        } else {
            Ok(())
        }
    }
}

/// One bounded line without full numbers or secret paths: a body is written by
/// somebody else and may repeat what was sent.
pub(super) fn fit_for_a_log(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(mask).collect();
    let line = words.join(" ").replace(char::is_control, "?");
    match line.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "no reason given".to_owned(),
        None => line,
    }
}

fn mask(word: &str) -> String {
    match word.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            format!("{scheme}://{host}/…")
        }
        None => mask_digits(word),
    }
}

/// Leaves the last three of seven digits or more in a row.
fn mask_digits(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    for run in word.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = run.bytes().take_while(u8::is_ascii_digit).count();
        if digits >= 7 {
            shown.push('…');
            shown.push_str(&run[digits - 3..]);
        } else {
            shown.push_str(run);
        }
    }
    shown
}
