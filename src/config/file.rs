//! The sections of the file and their defaults.
//!
//! `template.toml` beside this explains each key to the installer; a test
//! keeps the two alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::board::{Board, Settled};
use super::button::{Button, Schedule};
use super::door::{Code, Words};
use super::hours::{Hours, TimeOfDay};
use super::value::{
    as_base, as_line, as_ms, as_order, as_role, as_seconds, as_some_channel, as_some_id,
    as_some_ms, as_some_text, as_style, as_zone, base, card_name, code, command, decibels, line,
    ms, number, numbers, order, path, role, seconds, some_channel, some_id, some_ms, some_path,
    some_text, some_within, some_ws_url, style, whole_number, whole_numbers, within, words, zone,
};
use crate::audio::MicChannel;
use crate::audio::tone::Style;
use crate::edge::gpio::LineSpec;
use crate::panel::LampRole;
use crate::units::{ByteOrder, E164};
use crate::wire::rest::{BaseUrl, PhoneNumberId, WsUrl};

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The board and its sound card.
    #[serde(default)]
    pub board: Board,
    /// The telephone service.
    pub service: Service,
    /// How the service reaches this device.
    pub ingress: Ingress,
    /// The buttons, at least one.
    #[serde(rename = "button")]
    pub buttons: Vec<Button>,
    /// How presses are told from noise.
    #[serde(default)]
    pub panel: Panel,
    /// The lamps, if there are any.
    #[serde(rename = "lamp", default)]
    pub lamps: Vec<Lamp>,
    /// The doors, if there are any.
    #[serde(rename = "door", default)]
    pub doors: Vec<Door>,
    /// Announcements at set times.
    #[serde(rename = "schedule", default)]
    pub schedules: Vec<Schedule>,
    /// Where the device is.
    #[serde(default)]
    pub place: Place,
    /// Calls to the device.
    #[serde(default)]
    pub inbound: Inbound,
    /// Night, quiet and the time zone.
    #[serde(rename = "hours", default)]
    pub clock: Clock,
    /// The installer's own sounds.
    #[serde(default)]
    pub prompts: Prompts,
    /// Microphone and speaker.
    #[serde(default)]
    pub sound: Sound,
    /// How a call goes.
    #[serde(default)]
    pub call: Call,
    /// How many of them a day.
    #[serde(default)]
    pub limits: Limits,
    /// The records.
    #[serde(default)]
    pub store: Store,
    /// The control socket.
    #[serde(default)]
    pub control: Control,
    /// What is known of the machine; see [`settle`](Self::settle).
    #[serde(skip)]
    pub settled: Settled,
}

/// `[service]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The number that calls, one of the organization's.
    #[serde(deserialize_with = "number", serialize_with = "whole_number")]
    pub from_number: E164,
    /// The service's id of that number. `None`: it is looked up by the number.
    #[serde(default, deserialize_with = "some_id", serialize_with = "as_some_id")]
    pub phone_number_id: Option<PhoneNumberId>,
    /// File with the API key. `None`: the service manager's credential `api-key`.
    #[serde(default, deserialize_with = "some_path")]
    pub api_key_file: Option<PathBuf>,
    /// File with the signing key. `None`: the credential `signing-key`, and
    /// when that is not there either, handshakes are not signed.
    #[serde(default, deserialize_with = "some_path")]
    pub signing_key_file: Option<PathBuf>,
    /// Where the API is.
    #[serde(default, deserialize_with = "base", serialize_with = "as_base")]
    pub base_url: BaseUrl,
    /// One more certificate authority to trust, in PEM.
    #[serde(default, deserialize_with = "some_path")]
    pub ca_file: Option<PathBuf>,
}

/// `[ingress]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Who ends TLS.
    pub mode: IngressMode,
    /// The `wss://` address the service dials, without a path of ours. `None`
    /// where the service's own tunnel tells.
    #[serde(default, deserialize_with = "some_ws_url")]
    pub public_url: Option<WsUrl>,
    /// Where this device listens.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Certificate chain in PEM, for `tls`.
    #[serde(default, deserialize_with = "some_path")]
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM, for `tls`.
    #[serde(default, deserialize_with = "some_path")]
    pub private_key: Option<PathBuf>,
    /// The program that keeps a tunnel up, and its arguments, for `command`.
    #[serde(default, deserialize_with = "command")]
    pub command: Vec<String>,
    /// The name of the service's own tunnel, for `inkbox`. `None`: the only
    /// one of the API key.
    #[serde(default)]
    pub tunnel: Option<String>,
}

/// How the service gets to this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IngressMode {
    /// By a proxy or tunnel of the installer's, which forwards to `listen`.
    PublicUrl,
    /// Straight to this device, with its own certificate.
    Tls,
    /// By a tunnel program that callbox starts and keeps up.
    Command,
    /// By the service's own tunnel.
    Inkbox,
}

impl IngressMode {
    /// The word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PublicUrl => "public-url",
            Self::Tls => "tls",
            Self::Command => "command",
            Self::Inkbox => "inkbox",
        }
    }

    /// Whether a tunnel is callbox's own affair.
    #[must_use]
    pub fn has_tunnel(self) -> bool {
        matches!(self, Self::Command | Self::Inkbox)
    }
}

/// `[panel]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Panel {
    /// Active time must outweigh inactive by this much.
    #[serde(
        rename = "qualify_ms",
        deserialize_with = "ms::<0, 500, _>",
        serialize_with = "as_ms"
    )]
    pub qualify: Duration,
    /// Held this long it cancels.
    #[serde(
        rename = "long_press_ms",
        deserialize_with = "ms::<500, 10_000, _>",
        serialize_with = "as_ms"
    )]
    pub long_press: Duration,
    /// Two presses within this time are a double press.
    #[serde(
        rename = "double_press_ms",
        deserialize_with = "ms::<200, 2000, _>",
        serialize_with = "as_ms"
    )]
    pub double_press: Duration,
    /// Held this long it is stuck.
    #[serde(
        rename = "stuck_s",
        deserialize_with = "seconds::<5, 3600, _>",
        serialize_with = "as_seconds"
    )]
    pub stuck: Duration,
}

/// `[[lamp]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lamp {
    /// Its line.
    #[serde(deserialize_with = "line", serialize_with = "as_line")]
    pub line: LineSpec,
    /// Lit is low. Default false.
    #[serde(default)]
    pub active_low: bool,
    /// What it shows. Default: how the call goes.
    #[serde(
        default = "status",
        deserialize_with = "role",
        serialize_with = "as_role"
    )]
    pub role: LampRole,
}

/// `[[door]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// What people call it; in records and logs.
    pub name: String,
    /// The line of its relay.
    #[serde(deserialize_with = "line", serialize_with = "as_line")]
    pub line: LineSpec,
    /// The relay is on when the line is low. Default false.
    #[serde(default)]
    pub active_low: bool,
    /// How long it opens.
    #[serde(
        rename = "pulse_ms",
        default = "pulse",
        deserialize_with = "ms::<100, 30_000, _>",
        serialize_with = "as_ms"
    )]
    pub pulse: Duration,
    /// The code that opens it, if it stands in the file. Never shown.
    #[serde(default, deserialize_with = "code", skip_serializing)]
    pub code: Option<Code>,
    /// File with the code. With neither, it is the credential `door-code-1`
    /// for the first door, and so on.
    #[serde(default, deserialize_with = "some_path")]
    pub code_file: Option<PathBuf>,
    /// A code of one digit is enough.
    #[serde(default)]
    pub allow_single_digit: bool,
    /// Words that open it, in calls whose far end is turned into text. Never
    /// shown.
    #[serde(default, deserialize_with = "words", skip_serializing)]
    pub words: Words,
}

/// `[place]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// What stands for `{place}` in texts.
    pub name: String,
}

/// `[inbound]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inbound {
    /// What becomes of a call to the device.
    pub action: InboundAction,
    /// Who may call.
    #[serde(deserialize_with = "numbers", serialize_with = "whole_numbers")]
    pub allow: Vec<E164>,
    /// File with the secret path's token. `None`: the credential
    /// `inbound-token`, or one that is drawn and kept beside the records.
    #[serde(deserialize_with = "some_path")]
    pub token_file: Option<PathBuf>,
}

/// What becomes of a call to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InboundAction {
    /// It is not taken.
    #[default]
    Refuse,
    /// The device chimes, then takes it.
    Chime,
    /// The device takes it at once.
    Answer,
}

/// `[hours]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// What `when = "night"` means.
    #[serde(deserialize_with = "some_text", serialize_with = "as_some_text")]
    pub night: Option<Hours>,
    /// When nothing chimes, and calls to the device are refused.
    #[serde(deserialize_with = "some_text", serialize_with = "as_some_text")]
    pub quiet: Option<Hours>,
    /// The zone of these times. `None`: the system's.
    #[serde(deserialize_with = "zone", serialize_with = "as_zone")]
    pub timezone: Option<String>,
}

/// `[prompts]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// The folder of the installer's WAV files.
    #[serde(deserialize_with = "some_path")]
    pub folder: Option<PathBuf>,
}

/// `[sound]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sound {
    /// ALSA name of the microphone. `None`, and all other `None` here: as the
    /// kind of card wants it, see [`File::settle`].
    #[serde(deserialize_with = "card_name")]
    pub microphone: Option<String>,
    /// ALSA name of the speaker.
    #[serde(deserialize_with = "card_name")]
    pub speaker: Option<String>,
    /// Samples per second: 48000 or 16000.
    #[serde(deserialize_with = "some_within::<16_000, 48_000, _>")]
    pub rate: Option<u32>,
    /// 1 or 2, of the microphone.
    #[serde(deserialize_with = "some_within::<1, 2, _>")]
    pub microphone_channels: Option<u32>,
    /// 1 or 2, of the speaker.
    #[serde(deserialize_with = "some_within::<1, 2, _>")]
    pub speaker_channels: Option<u32>,
    /// Length of a period.
    #[serde(
        rename = "period_ms",
        deserialize_with = "some_ms::<2, 40, _>",
        serialize_with = "as_some_ms"
    )]
    pub period: Option<Duration>,
    /// Periods of the playback buffer.
    #[serde(deserialize_with = "some_within::<2, 8, _>")]
    pub periods: Option<u32>,
    /// Gain towards the far end.
    #[serde(rename = "microphone_db", deserialize_with = "decibels")]
    pub microphone_gain: f32,
    /// Gain of the speaker.
    #[serde(rename = "speaker_db", deserialize_with = "decibels")]
    pub speaker_gain: f32,
    /// Which channel of a stereo microphone is heard.
    #[serde(deserialize_with = "some_channel", serialize_with = "as_some_channel")]
    pub microphone_channel: Option<MicChannel>,
    /// Whose tones the visitor knows.
    #[serde(deserialize_with = "style", serialize_with = "as_style")]
    pub tones: Style,
    /// What the speaker plays is taken out of what the microphone hears.
    pub echo_cancelling: bool,
    /// The noise of the place is turned down.
    pub noise_suppression: bool,
    /// Every visitor's voice is brought to the same level.
    pub automatic_level: bool,
    /// Decibels of one press of a volume button.
    #[serde(deserialize_with = "within::<1, 10, _>")]
    pub volume_step_db: u32,
    /// Steps a visitor may go, up and down.
    #[serde(deserialize_with = "within::<1, 10, _>")]
    pub volume_steps: u32,
    /// When the device tests its sound, with nobody there. `None`: never.
    #[serde(deserialize_with = "some_text", serialize_with = "as_some_text")]
    pub self_test: Option<TimeOfDay>,
    /// Which byte of a sample comes first, where the service sends L16.
    #[serde(deserialize_with = "order", serialize_with = "as_order")]
    pub l16_byte_order: ByteOrder,
}

/// `[call]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// Longest ringing.
    #[serde(
        rename = "ring_for_s",
        deserialize_with = "seconds::<5, 120, _>",
        serialize_with = "as_seconds"
    )]
    pub ring_for: Duration,
    /// Longest conversation.
    #[serde(
        rename = "max_s",
        deserialize_with = "seconds::<10, 7200, _>",
        serialize_with = "as_seconds"
    )]
    pub max: Duration,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls in any 24 hours.
    #[serde(deserialize_with = "within::<1, 100, _>")]
    pub calls: u32,
    /// Minutes of conversation in any 24 hours.
    #[serde(deserialize_with = "within::<1, 100, _>")]
    pub minutes: u32,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The database.
    #[serde(deserialize_with = "path")]
    pub path: PathBuf,
    /// Records kept.
    #[serde(deserialize_with = "within::<10, 100_000, _>")]
    pub max_records: u32,
    /// Days a record is kept.
    #[serde(deserialize_with = "within::<1, 3650, _>")]
    pub max_days: u32,
}

/// `[control]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Where `callbox call`, `hangup` and `status` find the daemon.
    #[serde(deserialize_with = "path")]
    pub socket: PathBuf,
    /// The group that may use it. `None`: the daemon's own.
    pub group: Option<String>,
}

fn status() -> LampRole {
    LampRole::Status
}

fn pulse() -> Duration {
    Duration::from_secs(3)
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8765))
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            qualify: Duration::from_millis(20),
            long_press: Duration::from_secs(2),
            double_press: Duration::from_millis(400),
            stuck: Duration::from_secs(60),
        }
    }
}

impl Default for Sound {
    fn default() -> Self {
        Self {
            microphone: None,
            speaker: None,
            rate: None,
            microphone_channels: None,
            speaker_channels: None,
            period: None,
            periods: None,
            microphone_gain: 0.0,
            speaker_gain: 0.0,
            microphone_channel: None,
            tones: Style::default(),
            echo_cancelling: true,
            noise_suppression: true,
            automatic_level: true,
            volume_step_db: 3,
            volume_steps: 4,
            self_test: None,
            l16_byte_order: ByteOrder::Big,
        }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self {
            ring_for: Duration::from_secs(45),
            max: Duration::from_secs(300),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 20,
            minutes: 30,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/callbox/calls.db"),
            max_records: 10_000,
            max_days: 400,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/callbox/control.sock"),
            group: None,
        }
    }
}
