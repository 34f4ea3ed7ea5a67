//! Rooms made of numbers: a speaker, a microphone and walls.
//!
//! The way from one to the other is found by the image method (J. Allen and
//! D. Berkley, "Image method for efficiently simulating small-room acoustics",
//! JASA 65, 1979): each wall is a mirror, and what is seen in it sounds too.
//!
//! Units: 16 kHz, metres, seconds; sound is ±32 768.

#![allow(dead_code)]

use std::f64::consts::PI;
use std::ops::Range;

use callbox::audio::FULL_SCALE;
use callbox::audio::echo::{Config, Echo, HOP};
use callbox::audio::resample::Resampler;
use callbox::simulator::speech;

pub(crate) const RATE: usize = 16_000;
const SOUND_M_S: f64 = 343.0;

/// A box-shaped room, what stands in it, and how long it rings.
pub(crate) struct Room {
    pub(crate) size: [f64; 3],
    pub(crate) speaker: [f64; 3],
    pub(crate) microphone: [f64; 3],
    /// After how long an echo is 60 dB down.
    pub(crate) t60: f64,
}

/// A lift: the two are 15 cm apart on a wall.
pub(crate) const LIFT: Room = Room {
    size: [3.0, 2.5, 2.4],
    speaker: [1.5, 0.1, 1.4],
    microphone: [1.5, 0.1, 1.25],
    t60: 0.2,
};

/// An entrance hall.
pub(crate) const HALL: Room = Room {
    size: [6.0, 4.0, 2.8],
    speaker: [3.0, 0.1, 1.4],
    microphone: [3.0, 0.1, 1.2],
    t60: 0.45,
};

/// A bare staircase.
pub(crate) const STAIRS: Room = Room {
    size: [4.0, 3.0, 6.0],
    speaker: [2.0, 0.1, 1.4],
    microphone: [2.05, 0.2, 1.0],
    t60: 0.8,
};

impl Room {
    /// The way from speaker to microphone.
    pub(crate) fn response(&self) -> Vec<f32> {
        let [x, y, z] = self.size;
        let walls = 2.0 * (x * y + x * z + y * z);
        // Eyring's law, backwards.
        let absorbed = 1.0 - (-0.161 * x * y * z / (walls * self.t60)).exp();
        let reflected = (1.0 - absorbed).sqrt();
        let length = (self.t60 * RATE as f64) as usize;
        let reach = length as f64 * SOUND_M_S / RATE as f64;
        let mut response = vec![0.0; length];
        let far = self.size.map(|side| (reach / (2.0 * side)).ceil() as i32);
        for nx in -far[0]..=far[0] {
            for ny in -far[1]..=far[1] {
                for nz in -far[2]..=far[2] {
                    for mirrored in 0..8 {
                        self.image([nx, ny, nz], mirrored, reflected, &mut response);
                    }
                }
            }
        }
        high_pass(&mut response);
        response.into_iter().map(|tap| tap as f32).collect()
    }

    /// Adds what comes from one image of the speaker; bit `i` of `mirrored` says
    /// whether it is turned round in direction `i`.
    fn image(&self, cell: [i32; 3], mirrored: i32, reflected: f64, response: &mut [f64]) {
        let (mut square, mut bounces) = (0.0, 0);
        for (axis, &cell) in cell.iter().enumerate() {
            let turned = mirrored >> axis & 1;
            let at = f64::from(1 - 2 * turned) * self.speaker[axis]
                + 2.0 * f64::from(cell) * self.size[axis];
            square += (at - self.microphone[axis]).powi(2);
            bounces += (cell - turned).abs() + cell.abs();
        }
        let distance: f64 = square.sqrt().max(0.02);
        let time = distance / SOUND_M_S * RATE as f64;
        let loudness = reflected.powi(bounces) / (4.0 * PI * distance);
        // Between samples: a windowed sinc of 16.
        let first = time.floor() as isize - 7;
        for n in first..first + 16 {
            if let Some(tap) = usize::try_from(n).ok().and_then(|n| response.get_mut(n)) {
                let off = n as f64 - time;
                let sinc = if off == 0.0 {
                    1.0
                } else {
                    (PI * off).sin() / (PI * off)
                };
                *tap += loudness * sinc * (0.5 + 0.5 * (PI * off / 8.5).cos());
            }
        }
    }
}

/// Takes out what lies below 100 Hz, of which mirrors make too much and
/// loudspeakers nothing (Allen and Berkley).
fn high_pass(response: &mut [f64]) {
    let turn = 2.0 * PI * 100.0 / RATE as f64;
    let r = (-turn).exp();
    let (mut y1, mut y2) = (0.0, 0.0);
    for tap in response {
        let y = 2.0 * r * turn.cos() * y1 - r * r * y2 + *tap;
        *tap = y - (1.0 + r) * y1 + r * y2;
        (y2, y1) = (y1, y);
    }
}

/// What `sound` becomes on the way `response`.
pub(crate) fn convolve(sound: &[f32], response: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; sound.len() + response.len()];
    for (n, &sample) in sound.iter().enumerate().filter(|(_, s)| **s != 0.0) {
        for (out, &tap) in out[n..].iter_mut().zip(response) {
            *out += sample * tap;
        }
    }
    out.truncate(sound.len());
    out
}

/// What is wrong with a room, its speaker or its cards.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    /// Nothing: the echo is what a linear filter can make of the callee.
    None,
    /// The loudspeaker bends what is louder than this share of full scale.
    Bends(f32),
    /// It cuts that off.
    Clips(f32),
    /// The microphone's clock is slower, in parts per million.
    Clocks(f64),
    /// Somebody walks up and down, 1 to 2 m away, and reflects.
    Walks,
    /// The speaker is moved across the room, at this second.
    Moved(usize),
    /// Noise in the microphone, in dBFS.
    Noise(f32),
    /// The echo is louder than the visitor, by dB.
    Louder(f32),
    /// Both speak so many times as high, and as fast.
    Voices(f64),
}

/// Who speaks when, in seconds: the callee all the time, the visitor in `both`.
pub(crate) struct Call {
    pub(crate) seconds: usize,
    pub(crate) both: Range<usize>,
}

/// What is played and what the microphone hears.
pub(crate) struct Scene {
    pub(crate) far: Vec<f32>,
    pub(crate) visitor: Vec<f32>,
    pub(crate) microphone: Vec<f32>,
}

/// Card, buffers and air.
const DELAY_OF_CARDS: usize = RATE * 40 / 1000;
/// A quiet place's noise, in dBFS.
const QUIET: f32 = -66.0;

impl Scene {
    /// The two in a room. The echo is as loud in the microphone as the visitor.
    pub(crate) fn new(room: &Room, trouble: Trouble, call: &Call) -> Self {
        let voice = |who: fn(usize) -> Vec<f32>| {
            let Trouble::Voices(pitch) = trouble else {
                return who(call.seconds);
            };
            let mut sound = slower(&who(2 * call.seconds), (1.0 - pitch) * 1e6);
            sound.truncate(call.seconds * RATE);
            sound
        };
        let far = voice(callee);
        let mut played = far.clone();
        match trouble {
            Trouble::Bends(share) => {
                let most = FULL_SCALE * share;
                played
                    .iter_mut()
                    .for_each(|s| *s = most * (*s / most).tanh());
            }
            Trouble::Clips(share) => {
                let most = FULL_SCALE * share;
                played.iter_mut().for_each(|s| *s = s.clamp(-most, most));
            }
            _ => {}
        }
        let response = room.response();
        let mut echo = convolve(&played, &response);
        match trouble {
            Trouble::Clocks(ppm) => echo = slower(&echo, ppm),
            Trouble::Walks => walk(&played, &response, &mut echo),
            Trouble::Moved(second) => {
                let speaker = room.size.map(|side| 0.4 * side);
                let moved = convolve(&played, &Room { speaker, ..*room }.response());
                let factor = active(&echo) / active(&moved);
                for (echo, moved) in echo.iter_mut().zip(&moved).skip(second * RATE) {
                    *echo = moved * factor;
                }
            }
            _ => {}
        }
        echo.splice(..0, vec![0.0; DELAY_OF_CARDS]);
        echo.truncate(far.len());
        let over = if let Trouble::Louder(db) = trouble {
            db
        } else {
            0.0
        };
        let factor = 10f32.powf(over / 20.0) * active(&far) / active(&echo);
        let level = if let Trouble::Noise(db) = trouble {
            db
        } else {
            QUIET
        };
        let mut hiss = noise(1, FULL_SCALE * 10f32.powf(level / 20.0));
        let mut visitor = voice(visitor);
        visitor[..call.both.start * RATE].fill(0.0);
        visitor[call.both.end * RATE..].fill(0.0);
        let sum = |(echo, near): (&f32, &f32)| factor * echo + near + hiss();
        let microphone = echo.iter().zip(&visitor).map(sum).collect();
        Self {
            far,
            visitor,
            microphone,
        }
    }

    /// What callbox makes of the microphone.
    pub(crate) fn cleaned(&self, config: &Config) -> Vec<f32> {
        let mut echo = Echo::new(config);
        let mut out = self.microphone.clone();
        for (played, heard) in self.far.chunks(HOP).zip(out.chunks_mut(HOP)) {
            echo.far(played);
            echo.near(heard);
        }
        out
    }

    /// By how many dB the microphone is louder than `out`, while only the callee
    /// speaks.
    pub(crate) fn echo_loss(&self, out: &[f32], seconds: &Range<usize>) -> f32 {
        let samples = seconds.start * RATE..seconds.end * RATE;
        above(rms(&self.microphone[samples.clone()]), rms(&out[samples]))
    }

    /// By how many dB the visitor is quieter in `out` than he was, when it comes
    /// `delay` samples later. Of what is in `out`, only what is his counts.
    pub(crate) fn near_loss(&self, out: &[f32], delay: usize, seconds: &Range<usize>) -> f32 {
        let said = &self.visitor[seconds.start * RATE..seconds.end * RATE - delay];
        let sent = &out[seconds.start * RATE + delay..seconds.end * RATE];
        let product: f64 = sent.iter().zip(said).map(|(a, b)| f64::from(a * b)).sum();
        let power: f64 = said.iter().map(|s| f64::from(s * s)).sum();
        -20.0 * (product / power).log10() as f32
    }
}

/// `sound` as it is heard by a clock that is slower.
fn slower(sound: &[f32], ppm: f64) -> Vec<f32> {
    let at = |n: usize| {
        let place = n as f64 * (1.0 - ppm * 1e-6);
        let first = place.floor() as isize - 7;
        (first..first + 16)
            .filter_map(|k| {
                let sample = sound.get(usize::try_from(k).ok()?)?;
                let off = k as f64 - place;
                let sinc = if off == 0.0 {
                    1.0
                } else {
                    (PI * off).sin() / (PI * off)
                };
                Some(f64::from(*sample) * sinc * (0.5 + 0.5 * (PI * off / 8.5).cos()))
            })
            .sum::<f64>() as f32
    };
    (0..sound.len()).map(at).collect()
}

/// Adds a reflection that comes and goes every 4 s, at a quarter of the direct
/// sound.
fn walk(played: &[f32], response: &[f32], echo: &mut [f32]) {
    let direct = response.iter().fold(0f32, |most, tap| most.max(tap.abs()));
    for (n, echo) in echo.iter_mut().enumerate() {
        let turn = n as f64 / RATE as f64 * PI / 2.0;
        let place = n as f64 - (3.0 - turn.cos()) * RATE as f64 / SOUND_M_S;
        if place >= 0.0 {
            let (at, between) = (place as usize, place.fract() as f32);
            *echo += 0.25 * direct * (played[at] * (1.0 - between) + played[at + 1] * between);
        }
    }
}

/// The demo's callee or visitor at 16 kHz, again and again, at -23 dBFS while
/// they speak.
pub(crate) fn callee(seconds: usize) -> Vec<f32> {
    again(&speech::callee(), seconds)
}

/// See [`callee`].
pub(crate) fn visitor(seconds: usize) -> Vec<f32> {
    again(&speech::visitor(), seconds)
}

fn again(speech: &[i16], seconds: usize) -> Vec<f32> {
    let mut resampler = Resampler::from_8_to_16();
    let mut sound = vec![];
    for piece in speech.chunks(80) {
        let piece: Vec<f32> = piece.iter().map(|&s| f32::from(s)).collect();
        let mut bus = [0.0; 160];
        let length = resampler.process(&piece, &mut bus);
        sound.extend_from_slice(&bus[..length]);
    }
    let factor = FULL_SCALE * 10f32.powf(-23.0 / 20.0) / active(&sound);
    let looped = sound.iter().cycle().map(|sample| sample * factor);
    looped.take(seconds * RATE).collect()
}

/// The root mean square of a sound.
pub(crate) fn rms(sound: &[f32]) -> f32 {
    (sound.iter().map(|s| s * s).sum::<f32>() / sound.len() as f32).sqrt()
}

/// The same of the 20 ms pieces within 30 dB of the loudest: a voice without its
/// pauses.
pub(crate) fn active(sound: &[f32]) -> f32 {
    let powers: Vec<f32> = sound.chunks(320).map(|piece| rms(piece).powi(2)).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let heard: Vec<f32> = powers
        .into_iter()
        .filter(|p| *p > loudest / 1000.0)
        .collect();
    (heard.iter().sum::<f32>() / heard.len() as f32).sqrt()
}

/// How many dB `a` is above `b`.
pub(crate) fn above(a: f32, b: f32) -> f32 {
    20.0 * (a / b).log10()
}

/// White noise of this root mean square, seeded.
pub(crate) fn noise(mut seed: u64, level: f32) -> impl FnMut() -> f32 {
    move || {
        let mut sum = 0.0;
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            sum += (seed >> 40) as f32 / (1 << 24) as f32 - 0.5;
        }
        sum * 3f32.sqrt() * level
    }
}
