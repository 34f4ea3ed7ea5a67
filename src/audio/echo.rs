//! Keeps what the speaker plays out of what the microphone sends.
//!
//! The seam for a canceller: [`Echo::far`] sees the bus exactly as it goes to
//! the speaker, [`Echo::near`] works on the microphone in place. Both run at
//! 16 kHz, in pieces of any length, on the audio thread; what is played is
//! always handed over before its echo can come back.
//!
//! Until there is a canceller, **half duplex** stands in. While the far end
//! speaks, the microphone is turned down; it comes back [`HalfDuplex::hangover_ms`]
//! after the last syllable, when the echo has died away.
//!
//! ```text
//!  far level  ▁▁▂▆█▇█▆▂▁▁▁▁▁▁▁▁
//!  near gain  ▔▔▔╲▁▁▁▁▁▁▁▁▁╱▔▔▔   attack before the echo arrives, hang-over, release
//! ```
//!
//! A visitor who is louder than the echo can be opens the gate at once, so the
//! first syllable is kept.
//!
//! Real time: bounded work, no allocation.

use super::{BUS_RATE, FULL_SCALE, amplitude};

/// What is done about the echo.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// Nothing: for a handset, or where something else cancels.
    Off,
    /// One side at a time.
    HalfDuplex(HalfDuplex),
}

impl Default for Config {
    fn default() -> Self {
        Self::HalfDuplex(HalfDuplex::default())
    }
}

/// Settings of the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfDuplex {
    /// By how many dB the microphone is turned down. Default 30; at 0 the gate
    /// does nothing, at 60 the callee hears the line go dead.
    pub depth_db: f32,
    /// How long the gate stays after the far end's last sound. Default
    /// 200 ms: the card's buffer and a tiled hall. Less lets echo through,
    /// more cuts the visitor's answer.
    pub hangover_ms: u32,
    /// Above which level the far end counts as speaking, in dBFS. Default
    /// -45; lower, and noise on the line shuts the visitor up.
    pub threshold_dbfs: f32,
    /// By how many dB the visitor must be louder than what was played to be
    /// heard over it. Default 6; less for a speaker that is quieter in the
    /// microphone than a voice is.
    pub breakthrough_db: f32,
}

impl Default for HalfDuplex {
    fn default() -> Self {
        Self {
            depth_db: 30.0,
            hangover_ms: 200,
            threshold_dbfs: -45.0,
            breakthrough_db: 6.0,
        }
    }
}

/// Whatever stands between speaker and microphone.
#[derive(Debug)]
pub enum Echo {
    /// Nothing.
    Off,
    /// The gate.
    HalfDuplex(Gate),
}

impl Echo {
    /// What `config` asks for.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        match config {
            Config::Off => Self::Off,
            Config::HalfDuplex(half) => Self::HalfDuplex(Gate::new(half)),
        }
    }

    /// Takes note of what the speaker is about to play.
    pub fn far(&mut self, played: &[f32]) {
        match self {
            Self::Off => {}
            Self::HalfDuplex(gate) => gate.far(played),
        }
    }

    /// Takes the echo out of what the microphone brought.
    pub fn near(&mut self, mic: &mut [f32]) {
        match self {
            Self::Off => {}
            Self::HalfDuplex(gate) => gate.near(mic),
        }
    }
}

/// Samples over which loudness is judged: 5 ms.
const WINDOW: usize = BUS_RATE as usize / 200;
/// What the gate's gain gains per sample when it opens: 20 ms from end to end.
const OPEN: f32 = 1.0 / (BUS_RATE / 50) as f32;
/// What it loses when it shuts: 5 ms from end to end, less than any card's buffer.
const SHUT: f32 = 1.0 / (BUS_RATE / 200) as f32;

/// What is left of the far end's loudness after each window: -35 dB a second,
/// about as fast as a small room falls silent.
const FADE: f32 = 0.98;

/// The half-duplex gate.
#[derive(Debug)]
pub struct Gate {
    floor: f32,
    threshold: f32,
    breakthrough: f32,
    hangover: usize,
    /// The loudest recent window of the far end; it fades.
    far: f32,
    /// Microphone samples for which the gate stays shut.
    shut_for: usize,
    gain: f32,
}

impl Gate {
    fn new(config: &HalfDuplex) -> Self {
        Self {
            floor: amplitude(-config.depth_db.clamp(0.0, 96.0)),
            threshold: FULL_SCALE * amplitude(config.threshold_dbfs),
            breakthrough: amplitude(config.breakthrough_db),
            hangover: (config.hangover_ms * BUS_RATE / 1000) as usize,
            far: 0.0,
            shut_for: 0,
            gain: 1.0,
        }
    }

    fn far(&mut self, played: &[f32]) {
        for window in played.chunks(WINDOW) {
            let level = rms(window);
            if level > self.threshold {
                self.far = self.far.max(level);
                self.shut_for = self.hangover;
            }
        }
    }

    fn near(&mut self, mic: &mut [f32]) {
        for window in mic.chunks_mut(WINDOW) {
            let loud = rms(window) > self.far * self.breakthrough;
            let open = self.shut_for == 0 || loud;
            self.shut_for = self.shut_for.saturating_sub(window.len());
            self.far *= FADE;
            let (wanted, step) = if open {
                (1.0, OPEN)
            } else {
                (self.floor, SHUT)
            };
            if self.gain == 1.0 && open {
                continue;
            }
            for sample in window {
                self.gain += (wanted - self.gain).clamp(-step, step);
                *sample *= self.gain;
            }
        }
    }
}

fn rms(samples: &[f32]) -> f32 {
    let sum: f32 = samples.iter().map(|s| s * s).sum();
    (sum / samples.len() as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = BUS_RATE as usize / 100;

    fn tone(level: f32) -> [f32; STEP] {
        std::array::from_fn(|n| level * (n as f32 * 0.3).sin())
    }

    /// How loud the microphone gets through, in dB, after `steps` of 10 ms in
    /// which the speaker and the microphone have these levels.
    fn through(echo: &mut Echo, steps: usize, far: f32, near: f32) -> f32 {
        let mut mic = tone(near);
        for _ in 0..steps {
            echo.far(&tone(far));
            mic = tone(near);
            echo.near(&mut mic);
        }
        20.0 * (rms(&mic) / rms(&tone(near))).log10()
    }

    fn gate() -> Echo {
        Echo::new(&Config::default())
    }

    #[test]
    fn the_microphone_is_down_before_the_echo_can_come() {
        let mut echo = gate();
        assert_eq!(through(&mut echo, 50, 0.0, 3000.0), 0.0);
        let db = through(&mut echo, 2, 8000.0, 3000.0);
        assert!((db + 30.0).abs() < 0.5, "{db}");
    }

    #[test]
    fn it_comes_back_after_the_hangover() {
        let mut echo = gate();
        through(&mut echo, 50, 8000.0, 3000.0);
        assert!(through(&mut echo, 1, 0.0, 800.0) < -29.0);
        assert!(
            through(&mut echo, 15, 0.0, 30.0) < -29.0,
            "the room still rings"
        );
        assert_eq!(through(&mut echo, 10, 0.0, 3000.0), 0.0);
    }

    #[test]
    fn a_visitor_louder_than_the_echo_is_heard() {
        let mut echo = gate();
        through(&mut echo, 50, 4000.0, 500.0);
        assert_eq!(through(&mut echo, 3, 4000.0, 12_000.0), 0.0);
    }

    #[test]
    fn noise_on_the_line_does_not_shut_the_visitor_up() {
        assert_eq!(through(&mut gate(), 100, 150.0, 500.0), 0.0);
    }

    #[test]
    fn off_and_no_depth_change_nothing() {
        let flat = Config::HalfDuplex(HalfDuplex {
            depth_db: 0.0,
            ..HalfDuplex::default()
        });
        for config in [Config::Off, flat] {
            assert_eq!(through(&mut Echo::new(&config), 50, 8000.0, 3000.0), 0.0);
        }
    }
}
