//! What the engine can say about itself, to any thread and at any time.
//!
//! The audio thread writes, each figure an atomic of its own; the others take a
//! [`Snapshot`]. A call's figures are the difference of two snapshots:
//!
//! ```text
//!  let before = stats.snapshot();   … the call …   stats.snapshot().since(&before)
//! ```
//!
//! Always true: counters only grow, so the watchdog can see that
//! [`captured`](Snapshot::captured) and [`rendered`](Snapshot::rendered) move.
//!
//! Real time: no locks, no allocation. Figures of one snapshot may be a few
//! samples apart from each other.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::BUS_RATE;
use super::level::Level;

/// Bins of the histogram of playout delays: 1 ms each, the last is "or more".
pub const DELAY_BINS: usize = 256;

/// Stands for an echo loss that is not known.
const UNKNOWN: i32 = i32::MIN;

/// A figure that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The loudness of the last window, as bits of an `f32` each.
#[derive(Debug, Default)]
pub(super) struct LevelCell {
    peak: AtomicU32,
    rms: AtomicU32,
}

impl LevelCell {
    pub(super) fn set(&self, level: Level) {
        self.peak.store(level.peak.to_bits(), Relaxed);
        self.rms.store(level.rms.to_bits(), Relaxed);
    }

    fn read(&self) -> Level {
        Level {
            peak: f32::from_bits(self.peak.load(Relaxed)),
            rms: f32::from_bits(self.rms.load(Relaxed)),
        }
    }
}

/// See the [module page](self).
#[derive(Debug)]
pub struct Stats {
    pub(super) captured: Count,
    pub(super) rendered: Count,
    pub(super) packets_out: Count,
    pub(super) uplink_refused: Count,
    pub(super) packets_in: Count,
    pub(super) other_stream: Count,
    pub(super) events_lost: Count,
    pub(super) malformed: Count,
    pub(super) late: Count,
    pub(super) duplicates: Count,
    pub(super) reordered: Count,
    pub(super) restarts: Count,
    pub(super) concealed: Count,
    pub(super) skipped: Count,
    pub(super) stretched: Count,
    pub(super) mic_silent: Count,
    pub(super) mic_stuck: Count,
    pub(super) mic_clipped: Count,
    pub(super) speaker_unheard: Count,
    pub(super) mic: LevelCell,
    pub(super) speaker: LevelCell,
    delay: AtomicU32,
    target: AtomicU32,
    delays: [AtomicU32; DELAY_BINS],
    drift: AtomicI32,
    /// In hundredths of a dB.
    echo_loss: AtomicI32,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            captured: Count::default(),
            rendered: Count::default(),
            packets_out: Count::default(),
            uplink_refused: Count::default(),
            packets_in: Count::default(),
            other_stream: Count::default(),
            events_lost: Count::default(),
            malformed: Count::default(),
            late: Count::default(),
            duplicates: Count::default(),
            reordered: Count::default(),
            restarts: Count::default(),
            concealed: Count::default(),
            skipped: Count::default(),
            stretched: Count::default(),
            mic_silent: Count::default(),
            mic_stuck: Count::default(),
            mic_clipped: Count::default(),
            speaker_unheard: Count::default(),
            mic: LevelCell::default(),
            speaker: LevelCell::default(),
            delay: AtomicU32::new(0),
            target: AtomicU32::new(0),
            delays: [const { AtomicU32::new(0) }; DELAY_BINS],
            drift: AtomicI32::new(0),
            echo_loss: AtomicI32::new(UNKNOWN),
        }
    }
}

impl Stats {
    /// Everything as it is now. Any thread.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let ms = |count: &Count| count.read() * 1000 / u64::from(BUS_RATE);
        Snapshot {
            captured: self.captured.read(),
            rendered: self.rendered.read(),
            packets_out: self.packets_out.read(),
            uplink_refused: self.uplink_refused.read(),
            packets_in: self.packets_in.read(),
            other_stream: self.other_stream.read(),
            events_lost: self.events_lost.read(),
            malformed: self.malformed.read(),
            late: self.late.read(),
            duplicates: self.duplicates.read(),
            reordered: self.reordered.read(),
            restarts: self.restarts.read(),
            concealed_ms: ms(&self.concealed),
            skipped_ms: ms(&self.skipped),
            stretched_ms: ms(&self.stretched),
            mic_silent: self.mic_silent.read(),
            mic_stuck: self.mic_stuck.read(),
            mic_clipped: self.mic_clipped.read(),
            speaker_unheard: self.speaker_unheard.read(),
            mic: self.mic.read(),
            speaker: self.speaker.read(),
            delay_ms: self.delay.load(Relaxed) as f32 * 1000.0 / BUS_RATE as f32,
            target_ms: self.target.load(Relaxed) as f32 * 1000.0 / BUS_RATE as f32,
            delays: Delays(std::array::from_fn(|ms| self.delays[ms].load(Relaxed))),
            drift_ppm: self.drift.load(Relaxed) as f32 / 100.0,
            echo_loss_db: match self.echo_loss.load(Relaxed) {
                UNKNOWN => None,
                loss => Some(loss as f32 / 100.0),
            },
        }
    }

    /// Notes that a block is heard `delay` bus samples after it arrived.
    pub(super) fn delayed(&self, delay: usize) {
        self.delay
            .store(delay.try_into().unwrap_or(u32::MAX), Relaxed);
        let ms = delay / (BUS_RATE as usize / 1000);
        self.delays[ms.min(DELAY_BINS - 1)].fetch_add(1, Relaxed);
    }

    pub(super) fn set_target(&self, samples: u32) {
        self.target.store(samples, Relaxed);
    }

    pub(super) fn set_echo_loss(&self, db: Option<f32>) {
        let loss = db.map_or(UNKNOWN, |db| (db * 100.0) as i32);
        self.echo_loss.store(loss, Relaxed);
    }

    pub(super) fn set_drift(&self, ppm: f32) {
        self.drift.store((ppm * 100.0) as i32, Relaxed);
    }
}

/// The figures at one moment, or over a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Microphone samples taken in, per channel, at card rate: a heartbeat.
    pub captured: u64,
    /// Speaker samples filled, per channel, at card rate: a heartbeat.
    pub rendered: u64,
    /// Packets made from the microphone, those refused by the uplink included.
    pub packets_out: u64,
    /// Packets a full uplink refused.
    pub uplink_refused: u64,
    /// Packets of the present stream that came from the far end.
    pub packets_in: u64,
    /// Packets dropped because they were of another stream.
    pub other_stream: u64,
    /// Events the media runtime did not fetch in time.
    pub events_lost: u64,
    /// Packets that could not be decoded, or only in part.
    pub malformed: u64,
    /// Packets whose turn had passed.
    pub late: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets overtaken by a later one that were still in time.
    pub reordered: u64,
    /// Times the far end's numbering began anew.
    pub restarts: u64,
    /// Time in a stream with nothing of the far end to play, the noise of its
    /// room after the first 60 ms of it included.
    pub concealed_ms: u64,
    /// Sound of the far end thrown away to get back to the target delay, more
    /// than could be made up for by playing faster.
    pub skipped_ms: u64,
    /// Time won and lost by playing faster and slower: a little all the time, or
    /// by a pitch period that is left out or played twice.
    pub stretched_ms: u64,
    /// Quarters of a second at whose end the microphone had given nothing but
    /// zeros for a second.
    pub mic_silent: u64,
    /// The same for nothing but one value, not zero.
    pub mic_stuck: u64,
    /// The same for a sound of which more than
    /// [`CLIPPED`](super::level::CLIPPED) was at full scale.
    pub mic_clipped: u64,
    /// Quarters of a second in which it was known that the microphone had heard
    /// nothing of what the speaker played.
    pub speaker_unheard: u64,
    /// The microphone as the card gave it, in the last quarter of a second.
    pub mic: Level,
    /// The speaker, in the last quarter of a second.
    pub speaker: Level,
    /// How long the block now heard waited in the engine, filters included.
    pub delay_ms: f32,
    /// How long the engine would like blocks to wait at most.
    pub target_ms: f32,
    /// All those waits.
    pub delays: Delays,
    /// The far end's clock against the speaker's, in parts per million;
    /// positive when the far end is the faster one. Settles in some minutes.
    pub drift_ppm: f32,
    /// By how much quieter than the microphone heard it the callee was sent back
    /// to himself, of late; `None` before he has spoken for a second.
    pub echo_loss_db: Option<f32>,
}

impl Snapshot {
    /// What was counted since `earlier`; levels, present delay, target,
    /// drift and echo loss stay those of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delays = self.delays.clone();
        for (bin, before) in delays.0.iter_mut().zip(&earlier.delays.0) {
            *bin = bin.wrapping_sub(*before);
        }
        Self {
            captured: self.captured - earlier.captured,
            rendered: self.rendered - earlier.rendered,
            packets_out: self.packets_out - earlier.packets_out,
            uplink_refused: self.uplink_refused - earlier.uplink_refused,
            packets_in: self.packets_in - earlier.packets_in,
            other_stream: self.other_stream - earlier.other_stream,
            events_lost: self.events_lost - earlier.events_lost,
            malformed: self.malformed - earlier.malformed,
            late: self.late - earlier.late,
            duplicates: self.duplicates - earlier.duplicates,
            reordered: self.reordered - earlier.reordered,
            restarts: self.restarts - earlier.restarts,
            concealed_ms: self.concealed_ms - earlier.concealed_ms,
            skipped_ms: self.skipped_ms - earlier.skipped_ms,
            stretched_ms: self.stretched_ms - earlier.stretched_ms,
            mic_silent: self.mic_silent - earlier.mic_silent,
            mic_stuck: self.mic_stuck - earlier.mic_stuck,
            mic_clipped: self.mic_clipped - earlier.mic_clipped,
            speaker_unheard: self.speaker_unheard - earlier.speaker_unheard,
            delays,
            ..self.clone()
        }
    }
}

/// How often a block waited how long, in bins of 1 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays(pub [u32; DELAY_BINS]);

impl Delays {
    /// The delay in ms that the share `rank` of all blocks did not exceed:
    /// 0.0 is the shortest, 0.5 the median. `None` before the first block.
    #[must_use]
    pub fn percentile(&self, rank: f64) -> Option<u32> {
        let total: u64 = self.0.iter().map(|&n| u64::from(n)).sum();
        let wanted = ((total as f64 * rank).ceil() as u64).max(1);
        let mut seen = 0;
        let bin = self.0.iter().position(|&n| {
            seen += u64::from(n);
            seen >= wanted
        })?;
        Some(bin as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_call_leave_out_the_call_before() {
        let stats = Stats::default();
        stats.delayed(16 * 100);
        let before = stats.snapshot();
        for ms in 1..=100 {
            stats.delayed(16 * ms);
        }
        let call = stats.snapshot().since(&before).delays;
        for (rank, ms) in [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            assert_eq!(call.percentile(rank), Some(ms), "{rank}");
        }
        assert_eq!(Delays([0; DELAY_BINS]).percentile(0.5), None);
    }

    #[test]
    fn endless_delay_falls_in_the_last_bin() {
        let stats = Stats::default();
        stats.delayed(usize::MAX);
        assert_eq!(stats.snapshot().delays.percentile(0.5), Some(255));
    }
}
