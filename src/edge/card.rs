//! What every sound card has in common, real or virtual: a thread that turns
//! the engine, the figures it keeps, what it reports, and how it is stopped.
//!
//! ```text
//!  alsa::Card::start ─┐            ┌─▶ Stats    any thread, at any time
//!                     ├─▶ Running ─┼─▶ events   Lost, Back, Unfit
//!  virtual_card::start┘            └─▶ stop     the thread ends within STOP
//! ```
//!
//! Threads: [`Stats`] is atomics, written by the audio thread and read by
//! anyone; the rest belongs to the daemon.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::realtime::Denied;
use crate::audio::engine::Engine;
use crate::audio::probe::Probe;

/// Longest that [`Running::stop`] waits for the audio thread: several wake-ups.
pub const STOP: Duration = Duration::from_secs(1);
/// Events that wait for the daemon; what comes on top is counted and lost.
pub const EVENTS: usize = 16;
/// Stack of a sound thread. Small, since locked memory is real memory.
pub(super) const STACK: usize = 256 * 1024;

/// What a card turns: samples in, samples out. [`Engine`] is the one the
/// product has; tests bring their own.
pub trait Sound: Send + 'static {
    /// Is told, before a [`capture`](Self::capture), how much of what was
    /// rendered had not been played when its first sample was taken. A card
    /// that does not know says nothing.
    ///
    /// Real time: must not allocate, lock or call the system.
    fn unplayed(&mut self, _: Duration) {}

    /// Takes in a period of the microphone, interleaved and of any length;
    /// returns how many packets became ready to send.
    ///
    /// Real time: must not allocate, lock or call the system.
    fn capture(&mut self, mic: &[i16]) -> usize;

    /// Fills a period for the speaker, interleaved and of any length.
    ///
    /// Real time: must not allocate, lock or call the system.
    fn render(&mut self, speaker: &mut [i16]);
}

impl Sound for Engine {
    fn unplayed(&mut self, length: Duration) {
        Self::unplayed(self, length);
    }

    fn capture(&mut self, mic: &[i16]) -> usize {
        Self::capture(self, mic)
    }

    fn render(&mut self, speaker: &mut [i16]) {
        Self::render(self, speaker);
    }
}

/// A card that plays and hears what a test wants, and nothing else.
impl Sound for Probe {
    fn capture(&mut self, mic: &[i16]) -> usize {
        Self::capture(self, mic);
        0
    }

    fn render(&mut self, speaker: &mut [i16]) {
        speaker.fill(0);
        Self::render(self, speaker);
    }
}

/// Which way the sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the card to the engine.
    Microphone,
    /// From the engine to the card.
    Speaker,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}

/// The figures of a card, since the process started.
#[derive(Debug, Default)]
pub struct Stats {
    /// The capture side.
    pub microphone: SideStats,
    /// The playback side.
    pub speaker: SideStats,
    beats: AtomicU64,
    overloads: AtomicU64,
}

impl Stats {
    /// The figures of one side.
    #[must_use]
    pub fn side(&self, direction: Direction) -> &SideStats {
        match direction {
            Direction::Microphone => &self.microphone,
            Direction::Speaker => &self.speaker,
        }
    }

    /// Rounds of the audio thread. The watchdog looks whether it still grows:
    /// it does at least once a second, card or no card.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    /// Times the audio thread had not slept for too long and was made to: the
    /// processor is too slow for what it has to do.
    #[must_use]
    pub fn overloads(&self) -> u64 {
        self.overloads.load(Relaxed)
    }

    pub(super) fn count_overload(&self) {
        self.overloads.fetch_add(1, Relaxed);
    }

    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Relaxed);
    }
}

/// The figures of one side of a card.
#[derive(Debug, Default)]
pub struct SideStats {
    present: AtomicBool,
    periods: AtomicU64,
    substitutes: AtomicU64,
    xruns: AtomicU64,
    losses: AtomicU64,
    reopens: AtomicU64,
    worst_late_us: AtomicU64,
    delay_us: AtomicU64,
}

impl SideStats {
    /// Whether the card is there and moving sound.
    #[must_use]
    pub fn present(&self) -> bool {
        self.present.load(Relaxed)
    }

    /// Periods the card has taken or given.
    #[must_use]
    pub fn periods(&self) -> u64 {
        self.periods.load(Relaxed)
    }

    /// Periods of silence that stood in for a card that was away.
    #[must_use]
    pub fn substitutes(&self) -> u64 {
        self.substitutes.load(Relaxed)
    }

    /// Times the card ran dry or over, or slept, and was started again.
    #[must_use]
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Relaxed)
    }

    /// Times the card vanished, or stopped without a word.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    /// Times the card was opened again.
    #[must_use]
    pub fn reopens(&self) -> u64 {
        self.reopens.load(Relaxed)
    }

    /// Most that a wake-up came after its period was full, by the card's own clock.
    #[must_use]
    pub fn worst_late(&self) -> Duration {
        Duration::from_micros(self.worst_late_us.load(Relaxed))
    }

    /// As the card measured it at the last wake-up: how long until the speaker
    /// plays what is written next, or since the microphone took what is read next.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Relaxed))
    }

    pub(crate) fn set_present(&self, present: bool) {
        self.present.store(present, Relaxed);
    }

    pub(super) fn count_period(&self) {
        self.periods.fetch_add(1, Relaxed);
    }

    pub(super) fn count_substitute(&self) {
        self.substitutes.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_xrun(&self) {
        self.xruns.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_loss(&self) {
        self.losses.fetch_add(1, Relaxed);
    }

    pub(super) fn count_reopen(&self) {
        self.reopens.fetch_add(1, Relaxed);
    }

    pub(super) fn woke(&self, late: Duration) {
        self.worst_late_us.fetch_max(micros(late), Relaxed);
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.delay_us.store(micros(delay), Relaxed);
    }
}

fn micros(length: Duration) -> u64 {
    length.as_micros() as u64
}

/// What the daemon is told. `Display` is the line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A side is away; silence stands in for it until it is back.
    Lost {
        /// Which side.
        direction: Direction,
        /// What was seen, and what to do.
        why: String,
    },
    /// A card is there again but cannot be used; told once per reason.
    Unfit {
        /// Which side.
        direction: Direction,
        /// What was seen, and what to do.
        why: String,
    },
    /// A side is at work again.
    Back {
        /// Which side.
        direction: Direction,
        /// What was agreed with the card.
        fit: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { direction, why } => write!(f, "the {direction} is away: {why}"),
            Self::Unfit { direction, why } => write!(f, "the {direction} cannot be used: {why}"),
            Self::Back { direction, fit } => write!(f, "the {direction} is back: {fit}"),
        }
    }
}

/// A card at work. Dropping it stops the thread without waiting for it.
pub struct Running {
    /// Figures, for any thread.
    pub stats: Arc<Stats>,
    /// What became of the request for real-time scheduling.
    pub rights: Result<(), Denied>,
    /// Cards lost and found; at most [`EVENTS`] wait.
    pub events: mpsc::Receiver<Event>,
    pub(super) stopping: Arc<AtomicBool>,
    /// Holds nothing; it closes when the audio thread has ended.
    pub(super) ended: Receiver<Infallible>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Stops the audio thread and closes the card. `false` when the thread
    /// has not ended within [`STOP`] and is left behind.
    pub fn stop(mut self) -> bool {
        self.stopping.store(true, Relaxed);
        if self.ended.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        self.thread
            .take()
            .is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
    }
}
