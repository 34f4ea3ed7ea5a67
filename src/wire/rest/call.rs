//! The call object, the list of them, and the quota that comes with a placed
//! call.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::request::WsUrl;
use crate::units::{CallId, E164};

/// Makes an enum of the texts a document lists, which keeps the others. Its
/// module needs `fmt` and serde's four names.
macro_rules! open_enum {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $item_doc:literal])+ $item:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $item_doc])+ $item,)+
            /// A text newer than the API document, kept as it came.
            Other(String),
        }

        impl $name {
            /// The text on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$item => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$item,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    };
}

pub(super) use open_enum;

open_enum! {
    /// How far a call is.
    CallStatus {
        /// Call created, dialing in progress.
        Initiated = "initiated",
        /// Remote party is ringing.
        Ringing = "ringing",
        /// Call connected and active.
        Answered = "answered",
        /// Call ended normally.
        Completed = "completed",
        /// Call ended before being answered.
        Canceled = "canceled",
        /// Call could not be connected.
        Failed = "failed",
    }
}

impl CallStatus {
    /// True when the call cannot come to life again. A status we do not know
    /// is not taken for an end.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Failed)
    }
}

open_enum! {
    /// Who called whom.
    Direction {
        /// We called.
        Outbound = "outbound",
        /// We were called.
        Inbound = "inbound",
    }
}

open_enum! {
    /// Why a call ended.
    HangupReason {
        /// Our side hung up.
        Local = "local",
        /// The other party hung up.
        Remote = "remote",
        /// It reached the service's longest duration.
        MaxDuration = "max_duration",
        /// An answering machine took it.
        Voicemail = "voicemail",
        /// The other party declined.
        Rejected = "rejected",
    }
}

/// A moment as the service wrote it, and what it means.
///
/// A text that is no ISO 8601 stamp is kept without a meaning: one odd stamp
/// must not hide a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    text: String,
    at: Option<jiff::Timestamp>,
}

impl Stamp {
    /// Reads an ISO 8601 stamp. One without an offset is taken for UTC.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let utc = |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC).ok();
        let at = text
            .parse()
            .ok()
            .or_else(|| Some(utc(text.parse().ok()?)?.timestamp()));
        Self {
            text: text.to_owned(),
            at,
        }
    }

    /// What the service wrote.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The moment; `None` when the text is not ISO 8601.
    #[must_use]
    pub fn at(&self) -> Option<jiff::Timestamp> {
        self.at
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

/// A call as the service keeps it.
///
/// `id`, `direction` and `status` must be there; the rest may be missing or
/// null, since a call we half understand is still a call that is up. `Debug`
/// leaves out numbers and the stream's address.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The service's name for the call.
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub id: CallId,
    /// Our number. Null on lines without a number of their own.
    #[serde(default)]
    pub local_phone_number: Option<String>,
    /// The other party's number.
    #[serde(default)]
    pub remote_phone_number: Option<String>,
    /// Who called whom.
    pub direction: Direction,
    /// How far it is.
    pub status: CallStatus,
    /// The stream address it was placed with.
    #[serde(default)]
    pub client_websocket_url: Option<String>,
    /// Whether the service speaks text; null until the stream is up.
    #[serde(default)]
    pub use_inkbox_tts: Option<bool>,
    /// Whether the service turns speech into text; null until the stream is up.
    #[serde(default)]
    pub use_inkbox_stt: Option<bool>,
    /// Why it ended.
    #[serde(default)]
    pub hangup_reason: Option<HangupReason>,
    /// When it was answered.
    #[serde(default)]
    pub started_at: Option<Stamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Stamp>,
    /// Whether a contact rule rejected it.
    #[serde(default)]
    pub is_blocked: bool,
    /// When it was created.
    #[serde(default)]
    pub created_at: Option<Stamp>,
    /// When the service last wrote to it.
    #[serde(default)]
    pub updated_at: Option<Stamp>,
    /// Fields newer than the API document, kept as they came.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Call {
    /// True when the service says that the call has ended, by its status or by
    /// the stamp of its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.is_terminal() || self.ended_at.is_some()
    }

    /// True when the call was placed with exactly this stream address: the
    /// fingerprint of an attempt.
    #[must_use]
    pub fn streams_to(&self, url: &WsUrl) -> bool {
        self.client_websocket_url.as_deref() == Some(url.as_str())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id.as_str())
            .field("direction", &self.direction.as_str())
            .field("status", &self.status.as_str())
            .field("hangup_reason", &self.hangup_reason)
            .finish_non_exhaustive()
    }
}

fn write_id<S: Serializer>(id: &CallId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CallId, D::Error> {
    let text = String::deserialize(deserializer)?;
    CallId::parse(&text).ok_or_else(|| serde::de::Error::custom("the id is not one we can use"))
}

/// The answer to place-call: the call, with the organization's quota inside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placed {
    /// The new call.
    #[serde(flatten)]
    pub call: Call,
    /// What is left of the rolling 24 hours. `None` when the service left it
    /// out or it could not be read: the call counts, not its wrapping.
    pub rate_limit: Option<RateLimit>,
}

/// The organization's use of the service in the last 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Calls placed.
    pub calls_used: i64,
    /// Calls that may still be placed.
    pub calls_remaining: i64,
    /// Calls allowed.
    pub calls_limit: i64,
    /// Minutes talked.
    pub minutes_used: f64,
    /// Minutes left.
    pub minutes_remaining: f64,
    /// Minutes allowed.
    pub minutes_limit: f64,
}

/// One page of the list of calls, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallPage {
    /// The calls that could be read.
    pub calls: Vec<Call>,
    /// Entries that could not: not absent, and not known either.
    pub unreadable: usize,
}

impl CallPage {
    /// Whether the calls listed under the configured `phone_number_id` are
    /// those of the configured number.
    #[must_use]
    pub fn judge_pair(&self, from: &E164) -> Pair {
        let mut locals = self
            .calls
            .iter()
            .filter_map(|call| call.local_phone_number.as_deref());
        match locals.next().map(E164::parse) {
            Some(Ok(listed)) if listed == *from => Pair::Right,
            Some(Ok(listed)) => Pair::Wrong { listed },
            Some(Err(_)) | None => Pair::Unproven,
        }
    }
}

/// Whether `from_number` and `phone_number_id` belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pair {
    /// They do.
    Right,
    /// The id is another number's.
    Wrong {
        /// Whose it is.
        listed: E164,
    },
    /// The number has no calls yet, or none that names it.
    Unproven,
}
