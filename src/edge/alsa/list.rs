//! What sound cards there are, and whether those configured can be used: for
//! `callbox doctor`, and for messages that say what to write instead.
//!
//! Not for the audio thread: everything here opens files and allocates.

use std::fmt;
use std::fs;
use std::path::Path;

use alsa::Direction as AlsaDirection;
use alsa::card;
use alsa::ctl::{Ctl, DeviceIter};
use alsa::pcm::HwParams;
use alsa::{Output, PCM, ValueOr};

use super::Config;
use super::pcm::{Fault, Fit, Pcm, Wanted};
use crate::edge::card::Direction;

/// Rates that are asked after, in samples per second.
const RATES: [u32; 6] = [8_000, 16_000, 32_000, 44_100, 48_000, 96_000];

/// One device of a sound card, by its stable name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name to write into the configuration.
    pub name: String,
    /// What the maker calls it.
    pub title: String,
    /// What it can do as a microphone; `None`: it is none.
    pub microphone: Option<Rates>,
    /// What it can do as a speaker; `None`: it is none.
    pub speaker: Option<Rates>,
}

/// The rates a device does by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rates {
    /// These, in samples per second.
    Known(Vec<u32>),
    /// It could not be asked, mostly because it is in use.
    Unknown(String),
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(rates) => {
                let rates: Vec<_> = rates.iter().map(u32::to_string).collect();
                write!(f, "{} Hz", rates.join(", "))
            }
            Self::Unknown(why) => write!(f, "rates unknown ({why})"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.title)?;
        for (direction, rates) in [
            (Direction::Microphone, &self.microphone),
            (Direction::Speaker, &self.speaker),
        ] {
            if let Some(rates) = rates {
                write!(f, "; {direction}: {rates}")?;
            }
        }
        Ok(())
    }
}

/// The devices of all cards that are there.
#[must_use]
pub fn list() -> Vec<Device> {
    let _words = Output::local_error_handler();
    card::Iter::new()
        .filter_map(Result::ok)
        .flat_map(|card| devices(card).unwrap_or_default())
        .collect()
}

/// The names to write into the configuration.
pub(super) fn names() -> Vec<String> {
    list().into_iter().map(|device| device.name).collect()
}

fn devices(card: card::Card) -> alsa::Result<Vec<Device>> {
    let ctl = Ctl::from_card(&card, true)?;
    let info = ctl.card_info()?;
    let (id, title) = (info.get_id()?, info.get_name()?);
    let device = |number: i32| {
        let address = format!("CARD={id},DEV={number}");
        let rates = |direction| {
            ctl.pcm_info(number as u32, 0, direction)
                .ok()
                .map(|_| rates(&format!("hw:{address}"), direction))
        };
        Device {
            name: format!("plughw:{address}"),
            title: title.to_owned(),
            microphone: rates(AlsaDirection::Capture),
            speaker: rates(AlsaDirection::Playback),
        }
    };
    Ok(DeviceIter::new(&ctl).map(device).collect())
}

fn rates(name: &str, direction: AlsaDirection) -> Rates {
    let known = || {
        let pcm = PCM::new(name, direction, true)?;
        let params = HwParams::any(&pcm)?;
        let can = |rate: &u32| params.test_rate(*rate).is_ok();
        alsa::Result::Ok(RATES.into_iter().filter(can).collect())
    };
    match known() {
        Ok(rates) => Rates::Known(rates),
        Err(error) => {
            let why = std::io::Error::from_raw_os_error(error.errno());
            Rates::Unknown(why.to_string())
        }
    }
}

/// What one side of a device does by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Of the usual rates, in samples per second.
    pub rates: Vec<u32>,
    /// Fewest and most.
    pub channels: (u32, u32),
    /// Shortest and longest period, in microseconds.
    pub period_us: (u32, u32),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates: Vec<_> = self.rates.iter().map(u32::to_string).collect();
        match rates.is_empty() {
            true => f.write_str("no usual rate")?,
            false => write!(f, "{} Hz", rates.join(", "))?,
        }
        if !self
            .rates
            .iter()
            .any(|rate| matches!(rate, 16_000 | 48_000))
        {
            f.write_str(", which ALSA converts")?;
        }
        f.write_str(match self.channels {
            (1, 1) => "; mono",
            (1, _) => "; mono or stereo",
            (2, _) => "; stereo",
            _ => "; more than two channels",
        })?;
        let ms = |us: u32| f64::from(us) / 1e3;
        let (from, to) = self.period_us;
        write!(f, "; periods of {:.1} to {:.1} ms", ms(from), ms(to))
    }
}

/// What a device that [`list`] named does in one direction.
///
/// # Errors
/// It cannot be asked: who has it, where the kernel tells, or the system's words.
pub fn scope(name: &str, direction: Direction) -> Result<Scope, String> {
    let _words = Output::local_error_handler();
    let own = name.strip_prefix("plug").unwrap_or(name);
    let ask = || {
        let pcm = PCM::new(own, direction.into(), true)?;
        let params = HwParams::any(&pcm)?;
        let can = |rate: &u32| params.test_rate(*rate).is_ok();
        let rates: Vec<u32> = RATES.into_iter().filter(can).collect();
        let channels = (params.get_channels_min()?, params.get_channels_max()?);
        let rate = rates.iter().find(|rate| **rate == 48_000).or(rates.last());
        if let Some(rate) = rate {
            params.set_rate(*rate, ValueOr::Nearest)?;
        }
        let rate = u64::from(rate.copied().unwrap_or(48_000));
        let us = |frames: alsa::pcm::Frames| (frames as u64 * 1_000_000 / rate) as u32;
        let period_us = (
            us(params.get_period_size_min()?),
            us(params.get_period_size_max()?),
        );
        alsa::Result::Ok(Scope {
            rates,
            channels,
            period_us,
        })
    };
    ask().map_err(|error| match Fault::new(name, error) {
        Fault::Busy { by, .. } => {
            let by = by.unwrap_or_else(|| "another program".to_owned());
            format!("in use by {by}, so what it does is not known now")
        }
        fault => fault.to_string(),
    })
}

/// Opens what is configured and says what fits; closes it again.
#[must_use]
pub fn check(config: &Config) -> Vec<(Direction, String, Result<Fit, Fault>)> {
    [Direction::Microphone, Direction::Speaker]
        .into_iter()
        .filter_map(|direction| {
            let side = config.side(direction)?;
            let opened = Pcm::open(&Wanted::new(config, side, direction));
            let name = match &opened {
                Ok(pcm) => pcm.name().to_owned(),
                Err(_) => side.name.clone(),
            };
            Some((direction, name, opened.map(|pcm| *pcm.fit())))
        })
        .collect()
}

/// Which program has the card of this name, as the kernel tells it.
pub(super) fn holder(name: &str) -> Option<String> {
    holder_under(Path::new("/proc"), name)
}

fn holder_under(proc: &Path, name: &str) -> Option<String> {
    let card = proc.join("asound").join(card_id(name)?);
    let streams = fs::read_dir(card).ok()?.filter_map(Result::ok);
    let thread = streams
        .flat_map(|stream| fs::read_dir(stream.path()).into_iter().flatten())
        .filter_map(Result::ok)
        .filter_map(|sub| fs::read_to_string(sub.path().join("status")).ok())
        .find_map(|status| Some(field(&status, "owner_pid")?.to_owned()))?;
    let status = fs::read_to_string(proc.join(&thread).join("status")).ok()?;
    let process = field(&status, "Tgid")?;
    let program = fs::read_to_string(proc.join(process).join("comm")).ok()?;
    Some(format!("{} (process {process})", program.trim()))
}

/// The card in names such as `plughw:CARD=Device,DEV=0`, `hw:Device` and `hw:0,0`.
#[must_use]
pub fn card_id(name: &str) -> Option<String> {
    let (_, arguments) = name.split_once(':')?;
    let card = arguments.split(',').next()?;
    let card = card.strip_prefix("CARD=").unwrap_or(card);
    match card.parse::<u32>() {
        Ok(number) => Some(format!("card{number}")),
        Err(_) => Some(card.to_owned()),
    }
}

/// The value in a line `name: value` of a file of the kernel.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_in_names() {
        let cases = [
            ("plughw:CARD=Device,DEV=0", Some("Device")),
            ("hw:Loopback,1,0", Some("Loopback")),
            ("hw:0,0", Some("card0")),
            ("sysdefault:CARD=PCH", Some("PCH")),
            ("default", None),
        ];
        for (name, want) in cases {
            assert_eq!(card_id(name).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn the_program_that_has_the_card_is_named() {
        let proc = std::env::temp_dir().join(format!("callbox-proc-{}", std::process::id()));
        let sub = proc.join("asound/Device/pcm0p/sub0");
        fs::create_dir_all(&sub).unwrap();
        // A thread of the program opened it.
        for (id, name) in [("4711", "aplay"), ("4712", "aplay-reader")] {
            fs::create_dir_all(proc.join(id)).unwrap();
            fs::write(proc.join(id).join("comm"), format!("{name}\n")).unwrap();
            let status = format!("Name:\t{name}\nTgid:\t4711\nNgid:\t0\nPid:\t{id}\n");
            fs::write(proc.join(id).join("status"), status).unwrap();
        }
        fs::write(sub.join("status"), "closed\n").unwrap();
        let name = "plughw:CARD=Device,DEV=0";
        assert_eq!(holder_under(&proc, name), None);
        let status = "state: RUNNING\nowner_pid   : 4712\ntrigger_time: 1.2\n";
        fs::write(sub.join("status"), status).unwrap();
        let holder = holder_under(&proc, name);
        fs::remove_dir_all(&proc).unwrap();
        assert_eq!(holder.as_deref(), Some("aplay (process 4711)"));
    }

    #[test]
    fn a_device_reads_like_a_line_of_the_doctor() {
        let device = Device {
            name: "plughw:CARD=Device,DEV=0".into(),
            title: "USB Audio Device".into(),
            microphone: Some(Rates::Known(vec![16_000, 48_000])),
            speaker: Some(Rates::Unknown("Device or resource busy".into())),
        };
        assert_eq!(
            device.to_string(),
            "plughw:CARD=Device,DEV=0 (USB Audio Device); microphone: 16000, 48000 Hz; \
             speaker: rates unknown (Device or resource busy)"
        );
    }
}
