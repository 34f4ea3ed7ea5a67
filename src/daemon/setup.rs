//! What the daemon is told about buttons, doors, schedules and calls to the
//! device before it starts: plain values, checked by `config`.

use std::time::Duration;

use jiff::civil::Weekday;

use crate::config::{Action, Days, Hours, Text, TimeOfDay};
use crate::units::{ButtonId, Digit, E164, Mode};
use crate::wire::handshake::Token;

/// A button, as the call needs to know it.
#[derive(Debug, Clone)]
pub struct Button {
    /// What people call it.
    pub name: String,
    /// The numbers it calls, in turn. Empty on a button that places no call;
    /// at most 8.
    pub targets: Vec<Target>,
    /// What a press does.
    pub press: Action,
    /// What holding it does.
    pub long_press: Action,
    /// What two presses in a row do.
    pub double_press: Action,
    /// What is said, on a button that announces.
    pub announcement: Option<Announcement>,
    /// How often the list is gone through, 1 to 9.
    pub cycles: u8,
    /// Longest ringing of each number.
    pub ring_for: Duration,
    /// The key by which whoever answers shows to be a person.
    pub confirm: Option<Digit>,
    /// Who turns speech into text and back.
    pub mode: Mode,
}

/// A number of a button's list.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whom it calls.
    pub number: E164,
    /// When it is in the list.
    pub hours: Hours,
}

impl Button {
    /// The places in the list of the numbers that are called at this minute.
    #[must_use]
    pub fn targets_at(&self, minute_of_day: u16, weekday: Weekday) -> Vec<u8> {
        let targets = (0..).zip(&self.targets);
        let now = targets.filter(|(_, target)| target.hours.contains(minute_of_day, weekday));
        now.map(|(place, _)| place).collect()
    }
}

/// What an announcing button says.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The words, with their placeholders.
    pub text: Text,
    /// How often, 1 to 9.
    pub repeats: u8,
}

/// A door, by its place in the configuration. What opens it only the call knows.
#[derive(Debug, Clone)]
pub struct Door {
    /// What people call it.
    pub name: String,
}

/// An announcement at set times.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What people call it.
    pub name: String,
    /// The button whose announcement is made.
    pub button: ButtonId,
    /// The times of the day.
    pub at: Vec<TimeOfDay>,
    /// The days.
    pub days: Days,
}

impl Schedule {
    /// Whether it is due in this minute of this day.
    #[must_use]
    pub fn is_due(&self, minute_of_day: u16, weekday: Weekday) -> bool {
        let now = |at: &TimeOfDay| at.minute() == minute_of_day;
        self.days.contains(weekday) && self.at.iter().any(now)
    }
}

/// Which calls to the device are let in, when they are not all refused.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Who may call.
    pub allow: Vec<E164>,
    /// The last part of the secret path the service connects to.
    pub token: Token,
}
