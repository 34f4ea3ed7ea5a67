//! A sound card made of memory: for `callbox demo`, and for tests of whole calls.
//!
//! ```text
//!  speech ──speak──▶ ┌──────────────┐ ─capture─▶ engine
//!                    │ one thread,  │     ▲ echo
//!  heard  ◀───────── │ period clock │ ◀─render── engine
//!                    └──────────────┘
//! ```
//!
//! Speaker and microphone are in one room: what is played is heard again
//! [`ECHO_AFTER`] periods later, 18 dB softer, and the microphone hisses in its
//! last bits. It can be [broken](Remote::breaks).
//!
//! It paces the engine as a real card does: a period of the microphone and one
//! of the speaker at each tick of a clock of its own, which may run fast or
//! slow. Ticks are absolute, so a late wake-up delays one period and not all
//! that follow.
//!
//! Units: interleaved samples in the formats given; skew in parts per million,
//! above 0 for a card that is fast.
//!
//! Always true: a thread held up for more than [`BUFFER`] periods starts its
//! clock anew and counts an xrun on both sides, as a real card would.
//!
//! Real time: the thread allocates nothing and locks nothing; what it shares
//! with [`Remote`] are atomics. It runs with ordinary scheduling.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI16, AtomicI32, AtomicUsize};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::card::{Direction, EVENTS, Running, STACK, Sound, Stats};
use super::realtime::Wake;
use crate::audio::engine::Format;

/// Periods that a real card would hold.
pub const BUFFER: u32 = 3;

/// Periods after which what is played is heard by the microphone.
pub const ECHO_AFTER: usize = 2;
/// Which part of it is.
const ECHO: i16 = 8;

/// How a microphone fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It gives this value and no other.
    Stuck(i16),
    /// It gives a square wave at full scale.
    Square,
    /// It hears the visitor and not the speaker.
    Deaf,
}

/// How the card is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// Format of the microphone, and of [`speech`](Self::speech).
    pub microphone: Format,
    /// Format of the speaker, and of [`Remote::heard`].
    pub speaker: Format,
    /// Length of a period. Default 10 ms.
    pub period: Duration,
    /// What the visitor says after [`Remote::speak`]; a hiss of the last bits
    /// around it.
    pub speech: Vec<i16>,
    /// How much of the speaker's sound is kept, from the start. Default 60 s;
    /// more is played and not kept.
    pub keep: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let format = Format {
            rate: 48_000,
            channels: 1,
        };
        Self {
            microphone: format,
            speaker: format,
            period: Duration::from_millis(10),
            speech: Vec::new(),
            keep: Duration::from_secs(60),
        }
    }
}

/// The visitor's end of the card. Clones are the same card.
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

struct Shared {
    /// Samples of the speech that were given to the engine.
    spoken: AtomicUsize,
    speech: Vec<i16>,
    skew_ppm: AtomicI32,
    /// [`Broken`], as [`broken`] reads it.
    broken: AtomicI32,
    heard: Box<[AtomicI16]>,
    /// Samples of `heard` that are there.
    kept: AtomicUsize,
}

impl Remote {
    /// The visitor speaks now, from the beginning.
    pub fn speak(&self) {
        self.0.spoken.store(0, Release);
    }

    /// Whether the speech has passed the microphone, or never began.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.0.spoken.load(Acquire) >= self.0.speech.len()
    }

    /// Lets the card's clock run fast (above 0) or slow from the next period on.
    pub fn set_skew_ppm(&self, ppm: i32) {
        self.0.skew_ppm.store(ppm, Relaxed);
    }

    /// The microphone fails like this from the next period on, or works again.
    pub fn breaks(&self, how: Option<Broken>) {
        let code = match how {
            None => WORKS,
            Some(Broken::Square) => WORKS + 1,
            Some(Broken::Deaf) => WORKS + 2,
            Some(Broken::Stuck(value)) => i32::from(value),
        };
        self.0.broken.store(code, Relaxed);
    }

    /// What the speaker has played so far, up to what is kept.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        let kept = self.0.kept.load(Acquire);
        let samples = self.0.heard[..kept].iter();
        samples.map(|sample| sample.load(Relaxed)).collect()
    }
}

/// Codes of what is no value of a microphone's.
const WORKS: i32 = i32::MIN;

fn broken(code: i32) -> Option<Broken> {
    match i16::try_from(code) {
        Ok(value) => Some(Broken::Stuck(value)),
        Err(_) if code == WORKS + 1 => Some(Broken::Square),
        Err(_) if code == WORKS + 2 => Some(Broken::Deaf),
        Err(_) => None,
    }
}

/// Starts the card.
///
/// # Errors
/// The system gives no thread.
pub fn start(config: Config, sound: impl Sound, wake: Arc<Wake>) -> io::Result<(Running, Remote)> {
    let keep = samples(config.speaker, config.keep);
    let shared = Arc::new(Shared {
        spoken: AtomicUsize::new(config.speech.len()),
        speech: config.speech,
        skew_ppm: AtomicI32::new(0),
        broken: AtomicI32::new(WORKS),
        heard: std::iter::repeat_with(AtomicI16::default)
            .take(keep)
            .collect(),
        kept: AtomicUsize::new(0),
    });
    let stats = Arc::new(Stats::default());
    let stopping = Arc::new(AtomicBool::new(false));
    let (ending, ended) = sync_channel(0);
    let mut card = Card {
        sound,
        wake,
        shared: Arc::clone(&shared),
        stats: Arc::clone(&stats),
        period: config.period,
        microphone: vec![0; samples(config.microphone, config.period)],
        speaker: vec![0; samples(config.speaker, config.period)],
        played: std::array::from_fn(|_| vec![0; samples(config.speaker, config.period)]),
        seed: 1,
    };
    let stop = Arc::clone(&stopping);
    let thread = thread::Builder::new()
        .name("audio".into())
        .stack_size(STACK)
        .spawn(move || {
            let _until_the_end: SyncSender<Infallible> = ending;
            card.run(&stop);
        })?;
    let running = Running {
        stats,
        rights: Ok(()),
        events: mpsc::channel(EVENTS).1,
        stopping,
        ended,
        thread: Some(thread),
    };
    Ok((running, Remote(shared)))
}

/// Interleaved samples in `length`.
fn samples(format: Format, length: Duration) -> usize {
    let frames = u128::from(format.rate) * length.as_micros() / 1_000_000;
    frames as usize * usize::from(format.channels)
}

struct Card<S> {
    sound: S,
    wake: Arc<Wake>,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    period: Duration,
    microphone: Vec<i16>,
    speaker: Vec<i16>,
    /// What was played, the latest first.
    played: [Vec<i16>; ECHO_AFTER],
    /// Of the hiss.
    seed: u32,
}

impl<S: Sound> Card<S> {
    fn run(&mut self, stopping: &AtomicBool) {
        for direction in [Direction::Microphone, Direction::Speaker] {
            self.stats.side(direction).set_present(true);
        }
        let mut due = Instant::now();
        while !stopping.load(Relaxed) {
            due = self.wait(due + self.skewed_period());
            self.turn();
            self.stats.beat();
        }
    }

    /// One period by this card's own clock.
    fn skewed_period(&self) -> Duration {
        let skew = f64::from(self.shared.skew_ppm.load(Relaxed)) * 1e-6;
        self.period.div_f64(1.0 + skew)
    }

    /// Sleeps until `due`; returns it, or the present when it is long past.
    fn wait(&self, due: Instant) -> Instant {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        let late = now.saturating_duration_since(due);
        let overrun = late > BUFFER * self.period;
        for direction in [Direction::Microphone, Direction::Speaker] {
            let stats = self.stats.side(direction);
            stats.woke(late);
            if overrun {
                stats.count_xrun();
            }
        }
        if overrun { now } else { due }
    }

    /// Moves one period each way.
    fn turn(&mut self) {
        self.speak();
        self.hear();
        self.sound.unplayed(self.period * ECHO_AFTER as u32);
        if self.sound.capture(&self.microphone) > 0 {
            self.wake.notify();
        }
        self.stats.microphone.count_period();
        self.sound.render(&mut self.speaker);
        self.played.rotate_right(1);
        self.played[0].copy_from_slice(&self.speaker);
        self.keep();
        self.stats.speaker.count_period();
    }

    /// Fills the microphone's period with speech, then silence.
    fn speak(&mut self) {
        let shared = &*self.shared;
        let from = shared.spoken.load(Acquire).min(shared.speech.len());
        let rest = &shared.speech[from..];
        let spoken = rest.len().min(self.microphone.len());
        let (voice, silence) = self.microphone.split_at_mut(spoken);
        voice.copy_from_slice(&rest[..spoken]);
        silence.fill(0);
        // A `speak` that came meanwhile wins: it has set another position.
        _ = shared
            .spoken
            .compare_exchange(from, from + spoken, Release, Relaxed);
    }

    /// Adds what else a microphone hears: the speaker, and itself.
    fn hear(&mut self) {
        let how = broken(self.shared.broken.load(Relaxed));
        let echo = &self.played[ECHO_AFTER - 1];
        let length = self.microphone.len();
        for (n, sample) in self.microphone.iter_mut().enumerate() {
            self.seed = self
                .seed
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let hiss = (self.seed >> 30) as i16 - 2;
            let heard = echo[n * echo.len() / length] / ECHO;
            *sample = match how {
                None => sample.saturating_add(heard).saturating_add(hiss),
                Some(Broken::Deaf) => sample.saturating_add(hiss),
                Some(Broken::Stuck(value)) => value,
                Some(Broken::Square) if n < length / 2 => i16::MAX,
                Some(Broken::Square) => i16::MIN,
            };
        }
    }

    fn keep(&self) {
        let kept = self.shared.kept.load(Relaxed);
        let room = &self.shared.heard[kept..];
        for (place, &sample) in room.iter().zip(&self.speaker) {
            place.store(sample, Relaxed);
        }
        let kept = kept + room.len().min(self.speaker.len());
        self.shared.kept.store(kept, Release);
    }
}
