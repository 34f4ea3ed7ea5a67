//! The messages of a media stream: text frames in and out, and the sound in
//! them cut into the device's own 20 ms slots.
//!
//! ```text
//!  text ──parse──▶ Inbound::Media ──decode──▶ bytes ──Recutter::put──▶ Slot(seq)
//!  text ◀────────────── Writer::media ◀──────────────────────────────── packet
//! ```
//!
//! One `parse` per WebSocket message, then one `put` per payload. There is no
//! clock: order comes from the numbers the service sends.
//!
//! Units: one byte of PCMU is one sample, 8000 a second (ITU-T G.711); `chunk`
//! counts messages, `timestamp` is in milliseconds, [`Slot::seq`] in slots.
//!
//! Always true: a slot holds exactly [`SLOT`] bytes; no message, however made,
//! makes a panic or an unbounded buffer; whatever we do not know is ignored.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Bytes of one slot: 20 ms of PCMU.
pub const SLOT: usize = 160;
/// Longest sound in one message: 30 s of PCMU.
pub const SOUND_MAX: usize = 30 * 8000;
/// Most bytes of one message: the longest sound in base64, with room for what
/// stands around it.
pub const MESSAGE_MAX: usize = 512 * 1024;
/// Most characters of a name, id or text of the service that are kept.
const NAME_MAX: usize = 256;

/// Senders differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// The first greeting of some versions.
    Connected,
    /// Sound may flow.
    Start(Start),
    /// Sound of the far end.
    Media(Media<'a>),
    /// The callee pressed a key: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The sound before our mark of this name has been played.
    Mark(Cow<'a, str>),
    /// The service reports an error of its own.
    Error {
        /// Its number or word.
        code: String,
        /// Title and detail.
        text: String,
    },
    /// The call is over.
    Stop {
        /// Why, if the service says.
        reason: Option<String>,
    },
    /// Known, and of no use to a call with raw sound: `transcript`, `barge_in`.
    Unused,
    /// An event we do not know.
    Unknown,
}

/// The beginning of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The name our own messages carry.
    pub stream_id: Option<String>,
    /// What the sound is.
    pub format: Format,
}

/// `media_format`: what a payload holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// `PCMU`, `PCMA`, `L16`, `OPUS`, `G722`.
    pub encoding: String,
    /// Samples per second.
    pub rate: u64,
    /// 1 or 2.
    pub channels: u64,
}

/// What the service sends when it does not say.
impl Default for Format {
    fn default() -> Self {
        Self {
            encoding: "PCMU".to_owned(),
            rate: 8000,
            channels: 1,
        }
    }
}

impl Format {
    /// Whether the device can play it.
    ///
    /// # Errors
    /// Says what came and what is wanted.
    pub fn check(&self) -> Result<(), Unsupported> {
        let pcmu = self.encoding.eq_ignore_ascii_case("PCMU");
        if pcmu && self.rate == 8000 && self.channels == 1 {
            return Ok(());
        }
        Err(Unsupported(self.clone()))
    }
}

/// Sound of a kind the device does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream is {} at {} Hz with {} channel(s); this device takes PCMU at 8000 Hz with 1",
    .0.encoding, .0.rate, .0.channels
)]
pub struct Unsupported(pub Format);

/// A piece of sound, still in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    payload: Cow<'a, str>,
    /// What the service numbers it with.
    pub order: Order,
    /// Whose sound it says it is.
    pub track: Track,
}

/// The numbers of a media message; what cannot be read counts as missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// Counts messages.
    pub chunk: Option<u64>,
    /// Milliseconds of sound since some beginning.
    pub timestamp: Option<u64>,
}

/// `media.track`, from the service's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// What the service hears from the telephone; also when it does not say.
    FarEnd,
    /// `outbound`: what the service plays to the telephone, our own voice.
    Ours,
}

/// Why a message is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a JSON object with an `event`.
    #[error("not a JSON object with an event")]
    Json,
    /// The event's own part is missing or wrong.
    #[error("the event's body cannot be read")]
    Body,
    /// The payload is not base64.
    #[error("the payload is not base64")]
    Base64,
    /// More than [`SOUND_MAX`].
    #[error("the payload is longer than 30 s")]
    Oversized,
}

/// Reads one text message.
///
/// # Errors
/// Not JSON, or a known event without what makes it of use.
pub fn parse(text: &str) -> Result<Inbound<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| Malformed::Json)?;
    match &*envelope.event {
        "connected" => Ok(Inbound::Connected),
        "start" => Ok(Inbound::Start(start(text)?)),
        "media" => Ok(Inbound::Media(media(text)?)),
        "dtmf" => Ok(Inbound::Dtmf(dtmf(text)?)),
        "mark" => Ok(Inbound::Mark(mark(text)?)),
        "error" => error(text),
        "stop" | "closed" | "hangup" => stop(text),
        "transcript" | "barge_in" => Ok(Inbound::Unused),
        _ => Ok(Inbound::Unknown),
    }
}

fn body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed::Body)
}

fn start(text: &str) -> Result<Start, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        stream_id: Loose<'a>,
        #[serde(borrow)]
        start: Option<Details<'a>>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        media_format: Option<Shape<'a>>,
    }
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow, default)]
        encoding: Loose<'a>,
        #[serde(borrow, default)]
        sample_rate: Loose<'a>,
        #[serde(borrow, default)]
        channels: Loose<'a>,
    }
    let body: Body<'_> = body(text)?;
    let usual = Format::default();
    let format = match body.start.and_then(|s| s.media_format) {
        None => usual,
        Some(shape) => Format {
            encoding: shape.encoding.text().unwrap_or(usual.encoding),
            rate: shape.sample_rate.number().unwrap_or(usual.rate),
            channels: shape.channels.number().unwrap_or(usual.channels),
        },
    };
    Ok(Start {
        stream_id: body.stream_id.text(),
        format,
    })
}

fn media(text: &str) -> Result<Media<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        media: Details<'a>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        payload: Cow<'a, str>,
        #[serde(borrow, default)]
        track: Loose<'a>,
        #[serde(borrow, default)]
        chunk: Loose<'a>,
        #[serde(borrow, default)]
        timestamp: Loose<'a>,
    }
    let Body { media } = body(text)?;
    Ok(Media {
        payload: media.payload,
        order: Order {
            chunk: media.chunk.number(),
            timestamp: media.timestamp.number(),
        },
        track: match media.track {
            Loose::Text(track) if track == "outbound" => Track::Ours,
            _ => Track::FarEnd,
        },
    })
}

fn dtmf(text: &str) -> Result<char, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        dtmf: Details<'a>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        digit: Loose<'a>,
    }
    let Body { dtmf } = body(text)?;
    let digit = dtmf.digit.text().ok_or(Malformed::Body)?;
    let mut letters = digit.chars();
    match (
        letters.next().map(|c| c.to_ascii_uppercase()),
        letters.next(),
    ) {
        (Some(key @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(key),
        _ => Err(Malformed::Body),
    }
}

fn mark(text: &str) -> Result<Cow<'_, str>, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        mark: Details<'a>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    Ok(body::<Body<'_>>(text)?.mark.name)
}

fn error(text: &str) -> Result<Inbound<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        payload: Details<'a>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow, default)]
        code: Loose<'a>,
        #[serde(borrow, default)]
        title: Loose<'a>,
        #[serde(borrow, default)]
        detail: Loose<'a>,
    }
    let Body { payload } = body(text)?;
    let words: Vec<_> = [payload.title.text(), payload.detail.text()]
        .into_iter()
        .flatten()
        .collect();
    Ok(Inbound::Error {
        code: payload.code.text().unwrap_or_default(),
        text: words.join(": "),
    })
}

/// Whatever else is in it, the call is over.
fn stop(text: &str) -> Result<Inbound<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        reason: Loose<'a>,
    }
    let reason = body::<Body<'_>>(text)?.reason.text();
    Ok(Inbound::Stop { reason })
}

/// A value that may come as a number, as text, or as nothing of use.
#[derive(Debug, Default)]
enum Loose<'a> {
    Number(u64),
    Text(Cow<'a, str>),
    #[default]
    Neither,
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape<'a> {
            Number(u64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
            Other(IgnoredAny),
        }
        Ok(match Shape::deserialize(deserializer)? {
            Shape::Number(number) => Self::Number(number),
            Shape::Text(text) => Self::Text(text),
            Shape::Other(IgnoredAny) => Self::Neither,
        })
    }
}

impl Loose<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Neither => None,
        }
    }

    /// Cut to [`NAME_MAX`]: it is kept, and may be logged.
    fn text(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.chars().take(NAME_MAX).collect()),
            Self::Neither => None,
        }
    }
}

impl Media<'_> {
    /// Writes the sound into `sound`, whose room is used again.
    ///
    /// # Errors
    /// The payload is too long or not base64; `sound` is then empty.
    pub fn decode(&self, sound: &mut Vec<u8>) -> Result<(), Malformed> {
        sound.clear();
        if self.payload.len() > SOUND_MAX.div_ceil(3) * 4 {
            return Err(Malformed::Oversized);
        }
        BASE64.decode_vec(&*self.payload, sound).map_err(|_| {
            sound.clear();
            Malformed::Base64
        })
    }
}

/// Writes the messages we send, into one buffer that is used again.
#[derive(Debug)]
pub struct Writer {
    text: String,
    /// Length of what every media message begins with.
    opening: usize,
}

impl Writer {
    /// A writer for the stream the service calls `stream_id`.
    #[must_use]
    pub fn new(stream_id: Option<&str>) -> Self {
        let mut text = r#"{"event":"media","#.to_owned();
        if let Some(id) = stream_id {
            text.push_str(r#""stream_id":"#);
            text.push_str(&quoted(id));
            text.push(',');
        }
        text.push_str(r#""media":{"payload":""#);
        let opening = text.len();
        text.reserve(SLOT.div_ceil(3) * 4 + MEDIA_END.len());
        Self { text, opening }
    }

    /// The message that carries `payload`. It allocates nothing for a payload
    /// of up to [`SLOT`] bytes.
    pub fn media(&mut self, payload: &[u8]) -> &str {
        self.text.truncate(self.opening);
        STANDARD.encode_string(payload, &mut self.text);
        self.text.push_str(MEDIA_END);
        &self.text
    }
}

const MEDIA_END: &str = r#"","track":"outbound"}}"#;

/// The message that drops what is queued for the callee.
pub const CLEAR: &str = r#"{"event":"clear"}"#;

/// The message that asks for an echo once the sound before it has played.
#[must_use]
pub fn write_mark(name: &str) -> String {
    format!(r#"{{"event":"mark","mark":{{"name":{}}}}}"#, quoted(name))
}

/// The message that ends the call.
#[must_use]
pub fn write_stop(reason: &str) -> String {
    format!(r#"{{"event":"stop","reason":{}}}"#, quoted(reason))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// 20 ms of sound and its place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Counts slots. The first message of a stream begins at [`FIRST_SEQ`], so
    /// that one which overtook others leaves room before it.
    pub seq: u32,
    /// [`SLOT`] bytes.
    pub payload: &'a [u8],
}

/// Number of the slot in which the first message begins: 3 s.
pub const FIRST_SEQ: u32 = 150;

/// Sound that is this far from its turn is no late or early message: the
/// sender has jumped or started again.
const JUMP: i64 = 8000;
/// How far a message that follows on may be off by its timestamp, in bytes:
/// half a slot, since one message may be missing and is a slot long.
const SLACK: i64 = SLOT as i64 / 2;
/// Messages in a row that are all late: they are not, the sender went back.
const LATE_MAX: u32 = 10;
/// Bytes of PCMU in a millisecond.
const PER_MS: i64 = 8;
/// PCMU's silence.
const SILENCE: u8 = 0xFF;

/// Cuts payloads of any length into slots, and numbers them.
///
/// Chunk numbers say what the order is. Timestamps say how much is missing
/// where chunks skip, and the order too where there are no chunks; they are
/// believed only while they run with the length of the sound, since nothing
/// says that every sender means milliseconds. Without either, order of arrival.
///
/// A message that follows on is joined to the rest of the one before, sample
/// by sample. One that does not begins at the nearest slot: the rest before it
/// is filled up with silence. Duplicates and late messages come out with the
/// numbers they had or would have had; to drop them is playout's work.
#[derive(Debug, Default)]
pub struct Recutter {
    last: Option<Last>,
    /// Whether timestamps ran with the sound when last compared.
    timed: bool,
    /// Late messages in a row.
    late: u32,
    /// Sound of the slot that is not full yet.
    rest: Vec<u8>,
}

/// The message furthest on so far.
#[derive(Debug, Clone, Copy)]
struct Last {
    order: Order,
    /// Bytes from the start of the count to this message.
    at: i64,
    length: i64,
    /// Tells a duplicate from a sender whose numbers stand still.
    digest: u64,
}

impl Last {
    fn end(&self) -> i64 {
        self.at + self.length
    }
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Right behind the last one.
    Next,
    /// Further on: something is missing, or late.
    Ahead(i64),
    /// Before the end of the last one.
    Behind(i64),
}

impl Recutter {
    /// Takes in one payload; hands out the slots it completes.
    pub fn put(&mut self, order: Order, sound: &[u8], mut out: impl FnMut(Slot<'_>)) {
        if sound.is_empty() {
            return;
        }
        let digest = digest(sound);
        let place = self.place(order, digest);
        let at = match place {
            Place::Next => self.last.map_or(first_byte(), |last| last.end()),
            Place::Ahead(at) => {
                self.finish(&mut out);
                at
            }
            Place::Behind(at) => return put_late(at, sound, &mut out),
        };
        self.judge_timestamps(place, order);
        self.last = Some(Last {
            order,
            at,
            length: sound.len() as i64,
            digest,
        });
        self.cut(at, sound, &mut out);
    }

    /// Hands out what is left, filled up with silence: the stream is over or
    /// goes on elsewhere.
    pub fn finish(&mut self, mut out: impl FnMut(Slot<'_>)) {
        let Some(last) = self.last.filter(|_| !self.rest.is_empty()) else {
            return;
        };
        let begun = last.end() - self.rest.len() as i64;
        self.rest.resize(SLOT, SILENCE);
        out(slot(begun, &self.rest));
        self.rest.clear();
        // The silence was played: what comes next begins behind it.
        self.last = Some(Last {
            length: begun + SLOT as i64 - last.at,
            ..last
        });
    }

    fn place(&mut self, order: Order, digest: u64) -> Place {
        let Some(last) = self.last else {
            return Place::Next;
        };
        let place = last.place(order, digest, self.timed);
        self.late = match place {
            Place::Behind(_) => self.late + 1,
            Place::Next | Place::Ahead(_) => 0,
        };
        if self.late > LATE_MAX {
            self.late = 0;
            return Place::Next;
        }
        place
    }

    fn judge_timestamps(&mut self, place: Place, order: Order) {
        let Some(last) = self.last else { return };
        let (Some(before), Some(now)) = (last.order.timestamp, order.timestamp) else {
            self.timed = false;
            return;
        };
        if place == Place::Next {
            let off = milliseconds(before, now)
                .saturating_sub(last.length)
                .saturating_abs();
            self.timed = off <= SLACK;
        }
    }

    fn cut(&mut self, at: i64, sound: &[u8], out: &mut impl FnMut(Slot<'_>)) {
        let mut at = at - self.rest.len() as i64;
        let mut sound = sound;
        if !self.rest.is_empty() {
            let missing = (SLOT - self.rest.len()).min(sound.len());
            self.rest.extend_from_slice(&sound[..missing]);
            sound = &sound[missing..];
            if self.rest.len() < SLOT {
                return;
            }
            out(slot(at, &self.rest));
            at += SLOT as i64;
            self.rest.clear();
        }
        let mut whole = sound.chunks_exact(SLOT);
        for payload in &mut whole {
            out(slot(at, payload));
            at += SLOT as i64;
        }
        self.rest.extend_from_slice(whole.remainder());
    }
}

impl Last {
    /// Where a message with these numbers belongs, seen from this one.
    fn place(&self, order: Order, digest: u64, timed: bool) -> Place {
        if order == self.order && order != Order::default() && digest == self.digest {
            return Place::Behind(self.at);
        }
        let by_time = match (self.order.timestamp, order.timestamp) {
            (Some(before), Some(now)) if timed => {
                Some(self.at.saturating_add(milliseconds(before, now)))
            }
            _ => None,
        };
        let steps = match (self.order.chunk, order.chunk) {
            (Some(before), Some(now)) => Some(difference(before, now)),
            _ => None,
        };
        match (steps, by_time) {
            (Some(1), _) => Place::Next,
            (Some(0) | None, None) => Place::Next,
            (_, Some(at)) => self.judge(at),
            (Some(steps), None) => self.judge(self.by_chunk(steps)),
        }
    }

    /// Missing messages are taken to be as long as this one.
    fn by_chunk(&self, steps: i64) -> i64 {
        self.at.saturating_add(steps.saturating_mul(self.length))
    }

    fn judge(&self, at: i64) -> Place {
        let off = at.saturating_sub(self.end()).saturating_abs();
        if off <= SLACK || off > JUMP {
            return Place::Next;
        }
        if at < self.end() {
            return Place::Behind(nearest_slot(at));
        }
        let behind_the_rest = round_up(self.end());
        Place::Ahead(nearest_slot(at).max(behind_the_rest))
    }
}

/// A late message joins nothing: its slots, and its tail if that is most of one.
fn put_late(at: i64, sound: &[u8], out: &mut impl FnMut(Slot<'_>)) {
    let mut at = nearest_slot(at);
    if at < 0 {
        return;
    }
    for payload in sound.chunks(SLOT) {
        if payload.len() == SLOT {
            out(slot(at, payload));
        } else if payload.len() > SLOT / 2 {
            let mut padded = [SILENCE; SLOT];
            padded[..payload.len()].copy_from_slice(payload);
            out(slot(at, &padded));
        }
        at += SLOT as i64;
    }
}

fn slot(at: i64, payload: &[u8]) -> Slot<'_> {
    debug_assert_eq!(at % SLOT as i64, 0, "slots begin on the grid");
    Slot {
        seq: (at / SLOT as i64) as u32,
        payload,
    }
}

fn first_byte() -> i64 {
    i64::from(FIRST_SEQ) * SLOT as i64
}

fn nearest_slot(at: i64) -> i64 {
    (at + SLOT as i64 / 2).div_euclid(SLOT as i64) * SLOT as i64
}

fn round_up(at: i64) -> i64 {
    (at + SLOT as i64 - 1).div_euclid(SLOT as i64) * SLOT as i64
}

/// From one timestamp to the next, in bytes.
fn milliseconds(before: u64, now: u64) -> i64 {
    difference(before, now).saturating_mul(PER_MS)
}

fn difference(before: u64, now: u64) -> i64 {
    let apart = i64::try_from(before.abs_diff(now)).unwrap_or(i64::MAX);
    if now < before { -apart } else { apart }
}

/// FNV-1a: good enough to tell two pieces of sound apart.
fn digest(sound: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    sound.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests;
