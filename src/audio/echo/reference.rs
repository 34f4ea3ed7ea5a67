//! What was played, kept until its echo comes.
//!
//! The card's thread tells how much of what was written had not been played
//! when the microphone took a sample, so it is known which sample of the two
//! belong together, whatever lies in buffers. What is read comes 4 ms before
//! its echo can. Two cards have two clocks: the reader goes as fast as
//! the microphone's.
//!
//! ```text
//!  write ─▶ [ .... played .... | to be played ]
//!                      ▲  EARLY ▲
//!                      └────────┴── read, a hop for each of the microphone's
//! ```
//!
//! Where nobody tells, the reader stays as close behind the writer as turns
//! allow.
//!
//! Units: bus samples.
//!
//! Real time: bounded work; only `new` allocates.

use super::HOP;
use crate::audio::BUS_RATE;
use crate::audio::drift::Stretcher;

/// Samples kept: 0.5 s, more than any card's buffers.
const KEPT: usize = BUS_RATE as usize / 2;
/// How long before it is played what is read is read, so that no echo comes
/// before it: 4 ms, more than a card's word may be off.
const EARLY: f32 = BUS_RATE as f32 / 250.0;
/// How far the writer is ahead at the least when nobody tells: 10 ms, since the
/// two take turns.
const CUSHION: usize = HOP;
/// How much further it may then be before the reader is moved up: 15 ms; a
/// card's longest period beats against a hop.
const LOOSE: usize = 3 * HOP / 2;
/// Samples between two looks at where the reader is: 1 s.
const WATCH: usize = BUS_RATE as usize;

/// An offset from where the reader should be that is made up by reading faster
/// or slower; from a larger one it is moved. 8 ms.
const NEAR: f32 = BUS_RATE as f32 / 125.0;
/// The share of an offset that is made up until the next look.
const PULL: f32 = 1.0 / 8.0;
/// And the share of it that is taken for the clocks' doing: it settles without
/// swinging.
const LEARN: f32 = PULL * PULL / 4.0;
/// The most that clocks are apart: 500 ppm.
const DRIFT_MAX: f32 = 0.0005 * WATCH as f32;

/// See the [module page](self).
#[derive(Debug)]
pub struct Reference {
    kept: Box<[f32]>,
    /// How many were written.
    written: u64,
    /// The next to be read.
    next: u64,
    stretcher: Stretcher,
    /// The part of a sample that was skipped and not read.
    skipped: f32,
    /// Samples read since the last look, and the least slack since then.
    watched: usize,
    least: usize,
    told: Told,
}

/// What the cards say of where the reader should be.
#[derive(Debug, Default)]
struct Told {
    /// Offsets since the last look.
    sum: f32,
    count: f32,
    /// Whether they ever said something.
    ever: bool,
    /// Samples that the speaker's clock gains in [`WATCH`].
    drift: f32,
    /// The reader's speed less 1.
    speed: f32,
}

impl Reference {
    /// One in which nothing was played.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kept: vec![0.0; KEPT].into_boxed_slice(),
            // Silence, so that there is something to be behind of.
            written: KEPT as u64,
            next: (KEPT - CUSHION - HOP) as u64,
            stretcher: Stretcher::new(),
            skipped: 0.0,
            watched: 0,
            least: usize::MAX,
            told: Told::default(),
        }
    }

    /// The speaker will play `samples` next.
    pub fn write(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.kept[(self.written % KEPT as u64) as usize] = sample;
            self.written += 1;
        }
    }

    /// When the microphone took the sample that will be read after `pending`
    /// more, this much of what was written had not been played.
    pub fn tell(&mut self, unplayed: f32, pending: usize) {
        let slack = self.written.wrapping_sub(self.next + pending as u64) as i64;
        let told = &mut self.told;
        told.sum += slack as f32 - unplayed + EARLY;
        told.count += 1.0;
        if !told.ever {
            told.ever = true;
            self.watched = WATCH;
        }
    }

    /// What was played a hop after what was read last. Whether it follows that:
    /// it does not when the reader had to be moved.
    pub fn read(&mut self, hop: &mut [f32; HOP]) -> bool {
        let follows = self.look(HOP);
        let Self {
            kept,
            next,
            stretcher,
            ..
        } = self;
        stretcher.process(1.0 + self.told.speed, hop, |samples| {
            for sample in samples {
                *sample = kept[(*next % KEPT as u64) as usize];
                *next += 1;
            }
        });
        follows
    }

    /// As [`read`](Self::read), when nobody wants to know, for any length.
    pub fn skip(&mut self, length: usize) {
        self.look(length);
        let length = length as f32 * (1.0 + self.told.speed) + self.skipped;
        self.skipped = length.fract();
        self.next += length as u64;
    }

    /// Before `length` samples are read: moves the reader to where they are.
    /// Whether it stayed.
    fn look(&mut self, length: usize) -> bool {
        // The stretcher may want a sample more.
        let end = self.next + length as u64 + 1;
        let slack = self.written.checked_sub(end).map(|slack| slack as usize);
        self.least = self.least.min(slack.unwrap_or(0));
        self.watched += length;
        let look = self.watched >= WATCH;
        let by = match slack {
            Some(slack) if slack + length < KEPT => look.then(|| self.aim()).flatten(),
            _ => Some(self.written.wrapping_sub(end) as i64 - CUSHION as i64),
        };
        if look || by.is_some() {
            self.watched = 0;
            self.least = usize::MAX;
            (self.told.sum, self.told.count) = (0.0, 0.0);
        }
        self.next = self.next.saturating_add_signed(by.unwrap_or(0));
        by.is_none()
    }

    /// By how much the reader is to be moved, if it is.
    fn aim(&mut self) -> Option<i64> {
        let told = &mut self.told;
        if told.count == 0.0 {
            let far = !told.ever && self.least > CUSHION + LOOSE;
            return far.then(|| (self.least - CUSHION) as i64);
        }
        let offset = told.sum / told.count;
        if offset.abs() > NEAR {
            return Some(offset as i64);
        }
        told.drift = (told.drift + LEARN * offset).clamp(-DRIFT_MAX, DRIFT_MAX);
        told.speed = (told.drift + PULL * offset) / WATCH as f32;
        None
    }
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::drift;

    /// Samples after which what is written is the same again.
    const TURN: usize = 40 * HOP;

    /// A speaker whose clock is faster by `ppm`, and a microphone, for so many
    /// hops; the cards' word, if they give it, is off by up to 1 ms. How often
    /// the reader was moved, and how far the last sample read was from where it
    /// should have been.
    fn together(hops: usize, ppm: f64, tells: bool) -> (usize, f64) {
        let mut reference = Reference::new();
        let (mut moved, mut written, mut off) = (0, 0usize, 0.0);
        for n in 0..hops {
            let played = (n * HOP) as f64 * (1.0 + ppm * 1e-6);
            while (written as f64) < played + 3.0 * HOP as f64 {
                // What is written is how much was written before it, of late.
                let period: [f32; HOP] = std::array::from_fn(|n| ((written + n) % TURN) as f32);
                reference.write(&period);
                written += HOP;
            }
            if tells {
                let wrong = (n % 7) as f64 * 5.0 - 15.0;
                reference.tell((written as f64 - played + wrong) as f32, 0);
            }
            let mut hop = [0.0; HOP];
            moved += usize::from(!reference.read(&mut hop));
            let turns = played - played % TURN as f64;
            off = f64::from(hop[0]) + turns - played;
        }
        (moved, off)
    }

    #[test]
    fn what_is_read_is_what_will_be_played_shortly() {
        for ppm in [0.0, 30.0, -100.0, 100.0] {
            let (moved, off) = together(12_020, ppm, true);
            assert!(moved <= 1, "{ppm} ppm: moved {moved} times");
            let early = f64::from(EARLY) - drift::DELAY as f64;
            assert!((off - early).abs() < 3.0, "{ppm} ppm: {off} samples early");
        }
    }

    #[test]
    fn without_a_word_two_in_step_stay_where_they_are() {
        let (moved, _) = together(6000, 0.0, false);
        assert!(moved <= 1, "{moved}");
    }

    #[test]
    fn without_a_word_two_clocks_are_brought_together_again() {
        for ppm in [-500.0, 500.0] {
            let (moved, _) = together(60_000, ppm, false);
            assert!((5..=60).contains(&moved), "{ppm}: {moved}");
        }
    }

    #[test]
    fn a_microphone_that_was_away_begins_at_what_is_played_now() {
        let mut reference = Reference::new();
        reference.write(&vec![1.0; 10 * KEPT]);
        let mut hop = [0.0; HOP];
        assert!(!reference.read(&mut hop));
        reference.write(&hop);
        assert!(reference.read(&mut hop));
    }
}
