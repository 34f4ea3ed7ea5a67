//! The numbers a call is run by.

use std::fmt;
use std::time::Duration;

use crate::units::Digit;

/// Every time and limit of a call. The defaults suit a door station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long a number may ring whose plan says nothing else. Default 45 s;
    /// see [`Plan::ring_for`](super::Plan::ring_for).
    pub ring_for: Duration,
    /// A number that is not connected this long after it was dialed is left,
    /// so that the next of the list can be dialed. Default 45 s (ASME A17.1
    /// 2.27.1.1.2); less cuts the ringing short, down to 15 s.
    pub next_within: Duration,
    /// How long a callee has to press the key that confirms, counted from the
    /// answer. Default 15 s; less than 10 s is too short for a prompt that is
    /// heard twice.
    pub confirm_within: Duration,
    /// Guard for [`Input::Spoken`](super::Input::Spoken). Default 60 s; it has
    /// to be longer than the announcement takes to be spoken, or its rounds
    /// run into each other.
    pub say_within: Duration,
    /// What becomes of inbound calls. Default: refused.
    pub inbound: Inbound,
    /// How long an inbound call chimes before it is let in. Default 5 s; zero
    /// is [`Inbound::Answer`].
    pub chime_for: Duration,
    /// The doors and what opens them; at most [`MAX_DOORS`] are looked at.
    pub doors: Vec<Door>,
    /// A pause between two keys that makes the door forget what was typed.
    /// Default 5 s; below 2 s slow fingers never get in.
    pub digit_pause: Duration,
    /// Longest call, counted from the answer. Default 5 min. The minutes left
    /// in [`minutes_per_day`](Self::minutes_per_day) shorten it.
    pub max_call: Duration,
    /// How long before the end of `max_call` the warning sounds. Default 30 s;
    /// zero, or more than `max_call`, means no warning.
    pub warn_before: Duration,
    /// How long an answered call waits for its media stream. Default 10 s; the
    /// far end hears nothing for as long as this.
    pub stream_within: Duration,
    /// How long a dropped stream may take to come back. Default 10 s; zero
    /// hangs up at the first drop.
    pub reconnect_within: Duration,
    /// Silence of the wire (no packet, not: no sound) that counts as one-way
    /// audio. Default 2 s, since packets are told of once a second, for the
    /// second that is over, and the visitor is to know within 3 s; less only
    /// shows what mends itself.
    pub one_way_after: Duration,
    /// Pause between two get-calls while a call is dialing, ringing,
    /// reconnecting or one-way; half of it while dialing. Default 2 s: gentle,
    /// and the ring-back tone is at most a second late.
    pub poll_every: Duration,
    /// How long a call whose end is not confirmed blocks the next one before
    /// it is given up. Default 10 min: much shorter risks two calls at once,
    /// much longer a box that is dead because the service is.
    pub give_up_after: Duration,
    /// How long a press waits for orphans of an earlier process to be off the
    /// line. Default 10 s; then the visitor is told that it failed.
    pub hold_press: Duration,
    /// How long `Ended`, `Failed`, `Limited` and `Offline` are shown after a
    /// call. Default 4 s.
    pub show_for: Duration,
    /// Calls of this device in any 24 hours. Default 20: the organization has
    /// 100 for all its boxes, so a runaway box costs the others a fifth.
    pub calls_per_day: u16,
    /// Answered time of this device in any 24 hours. Default 30 min, of the
    /// organization's 100.
    pub minutes_per_day: Duration,
    /// Pause after a call that failed; doubled by each further failure in a
    /// row. Default 2 s; zero means none.
    pub back_off: Duration,
    /// Longest such pause. Default 5 min.
    pub back_off_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ring_for: Duration::from_secs(45),
            next_within: Duration::from_secs(45),
            confirm_within: Duration::from_secs(15),
            say_within: Duration::from_secs(60),
            inbound: Inbound::Refuse,
            chime_for: Duration::from_secs(5),
            doors: Vec::new(),
            digit_pause: Duration::from_secs(5),
            max_call: Duration::from_secs(5 * 60),
            warn_before: Duration::from_secs(30),
            stream_within: Duration::from_secs(10),
            reconnect_within: Duration::from_secs(10),
            one_way_after: Duration::from_secs(2),
            poll_every: Duration::from_secs(2),
            give_up_after: Duration::from_secs(10 * 60),
            hold_press: Duration::from_secs(10),
            show_for: Duration::from_secs(4),
            calls_per_day: 20,
            minutes_per_day: Duration::from_secs(30 * 60),
            back_off: Duration::from_secs(2),
            back_off_max: Duration::from_secs(5 * 60),
        }
    }
}

/// What becomes of inbound calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inbound {
    /// They are stopped and hung up.
    #[default]
    Refuse,
    /// They chime, then the two hear each other.
    Chime,
    /// The two hear each other at once.
    Answer,
}

/// Most doors.
pub const MAX_DOORS: usize = 4;

/// Longest code of a door; a longer one never opens it.
pub const MAX_CODE: usize = 16;

/// What opens a door. Both are secrets: `Debug` does not show them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Door {
    /// The keys, in turn; empty for none. No code may be the end of another:
    /// of those, the longest counts.
    pub code: Vec<Digit>,
    /// Words, each of which opens it when the callee says it, whatever case it
    /// is written in.
    pub words: Vec<String>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}
