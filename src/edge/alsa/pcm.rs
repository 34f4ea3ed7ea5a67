//! One side of a card: opened by name, agreed upon, started, and polled.
//!
//! ```text
//!  Wanted ─open─▶ Pcm ─start─▶ acknowledge ─▶ available ─▶ read | write ─▶ …
//!                                └── verdict: Again | Restart | Lost
//! ```
//!
//! Units: frames; see the module above.
//!
//! Real time: `open` allocates and may wait for a device. All else is a few
//! calls into alsa-lib, which does not wait: the PCM is non-blocking.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alsa::pcm::{Access, Format as SampleFormat, HwParams};
use alsa::poll::{Descriptors, pollfd};
use alsa::{Output, PCM, ValueOr};

use super::cards::{Kind, cards, resolve};
use super::{Config, Side, list, mixer};
use crate::audio::engine::Format;
use crate::edge::card::Direction;
use crate::edge::realtime::{read_frames, write_frames};

/// Most descriptors one PCM may ask us to poll. A card has one, a mixing
/// plug-in two.
pub(super) const DESCRIPTORS: usize = 4;

/// A descriptor that poll(2) passes over.
pub(super) const NO_DESCRIPTOR: pollfd = pollfd {
    fd: -1,
    events: 0,
    revents: 0,
};

/// How to open a side, the first time and again.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) direction: Direction,
    pub(super) name: String,
    /// `None` until the first opening has agreed on one.
    pub(super) format: Option<Format>,
    period: Duration,
    periods: u32,
    kinds: Arc<[Kind]>,
    set_mixer: bool,
}

impl Wanted {
    pub(super) fn new(config: &Config, side: &Side, direction: Direction) -> Self {
        Self {
            direction,
            name: side.name.clone(),
            format: side.format,
            period: config.period,
            periods: config.periods,
            kinds: Arc::clone(&config.kinds),
            set_mixer: config.set_mixer,
        }
    }

    /// Opens what is loud enough and not muted, if its kind is known. A card
    /// whose mixer cannot be set still plays.
    fn set_mixer(&self, name: &str) {
        let cards = cards();
        let Some(card) = cards.iter().find(|card| card.is_in(name)) else {
            return;
        };
        let Some(kind) = Kind::of(&self.kinds, card) else {
            return;
        };
        let ours = |setting: &&mixer::Setting| setting.direction == self.direction;
        let settings: Vec<_> = kind.settings.iter().filter(ours).cloned().collect();
        match mixer::set(&card.control(), &settings) {
            Ok(changes) => changes
                .iter()
                .for_each(|change| tracing::info!("mixer of {name}: {change}; done")),
            Err(why) => tracing::warn!("the mixer of {name} cannot be set: {why}"),
        }
    }
}

/// What was agreed with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Rate and channels.
    pub format: Format,
    /// Frames after which the card wakes us.
    pub period: usize,
    /// Frames the card has room for.
    pub buffer: usize,
    /// Frames the speaker is kept at: all of its delay. A card or mixer may
    /// insist on a buffer larger than asked for; then it is not filled.
    pub held: usize,
}

impl Fit {
    /// How long `frames` last.
    pub(super) fn length(&self, frames: usize) -> Duration {
        Duration::from_micros(frames as u64 * 1_000_000 / u64::from(self.format.rate))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |frames| self.length(frames).as_secs_f64() * 1e3;
        let channels = match self.format.channels {
            1 => "mono",
            _ => "stereo",
        };
        write!(
            f,
            "{} Hz {channels}, periods of {:.1} ms, {:.1} ms held of {:.1} ms",
            self.format.rate,
            millis(self.period),
            millis(self.held),
            millis(self.buffer),
        )
    }
}

/// Why a side cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No such name, or no such card now.
    #[error("no sound card {name:?}; {}. Plug it in, or name another in the configuration", seen(.there))]
    Missing {
        /// As configured.
        name: String,
        /// The names that would work.
        there: Vec<String>,
    },
    /// `auto`, and no card of a known kind.
    #[error("no sound card of a known kind is there for the {direction}; {}. Plug one in, or write its name in [sound] {direction}", seen(.there))]
    NoneFits {
        /// Which side.
        direction: Direction,
        /// The names of those that are there.
        there: Vec<String>,
    },
    /// `auto`, and no way to choose.
    #[error("more than one sound card would do for the {direction}: {}. Write the one that is meant in [sound] {direction}", .fit.join(", "))]
    Several {
        /// Which side.
        direction: Direction,
        /// The names of those that fit.
        fit: Vec<String>,
    },
    /// Somebody else has it.
    #[error("the sound card {name:?} is in use by {}; stop that, or use a mixing name such as \"default\"", .by.as_deref().unwrap_or("another program"))]
    Busy {
        /// As configured.
        name: String,
        /// The program and its process id, where the kernel tells.
        by: Option<String>,
    },
    /// The files under /dev/snd are not ours to open.
    #[error(
        "no permission to open the sound card {name:?}; add the user to the group \"audio\" (usermod -aG audio USER) and log in again, or put SupplementaryGroups=audio under [Service] in the unit"
    )]
    Permission {
        /// As configured.
        name: String,
    },
    /// It does not do what we need.
    #[error("the sound card {name:?} cannot do {wanted}; {}", instead_of(.name))]
    Unfit {
        /// As configured.
        name: String,
        /// What was asked of it.
        wanted: String,
    },
    /// It stopped without a word.
    #[error(
        "the sound card {name:?} stopped; unplug it and plug it in again if it does not come back"
    )]
    Stopped {
        /// As configured.
        name: String,
    },
    /// Anything else.
    #[error("the sound card {name:?} fails in {call}: {why}")]
    Failed {
        /// As configured.
        name: String,
        /// The call that failed.
        call: &'static str,
        /// The system's words.
        why: String,
    },
}

/// What may do what a card cannot.
fn instead_of(name: &str) -> &'static str {
    if name.starts_with("plug") {
        "not even converted: try another [sound] period_ms, or another card"
    } else {
        "use plughw: in place of hw: to have it converted"
    }
}

fn seen(there: &[String]) -> String {
    match there {
        [] => "no card is there at all".into(),
        names => format!("these are there: {}", names.join(", ")),
    }
}

impl Fault {
    /// What an error of ALSA means for the side of this name.
    pub(super) fn new(name: &str, error: alsa::Error) -> Self {
        let name = name.to_owned();
        match error.errno() {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => Self::Missing {
                name,
                there: list::names(),
            },
            libc::EBUSY => Self::Busy {
                by: list::holder(&name),
                name,
            },
            libc::EACCES | libc::EPERM => Self::Permission { name },
            libc::ETIMEDOUT => Self::Stopped { name },
            errno => Self::Failed {
                name,
                call: error.func(),
                why: std::io::Error::from_raw_os_error(errno).to_string(),
            },
        }
    }
}

/// What an error in the middle of sound asks of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: there is no more for now.
    Again,
    /// The card ran dry or over, or slept: prepare and start it.
    Restart,
    /// The card is gone: open it again.
    Lost,
}

pub(super) fn verdict(error: alsa::Error) -> Verdict {
    match error.errno() {
        libc::EAGAIN | libc::EINTR => Verdict::Again,
        libc::EPIPE | libc::ESTRPIPE | libc::EBADFD => Verdict::Restart,
        _ => Verdict::Lost,
    }
}

/// An open side, and room for one period of it.
pub(super) struct Pcm {
    name: Box<str>,
    pcm: PCM,
    direction: Direction,
    fit: Fit,
    descriptors: [pollfd; DESCRIPTORS],
    count: u8,
    samples: Box<[i16]>,
}

impl Pcm {
    /// Opens by name, sets the mixer if that is asked for, and agrees on format,
    /// period and buffer. Slow.
    pub(super) fn open(wanted: &Wanted) -> Result<Self, Fault> {
        // Keeps alsa-lib from writing to our stderr; the error code says it.
        let _words = Output::local_error_handler();
        let name = resolve(&wanted.name, &wanted.kinds, wanted.direction)?;
        let failed = |error| Fault::new(&name, error);
        let pcm = PCM::new(&name, wanted.direction.into(), true).map_err(failed)?;
        if wanted.set_mixer {
            wanted.set_mixer(&name);
        }
        let fit = agree(&pcm, wanted)?;
        set_wake_up(&pcm, spare(wanted.direction, fit) + fit.period).map_err(failed)?;
        let mut descriptors = [NO_DESCRIPTOR; DESCRIPTORS];
        if pcm.count() > DESCRIPTORS {
            return Err(failed(alsa::Error::unsupported("snd_pcm_poll_descriptors")));
        }
        let count = pcm.fill(&mut descriptors).map_err(failed)?;
        Ok(Self {
            name: name.into(),
            pcm,
            direction: wanted.direction,
            fit,
            descriptors,
            count: count as u8, // at most DESCRIPTORS
            samples: vec![0; fit.period * usize::from(fit.format.channels)].into(),
        })
    }

    /// The name it was opened by: a card, where `auto` was asked for.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn fit(&self) -> &Fit {
        &self.fit
    }

    pub(super) fn descriptors(&self) -> [pollfd; DESCRIPTORS] {
        self.descriptors
    }

    /// Starts the card, for the first time or after it stopped. A speaker
    /// begins with as much silence as will be held, which makes its delay known.
    pub(super) fn start(&mut self) -> alsa::Result<()> {
        self.pcm.prepare()?;
        if self.direction == Direction::Speaker {
            self.samples.fill(0);
            let channels = usize::from(self.fit.format.channels);
            let mut left = self.fit.held;
            while left > 0 {
                let frames = left.min(self.fit.period);
                write_frames(&self.pcm, &self.samples[..frames * channels])?;
                left -= frames;
            }
        }
        self.pcm.start()
    }

    /// Shows the PCM what poll(2) left in `polled`, which is how plug-ins take
    /// back their wake-up. Their answer is left aside: some say "nothing" until
    /// [`available`](Self::available) has been asked.
    pub(super) fn acknowledge(&self, polled: &[pollfd]) -> alsa::Result<()> {
        self.pcm
            .revents(&polled[..usize::from(self.count)])
            .map(drop)
    }

    /// Frames to be moved now, and how many lie between us and the converter.
    pub(super) fn available(&self) -> alsa::Result<(usize, usize)> {
        let (available, delay) = self.pcm.avail_delay()?;
        let spare = spare(self.direction, self.fit);
        let available = (available.max(0) as usize).saturating_sub(spare);
        Ok((available, delay.max(0) as usize))
    }

    /// A period from the microphone; may be short.
    pub(super) fn read(&mut self) -> alsa::Result<&[i16]> {
        let frames = read_frames(&self.pcm, &mut self.samples)?;
        Ok(&self.samples[..frames * usize::from(self.fit.format.channels)])
    }

    /// A period to the speaker, as `fill` makes it. What the card does not
    /// take of it is lost: it has just stopped.
    pub(super) fn write(&mut self, fill: impl FnOnce(&mut [i16])) -> alsa::Result<()> {
        fill(&mut self.samples);
        write_frames(&self.pcm, &self.samples).map(drop)
    }
}

impl From<Direction> for alsa::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Microphone => Self::Capture,
            Direction::Speaker => Self::Playback,
        }
    }
}

/// Sets the best format the card has. Its own rates come first, since ALSA's
/// built-in converter is a poor one; ours is better.
fn agree(pcm: &PCM, wanted: &Wanted) -> Result<Fit, Fault> {
    const BEST_FIRST: [Format; 4] = [
        format(48_000, 1),
        format(48_000, 2),
        format(16_000, 1),
        format(16_000, 2),
    ];
    let fixed = wanted.format.map(|format| [format]);
    let formats: &[Format] = fixed.as_ref().map_or(&BEST_FIRST, |one| one);
    for convert in [false, true] {
        for &format in formats {
            if let Ok(fit) = set(pcm, wanted, format, convert) {
                return Ok(fit);
            }
        }
    }
    Err(Fault::Unfit {
        name: wanted.name.clone(),
        wanted: describe(formats, wanted),
    })
}

fn describe(formats: &[Format], wanted: &Wanted) -> String {
    let formats: Vec<_> = formats
        .iter()
        .map(|format| format!("{} Hz × {}", format.rate, format.channels))
        .collect();
    format!(
        "16 bit at {} in {} periods of {:?}",
        formats.join(" or "),
        wanted.periods,
        wanted.period
    )
}

const fn format(rate: u32, channels: u16) -> Format {
    Format { rate, channels }
}

fn set(pcm: &PCM, wanted: &Wanted, format: Format, convert: bool) -> alsa::Result<Fit> {
    let frames = i64::from(format.rate) * wanted.period.as_micros() as i64 / 1_000_000;
    let params = HwParams::any(pcm)?;
    params.set_rate_resample(convert)?;
    params.set_access(Access::RWInterleaved)?;
    params.set_format(SampleFormat::s16())?;
    params.set_channels(format.channels.into())?;
    params.set_rate(format.rate, ValueOr::Nearest)?;
    let period = params.set_period_size_near(frames as _, ValueOr::Nearest)?;
    params.set_buffer_size_near(period * wanted.periods as alsa::pcm::Frames)?;
    pcm.hw_params(&params)?;
    let period = params.get_period_size()? as usize;
    let buffer = params.get_buffer_size()? as usize;
    if period == 0 || buffer < 2 * period {
        return Err(alsa::Error::unsupported("snd_pcm_hw_params"));
    }
    Ok(Fit {
        format,
        period,
        buffer,
        held: buffer.min(period * wanted.periods.max(2) as usize),
    })
}

/// Frames of the buffer that stay empty.
fn spare(direction: Direction, fit: Fit) -> usize {
    match direction {
        Direction::Microphone => 0,
        Direction::Speaker => fit.buffer - fit.held,
    }
}

/// Wakes us when `available` frames can be moved, and never starts by itself.
fn set_wake_up(pcm: &PCM, available: usize) -> alsa::Result<()> {
    let params = pcm.sw_params_current()?;
    params.set_avail_min(available as _)?;
    params.set_start_threshold(params.get_boundary()?)?;
    pcm.sw_params(&params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "plughw:CARD=Device,DEV=0";

    fn fault(errno: i32) -> Fault {
        Fault::new(NAME, alsa::Error::new("snd_pcm_open", errno))
    }

    #[test]
    fn each_fault_names_the_card_and_what_to_do() {
        let cases = [
            (libc::ENODEV, "Plug it in"),
            (libc::EBUSY, "in use by another program; stop that"),
            (libc::EACCES, "usermod -aG audio"),
            (libc::ETIMEDOUT, "unplug it and plug it in again"),
            (libc::EIO, "fails in snd_pcm_open: Input/output error"),
        ];
        for (errno, advice) in cases {
            let text = fault(errno).to_string();
            assert!(text.contains(NAME), "{text}");
            assert!(text.contains(advice), "{text}");
        }
    }

    #[test]
    fn a_card_that_is_converted_is_not_to_be_converted() {
        let advice = |name: &str| {
            let (name, wanted) = (name.to_owned(), String::new());
            Fault::Unfit { name, wanted }.to_string()
        };
        assert!(advice("hw:Device").ends_with("use plughw: in place of hw: to have it converted"));
        assert!(advice(NAME).ends_with("try another [sound] period_ms, or another card"));
    }

    #[test]
    fn a_missing_card_is_told_with_those_that_are_there() {
        let missing = |there: &[&str]| Fault::Missing {
            name: NAME.into(),
            there: there.iter().map(|&name| name.to_owned()).collect(),
        };
        let text = missing(&[]).to_string();
        assert!(text.contains("no card is there at all"), "{text}");
        let text = missing(&["plughw:CARD=a,DEV=0", "plughw:CARD=b,DEV=0"]).to_string();
        let both = "these are there: plughw:CARD=a,DEV=0, plughw:CARD=b,DEV=0";
        assert!(text.contains(both), "{text}");
    }

    #[test]
    fn errors_in_mid_sound_are_told_apart() {
        let cases = [
            (libc::EAGAIN, Verdict::Again),
            (libc::EINTR, Verdict::Again),
            (libc::EPIPE, Verdict::Restart),
            (libc::ESTRPIPE, Verdict::Restart),
            (libc::EBADFD, Verdict::Restart),
            (libc::ENODEV, Verdict::Lost),
            (libc::EIO, Verdict::Lost),
            (libc::ETIMEDOUT, Verdict::Lost),
        ];
        for (errno, want) in cases {
            let error = alsa::Error::new("snd_pcm_avail_delay", errno);
            assert_eq!(verdict(error), want, "{error}");
        }
    }

    #[test]
    fn a_speaker_leaves_empty_what_nobody_asked_for() {
        let fit = Fit {
            format: format(48_000, 1),
            period: 480,
            buffer: 16_384,
            held: 1_440,
        };
        assert_eq!(spare(Direction::Speaker, fit), 16_384 - 1_440);
        assert_eq!(spare(Direction::Microphone, fit), 0);
    }
}
