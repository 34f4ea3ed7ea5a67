//! Automatic gain control: the callee hears every visitor at the same level,
//! whether he stands at the door or shouts into the microphone.
//!
//! ```text
//!  mic ─┬────────────────────────────────▶ × gain ─▶ limiter ─▶ out
//!       └─▶ level while somebody speaks ──────┘
//! ```
//!
//! The level of a voice is that of its loud parts (active speech level, ITU-T
//! P.56); the gain goes to where that is [`TARGET_DBFS`], as slowly as a hand
//! would turn a knob, and only while somebody speaks: pauses are not pumped
//! up, and neither is what is left of an echo. Noise is never raised above
//! [`NOISE_MAX_DBFS`]. A sudden shout is turned down within its first
//! milliseconds.
//!
//! Units: bus samples; gains are factors but where named dB.
//!
//! Real time: bounded work, no allocation.

use super::{BUS_RATE, FULL_SCALE, amplitude};

/// The active speech level that is sent: what telephones send, with room for
/// peaks.
pub const TARGET_DBFS: f32 = -23.0;
/// The most that is added, and taken away, in dB.
pub const RANGE_DB: f32 = 18.0;
/// No noise is lifted above this.
pub const NOISE_MAX_DBFS: f32 = -52.0;

/// From how far over the noise on somebody speaks: 12 dB.
const OVER_NOISE_DB: f32 = 12.0;
/// And from which level: a voice across the street.
const VOICE_DBFS: f32 = -50.0;
/// In which time the level of a voice is learnt: half a second of it.
const LEARN_S: f32 = 0.5;
/// How far below its loud parts a voice's soft ones may be to count.
const SOFT_DB: f32 = 15.0;
/// How fast the gain rises and falls while somebody speaks, in dB per second.
const RISE: f32 = 5.0;
const FALL: f32 = 20.0;
/// How fast what is taken for noise rises in its sleep, in dB per second.
const NOISE_RISE: f32 = 2.0;
/// The loudest sample that is sent, -2 dBFS.
const LIMIT: f32 = 0.8 * FULL_SCALE;
/// How fast the limiter lets go, in dB per second.
const RELEASE: f32 = 20.0;

/// See the [module page](self).
#[derive(Debug)]
pub struct Agc {
    /// Levels in dBFS.
    noise: f32,
    voice: f32,
    /// Seconds of voice heard so far, up to [`LEARN_S`].
    learnt: f32,
    gain_db: f32,
    limit_db: f32,
    /// What the last sample was multiplied by.
    factor: f32,
}

impl Agc {
    /// One that knows nothing of the voice: it adds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            // Whatever comes first is noise, until it pauses.
            noise: 0.0,
            voice: TARGET_DBFS,
            learnt: 0.0,
            gain_db: 0.0,
            limit_db: 0.0,
            factor: 1.0,
        }
    }

    /// Somebody else is going to speak; noise and gain stay what they are.
    pub fn restart(&mut self) {
        self.learnt = 0.0;
    }

    /// Brings a piece to its level, in place. `near` is whether what is in it
    /// may be the visitor's voice.
    pub fn apply(&mut self, piece: &mut [f32], near: bool) {
        if piece.is_empty() {
            return;
        }
        let seconds = piece.len() as f32 / BUS_RATE as f32;
        self.listen(level_dbfs(piece), near, seconds);
        self.limit(piece, seconds);
        let factor = amplitude(self.gain_db + self.limit_db);
        let step = (factor - self.factor) / piece.len() as f32;
        for sample in piece {
            self.factor += step;
            *sample = (*sample * self.factor).clamp(-LIMIT, LIMIT);
        }
        self.factor = factor;
    }

    fn listen(&mut self, level: f32, near: bool, seconds: f32) {
        self.noise = level.clamp(-90.0, self.noise + NOISE_RISE * seconds);
        let speaks = level > (self.noise + OVER_NOISE_DB).max(VOICE_DBFS);
        if !speaks || !near || (self.learnt > 0.0 && level < self.voice - SOFT_DB) {
            // A soft voice after a loud one is heard soon, too.
            self.voice -= if speaks && near { FALL * seconds } else { 0.0 };
            return;
        }
        self.learnt = (self.learnt + seconds).min(LEARN_S);
        self.voice += (level - self.voice) * seconds / self.learnt;
        let most = (NOISE_MAX_DBFS - self.noise).clamp(0.0, RANGE_DB);
        let wanted = (TARGET_DBFS - self.voice).clamp(-RANGE_DB, most);
        let most = if wanted > self.gain_db { RISE } else { FALL } * seconds;
        self.gain_db += (wanted - self.gain_db).clamp(-most, most);
    }

    fn limit(&mut self, piece: &[f32], seconds: f32) {
        let peak = piece.iter().fold(1f32, |peak, s| peak.max(s.abs()));
        let over = 20.0 * (peak / LIMIT).log10() + self.gain_db;
        self.limit_db = (self.limit_db + RELEASE * seconds).min(-over).min(0.0);
    }
}

impl Default for Agc {
    fn default() -> Self {
        Self::new()
    }
}

fn level_dbfs(piece: &[f32]) -> f32 {
    let power = piece.iter().map(|s| s * s).sum::<f32>() / piece.len() as f32;
    10.0 * (power / (FULL_SCALE * FULL_SCALE) + 1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::BUS_CHUNK;

    /// A voice of sorts at this level, half a second on and half off, over noise.
    fn voice(seconds: usize, level: f32, noise: f32) -> Vec<f32> {
        let mut seed = 1u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let (level, noise) = (amplitude(level + 4.8), amplitude(noise + 4.8));
        let sample = |n: usize| {
            let on = (n / 8000).is_multiple_of(2);
            FULL_SCALE * (noise * random() + if on { level * random() } else { 0.0 })
        };
        (0..seconds * BUS_RATE as usize).map(sample).collect()
    }

    /// The level of the last half second of voice, of which the gain is applied
    /// in pieces.
    fn brought(agc: &mut Agc, mut sound: Vec<f32>) -> f32 {
        for piece in sound.chunks_mut(BUS_CHUNK) {
            agc.apply(piece, true);
        }
        let second = BUS_RATE as usize;
        level_dbfs(&sound[sound.len() - second..][..second / 2])
    }

    #[test]
    fn soft_and_loud_voices_come_out_alike() {
        for level in [-38.0, -30.0, -23.0, -15.0, -8.0] {
            let level_out = brought(&mut Agc::new(), voice(12, level, -75.0));
            assert!(
                (level_out - TARGET_DBFS).abs() < 1.0,
                "{level}: {level_out}"
            );
        }
    }

    #[test]
    fn noise_alone_is_left_as_it_is_and_never_pumped_up() {
        let mut agc = Agc::new();
        let level = brought(&mut agc, voice(30, -120.0, -45.0));
        assert!((level + 45.0).abs() < 0.5, "{level}");
        let level = brought(&mut agc, voice(30, -30.0, -45.0));
        assert!((level + 30.0).abs() < 1.0, "{level}");
    }

    #[test]
    fn what_is_not_the_visitor_moves_nothing() {
        let mut agc = Agc::new();
        let mut sound = voice(10, -40.0, -80.0);
        let before = sound.clone();
        for piece in sound.chunks_mut(BUS_CHUNK) {
            agc.apply(piece, false);
        }
        assert_eq!(sound, before);
    }

    #[test]
    fn a_shout_after_a_whisper_stays_below_full_scale() {
        let mut agc = Agc::new();
        brought(&mut agc, voice(10, -40.0, -80.0));
        let mut shout = voice(4, -6.0, -80.0);
        for piece in shout.chunks_mut(BUS_CHUNK) {
            agc.apply(piece, true);
            assert!(piece.iter().all(|s| s.abs() <= LIMIT));
        }
        let second = BUS_RATE as usize;
        let settled = level_dbfs(&shout[3 * second..][..second / 2]);
        assert!((settled - TARGET_DBFS).abs() < 2.0, "{settled}");
    }
}
