//! Reads the installer's recordings, once, when the device starts.
//!
//! ```text
//!  folder/ringing.wav ─▶ check ─▶ one channel ─▶ windowed sinc ─▶ Prompts
//!         far-confirm.wav         8 to 48 kHz       16 kHz
//! ```
//!
//! A file is named after the sound it takes the place of
//! ([`Cue::name`](crate::audio::prompt::Cue::name)), with `.wav` behind. A name
//! that means nothing, or a file that cannot be used, is refused: a prompt that
//! was left out in silence is noticed by a visitor first.
//!
//! Units: samples of 16 bit at [`BUS_RATE`] come out; levels are kept.
//!
//! Always true: no more than [`BYTES_MAX`] of a file are read, and memory is
//! taken for what was read, not for what a header claims.
//!
//! Not for the audio thread.

use std::f64::consts::PI;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader};
use thiserror::Error;

use crate::audio::BUS_RATE;
use crate::audio::prompt::{Cue, PROMPT_MAX, Prompts};

/// The rates recordings come in. For each the filter has few phases; one of
/// 44 101 Hz would need 16 000.
const RATES: [u32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];
/// Bytes of a file at most: the longest recording at 48 kHz, stereo, 32 bit,
/// and room for what editors add.
pub const BYTES_MAX: usize = 4 * 2 * 48_000 * SECONDS_MAX + 1024 * 1024;
/// Seconds of a recording at most.
const SECONDS_MAX: usize = PROMPT_MAX / BUS_RATE as usize;
/// Files looked at in the folder.
const FILES_MAX: usize = 500;
/// Zero crossings of the filter on each side.
const LOBES: f64 = 24.0;
/// The edge of the filter, against half the lower rate.
const EDGE: f64 = 0.92;

/// A recording that cannot be used.
#[derive(Debug, Error)]
#[error("prompt {}: {fault}", path.display())]
pub struct BadPrompt {
    /// The file, or the folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a recording, and what to do.
#[derive(Debug, Error)]
pub enum Fault {
    /// The system does not hand it over.
    #[error("cannot be read: {0}; check [prompts] folder and its permissions")]
    Unreadable(#[from] std::io::Error),
    /// Too many files for a folder of prompts.
    #[error("holds more than {FILES_MAX} files; give [prompts] a folder of its own")]
    Crowded,
    /// The name is none of ours.
    #[error("stands for no sound; rename or remove it; the names are {}", names())]
    UnknownName,
    /// It has the name of a sound, but is no WAV file.
    #[error("is no WAV file; convert it: {CONVERT}")]
    NotWav,
    /// More bytes than any recording needs.
    #[error("is larger than {} MB; shorten it to {SECONDS_MAX} s or convert it: {CONVERT}", BYTES_MAX / 1_000_000)]
    TooLarge,
    /// It plays for too long.
    #[error("is longer than {SECONDS_MAX} s; shorten it")]
    TooLong,
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
const CONVERT: &str = "sox FILE -r 16000 -c 1 -b 16 NEW.wav";

fn names() -> String {
    let names: Vec<_> = Cue::all()
        .map(|cue| format!("{}.wav", cue.name()))
        .collect();
    names.join(", ")
}

/// Reads every recording in `folder`.
///
/// # Errors
/// Of the first file, in the order of names, that cannot be used.
pub fn load(folder: &Path) -> Result<Prompts, BadPrompt> {
    let bad = |path: &Path, fault| BadPrompt {
        path: path.to_owned(),
        fault,
    };
    let mut prompts = Prompts::default();
    for path in files(folder).map_err(|fault| bad(folder, fault))? {
        let Some(cue) = cue_of(&path).map_err(|fault| bad(&path, fault))? else {
            continue;
        };
        let sound = read(&path).map_err(|fault| bad(&path, fault))?;
        prompts.set(cue, &sound);
    }
    Ok(prompts)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        if files.len() == FILES_MAX {
            return Err(Fault::Crowded);
        }
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// The sound that `path` is for; none for a file that has nothing to do with
/// sounds, as a note of the installer.
fn cue_of(path: &Path) -> Result<Option<Cue>, Fault> {
    let part = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(str::to_owned);
    let name = part(path.file_stem()).unwrap_or_default();
    let cue = Cue::all().find(|cue| cue.name() == name);
    let is_wav = part(path.extension()).is_some_and(|end| end.eq_ignore_ascii_case("wav"));
    match (cue, is_wav) {
        (Some(_), false) => Err(Fault::NotWav),
        (None, true) => Err(Fault::UnknownName),
        (cue, _) => Ok(cue),
    }
}

fn read(path: &Path) -> Result<Vec<i16>, Fault> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(BYTES_MAX as u64 + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() > BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    decode(&bytes)
}

/// The sound of a WAV file, at the rate of the bus.
///
/// # Errors
/// It is no recording that can be used.
pub fn decode(bytes: &[u8]) -> Result<Vec<i16>, Fault> {
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
        n if n > SECONDS_MAX * spec.sample_rate as usize => Err(Fault::TooLong),
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
    use hound::{WavSpec, WavWriter};

    use super::*;
    use crate::audio::prompt::FarPrompt;
    use crate::audio::tone::Tone;

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
                    let sound = decode(&sine(rate, channels, kind, 1000.0, 500)).unwrap();
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
            let sound = decode(&sine(rate, 1, KINDS[1], 9_000.0, 500)).unwrap();
            let body = &sound[2_000..6_000];
            let loudest = body.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(loudest < 20, "{rate}: {loudest}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do() {
        let long = SECONDS_MAX as u32 * 1000 + 100;
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
            let said = decode(&bytes).unwrap_err().to_string();
            assert!(said.contains(want), "{said:?} without {want:?}");
        }
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        for kind in KINDS {
            let whole = sine(8_000, 2, kind, 1e3, 20);
            assert!(decode(&whole).is_ok());
            for length in 0..whole.len() {
                assert!(
                    decode(&whole[..length]).is_err(),
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
            if let Ok(sound) = decode(&bytes) {
                assert!(sound.len() <= 100, "{} of {bytes:?}", sound.len());
            }
        }
    }

    #[test]
    fn a_folder_is_read_by_the_names_of_its_files() {
        let folder = Folder::new("names");
        folder.put("ringing.wav", &sine(8_000, 1, KINDS[1], 1e3, 100));
        folder.put("far-confirm.WAV", &sine(48_000, 2, KINDS[2], 1e3, 200));
        folder.put("README.txt", b"from the studio");
        let prompts = load(&folder.0).unwrap();
        let length = |cue: Cue| prompts.of(cue).map(|sound| sound.len());
        assert_eq!(length(Tone::Ringing.into()), Some(1_600));
        assert_eq!(length(FarPrompt::Confirm.into()), Some(3_200));
        assert_eq!(length(Tone::Busy.into()), None);
    }

    #[test]
    fn a_folder_that_is_not_right_names_the_file() {
        let none = load(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(none.contains("/nonexistent: cannot be read"), "{none}");
        let cases = [
            (
                "ringin.wav",
                "ringin.wav: stands for no sound; rename or remove it",
            ),
            ("ringing.mp3", "ringing.mp3: is no WAV file"),
            ("busy.wav", "busy.wav: is no WAV file"),
        ];
        for (name, want) in cases {
            let folder = Folder::new("wrong");
            folder.put(name, b"no sound at all");
            let said = load(&folder.0).unwrap_err().to_string();
            assert!(said.contains(want), "{said:?} without {want:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let folder = Folder::new("endless");
        std::os::unix::fs::symlink("/dev/zero", folder.0.join("busy.wav")).unwrap();
        let fault = load(&folder.0).unwrap_err().fault;
        assert!(matches!(fault, Fault::TooLarge), "{fault}");
    }

    /// A folder that goes when the test does.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("callbox-prompts-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.0.join(name), bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
