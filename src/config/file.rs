//! The sections of the file and their defaults.
//!
//! `template.toml` beside this explains each key to the installer; a test
//! keeps the two alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{
    as_base, as_bias, as_channel, as_id, as_line, as_ms, as_seconds, as_some_line, as_style, base,
    bias, channel, decibels, line, ms, number, path, phone_number_id, seconds, some_line,
    some_path, style, whole_number, within, ws_url,
};
use crate::audio::MicChannel;
use crate::audio::tone::Style;
use crate::edge::gpio::{Bias, LineSpec};
use crate::panel;
use crate::units::E164;
use crate::wire::rest::{BaseUrl, PhoneNumberId, WsUrl};

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
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
    /// The visitor's lamp, if there is one.
    pub lamp: Option<Lamp>,
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
}

/// `[service]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The number that calls, one of the organization's.
    #[serde(deserialize_with = "number", serialize_with = "whole_number")]
    pub from_number: E164,
    /// The service's id of that number.
    #[serde(deserialize_with = "phone_number_id", serialize_with = "as_id")]
    pub phone_number_id: PhoneNumberId,
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
    /// The `wss://` address the service dials, without a path of ours.
    #[serde(deserialize_with = "ws_url")]
    pub public_url: WsUrl,
    /// Where this device listens.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Certificate chain in PEM, for `tls`.
    #[serde(default, deserialize_with = "some_path")]
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM, for `tls`.
    #[serde(default, deserialize_with = "some_path")]
    pub private_key: Option<PathBuf>,
}

/// Who ends TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IngressMode {
    /// A proxy or tunnel of the installer's, which forwards to `listen`.
    PublicUrl,
    /// This device, with its own certificate.
    Tls,
}

/// `[[button]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// What people call it; in logs, records and `callbox call NAME`.
    pub name: String,
    /// The number it calls.
    #[serde(deserialize_with = "number", serialize_with = "whole_number")]
    pub to: E164,
    /// Its line. Without one only the control socket presses it.
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
    /// Held this long it is stuck.
    #[serde(
        rename = "stuck_s",
        deserialize_with = "seconds::<5, 3600, _>",
        serialize_with = "as_seconds"
    )]
    pub stuck: Duration,
}

/// `[lamp]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lamp {
    /// Its line.
    #[serde(deserialize_with = "line", serialize_with = "as_line")]
    pub line: LineSpec,
    /// Lit is low. Default false.
    #[serde(default)]
    pub active_low: bool,
}

/// `[sound]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sound {
    /// ALSA name of the microphone.
    pub microphone: String,
    /// ALSA name of the speaker.
    pub speaker: String,
    /// Samples per second: 48000 or 16000.
    #[serde(deserialize_with = "within::<16_000, 48_000, _>")]
    pub rate: u32,
    /// 1 or 2, of the microphone.
    #[serde(deserialize_with = "within::<1, 2, _>")]
    pub microphone_channels: u32,
    /// 1 or 2, of the speaker.
    #[serde(deserialize_with = "within::<1, 2, _>")]
    pub speaker_channels: u32,
    /// Length of a period.
    #[serde(
        rename = "period_ms",
        deserialize_with = "ms::<2, 40, _>",
        serialize_with = "as_ms"
    )]
    pub period: Duration,
    /// Periods of the playback buffer.
    #[serde(deserialize_with = "within::<2, 8, _>")]
    pub periods: u32,
    /// Gain towards the far end.
    #[serde(rename = "microphone_db", deserialize_with = "decibels")]
    pub microphone_gain: f32,
    /// Gain of the speaker.
    #[serde(rename = "speaker_db", deserialize_with = "decibels")]
    pub speaker_gain: f32,
    /// Which channel of a stereo microphone is heard.
    #[serde(deserialize_with = "channel", serialize_with = "as_channel")]
    pub microphone_channel: MicChannel,
    /// Whose tones the visitor knows.
    #[serde(deserialize_with = "style", serialize_with = "as_style")]
    pub tones: Style,
    /// The microphone steps back while the far end speaks.
    pub half_duplex: bool,
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

fn yes() -> bool {
    true
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8765))
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            qualify: Duration::from_millis(20),
            long_press: Duration::from_secs(2),
            stuck: Duration::from_secs(60),
        }
    }
}

impl Default for Sound {
    fn default() -> Self {
        Self {
            microphone: "default".to_owned(),
            speaker: "default".to_owned(),
            rate: 48_000,
            microphone_channels: 1,
            speaker_channels: 1,
            period: Duration::from_millis(10),
            periods: 3,
            microphone_gain: 0.0,
            speaker_gain: 0.0,
            microphone_channel: MicChannel::default(),
            tones: Style::default(),
            half_duplex: true,
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

/// A fault that shows only when two values are seen together.
pub(super) struct Wrong {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) what: String,
}

/// Buttons that fit a panel.
const BUTTONS_MAX: usize = 16;

impl File {
    /// What the types cannot say.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_ingress()?;
        self.check_panel()?;
        self.check_buttons()?;
        let sound = |key, what: &str| Wrong {
            section: "sound",
            key,
            what: what.to_owned(),
        };
        if !matches!(self.sound.rate, 16_000 | 48_000) {
            return Err(sound("rate", "callbox runs cards at 48000 or 16000"));
        }
        if self.sound.microphone.is_empty() || self.sound.speaker.is_empty() {
            return Err(sound(
                "microphone",
                "an ALSA name may not be empty; `callbox doctor` lists them",
            ));
        }
        Ok(())
    }

    fn check_ingress(&self) -> Result<(), Wrong> {
        let wrong = |key, what: String| Wrong {
            section: "ingress",
            key,
            what,
        };
        let files = [
            ("certificate", &self.ingress.certificate),
            ("private_key", &self.ingress.private_key),
        ];
        for (key, file) in files {
            match (self.ingress.mode, file) {
                (IngressMode::Tls, None) => {
                    return Err(wrong(
                        key,
                        format!("mode = \"tls\" needs {key} = \"/path/to/file.pem\""),
                    ));
                }
                (IngressMode::PublicUrl, Some(_)) => {
                    return Err(wrong(
                        key,
                        "mode = \"public-url\" leaves TLS to the proxy; remove this, or set mode = \"tls\"".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        if self.ingress.mode == IngressMode::PublicUrl && !self.ingress.listen.ip().is_loopback() {
            return Err(wrong(
                "listen",
                "in mode \"public-url\" the socket is not encrypted, so it listens on this \
                 machine only: 127.0.0.1 or [::1]"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn check_panel(&self) -> Result<(), Wrong> {
        use panel::BadConfig;
        self.panel_settings().check().map_err(|e| Wrong {
            section: "panel",
            key: match e {
                BadConfig::Qualify(_) => "qualify_ms",
                BadConfig::LongPress(_) => "long_press_ms",
                BadConfig::Stuck(_) => "stuck_s",
                // Not in the file.
                BadConfig::Rearm(_)
                | BadConfig::DoubleWithin(_)
                | BadConfig::DoublePress(_)
                | BadConfig::NoLongPress(_)
                | BadConfig::Pulse(_) => "",
            },
            what: e.to_string(),
        })
    }

    fn check_buttons(&self) -> Result<(), Wrong> {
        let wrong = |key, what: String| Wrong {
            section: "button",
            key,
            what,
        };
        if self.buttons.is_empty() || self.buttons.len() > BUTTONS_MAX {
            return Err(wrong(
                "name",
                format!("a panel has 1 to {BUTTONS_MAX} buttons"),
            ));
        }
        for (n, button) in self.buttons.iter().enumerate() {
            let name = &button.name;
            if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
                return Err(wrong(
                    "name",
                    "a name has 1 to 64 printable bytes".to_owned(),
                ));
            }
            if button.to == self.service.from_number {
                return Err(wrong(
                    "to",
                    format!("{name}: this is the number that calls; it cannot call itself"),
                ));
            }
            for other in &self.buttons[..n] {
                if other.name == *name {
                    return Err(wrong("name", format!("two buttons are called {name}")));
                }
                if button.line.is_some() && other.line == button.line {
                    return Err(wrong(
                        "line",
                        format!("{name} and {} share a line", other.name),
                    ));
                }
            }
        }
        if let Some(lamp) = &self.lamp
            && let Some(b) = self
                .buttons
                .iter()
                .find(|b| b.line.as_ref() == Some(&lamp.line))
        {
            return Err(Wrong {
                section: "lamp",
                key: "line",
                what: format!("the lamp and {} share a line", b.name),
            });
        }
        Ok(())
    }
}
