//! What the daemon is told before it starts, and how it tells of what happens:
//! plain values, checked by `config`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Weekday;
use tokio::sync::mpsc;

use super::SelfTestPlan;
use crate::audio;
use crate::audio::engine::Ports;
use crate::call::{self, Phase};
use crate::config::{Action, Days, Hours, Text, TimeOfDay};
use crate::edge::card::Running;
use crate::edge::realtime::Wake;
use crate::edge::store::{self, Row};
use crate::edge::zone::Zone;
use crate::edge::{ingress, rest, tunnel};
use crate::panel;
use crate::trace::Trace;
use crate::units::{ButtonId, ByteOrder, Digit, E164, Mode};
use crate::wire::handshake::Token;
use crate::wire::rest::WsUrl;

/// Notices that wait for whoever watches; what is more is not told.
const NOTICES: usize = 256;

/// Where the control socket is and whose.
#[derive(Debug, Clone)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
    /// The group that may use it.
    pub group: Option<String>,
}

/// Everything a device needs to know before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The buttons, in the order of their ids.
    pub buttons: Vec<Button>,
    /// The number that calls.
    pub from: E164,
    /// What the service dials, without an attempt's path. `None` until the
    /// tunnel tells.
    pub public_url: Option<WsUrl>,
    /// The service.
    pub rest: rest::Config,
    /// The way in.
    pub ingress: ingress::Config,
    /// What brings the service there, where callbox itself sees to that.
    pub tunnel: Option<tunnel::Config>,
    /// How a call goes.
    pub call: call::Config,
    /// How it sounds.
    pub audio: audio::Config,
    /// How presses are told from noise.
    pub panel: panel::Config,
    /// The records.
    pub store: store::Config,
    /// The control socket; `None` for a device without one.
    pub control: Option<Control>,
    /// The doors, in the order of their relays.
    pub doors: Vec<Door>,
    /// Announcements at set times.
    pub schedules: Vec<Schedule>,
    /// Calls to the device; `None`: they are refused.
    pub inbound: Option<Inbound>,
    /// What stands for `{place}` in texts.
    pub place: String,
    /// When nothing chimes, and calls to the device are refused.
    pub quiet: Hours,
    /// The zone of all hours and schedules.
    pub timezone: Zone,
    /// What the volume buttons do.
    pub volume: Volume,
    /// Which byte of a sample comes first, where the service sends L16.
    pub byte_order: ByteOrder,
    /// When the device tests its own sound. `None`: never.
    pub self_test: Option<SelfTestPlan>,
    /// Where the latest test of the sound is kept.
    pub report: PathBuf,
    /// Where `callbox card` notes what it found wrong, for the lamp.
    pub note: Option<PathBuf>,
}

/// What the device is plugged into: a real panel and card, or the demo's.
pub struct Hardware<F> {
    /// Buttons and lamp.
    pub face: F,
    /// Starts microphone and speaker around an engine with these ports.
    pub sound: StartSound,
}

/// Starts a card: settings and ports for the engine, the wake-up for packets,
/// the counters.
pub type StartSound =
    Box<dyn FnOnce(&audio::Config, Ports, Arc<Wake>, Arc<Trace>) -> io::Result<Running>>;

/// What happens, for whoever watches: the demo.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Ready for a press: the panel's lines are open, or it was said why not.
    Ready,
    /// A button counted.
    Pressed(ButtonId),
    /// What the visitor is shown changed.
    Phase(Phase),
    /// The record of an attempt, as far as it is known.
    Record(Box<Row>),
    /// The service's own account of an attempt, by its token, went into the store.
    Reconciled(String),
}

/// Why a device does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread, a runtime or a socket could not be made.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The service's settings are of no use.
    #[error("{0}")]
    Rest(#[from] rest::SetupError),
    /// The way in cannot be opened.
    #[error("{0}")]
    Ingress(#[from] ingress::BindError),
}

/// A channel for [`run`](super::run)'s notices.
#[must_use]
pub fn notices() -> (mpsc::Sender<Notice>, mpsc::Receiver<Notice>) {
    mpsc::channel(NOTICES)
}

/// What the volume buttons do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Decibels of one press.
    pub step_db: i8,
    /// Steps a visitor may go, up and down.
    pub steps: i8,
}

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
