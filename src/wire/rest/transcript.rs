//! What was said in a call, as the service wrote it down.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::call::open_enum;
use crate::units::CallId;

/// Most bytes kept of one segment's text.
const TEXT_MAX: usize = 2048;

open_enum! {
    /// Who said it.
    Party {
        /// Our side: the visitor, or the voice that speaks for us.
        Local = "local",
        /// The other party.
        Remote = "remote",
    }
}

/// One stretch of speech. `Debug` leaves out what was said.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Segment {
    /// Its place in the call, from 0.
    pub seq: i64,
    /// When it was said, in ms from the start of the call.
    #[serde(default, rename = "ts_ms")]
    pub at_ms: i64,
    /// Who said it.
    pub party: Party,
    /// What was said: no control characters, at most 2 KiB.
    #[serde(deserialize_with = "read_text")]
    pub text: String,
    #[serde(default)]
    call_id: Option<String>,
}

impl Segment {
    /// Whether it is of this call, as far as it says.
    pub(super) fn belongs_to(&self, call: &CallId) -> bool {
        self.call_id.as_deref().is_none_or(|id| id == call.as_str())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("seq", &self.seq)
            .field("at_ms", &self.at_ms)
            .field("party", &self.party.as_str())
            .finish_non_exhaustive()
    }
}

fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let mut ends = (0..=TEXT_MAX.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    Ok(text[..end.unwrap_or(0)].replace(char::is_control, " "))
}
