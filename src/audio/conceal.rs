//! Fills in for sound that is not there: the voice for 60 ms, then its room.
//!
//! Speech goes on as it went: the last pitch periods are repeated. What is
//! made up gets quieter soon, since it gets wronger (behaviour after ITU-T
//! G.711 appendix I, without its delay of 3.75 ms):
//!
//! ```text
//!  heard ──────────┬─ repeated ─┬─ … ─┐
//!  gain  ▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔╲            │
//!                        ╲▁▁▁▁▁▁▁▁▁▁  │
//!                  0    10 ms      60 ms: the room
//! ```
//!
//! As the voice fades out, the [noise](super::noise) behind it fades in, and stays.
//!
//! A codec that knows how its voice is made (Opus) carries on by itself: then
//! [`Decoder::carry_on`](super::codec::Decoder::carry_on) is asked for what is
//! missing, 10 ms at a time, so that the decoder is never much further than the
//! listener. It can only go on from the newest packet; a gap before that is
//! filled by repetition.
//!
//! Where a repetition meets what it follows, the step between them is spread
//! over a quarter of its length. The way back is a cross-fade of
//! [`FADE`] samples between what would have been made up and what has come.
//!
//! Units: bus samples, 16 kHz.
//!
//! Real time: bounded work, no allocation; the pitch is looked for once per
//! gap, some 50 000 products.

use super::BUS_BLOCK;
use super::codec::{CARRY_ON, Decoder};
use super::lanes::dot;
use super::noise::Noise;

/// Samples until nothing is left of the voice: 60 ms.
pub const FULL_FADE: usize = 960;
/// Samples for which a repetition keeps its level: 10 ms.
const STEADY: usize = 160;
/// Samples for which a decoder's own concealment keeps its level, which it
/// lowers by itself: 40 ms.
const OWN_STEADY: usize = 640;
/// Samples of a cross-fade: 8 ms.
pub const FADE: usize = 128;

/// Shortest pitch period: 200 Hz.
pub(super) const PITCH_MIN: usize = 80;
/// Longest pitch period: 66 Hz.
pub(super) const PITCH_MAX: usize = 240;
/// Longest stretch that is repeated: two short pitch periods, or a long one.
const TEMPLATE_MAX: usize = 2 * STEADY;
/// Over how much two pitch periods are compared: 20 ms.
const COMPARED: usize = 320;
/// What has been heard last: 60 ms.
const HEARD: usize = 960;

/// Listens to what is played, and carries on when there is no more.
#[derive(Debug)]
pub struct Concealer {
    heard: [f32; HEARD],
    /// The end of what was heard that is repeated, and its length.
    template: [f32; TEMPLATE_MAX],
    length: usize,
    /// What the template's first sample must be raised by to follow the last.
    step: f32,
    /// Samples made up in this gap.
    made: usize,
    /// Whether the decoder makes them up.
    decoded: bool,
    /// What the decoder has made up; the last `left` samples are still to be heard.
    spare: [i16; CARRY_ON],
    left: usize,
    noise: Noise,
}

impl Default for Concealer {
    fn default() -> Self {
        Self {
            heard: [0.0; HEARD],
            template: [0.0; TEMPLATE_MAX],
            length: PITCH_MAX,
            step: 0.0,
            made: FULL_FADE,
            decoded: false,
            spare: [0; CARRY_ON],
            left: 0,
            noise: Noise::default(),
        }
    }
}

impl Concealer {
    /// Takes note of what is played, made up or not.
    pub fn hear(&mut self, played: &[f32]) {
        let new = &played[played.len().saturating_sub(HEARD)..];
        self.heard.copy_within(new.len().., 0);
        self.heard[HEARD - new.len()..].copy_from_slice(new);
    }

    /// Takes note of a block in which nobody speaks.
    pub fn background(&mut self, block: &[i16; BUS_BLOCK]) {
        self.noise.listen(block);
    }

    /// Another far end: nothing is known of its room.
    pub fn forget_background(&mut self) {
        self.noise = Noise::default();
    }

    /// A gap begins at the end of all that has come, and the decoder fills it.
    pub fn begin_decoded(&mut self) {
        self.decoded = true;
        self.left = 0;
        self.made = 0;
    }

    /// Whether the decoder makes up what is heard.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        self.decoded && !self.is_silent()
    }

    /// A gap begins, and what was heard is repeated.
    pub fn begin(&mut self) {
        self.decoded = false;
        let pitch = self.pitch();
        // At least 10 ms, or voices start to buzz.
        self.length = pitch * STEADY.div_ceil(pitch);
        let start = HEARD - self.length;
        self.template[..self.length].copy_from_slice(&self.heard[start..]);
        self.step = self.heard[HEARD - 1] - self.heard[start - 1];
        self.made = 0;
    }

    /// There is no voice to carry on.
    pub fn silence(&mut self) {
        self.made = FULL_FADE;
    }

    /// Whether nothing is left of the voice.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.made >= FULL_FADE
    }

    /// Fills `out` with what might have come next.
    pub fn make(&mut self, out: &mut [f32], decoder: &mut Decoder) {
        if self.is_decoded() {
            self.carry_on(out, decoder);
        } else {
            self.repeat(out);
        }
    }

    fn carry_on(&mut self, out: &mut [f32], decoder: &mut Decoder) {
        let before = self.made;
        for sample in &mut *out {
            if self.left == 0 && !self.is_silent() {
                decoder.carry_on(&mut self.spare);
                self.left = CARRY_ON;
            }
            let next = self.spare[CARRY_ON - self.left.max(1)];
            *sample = f32::from(next) * gain(self.made, OWN_STEADY);
            self.left = self.left.saturating_sub(1);
            self.made += 1;
        }
        self.noise.add(out, |n| 1.0 - gain(before + n, OWN_STEADY));
    }

    /// Fills `out` with what was heard, over and over.
    pub fn repeat(&mut self, out: &mut [f32]) {
        let before = self.made;
        if self.is_silent() {
            out.fill(0.0);
            self.noise.add(out, |_| 1.0);
            return;
        }
        let ramp = (self.length / 4) as f32;
        for sample in &mut *out {
            let at = self.made % self.length;
            let spread = self.step * (1.0 - at as f32 / ramp).max(0.0);
            *sample = (self.template[at] + spread) * gain(self.made, STEADY);
            self.made += 1;
        }
        self.noise.add(out, |n| 1.0 - gain(before + n, STEADY));
    }

    /// The lag at which what was heard resembles itself most.
    fn pitch(&self) -> usize {
        let (before, last) = self.heard.split_at(HEARD - COMPARED);
        let from = before.len() - PITCH_MAX;
        let (at, _) = likest(last, &self.heard[from..HEARD - PITCH_MIN]);
        PITCH_MAX - at
    }
}

/// Where in `there` a stretch begins that is most like `here`, and how much: 1 is
/// the same. Of several, the last.
pub(super) fn likest(here: &[f32], there: &[f32]) -> (usize, f32) {
    let mut best = (0, 0.0);
    let mut compare = |at: usize| {
        let stretch = &there[at..at + here.len()];
        let likeness = dot(here, stretch).max(0.0);
        // The energy keeps loud stretches from winning by loudness alone.
        let score = likeness * likeness / (dot(stretch, stretch) + 1.0);
        if score > best.1 {
            best = (at, score);
        }
        best.0
    };
    // Every second place, then those next to the best.
    let last = there.len() - here.len();
    let coarse = (0..=last).rev().step_by(2).map(&mut compare).last();
    let coarse = coarse.unwrap_or(0);
    compare((coarse + 1).min(last));
    compare(coarse.saturating_sub(1));
    (best.0, (best.1 / (dot(here, here) + 1.0)).sqrt())
}

fn gain(made: usize, steady: usize) -> f32 {
    let faded = made.saturating_sub(steady) as f32 / (FULL_FADE - steady) as f32;
    (1.0 - faded).max(0.0)
}

/// Leads from what would have been heard to what is heard instead.
#[derive(Debug)]
pub struct CrossFade {
    old: [f32; FADE],
    done: usize,
}

impl Default for CrossFade {
    fn default() -> Self {
        Self {
            old: [0.0; FADE],
            done: FADE,
        }
    }
}

impl CrossFade {
    /// Begins a cross-fade from `old`.
    pub fn begin(&mut self, old: [f32; FADE]) {
        self.old = old;
        self.done = 0;
    }

    /// Mixes what is left of the old into the new.
    pub fn apply(&mut self, new: &mut [f32]) {
        for (sample, old) in new.iter_mut().zip(&self.old[self.done..]) {
            self.done += 1;
            let share = self.done as f32 / (FADE + 1) as f32;
            *sample = old + (*sample - old) * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    fn voice(frequency: f32) -> impl Fn(usize) -> f32 {
        move |n| {
            let angle = TAU * frequency * n as f32 / 16_000.0;
            5000.0 * (angle.sin() + 0.5 * (3.0 * angle).sin())
        }
    }

    fn rms(samples: &[f32]) -> f32 {
        (dot(samples, samples) / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_voice_goes_on_in_its_pitch() {
        for frequency in [70.0, 100.0, 133.0, 160.0, 200.0] {
            let voice = voice(frequency);
            let mut concealer = Concealer::default();
            concealer.hear(&(0..HEARD).map(&voice).collect::<Vec<_>>());
            concealer.begin();
            let mut made = [0.0; STEADY];
            concealer.repeat(&mut made);
            let error: Vec<f32> = (HEARD..).map(voice).zip(made).map(|(v, m)| v - m).collect();
            // The period is a whole number of samples, the pitch need not be.
            assert!(
                rms(&error) < 0.15 * rms(&made),
                "{frequency}: {}",
                rms(&error)
            );
        }
    }

    #[test]
    fn what_is_made_up_fades_in_60_ms() {
        let mut concealer = Concealer::default();
        concealer.hear(&(0..HEARD).map(voice(100.0)).collect::<Vec<_>>());
        concealer.begin();
        let mut made = [0.0; FULL_FADE + 320];
        // In pieces, as it is asked for.
        made.chunks_mut(37)
            .for_each(|piece| concealer.repeat(piece));
        let full = rms(&made[..STEADY]);
        for (ms, share) in [(10, 0.95), (30, 0.55), (50, 0.15)] {
            let level = rms(&made[ms * 16..ms * 16 + 160]) / full;
            assert!((level - share).abs() < 0.06, "{ms} ms: {level}");
        }
        assert!(concealer.is_silent());
        assert_eq!(rms(&made[FULL_FADE..]), 0.0);
    }

    #[test]
    fn a_rising_voice_joins_without_a_step() {
        let largest = |samples: &[f32]| {
            let steps = samples.windows(2).map(|w| (w[1] - w[0]).abs());
            steps.fold(0.0, f32::max)
        };
        for end in 0..160 {
            let rising = |n: usize| voice(100.0)(n + end) * 0.999f32.powi((HEARD - n) as i32);
            let heard: Vec<f32> = (0..HEARD).map(rising).collect();
            let mut concealer = Concealer::default();
            concealer.hear(&heard);
            concealer.begin();
            let mut made = [0.0; 800];
            concealer.repeat(&mut made);
            let joined: Vec<f32> = heard[HEARD - 1..].iter().chain(&made).copied().collect();
            let (natural, joined) = (largest(&heard), largest(&joined));
            assert!(joined < natural * 1.1, "{end}: {joined} after {natural}");
        }
    }

    #[test]
    fn a_cross_fade_leads_from_old_to_new_in_pieces() {
        let mut fade = CrossFade::default();
        fade.begin([1000.0; FADE]);
        let mut new = [0.0; FADE + 20];
        new.chunks_mut(7).for_each(|piece| fade.apply(piece));
        assert!(new.is_sorted_by(|a, b| a >= b) && new[0] > 950.0);
        assert!(new[FADE - 1] < 50.0 && new[FADE..].iter().all(|s| *s == 0.0));
    }
}
