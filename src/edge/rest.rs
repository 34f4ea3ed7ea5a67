//! Carries requests to the service and answers back, over one kept connection.
//!
//! Called by the daemon: `place` on a press, `warm` on the first edge before
//! it, `keep_warm` on a timer, `list`, `get` and `hang_up` while a call is
//! looked after, `transcripts` when it is over; and by `callbox service` and
//! `doctor`: `numbers`, `number`, `update_number`. What the bytes mean is
//! `wire::rest`'s business.
//!
//! ```text
//!            ┌─ press line ── place, warm, keep_warm ──┐
//!  daemon ───┤                                         ├── TLS ──▶ service
//!            └─ other line ── all others ──────────────┘
//! ```
//!
//! HTTP/1.1 carries one request at a time, so a poll for a call's status would
//! make a press wait for a new handshake. The press therefore has a connection
//! of its own; the two share TLS session tickets.
//!
//! **No repeats.** Redirects are not followed, since a followed POST is a
//! second POST, and nothing is retried. One thing looks like a retry and is
//! none: when a kept connection turns out closed before the first byte of a
//! request was written, the request goes out on a new one.
//!
//! **Cancelling.** Dropping the future of `place` before it is done leaves the
//! outcome unknown, as a time-out does: the request may have been sent. Look
//! the call up by its stream address. The other requests may be dropped freely,
//! and `hang_up` repeated.
//!
//! **No proxies.** `HTTP_PROXY` and its like are ignored: a device in a wall
//! has one way out, and a variable left over in a service file would send the
//! key elsewhere.
//!
//! Always true: nothing is sent in the clear but to this very machine (see
//! [`BaseUrl`]); the key is in no log, error or `Debug`; no answer is read
//! beyond its limit; every request ends within its time-out.
//!
//! Threads: any, control runtime in practice. Names are looked up on tokio's
//! blocking pool.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use crate::edge::clock::Stamp;
use crate::trace::{Counter, Trace};
use crate::units::{CallId, E164};
use crate::wire::rest::{
    Answer, ApiError, BaseUrl, Body, CALL_LIMIT, Call, CallPage, ConnectFault, Headers, LIST_LIMIT,
    ListQuery, NUMBERS_PATH, Number, NumberUpdate, PLACE_PATH, Pair, PhoneNumberId, PlaceRequest,
    Placed, Segment, call_path, hang_up_path, list_path, number_path, old_transcript_path,
    read_call, read_date, read_hang_up, read_number, read_numbers, read_page, read_placed,
    read_transcript, transcript_path,
};

/// Where the service is, who we are to it, and how long we wait.
#[derive(Debug, Clone)]
pub struct Config {
    /// The service, or the simulator on this machine. Default: the service.
    pub base_url: BaseUrl,
    /// Sent as `X-API-Key` with every request.
    pub api_key: ApiKey,
    /// The number calls are placed from.
    pub from_number: E164,
    /// The UUID of that number: list and get need it. Without it, it is looked
    /// up among the account's numbers when it is first needed, and kept.
    pub phone_number_id: Option<PhoneNumberId>,
    /// A PEM file with certificate authorities to trust besides the public
    /// ones. Default none; an organization that inspects TLS needs it.
    pub extra_ca: Option<PathBuf>,
    /// The time-outs.
    pub timeouts: Timeouts,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name, TCP and TLS together. Default 5 s; less fails on mobile networks.
    pub connect: Duration,
    /// Place-call from start to end. Default 15 s, since the service asks the
    /// carrier meanwhile; less turns placed calls into unknown outcomes, more
    /// keeps the visitor waiting.
    pub place: Duration,
    /// List and get. Default 8 s.
    pub look_up: Duration,
    /// Hang-up. Default 8 s; it is repeated, so there is no use in more.
    pub hang_up: Duration,
    /// The request that keeps the connection open. Default 6 s: one that takes
    /// longer is dead, and a new one is made.
    pub warm: Duration,
    /// How long a kept connection is trusted after its last answer. Default
    /// 60 s, below the idle time-out of common load balancers; call
    /// [`Rest::keep_warm`] somewhat more often. More finds the connection
    /// closed at the press; 0 warms at each first edge.
    pub trust_kept: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            place: Duration::from_secs(15),
            look_up: Duration::from_secs(8),
            hang_up: Duration::from_secs(8),
            warm: Duration::from_secs(6),
            trust_kept: Duration::from_secs(60),
        }
    }
}

/// An idle connection is closed after this. Well above `trust_kept`: the timer
/// decides how long a connection is kept, not the pool.
const IDLE: Duration = Duration::from_secs(300);

/// A connection idle for this long is probed by the kernel, then every
/// [`PROBE_INTERVAL`], and given up after [`PROBES`] probes without an answer:
/// a router that forgot us is noticed within 30 s, not at the press.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Bytes that nobody acknowledges for this long end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Calls looked at to find the number a `phone_number_id` belongs to: the
/// newest may have no number of its own.
const PAIR_SAMPLE: u32 = 20;

/// The organization's key. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes `text` without the space around it: key files end in a newline.
    ///
    /// # Errors
    /// When it is empty, longer than 512 bytes, or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let fits = (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadKey)
        }
    }

    /// The key itself, for the vendor's own tunnel and nobody else.
    #[cfg(feature = "tunnel")]
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&self.0)
            .unwrap_or_else(|_| unreachable!("visible ASCII is always a header value"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// A text that cannot be an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is one word of at most 512 visible characters; copy it again from the console")]
pub struct BadKey;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of extra certificate authorities cannot be read.
    #[error("cannot read the certificate authorities in {}", .path.display())]
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It can be read, and holds nothing of use.
    #[error("{} holds no certificate: it must have BEGIN CERTIFICATE lines (PEM)", .path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// One of its certificates is broken.
    #[error("{} holds a certificate that cannot be used ({why}): export it again as PEM", .path.display())]
    CaBroken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS or the HTTP client would not start.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// The service's own idea of the time, from the `Date` of an answer. It has
/// steps of a second, and is late by half a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServiceDate {
    /// What the service's clock showed…
    at: jiff::Timestamp,
    /// …when its answer came.
    received: Instant,
}

/// The service, as the daemon talks to it. Clones share their connections.
#[derive(Clone)]
pub struct Rest {
    shared: Arc<Shared>,
}

struct Shared {
    press: Client,
    other: Client,
    base: BaseUrl,
    from: E164,
    /// Its id, once it is known. Whoever needs it meanwhile waits.
    number: OnceCell<PhoneNumberId>,
    timeouts: Timeouts,
    key: ApiKey,
    trace: Arc<Trace>,
    /// Requests under way on the press line.
    on_press_line: AtomicUsize,
    heard: Mutex<Heard>,
}

/// What the latest answers said.
#[derive(Clone, Copy, Default)]
struct Heard {
    /// When the press line last brought an answer; `None` once it failed.
    on_press_line: Option<Instant>,
    date: Option<ServiceDate>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest")
            .field("base", &self.shared.base)
            .finish_non_exhaustive()
    }
}

impl Rest {
    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// When the file of certificate authorities is of no use.
    pub fn new(config: Config, trace: Arc<Trace>) -> Result<Self, SetupError> {
        let tls = tls_config(config.extra_ca.as_deref())?;
        let shared = Shared {
            press: client(&config, tls.clone())?,
            other: client(&config, tls)?,
            base: config.base_url,
            key: config.api_key,
            from: config.from_number,
            number: OnceCell::new_with(config.phone_number_id),
            timeouts: config.timeouts,
            trace,
            on_press_line: AtomicUsize::new(0),
            heard: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Places a call. Never repeated by itself; judge the result with
    /// [`place_outcome`](crate::wire::rest::place_outcome).
    ///
    /// Not cancel-safe: dropped before the end, the outcome is unknown.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn place(&self, request: &PlaceRequest) -> Result<Placed, ApiError> {
        let sent = Arc::new(AtomicBool::new(false));
        let body = Witness {
            bytes: Some(request.to_body().into()),
            sent: sent.clone(),
        };
        let post = self
            .request(&self.shared.press, Method::POST, PLACE_PATH)
            .header(header::CONTENT_TYPE, "application/json")
            .body(reqwest::Body::wrap(body));
        let exchange = Exchange {
            limit: CALL_LIMIT,
            within: self.shared.timeouts.place,
            sent,
        };
        let reply = self.on_press_line(self.exchange(post, exchange)).await?;
        self.read(&reply, read_placed)
    }

    /// Lists calls of the configured number, newest first.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn list(&self, query: &ListQuery) -> Result<CallPage, ApiError> {
        let path = list_path(&self.number_id().await?, query);
        let get = self.request(&self.shared.other, Method::GET, &path);
        let reply = self.exchange(get, self.reading(LIST_LIMIT)).await?;
        self.read(&reply, read_page)
    }

    /// Looks one call up.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn get(&self, call: &CallId) -> Result<Call, ApiError> {
        let path = call_path(&self.number_id().await?, call);
        let get = self.request(&self.shared.other, Method::GET, &path);
        let reply = self.exchange(get, self.reading(CALL_LIMIT)).await?;
        self.read(&reply, |answer| read_call(answer, call))
    }

    /// Asks the service to end a call. The answer is the call as it was then:
    /// it may still look alive for a moment.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when the call has ended or has no leg yet: look
    /// it up. [`ApiError::Unsupported`] when the service has no such route.
    pub async fn hang_up(&self, call: &CallId) -> Result<Call, ApiError> {
        let post = self.request(&self.shared.other, Method::POST, &hang_up_path(call));
        let exchange = Exchange {
            within: self.shared.timeouts.hang_up,
            ..self.reading(CALL_LIMIT)
        };
        let reply = self.exchange(post, exchange).await?;
        self.read(&reply, |answer| read_hang_up(answer, call))
    }

    /// What was said in a call that is over, where the service wrote it down.
    ///
    /// # Errors
    /// Says what to do next. [`ApiError::Unsupported`] when the service has no
    /// such route, neither the newer nor the older one.
    pub async fn transcripts(&self, call: &CallId) -> Result<Vec<Segment>, ApiError> {
        match self.transcript_at(&transcript_path(call), call).await {
            Err(ApiError::Unsupported) => {
                let path = old_transcript_path(&self.number_id().await?, call);
                self.transcript_at(&path, call).await
            }
            other => other,
        }
    }

    async fn transcript_at(&self, path: &str, call: &CallId) -> Result<Vec<Segment>, ApiError> {
        let get = self.request(&self.shared.other, Method::GET, path);
        let reply = self.exchange(get, self.reading(LIST_LIMIT)).await?;
        self.read(&reply, |answer| read_transcript(answer, call))
    }

    /// The account's numbers, as far as the key shows them.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn numbers(&self) -> Result<Vec<Number>, ApiError> {
        let get = self.request(&self.shared.other, Method::GET, NUMBERS_PATH);
        let reply = self.exchange(get, self.reading(LIST_LIMIT)).await?;
        self.read(&reply, read_numbers)
    }

    /// The number calls are placed from.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn number(&self) -> Result<Number, ApiError> {
        let id = self.number_id().await?;
        let get = self.request(&self.shared.other, Method::GET, &number_path(&id));
        let reply = self.exchange(get, self.reading(CALL_LIMIT)).await?;
        self.read(&reply, |answer| read_number(answer, &id))
    }

    /// Sets what becomes of calls to that number. Doing it twice does no harm.
    /// The answer is the number as it is then.
    ///
    /// # Errors
    /// Says what to do next.
    pub async fn update_number(&self, update: &NumberUpdate) -> Result<Number, ApiError> {
        let id = self.number_id().await?;
        let patch = self
            .request(&self.shared.other, Method::PATCH, &number_path(&id))
            .header(header::CONTENT_TYPE, "application/json")
            .body(update.to_body());
        let reply = self.exchange(patch, self.reading(CALL_LIMIT)).await?;
        self.read(&reply, |answer| read_number(answer, &id))
    }

    /// The id of the number calls are placed from: as it was configured, or as
    /// the service's list has it.
    ///
    /// # Errors
    /// Says what to do next; [`ApiError::NoSuchNumber`] when the number is not
    /// the account's.
    pub async fn number_id(&self) -> Result<PhoneNumberId, ApiError> {
        let find = async || self.find_in(&self.numbers().await?);
        self.shared.number.get_or_try_init(find).await.cloned()
    }

    fn find_in(&self, numbers: &[Number]) -> Result<PhoneNumberId, ApiError> {
        let from = &self.shared.from;
        let ours = numbers.iter().find(|number| number.number == *from);
        let id = ours.map(|number| number.id.clone());
        id.ok_or_else(|| ApiError::NoSuchNumber {
            from: from.clone(),
            count: numbers.len(),
        })
    }

    /// Finds out whether the configured `phone_number_id` is that of `from`,
    /// by the calls listed under it.
    ///
    /// # Errors
    /// Says what to do next; [`ApiError::NotFound`] and [`ApiError::NotYours`]
    /// mean that the id is wrong.
    pub async fn check_pair(&self, from: &E164) -> Result<Pair, ApiError> {
        let query = ListQuery::new(PAIR_SAMPLE, 0, None).unwrap_or_default();
        Ok(self.list(&query).await?.judge_pair(from))
    }

    /// Opens the press line if there is reason to think it closed: for the
    /// first edge of a press. Does nothing when the line was heard lately or
    /// is in use, since a request under way would only stand in the way.
    /// `false` when the line is in use, which says nothing of the service.
    ///
    /// # Errors
    /// As [`keep_warm`](Self::keep_warm).
    pub async fn warm(&self) -> Result<bool, ApiError> {
        let trusted = self.shared.timeouts.trust_kept;
        let heard = self.heard().on_press_line;
        match heard {
            Some(at) if at.elapsed() < trusted => Ok(true),
            _ => self.keep_warm().await,
        }
    }

    /// Uses the press line once, so that it stays open: for a timer with a
    /// period somewhat below [`Timeouts::trust_kept`]. Lists one call, which
    /// also proves that the service is there and takes the key. Does nothing
    /// when the line is in use, and then answers `false`. A press that comes
    /// meanwhile does not wait for it: it takes this connection or a new one,
    /// whichever is free first.
    ///
    /// # Errors
    /// Says what to do next: show *offline* for [`Next::CheckNetwork`].
    ///
    /// [`Next::CheckNetwork`]: crate::wire::rest::Next::CheckNetwork
    pub async fn keep_warm(&self) -> Result<bool, ApiError> {
        if self.shared.on_press_line.load(Ordering::Relaxed) > 0 {
            return Ok(false);
        }
        // Until the number's id is known, asking for it does as well.
        let known = self.shared.number.get();
        let path = known.map_or(NUMBERS_PATH.to_owned(), |id| {
            list_path(id, &ListQuery::newest())
        });
        let get = self.request(&self.shared.press, Method::GET, &path);
        let exchange = Exchange {
            within: self.shared.timeouts.warm,
            ..self.reading(LIST_LIMIT)
        };
        let reply = self.on_press_line(self.exchange(get, exchange)).await?;
        if known.is_some() {
            self.read(&reply, read_page)?;
        } else {
            let found = self.find_in(&self.read(&reply, read_numbers)?)?;
            // Whoever was faster has found the same.
            _ = self.shared.number.set(found);
        }
        Ok(true)
    }

    /// The service's clock now: its latest `Date` header, and the monotonic
    /// time since. `None` before its first answer. Signatures are judged by
    /// this one, never by the board's own clock.
    #[must_use]
    pub fn service_time(&self) -> Option<Stamp> {
        let date = self.heard().date?;
        let seen = Stamp::from_unix_ms(date.at.as_millisecond());
        Some(seen.plus(date.received.elapsed()))
    }

    fn request(&self, line: &Client, method: Method, path: &str) -> RequestBuilder {
        line.request(method, format!("{}{path}", self.shared.base.as_str()))
    }

    /// The bounds of a request without a body.
    fn reading(&self, limit: usize) -> Exchange {
        let sent = Arc::new(AtomicBool::new(true));
        Exchange {
            limit,
            within: self.shared.timeouts.look_up,
            sent,
        }
    }

    /// Keeps account of the press line while `exchange` is on it.
    async fn on_press_line(
        &self,
        exchange: impl Future<Output = Result<Reply, ApiError>>,
    ) -> Result<Reply, ApiError> {
        let _busy = Busy::new(&self.shared.on_press_line);
        self.heard().on_press_line = None;
        let reply = exchange.await?;
        self.heard().on_press_line = reply.is_reusable().then(Instant::now);
        Ok(reply)
    }

    /// Sends a request and takes the answer in, within the bounds given.
    async fn exchange(&self, request: RequestBuilder, bounds: Exchange) -> Result<Reply, ApiError> {
        self.shared.trace.count(Counter::RestRequests);
        let ended = tokio::time::timeout(bounds.within, self.send(request, bounds.limit)).await;
        let error = match ended {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error)) => transport_error(&error, &bounds, &self.shared.timeouts),
            Err(_) => ApiError::TimedOut {
                after: bounds.within,
                sent: bounds.was_sent(),
            },
        };
        if let ApiError::TimedOut { .. } | ApiError::Unreachable(ConnectFault::TimedOut(_)) = error
        {
            self.shared.trace.count(Counter::RestTimeouts);
        }
        Err(error)
    }

    async fn send(&self, request: RequestBuilder, limit: usize) -> Result<Reply, reqwest::Error> {
        let mut response = request.send().await?;
        self.note_date(response.headers());
        let mut body = read_body(&mut response, limit).await;
        if let Read::Whole(bytes) = &mut body {
            blot(bytes, self.shared.key.0.as_bytes());
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Reply {
            status: response.status().as_u16(),
            headers,
            body,
        })
    }

    fn note_date(&self, headers: &HeaderMap) {
        if let Some(at) = text(headers, "date").and_then(read_date) {
            self.heard().date = Some(ServiceDate {
                at,
                received: Instant::now(),
            });
        }
    }

    /// Reads an answer, and counts what cannot be read.
    fn read<T>(
        &self,
        reply: &Reply,
        read: impl Fn(&Answer<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let result = read(&reply.answer());
        match &result {
            _ if matches!(reply.body, Read::Oversized { .. }) => {
                self.shared.trace.count(Counter::RestOversized);
            }
            Err(
                ApiError::NotJson(_)
                | ApiError::Unreadable(_)
                | ApiError::Truncated
                | ApiError::OtherThan(_)
                | ApiError::NotTheService { .. },
            ) => self.shared.trace.count(Counter::RestMalformed),
            _ => {}
        }
        result
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.shared
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bounds of one request and its answer.
struct Exchange {
    /// Most bytes of the answer's body.
    limit: usize,
    /// Longest time from start to end.
    within: Duration,
    /// Set once the request's body went to a connection.
    sent: Arc<AtomicBool>,
}

impl Exchange {
    fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }
}

/// An answer taken in.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Read,
}

enum Read {
    Whole(Vec<u8>),
    Truncated,
    Oversized { limit: usize },
}

impl Reply {
    fn answer(&self) -> Answer<'_> {
        let header = |name| text(&self.headers, name);
        Answer {
            status: self.status,
            headers: Headers {
                retry_after: header("retry-after"),
                limit: header("x-ratelimit-limit"),
                remaining: header("x-ratelimit-remaining"),
                reset: header("x-ratelimit-reset"),
                location: header("location"),
            },
            body: match &self.body {
                Read::Whole(bytes) => Body::Whole(bytes),
                Read::Truncated => Body::Truncated,
                Read::Oversized { limit } => Body::Oversized { limit: *limit },
            },
        }
    }

    /// False when the connection went with the answer.
    fn is_reusable(&self) -> bool {
        let closes = text(&self.headers, "connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        matches!(self.body, Read::Whole(_)) && !closes
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Reads a body up to `limit`; beyond it, drops the connection unread.
async fn read_body(response: &mut Response, limit: usize) -> Read {
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Read::Oversized { limit };
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Read::Oversized { limit };
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Read::Whole(body),
            Err(_) => return Read::Truncated,
        }
    }
}

/// Makes every `secret` in `bytes` unreadable: an answer that repeats the key
/// must not carry it into a log.
fn blot(bytes: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(secret.len())
        .position(|part| part == secret)
    {
        bytes[at + found..][..secret.len()].fill(b'*');
        at += found + secret.len();
    }
}

/// Counts a request on the press line for as long as it lives.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request body that remembers whether a connection has asked for it.
///
/// The connection asks after it has the head, and before it writes either. A
/// request whose body was never asked for cannot have been acted upon: this
/// turns many a time-out from *unknown* into *certainly not*.
struct Witness {
    bytes: Option<Bytes>,
    sent: Arc<AtomicBool>,
}

impl HttpBody for Witness {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.sent.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

fn client(config: &Config, tls: ClientConfig) -> Result<Client, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", config.api_key.header());
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    Client::builder()
        .default_headers(headers)
        .user_agent(concat!("callbox/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(config.timeouts.connect)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(PROBE_AFTER)
        .tcp_keepalive_interval(PROBE_INTERVAL)
        .tcp_keepalive_retries(PROBES)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .build()
        .map_err(|error| SetupError::Client(root_cause(&error).to_string()))
}

/// How every connection to the outside is secured.
pub(super) fn tls_config(extra_ca: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let roots = authorities(extra_ca)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate authorities that are trusted: the public ones, and those in
/// `extra_ca`.
///
/// # Errors
/// The file is of no use.
pub fn authorities(extra_ca: Option<&Path>) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = extra_ca {
        add_authorities(&mut roots, path)?;
    }
    Ok(roots)
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), SetupError> {
    let owned = || path.to_owned();
    let pem = std::fs::read(path).map_err(|source| SetupError::CaUnreadable {
        path: owned(),
        source,
    })?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        found = true;
        certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()))
            .map_err(|why| SetupError::CaBroken { path: owned(), why })?;
    }
    if found {
        Ok(())
    } else {
        Err(SetupError::CaEmpty { path: owned() })
    }
}

/// Names a fault of the transport.
fn transport_error(error: &reqwest::Error, bounds: &Exchange, timeouts: &Timeouts) -> ApiError {
    if error.is_connect() {
        return ApiError::Unreachable(connect_fault(error, timeouts));
    }
    let text = root_cause(error).to_string();
    ApiError::Lost {
        sent: bounds.was_sent(),
        text,
    }
}

fn connect_fault(error: &reqwest::Error, timeouts: &Timeouts) -> ConnectFault {
    if error.is_timeout() {
        return ConnectFault::TimedOut(timeouts.connect);
    }
    if error.is_dns() {
        return ConnectFault::Name;
    }
    for cause in causes(error) {
        let refused = |cause: &io::Error| cause.kind() == io::ErrorKind::ConnectionRefused;
        if cause.downcast_ref().is_some_and(refused) {
            return ConnectFault::Refused;
        }
        match cause.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(why)) => {
                return ConnectFault::Certificate(why.to_string());
            }
            Some(rustls::Error::InvalidMessage(_)) => return ConnectFault::NotTls,
            _ => {}
        }
    }
    ConnectFault::Other(root_cause(error).to_string())
}

/// An error and what lies behind it, outermost first. An `io::Error` made from
/// another error hides that one from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}
