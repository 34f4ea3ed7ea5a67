//! What a button is, what it asks for, and who asks for it at set times.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::{Days, TimeOfDay, When};
use super::text::Text;
use super::value::{
    as_bias, as_seconds, as_some_key, as_some_line, as_some_text, as_text, as_texts, bias, number,
    numbers, seconds, some_key, some_line, some_text, text, times, whole_number, whole_numbers,
    within,
};
use crate::edge::gpio::{Bias, LineSpec};
use crate::units::{Digit, E164};

/// `[[button]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// What people call it; in logs, records and `callbox call NAME`.
    pub name: String,
    /// The numbers it calls, one after the other.
    #[serde(
        default,
        deserialize_with = "numbers",
        serialize_with = "whole_numbers"
    )]
    pub to: Vec<E164>,
    /// Its line. Without one only the control socket or a schedule presses it.
    #[serde(
        default,
        deserialize_with = "some_line",
        serialize_with = "as_some_line"
    )]
    pub line: Option<LineSpec>,
    /// Pressed is low. Default true: a button to ground.
    #[serde(default = "yes")]
    pub active_low: bool,
    /// How the line is pulled.
    #[serde(default, deserialize_with = "bias", serialize_with = "as_bias")]
    pub bias: Bias,
    /// What a press does.
    #[serde(default = "call")]
    pub press: Action,
    /// What holding it does.
    #[serde(default = "cancel")]
    pub long_press: Action,
    /// What two presses in a row do. Only on buttons that place no call.
    #[serde(default = "none")]
    pub double_press: Action,
    /// What its call is for.
    #[serde(default)]
    pub kind: Kind,
    /// What an announcement says.
    #[serde(
        default,
        deserialize_with = "some_text",
        serialize_with = "as_some_text"
    )]
    pub say: Option<Text>,
    /// How often it says it.
    #[serde(default = "twice", deserialize_with = "within::<1, 9, _>")]
    pub repeat: u32,
    /// How often its list of numbers is gone through.
    #[serde(default = "once", deserialize_with = "within::<1, 9, _>")]
    pub cycles: u32,
    /// Longest ringing of each number. `None`: as in `[call]`.
    #[serde(
        rename = "ring_for_s",
        default,
        deserialize_with = "some_ringing",
        serialize_with = "as_some_ringing"
    )]
    pub ring_for: Option<Duration>,
    /// The key by which whoever answers shows to be a person.
    #[serde(default, deserialize_with = "some_key", serialize_with = "as_some_key")]
    pub confirm: Option<Digit>,
    /// The service speaks text. `None`: as the kind needs it.
    #[serde(default)]
    pub inkbox_tts: Option<bool>,
    /// The service turns what the far end says into text.
    #[serde(default)]
    pub inkbox_stt: bool,
    /// The numbers it calls, where hours matter.
    #[serde(rename = "target", default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
}

/// `[[button.target]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Whom it calls.
    #[serde(deserialize_with = "number", serialize_with = "whole_number")]
    pub number: E164,
    /// When it calls this one.
    #[serde(default, deserialize_with = "text", serialize_with = "as_text")]
    pub when: When,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Two people talk.
    #[default]
    Talk,
    /// A text is spoken to whoever answers.
    Announce,
}

/// What a button's gesture does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Places the button's call.
    Call,
    /// Ends the call that is up.
    Cancel,
    /// The speaker becomes louder by a step.
    VolumeUp,
    /// The speaker becomes softer by a step.
    VolumeDown,
    /// Nothing.
    None,
}

impl Button {
    /// The numbers it calls, in their order, and when.
    #[must_use]
    pub fn all_targets(&self) -> Vec<Target> {
        let at_any_time = |number: &E164| Target {
            number: number.clone(),
            when: When::Always,
        };
        let plain = self.to.iter().map(at_any_time);
        plain.chain(self.targets.iter().cloned()).collect()
    }

    /// What it does in a few words, numbers masked.
    #[must_use]
    pub fn summary(&self) -> String {
        let numbers: Vec<String> = (self.all_targets().iter())
            .map(|target| match &target.when {
                When::Always => target.number.to_string(),
                when => format!("{} ({when})", target.number),
            })
            .collect();
        let what = match (numbers.is_empty(), self.kind) {
            (true, _) => return format!("{}: {}", self.name, self.press),
            (false, Kind::Talk) => "calls",
            (false, Kind::Announce) => "announces to",
        };
        format!("{} {what} {}", self.name, numbers.join(", then "))
    }
}

impl fmt::Display for Action {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Cancel => "cancel",
            Self::VolumeUp => "volume-up",
            Self::VolumeDown => "volume-down",
            Self::None => "none",
        })
    }
}

/// `[[schedule]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What people call it; in logs and records.
    pub name: String,
    /// The button whose announcement is made.
    pub button: String,
    /// The times of the day.
    #[serde(deserialize_with = "times", serialize_with = "as_texts")]
    pub at: Vec<TimeOfDay>,
    /// The days. Default: every day.
    #[serde(
        default = "every_day",
        deserialize_with = "text",
        serialize_with = "as_text"
    )]
    pub days: Days,
}

fn yes() -> bool {
    true
}

fn call() -> Action {
    Action::Call
}

fn cancel() -> Action {
    Action::Cancel
}

fn none() -> Action {
    Action::None
}

fn once() -> u32 {
    1
}

fn twice() -> u32 {
    2
}

fn every_day() -> Days {
    Days::ALL
}

fn some_ringing<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    seconds::<5, 120, D>(from).map(Some)
}

fn as_some_ringing<S: serde::Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_seconds(time, to),
        None => to.serialize_none(),
    }
}
