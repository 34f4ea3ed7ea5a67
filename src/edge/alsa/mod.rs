//! The sound card: one real-time thread that moves samples between ALSA and
//! the engine.
//!
//! ```text
//!  open(Config) ─▶ Card ─ formats ─▶ Engine::new
//!                   └─ start(engine) ─▶ Running
//!
//!            ┌──────────── audio thread ────────────┐
//!  mic PCM ──┤ poll ─▶ read  ─▶ capture ─▶ uplink ──┼─▶ Wake ─▶ media runtime
//!  spk PCM ◀─┤        write  ◀─ render  ◀─ downlink │
//!            └───────┬───────────────────────▲──────┘
//!              lost PCM                opened PCM       two queues
//!                    ▼                       │
//!            └── reopen thread: close, wait, open by name, tell the daemon ──┘
//! ```
//!
//! The two sides may be two cards with two clocks; each is served when its own
//! period is full. A side that is away is replaced by a timer and silence:
//! packets keep flowing, and what is rendered is thrown away.
//!
//! Units: *frame*, one sample of every channel; *period*, the frames after
//! which the card wakes us; *buffer*, the frames the card has room for. The
//! speaker starts with `periods` of silence and is kept there, so its delay is
//! known and the same after every start.
//!
//! Always true: the formats are agreed at the first opening and stay; a card
//! comes back in the same format or not at all. PCMs are opened and closed on
//! the reopen thread only, once the audio thread runs.
//!
//! Real time: the audio thread allocates nothing, locks nothing and logs
//! nothing. It calls ALSA, poll(2), the clock and [`Wake::notify`].

mod cards;
mod list;
mod mixer;
mod pcm;
mod pump;
mod reopen;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::cards::{AUTO, CardInfo, Kind, cards, choose};
pub use self::list::{Device, Rates, Scope, card_id, check, list, scope};
pub use self::mixer::{Reading, Setting, SettingLevel, look};
pub use self::pcm::{Fault, Fit};
use super::card::{Direction, EVENTS, Event, Running, STACK, Sound, Stats};
use super::realtime::{self, Wake};
use crate::audio::engine::Format;
use crate::trace::Trace;

/// Which cards, and in what portions.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the visitor's voice comes from. `None`: nowhere, silence is sent.
    pub microphone: Option<Side>,
    /// Where the far end is heard. `None`: nowhere.
    pub speaker: Option<Side>,
    /// Length of a period. Default 10 ms; less costs CPU, more is delay at
    /// both ends. The card may round it: see [`Fit`].
    pub period: Duration,
    /// Periods in the buffer. Default 3; 2 is the least and leaves one period
    /// for a late wake-up, each more is delay at the speaker.
    pub periods: u32,
    /// What is known of cards: which of them [`AUTO`] means, and what is set in
    /// their mixers when they are opened. Default none.
    pub kinds: Arc<[Kind]>,
    /// Whether mixers are set. Default no: they stay as they are.
    pub set_mixer: bool,
}

/// One side of the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// ALSA's name of it. Names with the card's id stay when cards come and
    /// go: `plughw:CARD=Device,DEV=0`. `plughw` converts what the card cannot
    /// do itself, `hw` never. [`AUTO`]: the card that is of one of the kinds.
    pub name: String,
    /// One that [`Engine::new`](crate::audio::engine::Engine::new) takes. `None`: what the card does best, 48 kHz
    /// before 16 kHz, mono before stereo, its own rate before a converted one.
    pub format: Option<Format>,
}

impl Default for Config {
    fn default() -> Self {
        let side = Some(Side {
            name: "default".into(),
            format: None,
        });
        Self {
            microphone: side.clone(),
            speaker: side,
            period: Duration::from_millis(10),
            periods: 3,
            kinds: Arc::default(),
            set_mixer: false,
        }
    }
}

impl Config {
    fn side(&self, direction: Direction) -> Option<&Side> {
        match direction {
            Direction::Microphone => self.microphone.as_ref(),
            Direction::Speaker => self.speaker.as_ref(),
        }
    }
}

/// The format of a side that is not there when the device starts, and has
/// none configured.
const UNSEEN: Format = Format {
    rate: 48_000,
    channels: 1,
};

/// Both sides, opened as far as they were there.
pub struct Card {
    microphone: Opened,
    speaker: Opened,
}

/// One side after the first opening.
struct Opened {
    /// How to open it again; `None` when there is no such side.
    wanted: Option<pcm::Wanted>,
    format: Format,
    period: Duration,
    /// The PCM, or why there is none.
    pcm: Option<Result<pcm::Pcm, Fault>>,
}

/// Opens what is configured. A card that is not there yet is no error: it is
/// waited for while the device runs, since USB may be slower than we are.
#[must_use]
pub fn open(config: &Config) -> Card {
    Card {
        microphone: Opened::new(config, Direction::Microphone),
        speaker: Opened::new(config, Direction::Speaker),
    }
}

impl Opened {
    fn new(config: &Config, direction: Direction) -> Self {
        let mut wanted = config
            .side(direction)
            .map(|side| pcm::Wanted::new(config, side, direction));
        let pcm = wanted.as_ref().map(pcm::Pcm::open);
        let format = match (&pcm, &wanted) {
            (Some(Ok(pcm)), _) => pcm.fit().format,
            (_, Some(wanted)) => wanted.format.unwrap_or(UNSEEN),
            (_, None) => UNSEEN,
        };
        if let Some(wanted) = &mut wanted {
            wanted.format = Some(format);
        }
        Self {
            wanted,
            format,
            period: config.period,
            pcm,
        }
    }
}

impl Card {
    /// The format the engine will be given; it stays.
    #[must_use]
    pub fn microphone(&self) -> Format {
        self.microphone.format
    }

    /// The format the engine must fill; it stays.
    #[must_use]
    pub fn speaker(&self) -> Format {
        self.speaker.format
    }

    /// What was agreed with each card that is there, for the log.
    pub fn fits(&self) -> impl Iterator<Item = (Direction, &str, &Fit)> {
        let sides = [
            (Direction::Microphone, &self.microphone),
            (Direction::Speaker, &self.speaker),
        ];
        sides
            .into_iter()
            .filter_map(|(direction, side)| match &side.pcm {
                Some(Ok(pcm)) => Some((direction, pcm.name(), pcm.fit())),
                _ => None,
            })
    }

    /// Starts the audio thread and the one that reopens. A side that could
    /// not be opened is reported by an event and tried again.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        self,
        sound: impl Sound,
        wake: Arc<Wake>,
        trace: Arc<Trace>,
    ) -> io::Result<Running> {
        let stats = Arc::new(Stats::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let (tell, events) = mpsc::channel(EVENTS);
        let (tell_rights, rights) = sync_channel(1);
        let (ending, ended) = sync_channel(0);
        let side = |direction, opened: Opened| opened.into_side(direction, &stats, &tell, &trace);
        let sides = [
            side(Direction::Microphone, self.microphone)?,
            side(Direction::Speaker, self.speaker)?,
        ];
        let (shared, stop) = (Arc::clone(&stats), Arc::clone(&stopping));
        let thread = thread::Builder::new()
            .name("audio".into())
            .stack_size(STACK)
            .spawn(move || {
                let _until_the_end: SyncSender<Infallible> = ending;
                // What alsa-lib has to say stays in memory: stderr may wait.
                let _words = ::alsa::Output::local_error_handler();
                _ = tell_rights.send(realtime::run_fifo(realtime::AUDIO_PRIORITY));
                pump::run(sides, sound, &wake, &shared, &stop);
            })?;
        Ok(Running {
            stats,
            rights: rights.recv().map_err(io::Error::other)?,
            events,
            stopping,
            ended,
            thread: Some(thread),
        })
    }
}

impl Opened {
    fn into_side(
        self,
        direction: Direction,
        stats: &Arc<Stats>,
        tell: &mpsc::Sender<Event>,
        trace: &Arc<Trace>,
    ) -> io::Result<pump::Side> {
        let (pcm, missing) = match self.pcm {
            Some(Ok(pcm)) => (Some(pcm), None),
            Some(Err(fault)) => (None, Some(fault)),
            None => (None, None),
        };
        let handover = match self.wanted {
            Some(wanted) => reopen::Reopener {
                wanted,
                stats: Arc::clone(stats),
                events: tell.clone(),
                trace: Arc::clone(trace),
            }
            .start(missing)?,
            None => reopen::Handover::new(),
        };
        let stats = Arc::clone(stats);
        let side = pump::Side::new(direction, self.format, self.period, pcm, handover, stats);
        Ok(side)
    }
}
