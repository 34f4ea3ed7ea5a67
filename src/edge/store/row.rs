//! One attempt at a call, as it is stored: the columns, once.
//!
//! The list below makes the struct, the SQL and what people are shown. A
//! value that is not known is `None` and NULL, never 0.
//!
//! A row is also a change: written over an older row of the same token, what
//! is `None` leaves what was there. So an intent is a row with few facts, and
//! the end of a call is a row with the rest.
//!
//! Units are in the names: `_at` is wall time, `_after_ms` is monotonic time
//! since the press, `_ms`, `_ppm` and `_db` are what they say.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde_json::{Map, Value};

use super::words::{Direction, Kind, Outcome, Reconciled, Transcribed, unreadable};
use crate::edge::clock::Stamp;
use crate::units::{CallId, E164};

macro_rules! columns {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty,)+) => {
        /// One attempt at a call. See the module's head for what `None` means.
        #[derive(Clone, Default, PartialEq)]
        pub struct Row {
            /// The attempt's own unguessable path token: the key, and by
            /// `client_websocket_url` the fingerprint at the service.
            pub token: String,
            $($(#[doc = $doc])+ pub $name: Option<$type>,)+
        }

        /// The columns after `token`, in the order of the record.
        pub(super) const COLUMNS: &[&str] = &[$(stringify!($name)),+];

        impl Row {
            /// The names of [`facts`](Self::facts), in their order.
            pub const NAMES: &[&str] = &["token", $(stringify!($name)),+];

            /// The values of [`COLUMNS`], for a statement.
            pub(super) fn values(&self) -> [&dyn ToSql; COLUMNS.len()] {
                [$(&self.$name),+]
            }

            /// Reads a row that was selected as `token` and [`COLUMNS`].
            pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                Ok(Self {
                    token: row.get("token")?,
                    $($name: row.get(stringify!($name))?,)+
                })
            }

            /// Every fact by name, in the order of the record; null where it
            /// is not known. Telephone numbers are whole only with `numbers`.
            #[must_use]
            pub fn facts(&self, numbers: bool) -> Map<String, Value> {
                let mut facts = Map::new();
                facts.insert("token".into(), self.token.as_str().into());
                $({
                    let fact = self.$name.as_ref().map(|fact| fact.shown(numbers));
                    facts.insert(stringify!($name).into(), fact.into());
                })+
                facts
            }

            /// Cuts long words, so that no answer of a server fills the disk.
            pub(super) fn clip(&mut self) {
                $(if let Some(fact) = &mut self.$name {
                    fact.clip(text_max(stringify!($name)));
                })+
            }
        }
    };
}

columns! {
    /// Where the service was asked to bring the sound.
    client_websocket_url: String,
    /// Who called whom.
    direction: Direction,
    /// What the call was for.
    kind: Kind,
    /// The token of the first attempt of the same press: what joins a list's
    /// attempts.
    press: String,
    /// The button that was pressed, by its place in the configuration, from 0.
    button: u8,
    /// The number's place in the button's list, from 0.
    target: u8,
    /// The attempt's place among those of one round, from 0.
    position: u8,
    /// How often the list had been gone through before.
    cycle: u8,
    /// The number called.
    to_number: E164,
    /// The number called from.
    from_number: E164,
    /// The service's name for the call.
    call_id: CallId,
    /// Whether the service confirmed the clock of every stamp here.
    clock_trusted: bool,
    /// The press counted.
    pressed_at: Stamp,
    /// The request went out.
    sent_at: Stamp,
    /// The service took the call on.
    accepted_at: Stamp,
    /// The service first said `ringing`.
    ringing_at: Stamp,
    /// The first media stream was up.
    stream_at: Stamp,
    /// Somebody answered.
    answered_at: Stamp,
    /// The key that confirms was pressed.
    confirmed_at: Stamp,
    /// From here on the two heard each other.
    joined_at: Stamp,
    /// The attempt was over for us.
    ended_at: Stamp,
    /// From the press to the request.
    sent_after_ms: u32,
    /// From the press to the service's yes.
    accepted_after_ms: u32,
    /// From the press to the first `ringing`.
    ringing_after_ms: u32,
    /// From the press to the first media stream.
    stream_after_ms: u32,
    /// From the press to the answer.
    answered_after_ms: u32,
    /// From the press to the key that confirms.
    confirmed_after_ms: u32,
    /// From the press until the two heard each other.
    joined_after_ms: u32,
    /// From the press to the end.
    ended_after_ms: u32,
    /// From the answer to the end.
    talk_ms: u32,
    /// What became of it, as the device saw it; see [`Row::outcome`].
    outcome: Outcome,
    /// The service's last status for the call, in its own word.
    service_status: String,
    /// The service's reason for the end, in its own word.
    service_hangup_reason: String,
    /// When the service made the call, in its own words.
    service_created_at: String,
    /// When the service saw the answer, in its own words.
    service_started_at: String,
    /// When the service saw the end, in its own words.
    service_ended_at: String,
    /// Why it ended, as the device saw it.
    local_reason: String,
    /// HTTP status of the answer to place-call.
    http_status: u16,
    /// What went wrong with place-call, in words.
    http_error: String,
    /// Calls left in the organization's 24 hours.
    calls_remaining: i64,
    /// Minutes left in the organization's 24 hours.
    minutes_remaining: f64,
    /// The service spoke text: what was agreed with the stream.
    use_inkbox_tts: bool,
    /// The service made text of speech: what was agreed with the stream.
    use_inkbox_stt: bool,
    /// The same, as the service's own record has it.
    service_use_inkbox_tts: bool,
    /// The same, as the service's own record has it.
    service_use_inkbox_stt: bool,
    /// Keys the far end pressed. Which ones is not kept: codes are secrets.
    digits: u32,
    /// Times a door was opened.
    openings: u32,
    /// The text of the announcement.
    said: String,
    /// Times the announcement was played to its end.
    spoken: u8,
    /// Encoding and rate of the stream.
    codec: String,
    /// Delay from socket to speaker, median.
    delay_p50_ms: u32,
    /// Delay from socket to speaker, 95th percentile.
    delay_p95_ms: u32,
    /// Delay from socket to speaker, 99th percentile.
    delay_p99_ms: u32,
    /// Sound made up for packets that were not there.
    concealed_ms: u32,
    /// Sound stretched or squeezed to hold the delay.
    stretched_ms: u32,
    /// Sound skipped to come back from a stall.
    skipped_ms: u32,
    /// Packets dropped by full or stale queues.
    drops: u32,
    /// Times the sound card ran dry or over.
    xruns: u32,
    /// How much faster the far clock ran than the card's.
    drift_ppm: f64,
    /// Echo taken out of the microphone's signal.
    echo_loss_db: f64,
    /// Sound went only one way for three seconds.
    one_way: bool,
    /// What was wrong with the sound, in words.
    bad_sound: String,
    /// Times a new socket took over.
    reconnects: u32,
    /// The attempt is over: nothing is left to hang up.
    closed: bool,
    /// Whether the service's own record of the call is in this row.
    reconciled: Reconciled,
    /// Whether the service's transcript of the call is in the record.
    transcribed: Transcribed,
}

impl Row {
    /// A row that holds nothing yet but its key.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            ..Self::default()
        }
    }

    /// The start of the token: enough for people to tell attempts apart, and
    /// for `callbox calls show`.
    #[must_use]
    pub fn short_token(&self) -> &str {
        let end = self.token.char_indices().nth(8).map(|(at, _)| at);
        &self.token[..end.unwrap_or(self.token.len())]
    }

    /// The number at the other end.
    #[must_use]
    pub fn far_number(&self) -> Option<&E164> {
        match self.direction {
            Some(Direction::Inbound) => self.from_number.as_ref(),
            _ => self.to_number.as_ref(),
        }
    }

    /// What became of the attempt: what the device saw, but for what only the
    /// service can know. Rows of format 1 say it by their other facts.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let reason = self.service_hangup_reason.as_deref();
        match (reason.unwrap_or_default(), self.outcome) {
            _ if self.closed != Some(true) => Outcome::Open,
            ("voicemail", _) => Outcome::Voicemail,
            ("rejected", _) => Outcome::Rejected,
            (_, Some(outcome)) => outcome,
            _ if self.answered_after_ms.is_some() => Outcome::Answered,
            _ if self.http_status >= Some(400) => Outcome::Refused,
            _ if self.sent_at.is_none() => Outcome::Limited,
            _ => match self.service_status.as_deref().unwrap_or_default() {
                "failed" => Outcome::Failed,
                "canceled" => Outcome::Unanswered,
                "completed" => Outcome::Answered,
                _ => Outcome::Unknown,
            },
        }
    }
}

/// What is known, without the token's secret half and whole numbers: logs travel.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Row");
        out.field("token", &self.short_token());
        let secret =
            |name: &str| matches!(name, "token" | "press" | "client_websocket_url" | "said");
        for (name, value) in &self.facts(false) {
            if !value.is_null() && !secret(name) {
                out.field(name, &format_args!("{value}"));
            }
        }
        out.finish()
    }
}

/// Bytes of text a column holds; the rest is cut. The service's words and
/// addresses are far shorter, and an announcement is at most 4 KiB long.
fn text_max(column: &str) -> usize {
    match column {
        "said" => 4096,
        _ => 1024,
    }
}

/// The start of `text`, whole characters and no more than `max` bytes.
pub(super) fn start_of(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// How a fact is shown to people and in JSON, and bounded.
trait Fact {
    fn shown(&self, numbers: bool) -> Value;

    fn clip(&mut self, _max: usize) {}
}

macro_rules! plain_facts {
    ($($type:ty),+) => {
        $(impl Fact for $type {
            fn shown(&self, _: bool) -> Value {
                Value::from(*self)
            }
        })+
    };
}

plain_facts!(bool, u8, u16, u32, i64, f64);

impl Fact for String {
    fn shown(&self, _: bool) -> Value {
        Value::from(self.as_str())
    }

    fn clip(&mut self, max: usize) {
        self.truncate(start_of(self, max).len());
    }
}

macro_rules! word_facts {
    ($($type:ty),+) => {
        $(impl Fact for $type {
            fn shown(&self, _: bool) -> Value {
                Value::from(self.as_str())
            }
        })+
    };
}

word_facts!(Direction, Kind, Outcome, Reconciled, Transcribed);

impl Fact for E164 {
    fn shown(&self, numbers: bool) -> Value {
        if numbers {
            Value::from(self.as_str())
        } else {
            Value::from(self.to_string())
        }
    }
}

impl Fact for CallId {
    fn shown(&self, _: bool) -> Value {
        Value::from(self.as_str())
    }
}

impl Fact for Stamp {
    fn shown(&self, _: bool) -> Value {
        Value::from(self.to_string())
    }
}

impl ToSql for E164 {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for E164 {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Self::parse(text).map_err(|_| unreadable(text, "telephone number"))
    }
}

impl ToSql for CallId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for CallId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Self::parse(text).ok_or_else(|| unreadable(text, "call id"))
    }
}

impl ToSql for Stamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.unix_ms().into())
    }
}

impl FromSql for Stamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix_ms)
    }
}
