//! The handshake by which the service connects a call's sound to the device:
//! a request head in, a parsed request or a refusal out.
//!
//! ```text
//!  head bytes ──parse──▶ Request ──SigningKey::verify──▶ accept ──▶ 101
//!       │                   │              │
//!       └──── Refusal ◀─────┴──────────────┴──▶ refuse ──▶ 4xx, 5xx
//! ```
//!
//! The ingress calls `parse` whenever bytes arrived, until it has a request.
//! The path ends in `/media/<token>` for a call that was placed, in
//! `/inbound/<token>` for one that somebody placed to the device, and in
//! `/probe/<token>` for the round trip of `callbox doctor`; a proxy may put
//! anything before it. The answer says by [`Mode`] who makes speech of text
//! and text of speech.
//!
//! Spec: RFC 6455 §4 for the WebSocket part; `X-Call-Context`, the three
//! `X-Inkbox-*` headers and the two `X-Use-Inkbox-*` headers of the media
//! stream for the rest. Unix time in seconds.
//!
//! Always true: nothing above [`HEAD_MAX`] is looked at; a signature is
//! compared in constant time; a refusal tells a stranger nothing about tokens
//! or calls. No clock: the time is an argument.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::Value;

use crate::trace::Counter;
use crate::units::{CallId, E164, Mode};

/// Most bytes of a request head.
pub const HEAD_MAX: usize = 8 * 1024;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;
/// Most bytes of a request id, to bound the table of those seen.
const REQUEST_ID_MAX: usize = 128;
/// Seconds by which a signature's time may differ from the service's.
pub const FRESH_SECONDS: i64 = 300;
/// Signed requests remembered. One call makes one or two in the ten minutes
/// an entry is kept.
pub const REPLAY_ENTRIES: usize = 256;
/// How long a request id must be remembered: a stamp may be
/// [`FRESH_SECONDS`] ahead, and then stays fresh twice that long.
const REPLAY_KEEP: Duration = Duration::from_secs(2 * FRESH_SECONDS as u64);

/// The unguessable last part of a path: 24 random bytes in URL-safe base64.
///
/// `Debug` hides it: who knows the token may connect.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; Self::LENGTH]);

impl Token {
    /// Characters of a token.
    pub const LENGTH: usize = 32;

    /// Makes a token of bytes that a good generator drew.
    #[must_use]
    pub fn from_random(bytes: [u8; 24]) -> Self {
        let mut token = [0; Self::LENGTH];
        URL_SAFE_NO_PAD
            .encode_slice(bytes, &mut token)
            .expect("24 bytes make 32 characters");
        Self(token)
    }

    /// `None` unless `text` is 32 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let token: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        token.iter().all(fits).then_some(Self(token))
    }

    /// The token as it stands in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a token is ASCII")
    }

    /// The path a call's stream comes in by, to be put behind the public URL.
    #[must_use]
    pub fn media_path(&self) -> String {
        format!("/media/{}", self.as_str())
    }

    /// The path inbound calls come in by, to be put behind the public URL.
    #[must_use]
    pub fn inbound_path(&self) -> String {
        format!("/inbound/{}", self.as_str())
    }

    /// The path of a round trip, to be put behind the public URL.
    #[must_use]
    pub fn probe_path(&self) -> String {
        format!("/probe/{}", self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The stream of a call that was placed.
    Media(Token),
    /// The stream of a call to the device.
    Inbound(Token),
    /// A round trip: the token is to be echoed.
    Probe(Token),
}

/// A request that is well formed. Whether it is wanted is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub target: Target,
    /// `Sec-WebSocket-Key`, or `None` for a plain GET of a probe.
    pub key: Option<String>,
    /// What the service says about the call, if it says anything.
    pub context: Option<Context>,
    /// The signature headers, if all three are there.
    pub signed: Option<Signed>,
}

/// `X-Call-Context`, in either of its two shapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// `id` or `call_id`.
    pub call: Option<CallId>,
    /// `local_phone_number`.
    pub local: Option<E164>,
    /// `remote_phone_number` or `phone_number`.
    pub remote: Option<E164>,
    /// Who called whom; `None` for a word we do not know.
    pub direction: Option<Direction>,
    /// The call's status, in the service's word.
    pub status: Option<String>,
}

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The device called.
    Outbound,
    /// Somebody called the device.
    Inbound,
}

/// The signature headers, and the bytes they sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `X-Inkbox-Request-ID`.
    pub request_id: String,
    /// `X-Inkbox-Timestamp`, as it was written.
    pub timestamp: String,
    /// `X-Inkbox-Signature`, as it was written.
    signature: String,
    /// The raw value of `X-Call-Context`.
    context: Vec<u8>,
}

/// Why a connection is not let in.
///
/// `Display` is the body of the answer: it says what the asker got wrong, and
/// nothing about what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an HTTP/1.1 request at all.
    #[error("this is not an HTTP request")]
    NotHttp,
    /// A head above [`HEAD_MAX`], or too many header lines.
    #[error("the request head is too large")]
    TooLarge,
    /// The head did not arrive in time.
    #[error("the request took too long")]
    TooSlow,
    /// Not GET.
    #[error("only GET is served here")]
    Method,
    /// A header that counts is there twice, or holds what it cannot.
    #[error("the header {0} cannot be read")]
    Header(&'static str),
    /// None of the kinds of path, or a token nobody waits for.
    #[error("there is nothing at this path")]
    UnknownPath,
    /// A media path without a WebSocket upgrade.
    #[error("this path speaks WebSocket version 13 only")]
    NotWebSocket,
    /// The call is not the one that was placed.
    #[error("there is nothing at this path")]
    OtherCall,
    /// The inbound path, and the call is not said to be an inbound one.
    #[error("only inbound calls come in by this path")]
    NotInbound,
    /// The inbound path, and nobody says which call it is.
    #[error("the header X-Call-Context names no call")]
    Unnamed,
    /// The signature headers are missing, or the signature is not by our key.
    #[error("the signature is missing or wrong")]
    Forged,
    /// Signed too long ago, or in the future.
    #[error("the signature is not of this time")]
    Stale,
    /// This request id was used before.
    #[error("the request was made before")]
    Replayed,
    /// Too many connections, or nobody to take this one.
    #[error("too many connections; try again")]
    Crowded,
    /// Plain HTTP where TLS is spoken.
    #[error("this port speaks TLS: use https:// or wss://")]
    PlainOnTls,
}

impl Refusal {
    /// The status line's number and words (RFC 9110 §15, RFC 6585).
    #[must_use]
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::NotHttp | Self::Header(_) | Self::Unnamed | Self::PlainOnTls => {
                (400, "Bad Request")
            }
            Self::Forged | Self::Stale | Self::Replayed => (401, "Unauthorized"),
            Self::NotInbound => (403, "Forbidden"),
            Self::UnknownPath | Self::OtherCall => (404, "Not Found"),
            Self::Method => (405, "Method Not Allowed"),
            Self::TooSlow => (408, "Request Timeout"),
            Self::NotWebSocket => (426, "Upgrade Required"),
            Self::TooLarge => (431, "Request Header Fields Too Large"),
            Self::Crowded => (503, "Service Unavailable"),
        }
    }

    /// Where it is counted.
    #[must_use]
    pub fn counter(self) -> Counter {
        match self {
            Self::NotHttp
            | Self::TooLarge
            | Self::Method
            | Self::Header(_)
            | Self::Unnamed
            | Self::NotWebSocket => Counter::HandshakesMalformed,
            Self::TooSlow => Counter::IngressTimeouts,
            Self::UnknownPath => Counter::HandshakesUnknownPath,
            Self::OtherCall | Self::NotInbound => Counter::HandshakesOtherCall,
            Self::Forged | Self::Stale | Self::Replayed => Counter::HandshakesForged,
            Self::Crowded => Counter::IngressCrowded,
            Self::PlainOnTls => Counter::IngressTls,
        }
    }
}

/// Reads a request head; `None` until it is whole. The number is its length:
/// what follows already belongs to the WebSocket.
///
/// # Errors
/// A refusal as soon as it is certain that the head will not do.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let looked_at = &bytes[..bytes.len().min(HEAD_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(looked_at) {
        Ok(httparse::Status::Complete(length)) => Ok(Some((read(&head)?, length))),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Err(Refusal::TooLarge)
        }
        Err(_) => Err(Refusal::NotHttp),
    }
}

fn read(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    if head.method != Some("GET") {
        return Err(Refusal::Method);
    }
    let target = target(head.path.unwrap_or_default()).ok_or(Refusal::UnknownPath)?;
    let key = websocket_key(head)?;
    if key.is_none() && !matches!(target, Target::Probe(_)) {
        return Err(Refusal::NotWebSocket);
    }
    let raw_context = header(head, "X-Call-Context")?;
    Ok(Request {
        target,
        key,
        context: raw_context.map(Context::parse).transpose()?,
        signed: signed(head, raw_context.unwrap_or_default())?,
    })
}

/// The last two parts of the path, without a query.
fn target(path: &str) -> Option<Target> {
    let path = path.split('?').next()?;
    let (rest, token) = path.rsplit_once('/')?;
    let token = Token::parse(token)?;
    match rest.rsplit_once('/')?.1 {
        "media" => Some(Target::Media(token)),
        "inbound" => Some(Target::Inbound(token)),
        "probe" => Some(Target::Probe(token)),
        _ => None,
    }
}

/// `None` when this is not a WebSocket handshake (RFC 6455 §4.2.1).
fn websocket_key(head: &httparse::Request<'_, '_>) -> Result<Option<String>, Refusal> {
    const KEY: &str = "Sec-WebSocket-Key";
    let asks = |name, word| {
        let value = header(head, name).ok().flatten().unwrap_or_default();
        let mut words = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
        words.any(|w| w.eq_ignore_ascii_case(word))
    };
    let upgrade = asks("Upgrade", b"websocket")
        && asks("Connection", b"upgrade")
        && asks("Sec-WebSocket-Version", b"13");
    if !upgrade {
        return Ok(None);
    }
    let key = text(head, KEY)?.ok_or(Refusal::Header(KEY))?;
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(Some(key.to_owned())),
        _ => Err(Refusal::Header(KEY)),
    }
}

/// All three signature headers, or none: a part of them signs nothing.
fn signed(head: &httparse::Request<'_, '_>, context: &[u8]) -> Result<Option<Signed>, Refusal> {
    const ID: &str = "X-Inkbox-Request-ID";
    let id = text(head, ID)?;
    let timestamp = text(head, "X-Inkbox-Timestamp")?;
    let signature = text(head, "X-Inkbox-Signature")?;
    let (Some(id), Some(timestamp), Some(signature)) = (id, timestamp, signature) else {
        return Ok(None);
    };
    if id.len() > REQUEST_ID_MAX {
        return Err(Refusal::Header(ID));
    }
    Ok(Some(Signed {
        request_id: id.to_owned(),
        timestamp: timestamp.to_owned(),
        signature: signature.to_owned(),
        context: context.to_vec(),
    }))
}

/// The one header of that name. Two of them could be read either way, and the
/// one that is signed might not be the one that is used.
fn header<'a>(
    head: &httparse::Request<'_, 'a>,
    name: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    let mut found = head
        .headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first.map(|h| h.value)),
        _ => Err(Refusal::Header(name)),
    }
}

fn text<'a>(
    head: &httparse::Request<'_, 'a>,
    name: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let read = |value| std::str::from_utf8(value).map_err(|_| Refusal::Header(name));
    header(head, name)?.map(read).transpose()
}

impl Context {
    /// Reads the header's value. A field that is missing, null, of another
    /// type or not valid is left out: a contact's odd number must not cost the
    /// call.
    fn parse(value: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Shape {
            id: Option<Value>,
            call_id: Option<Value>,
            local_phone_number: Option<Value>,
            remote_phone_number: Option<Value>,
            phone_number: Option<Value>,
            direction: Option<Value>,
            status: Option<Value>,
        }
        let value = String::from_utf8_lossy(value);
        let shape: Shape =
            serde_json::from_str(&value).map_err(|_| Refusal::Header("X-Call-Context"))?;
        let word = |value: &Option<Value>| Some(value.as_ref()?.as_str()?.to_owned());
        let number = |value| E164::parse(&word(value)?).ok();
        let call = |value| CallId::parse(&word(value)?);
        Ok(Self {
            call: call(&shape.id).or_else(|| call(&shape.call_id)),
            local: number(&shape.local_phone_number),
            remote: number(&shape.remote_phone_number).or_else(|| number(&shape.phone_number)),
            direction: match word(&shape.direction).as_deref() {
                Some("outbound") => Some(Direction::Outbound),
                Some("inbound") => Some(Direction::Inbound),
                _ => None,
            },
            status: word(&shape.status).filter(|s| s.len() <= 32),
        })
    }
}

/// What was found out about a signature's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Within [`FRESH_SECONDS`] of the service's time.
    Fresh,
    /// The service's time is not known yet. The request is let in all the
    /// same, since it holds an attempt's unguessable path and an unused
    /// request id; the ingress counts it.
    Unjudged,
}

/// The key the service signs its handshakes with.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Takes the key as the service shows it; a leading `whsec_` is not part
    /// of it. `None` for an empty key, which anybody could sign with.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let key = text.strip_prefix("whsec_").unwrap_or(text);
        (!key.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
    }

    /// Judges a request: signed by this key over its raw context, fresh by the
    /// service's time if that is known, and not seen before. `now` is
    /// monotonic time since any beginning.
    ///
    /// The signature is judged first, so strangers neither fill `seen` nor
    /// learn what else is wrong with their request.
    ///
    /// # Errors
    /// `Forged`, `Stale` or `Replayed`; `Crowded` when `seen` is full.
    pub fn verify(
        &self,
        signed: Option<&Signed>,
        service_time: Option<i64>,
        now: Duration,
        seen: &mut Seen,
    ) -> Result<Freshness, Refusal> {
        let signed = signed.ok_or(Refusal::Forged)?;
        let digest = signed.signature.strip_prefix("sha256=").and_then(from_hex);
        let digest = digest.ok_or(Refusal::Forged)?;
        let mut message = format!("{}.{}.", signed.request_id, signed.timestamp).into_bytes();
        message.extend_from_slice(&signed.context);
        hmac::verify(&self.0, &message, &digest).map_err(|_| Refusal::Forged)?;
        let freshness = freshness(&signed.timestamp, service_time)?;
        seen.insert(&signed.request_id, now)?;
        Ok(freshness)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

fn freshness(timestamp: &str, service_time: Option<i64>) -> Result<Freshness, Refusal> {
    let stamp: i64 = timestamp.parse().map_err(|_| Refusal::Stale)?;
    match service_time {
        None => Ok(Freshness::Unjudged),
        Some(time) if stamp.abs_diff(time) <= FRESH_SECONDS as u64 => Ok(Freshness::Fresh),
        Some(_) => Err(Refusal::Stale),
    }
}

/// 64 hexadecimal digits of either case.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks().0) {
        let [high, low] = *pair;
        *byte = (value(high)? << 4 | value(low)?) as u8;
    }
    Some(bytes)
}

/// The request ids seen of late, oldest first.
#[derive(Debug, Default)]
pub struct Seen(VecDeque<(Duration, String)>);

impl Seen {
    /// A full table refuses instead of forgetting: an id that is forgotten
    /// could be replayed. Only holders of the key can fill it.
    fn insert(&mut self, id: &str, now: Duration) -> Result<(), Refusal> {
        let kept = |at: Duration| now.saturating_sub(at) < REPLAY_KEEP;
        while self.0.front().is_some_and(|&(at, _)| !kept(at)) {
            self.0.pop_front();
        }
        if self.0.iter().any(|(_, seen)| seen == id) {
            return Err(Refusal::Replayed);
        }
        if self.0.len() == REPLAY_ENTRIES {
            return Err(Refusal::Crowded);
        }
        self.0.push_back((now, id.to_owned()));
        Ok(())
    }
}

/// The answer that opens the WebSocket, and asks for `mode`. `key` is the
/// request's `Sec-WebSocket-Key`.
#[must_use]
pub fn accept(key: &str, mode: Mode) -> Vec<u8> {
    // RFC 6455 §4.2.2: the digest says "I speak WebSocket", no more.
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID);
    let digest = STANDARD.encode(digest.finish());
    let Mode { tts, stt } = mode;
    // Both are always said: the service takes a missing one for `true`.
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {digest}\r\n\
         X-Use-Inkbox-Text-To-Speech: {tts}\r\n\
         X-Use-Inkbox-Speech-To-Text: {stt}\r\n\
         \r\n"
    )
    .into_bytes()
}

/// The answer to a plain GET of a probe: its token.
#[must_use]
pub fn echo(token: &Token) -> Vec<u8> {
    closing((200, "OK"), "", token.as_str())
}

/// The answer that turns a connection away.
#[must_use]
pub fn refuse(refusal: Refusal) -> Vec<u8> {
    let more = match refusal {
        Refusal::Method => "Allow: GET\r\n",
        Refusal::NotWebSocket => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        Refusal::Crowded => "Retry-After: 1\r\n",
        _ => "",
    };
    closing(refusal.status(), more, &format!("{refusal}\n"))
}

fn closing((status, words): (u16, &str), more: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {words}\r\n\
         {more}\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Cache-Control: no-store\r\n\
         Connection: close\r\n\
         \r\n\
         {body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
