//! The keys of the callee's telephone: when they are pressed, and how the
//! device gets to know, by `dtmf` frames, by tones in the sound, or both.
//!
//! `take_frame` whenever something may be due; `mix` for every packet of
//! sound. There is no clock: the caller says what time it is.
//!
//! Units: times are from the moment the callee can first be heard; tones are
//! ITU-T Q.23 §6, their levels dB below a full-scale sine.
//!
//! Always true: a key is one frame at most and one tone at most; tones that
//! overlap are added, as on the line.

use std::f64::consts::TAU;
use std::time::Duration;

/// From one key to the next of [`Keys::add`].
const APART: Duration = Duration::from_millis(300);
/// The frequencies of the four rows and of the four columns.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keys, row by row.
const KEYS: &str = "123A456B789C*0#D";

/// The keys a callee presses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keys {
    /// Which, and when.
    pub presses: Vec<Press>,
    /// How the device gets to know. Default: by frames.
    pub carried: Carried,
    /// What the tones are like.
    pub tone: KeyTone,
}

/// One press of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// So long after the callee can be heard.
    pub at: Duration,
    /// `0` to `9`, `*`, `#`, `A` to `D`; anything else has no tone.
    pub digit: char,
}

/// How a key comes to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carried {
    /// A `dtmf` frame; the sound has nothing of it.
    #[default]
    Frames,
    /// A tone in the sound.
    InBand,
    /// A `dtmf` frame as the key goes down, and a tone in the sound.
    Both,
}

/// What the tones of keys are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyTone {
    /// How long a key is held. Default 100 ms; Q.24 wants 40 ms heard.
    pub length: Duration,
    /// Each of the two tones. Default −13 dB.
    pub level_db: f64,
    /// The column's tone over the row's. Default 0 dB; a long cable makes it
    /// negative.
    pub twist_db: f64,
    /// How far off the frequencies are, as a part of them. Default 0; Q.24
    /// wants ±0.015 heard and ±0.035 not.
    pub off: f64,
}

impl Default for KeyTone {
    fn default() -> Self {
        Self {
            length: Duration::from_millis(100),
            level_db: -13.0,
            twist_db: 0.0,
            off: 0.0,
        }
    }
}

impl Keys {
    /// Adds the keys of `digits`, the first at `at`, the others 300 ms apart.
    pub fn add(&mut self, at: Duration, digits: &str) {
        let times = (0u32..).map(|n| at + APART * n);
        let presses = times.zip(digits.chars());
        self.presses
            .extend(presses.map(|(at, digit)| Press { at, digit }));
    }
}

impl KeyTone {
    /// The tone of a key as samples; nothing for a key there is none of.
    #[must_use]
    pub fn samples(&self, digit: char, rate: u32) -> Vec<i16> {
        let sound = self.sound(digit);
        let length = sound.as_ref().map_or(0, |_| self.sounds_for(rate));
        let sample = |n| sound.as_ref().map_or(0.0, |sound| sound.at(n, rate));
        (0..length).map(|n| sample(n).round() as i16).collect()
    }

    fn sounds_for(&self, rate: u32) -> u64 {
        samples(self.length, rate)
    }

    fn sound(&self, digit: char) -> Option<Sound> {
        let key = KEYS.find(digit.to_ascii_uppercase())?;
        let size = |db: f64| 32_767.0 * 10f64.powf(db / 20.0);
        Some(Sound {
            row: ROWS[key / 4] * (1.0 + self.off),
            column: COLUMNS[key % 4] * (1.0 + self.off),
            row_size: size(self.level_db - self.twist_db / 2.0),
            column_size: size(self.level_db + self.twist_db / 2.0),
        })
    }
}

#[derive(Debug)]
struct Sound {
    row: f64,
    column: f64,
    row_size: f64,
    column_size: f64,
}

impl Sound {
    fn at(&self, n: u64, rate: u32) -> f64 {
        let time = n as f64 / f64::from(rate);
        self.row_size * (TAU * self.row * time).sin()
            + self.column_size * (TAU * self.column * time).sin()
    }
}

/// The keys of one call, as it goes on.
#[derive(Debug)]
pub(super) struct Keypad {
    carried: Carried,
    tone: KeyTone,
    rate: u32,
    /// Pressed, and no frame sent yet; by time.
    frames: Vec<Press>,
    /// Pressed, and not sounded to the end.
    tones: Vec<Press>,
}

impl Keypad {
    pub(super) fn new(keys: &Keys, rate: u32) -> Self {
        let mut keypad = Self {
            carried: keys.carried,
            tone: keys.tone,
            rate,
            frames: Vec::new(),
            tones: Vec::new(),
        };
        for press in &keys.presses {
            keypad.press(*press);
        }
        keypad
    }

    /// A key is pressed that was not in the script.
    pub(super) fn press(&mut self, press: Press) {
        if self.carried != Carried::InBand {
            let place = self.frames.partition_point(|other| other.at <= press.at);
            self.frames.insert(place, press);
        }
        if self.carried != Carried::Frames {
            self.tones.push(press);
        }
    }

    /// When the next frame is due.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.frames.first().map(|press| press.at)
    }

    /// The key of the next frame that is due.
    pub(super) fn take_frame(&mut self, now: Duration) -> Option<char> {
        let due = self.next_at().is_some_and(|at| at <= now);
        due.then(|| self.frames.remove(0).digit)
    }

    /// Adds the tones to a packet that begins at sample `from`.
    pub(super) fn mix(&mut self, from: u64, packet: &mut [i16]) {
        let (rate, tone) = (self.rate, self.tone);
        let length = tone.sounds_for(rate);
        for press in &self.tones {
            let Some(sound) = tone.sound(press.digit) else {
                continue;
            };
            let began = samples(press.at, rate);
            for (n, sample) in (from..).zip(&mut *packet) {
                if (began..began + length).contains(&n) {
                    let mixed = f64::from(*sample) + sound.at(n - began, rate);
                    *sample = mixed.round() as i16; // saturates
                }
            }
        }
        let until = from + packet.len() as u64;
        self.tones
            .retain(|press| samples(press.at, rate) + length > until);
    }
}

fn samples(time: Duration, rate: u32) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The power at `hertz` (Goertzel), as the size of a sine.
    fn size(samples: &[i16], hertz: f64, rate: u32) -> f64 {
        let step = TAU * hertz / f64::from(rate);
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = step * n as f64;
            real += f64::from(*sample) * angle.cos();
            imaginary += f64::from(*sample) * angle.sin();
        }
        2.0 * f64::hypot(real, imaginary) / samples.len() as f64
    }

    #[test]
    fn a_tone_is_two_sines_of_the_ordered_levels() {
        let tone = KeyTone {
            twist_db: -6.0,
            ..KeyTone::default()
        };
        for rate in [8000, 16_000, 24_000, 48_000] {
            let samples = tone.samples('6', rate);
            assert_eq!(samples.len(), rate as usize / 10);
            let db = |hertz| 20.0 * (size(&samples, hertz, rate) / 32_767.0).log10();
            let (row, column) = (db(770.0), db(1477.0));
            assert!((row + 10.0).abs() < 0.2, "{rate}: row {row}");
            assert!((column + 16.0).abs() < 0.2, "{rate}: column {column}");
            assert!(db(941.0) < -30.0);
        }
        assert_eq!(tone.samples('x', 8000), [0; 0]);
    }

    #[test]
    fn keys_come_as_frames_as_tones_or_both() {
        let cases = [
            (Carried::Frames, "12", 0),
            (Carried::InBand, "", 1600),
            (Carried::Both, "12", 1600),
        ];
        for (carried, frames, sounding) in cases {
            let mut keys = Keys {
                carried,
                ..Keys::default()
            };
            keys.add(ms(20), "12");
            let mut keypad = Keypad::new(&keys, 8000);
            let (mut came, mut sound) = (String::new(), Vec::new());
            for packet in 0..40 {
                let now = ms(packet * 20);
                came.extend(std::iter::from_fn(|| keypad.take_frame(now)));
                let mut samples = [0; 160];
                keypad.mix(packet * 160, &mut samples);
                sound.extend(samples);
            }
            assert_eq!(came, frames, "{carried:?}");
            // Sines pass through nothing at their start only.
            let first = sound.iter().position(|sample| *sample != 0);
            let last = sound.iter().rposition(|sample| *sample != 0);
            let loud = sound.iter().filter(|sample| **sample != 0).count();
            assert!(loud.abs_diff(sounding) < 20, "{carried:?}: {loud}");
            if sounding > 0 {
                assert_eq!((first, keypad.tones.len()), (Some(161), 0));
                assert!(last.unwrap() < 320 * 8 + 800);
            }
        }
    }

    #[test]
    fn a_key_out_of_turn_comes_in_turn() {
        let mut keys = Keys::default();
        keys.add(ms(500), "5");
        let mut keypad = Keypad::new(&keys, 8000);
        keypad.press(Press {
            at: ms(100),
            digit: '1',
        });
        assert_eq!(keypad.take_frame(ms(99)), None);
        assert_eq!(keypad.take_frame(ms(600)), Some('1'));
        assert_eq!(keypad.take_frame(ms(600)), Some('5'));
        assert_eq!(keypad.next_at(), None);
    }
}
