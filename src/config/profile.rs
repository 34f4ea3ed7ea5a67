//! What is known of boards and sound cards: data, one file each in
//! `board/profiles`, built into the program.
//!
//! ```text
//!  board/profiles/*.toml ──▶ boards(), sounds() ──▶ defaults of the config
//!                                              └──▶ `callbox board`, `doctor`
//! ```
//!
//! A [`Board`] is known by what the device tree calls the machine, a [`Sound`]
//! by what ALSA tells of a card. Each file says where its facts are from and
//! what has been tried.
//!
//! Units: `gpio` is the number of a line on the header's chip, as in `GPIO17`;
//! `pin` is the place on the header, from 1.
//!
//! Always true: a file that cannot be read is our mistake, found by a test;
//! a line of a profile is on the header; profiles are read once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::value::{channel, some_text};
use crate::audio::MicChannel;
use crate::edge::alsa::{Kind, Setting, SettingLevel};
use crate::edge::card::Direction;
use crate::edge::gpio::LineSpec;

const HEADER: &str = include_str!("../../board/profiles/header.toml");

const BOARDS: [(&str, &str); 4] = [
    (
        "pi-zero-2-w",
        include_str!("../../board/profiles/pi-zero-2-w.toml"),
    ),
    ("pi-3", include_str!("../../board/profiles/pi-3.toml")),
    ("pi-4", include_str!("../../board/profiles/pi-4.toml")),
    ("pi-5", include_str!("../../board/profiles/pi-5.toml")),
];

/// The narrower first: a card is of the first kind that fits it.
const SOUNDS: [(&str, &str); 5] = [
    (
        "wm8960-hat",
        include_str!("../../board/profiles/wm8960-hat.toml"),
    ),
    (
        "codec-zero",
        include_str!("../../board/profiles/codec-zero.toml"),
    ),
    (
        "i2s-mic-amp",
        include_str!("../../board/profiles/i2s-mic-amp.toml"),
    ),
    (
        "usb-stick",
        include_str!("../../board/profiles/usb-stick.toml"),
    ),
    (
        "usb-speakerphone",
        include_str!("../../board/profiles/usb-speakerphone.toml"),
    ),
];

/// Pins of the header.
const PINS: usize = 40;
/// Longest name of a machine that is looked at.
const MODEL_MAX: usize = 128;

/// All boards that are known.
///
/// # Panics
/// When a file in `board/profiles` is wrong: a test reads each.
#[must_use]
pub fn boards() -> &'static [Board] {
    static ALL: OnceLock<Vec<Board>> = OnceLock::new();
    ALL.get_or_init(|| {
        let header = Arc::new(Header::read(HEADER).unwrap_or_else(|e| panic!("header.toml: {e}")));
        let read = |(name, text): &(&'static str, &str)| {
            Board::read(name, text, &header).unwrap_or_else(|e| panic!("{name}.toml: {e}"))
        };
        BOARDS.iter().map(read).collect()
    })
}

/// All kinds of sound cards that are known, the narrower before the wider.
///
/// # Panics
/// When a file in `board/profiles` is wrong: a test reads each.
#[must_use]
pub fn sounds() -> &'static [Sound] {
    static ALL: OnceLock<Vec<Sound>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |(name, text): &(&'static str, &str)| {
            Sound::read(name, text).unwrap_or_else(|e| panic!("{name}.toml: {e}"))
        };
        SOUNDS.iter().map(read).collect()
    })
}

/// What a profile holds against a line that is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection<'a> {
    /// The line is not for us.
    Taken(&'a str),
    /// It is only free while this is switched off.
    Shared(&'a str),
}

/// The header, the same on all boards that have 40 pins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// From pin 1.
    pins: Vec<Pin>,
    pulled_up: Vec<u8>,
    #[serde(deserialize_with = "by_gpio")]
    taken: BTreeMap<u8, String>,
    #[serde(deserialize_with = "by_gpio")]
    shared: BTreeMap<u8, String>,
}

/// What is at a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pin {
    /// 3.3 V.
    Volts3,
    /// 5 V.
    Volts5,
    /// Ground.
    Ground,
    /// The line of this number.
    Gpio(u8),
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "3V3" => Ok(Self::Volts3),
            "5V" => Ok(Self::Volts5),
            "GND" => Ok(Self::Ground),
            _ => {
                let number = text.strip_prefix("GPIO").and_then(|n| n.parse().ok());
                number
                    .map(Self::Gpio)
                    .ok_or_else(|| format!("{text:?} is no pin"))
            }
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volts3 => f.write_str("3V3"),
            Self::Volts5 => f.write_str("5V"),
            Self::Ground => f.write_str("GND"),
            Self::Gpio(gpio) => write!(f, "GPIO{gpio}"),
        }
    }
}

impl Header {
    fn read(text: &str) -> Result<Self, String> {
        let header: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if header.pins.len() != PINS {
            return Err(format!("it has {} pins", header.pins.len()));
        }
        let named = header.taken.keys().chain(header.shared.keys());
        let mut named = named.chain(&header.pulled_up);
        match named.find(|gpio| header.pin_of(**gpio).is_none()) {
            Some(gpio) => Err(format!("GPIO{gpio} is not on it")),
            None => Ok(header),
        }
    }

    /// What is at each pin, from pin 1.
    pub fn pins(&self) -> impl Iterator<Item = (u8, Pin)> + '_ {
        (1..).zip(self.pins.iter().copied())
    }

    /// The pin of a line.
    #[must_use]
    pub fn pin_of(&self, gpio: u8) -> Option<u8> {
        let pin = self.pins().find(|(_, pin)| *pin == Pin::Gpio(gpio));
        pin.map(|(number, _)| number)
    }

    /// The pin of this sort nearest to another.
    #[must_use]
    pub fn nearest(&self, sort: Pin, to: u8) -> Option<u8> {
        let alike = self.pins().filter(|(_, pin)| *pin == sort);
        alike
            .map(|(number, _)| number)
            .min_by_key(|n| n.abs_diff(to))
    }
}

/// A board.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// What the configuration calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: String,
    /// How the device tree's name of it begins.
    models: Vec<String>,
    /// The label of the chip behind the header.
    pub chip: String,
    /// What has been tried, and on what.
    pub tried: String,
    /// The line a button goes to when nothing else is said.
    pub button: u8,
    /// The line of a lamp, likewise.
    pub lamp: u8,
    /// The line of a door's relay, likewise: held low until it is taken.
    pub relay: u8,
    /// For the installer.
    pub notes: Vec<String>,
    /// The header.
    pub header: Arc<Header>,
    also: BTreeMap<String, u8>,
}

/// A board's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardFile {
    title: String,
    models: Vec<String>,
    chip: String,
    tried: String,
    button: u8,
    lamp: u8,
    relay: u8,
    notes: Vec<String>,
    also: BTreeMap<String, u8>,
}

impl Board {
    fn read(name: &'static str, text: &str, header: &Arc<Header>) -> Result<Self, String> {
        let file: BoardFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let also = file.also.values().copied();
        let mut lines = [file.button, file.lamp, file.relay].into_iter().chain(also);
        if let Some(gpio) = lines.find(|gpio| header.pin_of(*gpio).is_none()) {
            return Err(format!("GPIO{gpio} is not on the header"));
        }
        if header.pulled_up.contains(&file.relay) {
            return Err("a relay's line is held high until it is taken".to_owned());
        }
        Ok(Self {
            name,
            title: file.title,
            models: file.models,
            chip: file.chip,
            tried: file.tried,
            button: file.button,
            lamp: file.lamp,
            relay: file.relay,
            notes: file.notes,
            header: Arc::clone(header),
            also: file.also,
        })
    }

    /// The board of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        boards().iter().find(|board| board.name == name)
    }

    /// The board that a device tree calls `model`.
    #[must_use]
    pub fn of_model(model: &Model) -> Option<&'static Self> {
        boards().iter().find(|board| board.is(model))
    }

    /// A name is meant when it ends there or a space follows: "Raspberry Pi 5"
    /// is not "Raspberry Pi 500".
    fn is(&self, model: &Model) -> bool {
        let fits = |name: &String| {
            let rest = model.0.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        self.models.iter().any(fits)
    }

    /// The line of the header that is meant, under whatever name.
    #[must_use]
    pub fn gpio(&self, spec: &LineSpec) -> Option<u8> {
        let number = match spec {
            LineSpec::Name(name) | LineSpec::Header { name, .. } => {
                let plain = name.strip_prefix("GPIO").and_then(|n| n.parse().ok());
                plain.or_else(|| self.also.get(name).copied())
            }
            LineSpec::Offset { chip, offset } => {
                let ours = *chip == self.chip;
                ours.then(|| u8::try_from(*offset).ok()).flatten()
            }
        };
        number.filter(|gpio| self.header.pin_of(*gpio).is_some())
    }

    /// The line as it is found whatever this board's kernel calls it.
    #[must_use]
    pub fn place(&self, spec: &LineSpec) -> LineSpec {
        match (spec, self.gpio(spec)) {
            (LineSpec::Name(name), Some(gpio)) => LineSpec::Header {
                name: name.clone(),
                chip: self.chip.clone(),
                offset: u32::from(gpio),
            },
            _ => spec.clone(),
        }
    }

    /// What speaks against a line, given the card in use.
    #[must_use]
    pub fn objection<'a>(&'a self, gpio: u8, sound: Option<&'a Sound>) -> Option<Objection<'a>> {
        let card = sound.and_then(|sound| sound.reserves.get(&gpio));
        let taken = card.or_else(|| self.header.taken.get(&gpio));
        let shared = || self.header.shared.get(&gpio);
        taken
            .map(|what| Objection::Taken(what))
            .or_else(|| shared().map(|what| Objection::Shared(what)))
    }

    /// Whether a line is held high from power-on until a program takes it.
    #[must_use]
    pub fn is_pulled_up(&self, gpio: u8) -> bool {
        self.header.pulled_up.contains(&gpio)
    }
}

/// What a device tree calls the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model(String);

impl Model {
    /// From the bytes of the file: text with a zero behind it. `None` when it
    /// holds nothing to be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(MODEL_MAX)];
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text).replace(char::is_control, " ");
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind of sound card.
#[derive(Debug, PartialEq)]
pub struct Sound {
    /// What the configuration calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: String,
    /// What has been tried, and on what.
    pub tried: String,
    /// How its cards are known, and what is set in their mixers.
    pub kind: Kind,
    /// The overlay its driver needs.
    pub overlay: Option<String>,
    /// The system that has the overlay.
    pub system: Option<String>,
    /// Samples per second.
    pub rate: u32,
    /// Channels of the microphone.
    pub microphone_channels: u32,
    /// The channel of them that is wired.
    pub microphone_channel: MicChannel,
    /// Channels of the speaker.
    pub speaker_channels: u32,
    /// Length of a period.
    pub period: Duration,
    /// Periods in the buffer.
    pub periods: u32,
    /// For the installer.
    pub notes: Vec<String>,
    /// Lines it needs for itself, and for what.
    pub reserves: BTreeMap<u8, String>,
}

/// A sound card's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoundFile {
    title: String,
    tried: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    drivers: Vec<String>,
    #[serde(default)]
    components: Vec<String>,
    overlay: Option<String>,
    system: Option<String>,
    #[serde(default = "best_rate")]
    rate: u32,
    #[serde(default = "mono")]
    microphone_channels: u32,
    #[serde(default, deserialize_with = "channel")]
    microphone_channel: MicChannel,
    #[serde(default = "mono")]
    speaker_channels: u32,
    #[serde(default = "ten")]
    period_ms: u32,
    #[serde(default = "three")]
    periods: u32,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default, deserialize_with = "by_gpio")]
    reserves: BTreeMap<u8, String>,
    #[serde(rename = "mixer", default)]
    mixers: Vec<Mixer>,
}

/// `[[mixer]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mixer {
    controls: Vec<String>,
    side: Side,
    on: Option<bool>,
    #[serde(default, deserialize_with = "some_text")]
    level: Option<SettingLevel>,
    #[serde(default)]
    common: bool,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Side {
    Microphone,
    Speaker,
}

impl Sound {
    fn read(name: &'static str, text: &str) -> Result<Self, String> {
        let file: SoundFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let known = [&file.ids, &file.drivers, &file.components];
        if known.iter().all(|list| list.is_empty()) {
            return Err("nothing says by what its cards are known".to_owned());
        }
        let channels = [file.microphone_channels, file.speaker_channels];
        if !matches!(file.rate, 16_000 | 48_000)
            || channels.iter().any(|n| !(1..=2).contains(n))
            || !(2..=40).contains(&file.period_ms)
            || !(2..=8).contains(&file.periods)
        {
            return Err("it asks for what the engine does not do".to_owned());
        }
        let setting = |m: Mixer| Setting {
            controls: m.controls,
            direction: match m.side {
                Side::Microphone => Direction::Microphone,
                Side::Speaker => Direction::Speaker,
            },
            on: m.on,
            level: m.level,
            common: m.common,
            optional: m.optional,
        };
        Ok(Self {
            name,
            title: file.title,
            tried: file.tried,
            kind: Kind {
                name: name.to_owned(),
                ids: file.ids,
                drivers: file.drivers,
                components: file.components,
                settings: file.mixers.into_iter().map(setting).collect(),
            },
            overlay: file.overlay,
            system: file.system,
            rate: file.rate,
            microphone_channels: file.microphone_channels,
            microphone_channel: file.microphone_channel,
            speaker_channels: file.speaker_channels,
            period: Duration::from_millis(file.period_ms.into()),
            periods: file.periods,
            notes: file.notes,
            reserves: file.reserves,
        })
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        sounds().iter().find(|sound| sound.name == name)
    }
}

fn best_rate() -> u32 {
    48_000
}

fn mono() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

fn three() -> u32 {
    3
}

/// TOML's keys are texts.
fn by_gpio<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u8, String>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(from)?;
    let number = |(key, what): (String, String)| {
        let gpio = key.parse().map_err(|_| {
            serde::de::Error::custom(format!("{key:?} is not the number of a line"))
        })?;
        Ok((gpio, what))
    };
    texts.into_iter().map(number).collect()
}

/// Reads `text` as each of the three sorts of files. For the fuzzer: whatever
/// it is, it is refused or it holds what a profile must.
pub fn try_read(text: &str) {
    let header = Arc::clone(&boards()[0].header);
    if let Ok(board) = Board::read("tried", text, &header) {
        assert!(header.pin_of(board.relay).is_some());
    }
    if let Ok(header) = Header::read(text) {
        assert!(header.pins().count() == PINS);
    }
    if let Ok(sound) = Sound::read("tried", text) {
        assert!(!sound.period.is_zero());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_is_known_by_what_its_kernels_call_it() {
        let cases = [
            ("Raspberry Pi Zero 2 W Rev 1.0", Some("pi-zero-2-w")),
            ("Raspberry Pi Zero 2 W", Some("pi-zero-2-w")),
            ("Raspberry Pi Zero W Rev 1.1", None),
            ("Raspberry Pi 3 Model B Rev 1.2", Some("pi-3")),
            ("Raspberry Pi 3 Model B Plus Rev 1.3", Some("pi-3")),
            ("Raspberry Pi 3 Model B+", Some("pi-3")),
            ("Raspberry Pi 4 Model B Rev 1.4", Some("pi-4")),
            ("Raspberry Pi 400 Rev 1.0", Some("pi-4")),
            ("Raspberry Pi 5 Model B Rev 1.0", Some("pi-5")),
            ("Raspberry Pi 5", Some("pi-5")),
            ("Raspberry Pi 500 Rev 1.0", Some("pi-5")),
            ("Raspberry Pi 50", None),
            ("Raspberry Pi Compute Module 4 Rev 1.0", None),
            ("linux,dummy-virt", None),
        ];
        for (text, want) in cases {
            let model = Model::read(text.as_bytes()).unwrap();
            let board = Board::of_model(&model).map(|board| board.name);
            assert_eq!(board, want, "{text}");
        }
    }

    #[test]
    fn a_models_bytes_are_read_with_care() {
        let read = |bytes: &[u8]| Model::read(bytes).map(|m| m.to_string());
        assert_eq!(read(b"Raspberry Pi 5\0").unwrap(), "Raspberry Pi 5");
        assert_eq!(read(b"a\x1b[2Jb\0c").unwrap(), "a [2Jb");
        assert_eq!(read(b"\xff\xfe").unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(read(&[b'x'; 5000]).unwrap().len(), MODEL_MAX);
        for nothing in [&b""[..], b"\0", b" \n\0"] {
            assert_eq!(read(nothing), None);
        }
    }

    #[test]
    fn lines_are_found_under_every_name_they_have() {
        let name = |text: &str| text.parse::<LineSpec>().unwrap();
        let cases = [
            ("pi-3", "GPIO17", Some(17)),
            ("pi-3", "TXD1", Some(14)),
            ("pi-3", "TXD0", None),
            ("pi-zero-2-w", "TXD0", Some(14)),
            ("pi-4", "pinctrl-bcm2711:17", Some(17)),
            ("pi-4", "pinctrl-bcm2835:17", None),
            ("pi-5", "PIN11", Some(17)),
            ("pi-5", "pinctrl-rp1:17", Some(17)),
            ("pi-5", "GPIO28", None),
            ("pi-5", "FAN_PWM", None),
        ];
        for (board, line, want) in cases {
            let board = Board::named(board).unwrap();
            assert_eq!(board.gpio(&name(line)), want, "{} {line}", board.name);
        }
        let placed = Board::named("pi-5").unwrap().place(&name("GPIO17"));
        let want = LineSpec::Header {
            name: "GPIO17".into(),
            chip: "pinctrl-rp1".into(),
            offset: 17,
        };
        assert_eq!(placed, want);
    }

    #[test]
    fn the_header_has_its_28_lines_each_once_and_its_grounds() {
        let header = &boards()[0].header;
        for gpio in 0..28 {
            let at = header.pins().filter(|(_, pin)| *pin == Pin::Gpio(gpio));
            assert_eq!(at.count(), 1, "GPIO{gpio}");
        }
        let grounds = header.pins().filter(|(_, pin)| *pin == Pin::Ground);
        let grounds: Vec<u8> = grounds.map(|(number, _)| number).collect();
        assert_eq!(grounds, [6, 9, 14, 20, 25, 30, 34, 39]);
        // The README's wiring.
        assert_eq!(header.pin_of(17), Some(11));
        assert_eq!(header.pin_of(27), Some(13));
        assert_eq!(header.pin_of(26), Some(37));
        assert_eq!(header.nearest(Pin::Ground, 11), Some(9));
    }

    #[test]
    fn a_hats_own_lines_are_spoken_against() {
        let board = Board::named("pi-4").unwrap();
        let hat = Sound::named("codec-zero");
        let taken = |gpio, sound| matches!(board.objection(gpio, sound), Some(Objection::Taken(_)));
        assert!(taken(18, hat) && taken(27, hat) && taken(2, hat));
        assert!(!taken(18, None) && !taken(27, None));
        assert!(taken(0, None));
        assert_eq!(
            board.objection(14, None),
            Some(Objection::Shared("the serial console"))
        );
        assert_eq!(board.objection(17, hat), None);
    }

    #[test]
    fn profiles_that_cannot_be_are_refused() {
        let header = &boards()[0].header;
        let (_, good) = BOARDS[0];
        let cases = [
            ("relay = 26", "relay = 5", "held high"),
            ("lamp = 27", "lamp = 28", "GPIO28 is not on the header"),
            ("lamp = 27", "lamp = \"GPIO27\"", "invalid type"),
            ("lamp = 27", "lmap = 27", "unknown field"),
        ];
        for (from, to, want) in cases {
            let text = good.replace(from, to);
            let said = Board::read("x", &text, header).unwrap_err();
            assert!(said.contains(want), "{said}");
        }
        let (_, good) = SOUNDS[0];
        let cases = [
            ("ids = [\"wm8960soundcard\"]", "", "by what its cards"),
            ("level = \"0 dB\"", "level = \"loud\"", "no level"),
            ("level = \"0 dB\"", "level = \"101%\"", "no level"),
            ("side = \"speaker\"", "side = \"left\"", "unknown variant"),
            ("18 = \"I2S\"", "x = \"I2S\"", "not the number of a line"),
            ("speaker_channels = 2", "speaker_channels = 8", "engine"),
        ];
        for (from, to, want) in cases {
            let text = good.replacen(from, to, 1);
            let said = Sound::read("x", &text).unwrap_err();
            assert!(said.contains(want), "{said}");
        }
    }
}
