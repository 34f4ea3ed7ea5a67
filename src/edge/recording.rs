//! Reads and writes recordings: WAV files, of the installer's and of ours.
//!
//! ```text
//!  WAV, 8 to 48 kHz ─▶ one channel ─▶ windowed sinc ─▶ 16 kHz ─▶ samples
//!                                     samples ─▶ WAV, 16 kHz, one channel
//! ```
//!
//! Units: samples of 16 bit at [`BUS_RATE`]; levels are kept.
//!
//! Always true: no more of a file is read than the longest recording allowed
//! needs, and memory is taken for what was read, not for what a header claims.
//! A file that ends before its header says is refused.
//!
//! Not for the audio thread.

use std::f64::consts::PI;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use thiserror::Error;

use crate::audio::BUS_RATE;

/// The rates recordings come in. For each the filter has few phases; one of
/// 44 101 Hz would need 16 000.
const RATES: [u32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];
/// Zero crossings of the filter on each side.
const LOBES: f64 = 24.0;
/// The edge of the filter, against half the lower rate.
const EDGE: f64 = 0.92;

/// What is wrong with a recording, and what to do.
#[derive(Debug, Error)]
pub enum Fault {
    /// The system does not hand it over.
    #[error("cannot be read: {0}; check its path and permissions")]
    Unreadable(#[from] std::io::Error),
    /// It is no WAV file.
    #[error("is no WAV file; convert it: {CONVERT}")]
    NotWav,
    /// More bytes than any recording of this length needs.
    #[error("is larger than {mb} MB; shorten it to {0} s or convert it: {CONVERT}", mb = bytes_max(*.0) / 1_000_000)]
    TooLarge(usize),
    /// It plays for too long.
    #[error("is longer than {0} s; shorten it")]
    TooLong(usize),
    /// No samples.
    #[error("holds no sound; record it again")]
    Empty,
    /// More channels than two, or none.
    #[error("has {0} channels; mix it down: {CONVERT}")]
    Channels(u16),
    /// A rate that is not known.
    #[error("has {0} samples a second; convert it: {CONVERT}")]
    Rate(u32),
    /// Samples of an unusual size.
    #[error("has samples of {0} bit; convert it: {CONVERT}")]
    Bits(u16),
    /// A header or a body that is not right.
    #[error("is damaged or of an unusual kind ({0}); convert it: {CONVERT}")]
    Damaged(hound::Error),
}

/// What makes a file of any recording that can be used.
pub(super) const CONVERT: &str = "sox FILE -r 16000 -c 1 -b 16 NEW.wav";

/// Bytes of a file at most: so many seconds at 48 kHz, stereo, 32 bit, and room
/// for what editors add.
fn bytes_max(seconds: usize) -> usize {
    4 * 2 * 48_000 * seconds + 1024 * 1024
}

/// Reads a file of at most so many seconds.
///
/// # Errors
/// It is no recording that can be used.
pub fn read(path: &Path, seconds: usize) -> Result<Vec<i16>, Fault> {
    let mut bytes = Vec::new();
    let most = bytes_max(seconds);
    let mut file = File::open(path)?.take(most as u64 + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(Fault::TooLarge(seconds));
    }
    decode(&bytes, seconds)
}

/// Writes samples at the rate of the bus.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, samples: &[i16]) -> Result<(), hound::Error> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: BUS_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = WavWriter::create(path, spec)?;
    for sample in samples {
        file.write_sample(*sample)?;
    }
    file.finalize()
}

/// The sound of a WAV file of at most so many seconds, at the rate of the bus.
///
/// # Errors
/// It is no recording that can be used.
pub fn decode(bytes: &[u8], seconds: usize) -> Result<Vec<i16>, Fault> {
    let mut wave = WavReader::new(Cursor::new(bytes)).map_err(|error| match error {
        hound::Error::FormatError("no RIFF tag found") => Fault::NotWav,
        error => Fault::Damaged(error),
    })?;
    let spec = wave.spec();
    if !matches!(spec.channels, 1 | 2) {
        return Err(Fault::Channels(spec.channels));
    }
    if !RATES.contains(&spec.sample_rate) {
        return Err(Fault::Rate(spec.sample_rate));
    }
    let samples: Result<Vec<f32>, _> = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Float, 32) => wave.samples().collect(),
        (SampleFormat::Int, bits @ (8 | 16 | 24 | 32)) => {
            let scale = 1.0 / f64::from(1_u32 << (bits - 1));
            let level = |sample: i32| (f64::from(sample) * scale) as f32;
            wave.samples::<i32>().map(|s| s.map(level)).collect()
        }
        (_, bits) => return Err(Fault::Bits(bits)),
    };
    let samples = samples.map_err(Fault::Damaged)?;
    let channels = usize::from(spec.channels);
    let frames = samples.chunks_exact(channels);
    let mono: Vec<f32> = frames
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .map(|sample| if sample.is_finite() { sample } else { 0.0 })
        .collect();
    match mono.len() {
        0 => Err(Fault::Empty),
        n if n > seconds * spec.sample_rate as usize => Err(Fault::TooLong(seconds)),
        _ => Ok(resample(&mono, spec.sample_rate)),
    }
}

/// Brings `sound` from `rate` to the rate of the bus, full scale from 1 to
/// 32 767.
fn resample(sound: &[f32], rate: u32) -> Vec<i16> {
    let common = gcd(rate, BUS_RATE);
    let (up, down) = ((BUS_RATE / common) as usize, (rate / common) as usize);
    if up == down {
        return sound.iter().map(|&sample| to_i16(sample)).collect();
    }
    let edge = EDGE * f64::from(rate.min(BUS_RATE)) / f64::from(rate);
    let half = (LOBES / edge).ceil() as usize;
    let phases: Vec<Vec<f32>> = (0..up)
        .map(|phase| taps(half, edge, phase as f64 / up as f64))
        .collect();
    let length = (sound.len() * up).div_ceil(down);
    (0..length)
        .map(|n| {
            let (at, phase) = (n * down / up, n * down % up);
            let sample = |(k, tap): (usize, &f32)| {
                let place = (at + k + 1).checked_sub(half)?;
                Some(tap * sound.get(place)?)
            };
            to_i16(phases[phase].iter().enumerate().filter_map(sample).sum())
        })
        .collect()
}

/// The filter for a sample that lies `part` behind the one in its middle: a
/// sinc in a Blackman window, which leaves -74 dB of what it stops.
fn taps(half: usize, edge: f64, part: f64) -> Vec<f32> {
    let tap = |k: usize| {
        let t = (k + 1) as f64 - half as f64 - part;
        let x = t / half as f64;
        let window = 0.42 + 0.5 * (PI * x).cos() + 0.08 * (2.0 * PI * x).cos();
        let angle = PI * edge * t;
        let sinc = if angle == 0.0 {
            1.0
        } else {
            angle.sin() / angle
        };
        window * sinc
    };
    let taps: Vec<f64> = (0..2 * half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

fn to_i16(sample: f32) -> i16 {
    // `as` stops at the ends.
    (sample * 32_767.0).round() as i16
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: usize = 15;
    const KINDS: [(SampleFormat, u16); 5] = [
        (SampleFormat::Int, 8),
        (SampleFormat::Int, 16),
        (SampleFormat::Int, 24),
        (SampleFormat::Int, 32),
        (SampleFormat::Float, 32),
    ];

    /// A WAV file of a sine of `hertz`, half of full scale on every channel.
    fn sine(rate: u32, channels: u16, kind: (SampleFormat, u16), hertz: f64, ms: u32) -> Vec<u8> {
        let (sample_format, bits_per_sample) = kind;
        let spec = WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample,
            sample_format,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut wave = WavWriter::new(&mut bytes, spec).unwrap();
        for n in 0..rate * ms / 1000 {
            let sample = 0.5 * (2.0 * PI * hertz * f64::from(n) / f64::from(rate)).sin();
            for _ in 0..channels {
                match sample_format {
                    SampleFormat::Float => wave.write_sample(sample as f32).unwrap(),
                    SampleFormat::Int => {
                        let full = f64::from(1_u32 << (bits_per_sample - 1));
                        wave.write_sample((sample * full) as i32).unwrap();
                    }
                }
            }
        }
        wave.finalize().unwrap();
        bytes.into_inner()
    }

    /// What is left of `sound` without the sine of `hertz` and half of full
    /// scale, in dB below that sine; the ends, where the filter starts, apart.
    fn residue_db(sound: &[i16], hertz: f64) -> f64 {
        let body = 2_000..sound.len() - 2_000;
        let (mut left, mut whole) = (0.0, 0.0);
        for n in body {
            let sine = (2.0 * PI * hertz * n as f64 / f64::from(BUS_RATE)).sin();
            let want = 0.5 * 32_767.0 * sine;
            left += (f64::from(sound[n]) - want).powi(2);
            whole += want * want;
        }
        10.0 * (left / whole).log10()
    }

    #[test]
    fn every_rate_size_and_channel_count_is_the_same_sound() {
        for rate in RATES {
            for kind in KINDS {
                for channels in [1, 2] {
                    let sound = decode(&sine(rate, channels, kind, 1000.0, 500), SECONDS).unwrap();
                    assert!(sound.len().abs_diff(8_000) <= 1, "{rate}: {}", sound.len());
                    // 8 bit have noise of their own.
                    let most = if kind.1 == 8 { -36.0 } else { -60.0 };
                    let residue = residue_db(&sound, 1000.0);
                    assert!(
                        residue < most,
                        "{rate} {kind:?} {channels}: {residue:.1} dB"
                    );
                }
            }
        }
    }

    #[test]
    fn what_16_khz_cannot_hold_is_gone_and_not_folded_down() {
        for rate in [24_000, 32_000, 44_100, 48_000] {
            let sound = decode(&sine(rate, 1, KINDS[1], 9_000.0, 500), SECONDS).unwrap();
            let body = &sound[2_000..6_000];
            let loudest = body.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(loudest < 20, "{rate}: {loudest}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do() {
        let long = SECONDS as u32 * 1000 + 100;
        let cases = [
            (
                sine(96_000, 1, KINDS[1], 1e3, 50),
                "96000 samples a second; convert it: sox",
            ),
            (
                sine(16_000, 3, KINDS[1], 1e3, 50),
                "3 channels; mix it down: sox",
            ),
            (sine(16_000, 1, KINDS[1], 1e3, 0), "holds no sound"),
            (sine(8_000, 1, KINDS[0], 1e3, long), "longer than 15 s"),
            (b"ID3\x04 a song".to_vec(), "is no WAV file; convert it"),
            (
                b"RIFF\0\0\0\0WAVEdata".to_vec(),
                "damaged or of an unusual kind",
            ),
        ];
        for (bytes, want) in cases {
            let said = decode(&bytes, SECONDS).unwrap_err().to_string();
            assert!(said.contains(want), "{said:?} without {want:?}");
        }
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        for kind in KINDS {
            let whole = sine(8_000, 2, kind, 1e3, 20);
            assert!(decode(&whole, SECONDS).is_ok());
            for length in 0..whole.len() {
                assert!(
                    decode(&whole[..length], SECONDS).is_err(),
                    "{kind:?}, {length} bytes"
                );
            }
        }
    }

    /// Headers with bytes changed at random: anything but a panic or more
    /// sound than a recording may have.
    #[test]
    fn garbage_is_survived() {
        let mut seed = 1_u32;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for round in 0..20_000 {
            let mut bytes = sine(8_000, 1, KINDS[round % KINDS.len()], 1e3, 5);
            for _ in 0..=random(4) {
                let at = random(bytes.len().min(72));
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            if let Ok(sound) = decode(&bytes, SECONDS) {
                assert!(sound.len() <= 100, "{} of {bytes:?}", sound.len());
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let name = format!("callbox-recording-{}.wav", std::process::id());
        let path = std::env::temp_dir().join(name);
        let samples: Vec<i16> = (0..2_000).map(|n| (n * 13 % 4_001) - 2_000).collect();
        write(&path, &samples).unwrap();
        let back = read(&path, 1);
        let long = read(&path, 0);
        std::fs::remove_file(&path).unwrap();
        for (back, sample) in back.unwrap().iter().zip(&samples) {
            assert!((back - sample).abs() <= 1, "{back} of {sample}");
        }
        assert!(matches!(long, Err(Fault::TooLong(0))));
    }
}
