//! The messages of a media stream: text frames in and out, and the sound in
//! them cut into the device's own 20 ms slots.
//!
//! ```text
//!  text ──parse──▶ Inbound::Media ──decode──▶ bytes ──Recutter::put──▶ Slot(seq)
//!       └────────▶ Inbound::Transcript, BargeIn, Dtmf, …
//!  text ◀────────────── Writer::media ◀──────────────────────────────── packet
//!       ◀────────────── write_text ◀──── sentences ◀──── clean ◀──────── words
//! ```
//!
//! One `parse` per WebSocket message, then one `put` per payload. There is no
//! clock: order comes from the numbers the service sends.
//!
//! Units: a payload is that of RTP without its header ([`Encoding`]); `chunk`
//! counts messages, `timestamp` is in milliseconds, [`Slot::seq`] in slots.
//!
//! Always true: no message, however made, makes a panic or an unbounded
//! buffer; text of the service is on one line, without control characters, and
//! no longer than it may be; whatever we do not know is ignored.
//!
//! [`Encoding`]: crate::units::Encoding

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::units::Digit;

mod format;
mod opus;
mod recut;
mod text;
mod write;

pub use format::{Format, Unsupported};
pub use recut::{FIRST_SEQ, Recutter, Slot};
pub use text::{SPOKEN_MAX, TRANSCRIPT_MAX, clean, sentences};
pub use write::{CLEAR, TEXT_DONE, Writer, write_audio_done, write_mark, write_stop, write_text};

/// Most bytes of sound in one message: 30 s of PCMU, 5 s of the widest linear
/// sound; the service sends 20 ms.
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
    /// The far end pressed a key.
    Dtmf(Digit),
    /// Words of the far end.
    Transcript(Transcript),
    /// The far end spoke while our words were spoken to it.
    BargeIn(BargeIn),
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
    /// An event we do not know.
    Unknown,
}

/// What the service's recognizer heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The words, at most [`TRANSCRIPT_MAX`] bytes.
    pub text: String,
    /// They will not be bettered. `false` when the service does not say: what
    /// is not known to be final opens no door.
    pub is_final: bool,
    /// The service's name for the turn they belong to.
    pub turn: Option<String>,
}

/// Somebody spoke over our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BargeIn {
    /// What made the service think so.
    pub trigger: Option<String>,
    /// What was said, at most [`TRANSCRIPT_MAX`] bytes.
    pub text: Option<String>,
    /// The service has stopped to speak our words.
    pub tts_interrupted: bool,
    /// The service's name for the turn.
    pub turn: Option<String>,
}

/// The beginning of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The name our own messages carry.
    pub stream_id: Option<String>,
    /// What the sound is.
    pub format: Format,
}

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
    /// The payload is not of the stream's encoding.
    #[error("the payload is not what the stream was declared to hold")]
    Sound,
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
        "transcript" => Ok(Inbound::Transcript(transcript(text)?)),
        "barge_in" => Ok(Inbound::BargeIn(barge_in(text)?)),
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

fn dtmf(text: &str) -> Result<Digit, Malformed> {
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
    match (letters.next().and_then(Digit::parse), letters.next()) {
        (Some(digit), None) => Ok(digit),
        _ => Err(Malformed::Body),
    }
}

fn transcript(text: &str) -> Result<Transcript, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        #[serde(borrow, default)]
        is_final: Loose<'a>,
        #[serde(borrow, default)]
        turn_id: Loose<'a>,
    }
    let body: Body<'_> = body(text)?;
    Ok(Transcript {
        text: clean(&body.text, TRANSCRIPT_MAX),
        is_final: body.is_final.flag(),
        turn: body.turn_id.words(NAME_MAX),
    })
}

/// Whatever else is in it, somebody spoke.
fn barge_in(text: &str) -> Result<BargeIn, Malformed> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        trigger: Loose<'a>,
        #[serde(borrow, default)]
        text: Loose<'a>,
        #[serde(borrow, default)]
        tts_interrupted: Loose<'a>,
        #[serde(borrow, default)]
        turn_id: Loose<'a>,
    }
    let body: Body<'_> = body(text)?;
    Ok(BargeIn {
        trigger: body.trigger.words(NAME_MAX),
        text: body.text.words(TRANSCRIPT_MAX),
        tts_interrupted: body.tts_interrupted.flag(),
        turn: body.turn_id.words(NAME_MAX),
    })
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
    let words = [payload.title, payload.detail].map(|word| word.words(NAME_MAX));
    let words: Vec<_> = words.into_iter().flatten().collect();
    Ok(Inbound::Error {
        code: payload.code.words(NAME_MAX).unwrap_or_default(),
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
    let reason = body::<Body<'_>>(text)?.reason.words(NAME_MAX);
    Ok(Inbound::Stop { reason })
}

/// A value that may come as a number, as text, as a flag, or as nothing of use.
#[derive(Debug, Default)]
enum Loose<'a> {
    Number(u64),
    Flag(bool),
    Text(Cow<'a, str>),
    #[default]
    Neither,
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

/// An untagged enum would do, too, but writes the words of an error for each
/// shape that it is not.
struct LooseVisitor<'a>(PhantomData<Loose<'a>>);

impl<'de: 'a, 'a> Visitor<'de> for LooseVisitor<'a> {
    type Value = Loose<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Loose::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Loose::Neither)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose::Neither)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Neither)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Neither)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Neither)
    }
}

impl Loose<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Flag(_) | Self::Neither => None,
        }
    }

    /// A name that is said back as it came; cut to [`NAME_MAX`].
    fn text(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.chars().take(NAME_MAX).collect()),
            Self::Flag(_) | Self::Neither => None,
        }
    }

    /// Words that are kept, shown and logged: at most `max` bytes of them.
    fn words(&self, max: usize) -> Option<String> {
        match self {
            Self::Text(text) => Some(clean(text, max)),
            other => other.text(),
        }
    }

    fn flag(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Text(text) => text.eq_ignore_ascii_case("true"),
            Self::Number(_) | Self::Neither => false,
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

#[cfg(test)]
mod tests;
