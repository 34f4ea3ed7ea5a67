//! Words for both people of a demo, and WAV files in and out.
//!
//! The two recordings fit into one another when both begin at the answer: the
//! callee asks who is there (0.3 to 1.7 s), the visitor says so, the callee
//! answers and the call is over. `speech/make` makes them with espeak-ng
//! (voices `en-us+f3` and `en-gb+m3`) and sox.
//!
//! Units: 8000 samples a second where nothing else is said, one channel, 16 bit.

use std::io::{self, Cursor, Read};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Samples a second of the words.
pub(crate) const RATE: u32 = 8000;
/// Longest file that is read, in seconds.
const LONGEST: u32 = 600;

/// The visitor's words as a WAV file: 8 kHz, 16 bit, mono.
pub const VISITOR_WAV: &[u8] = include_bytes!("speech/visitor.wav");
/// The callee's words as a WAV file: 8 kHz, 16 bit, mono.
pub const CALLEE_WAV: &[u8] = include_bytes!("speech/callee.wav");

/// The visitor's words.
#[must_use]
pub fn visitor() -> Vec<i16> {
    bundled(VISITOR_WAV)
}

/// The callee's words.
#[must_use]
pub fn callee() -> Vec<i16> {
    bundled(CALLEE_WAV)
}

fn bundled(wav: &[u8]) -> Vec<i16> {
    decode(Cursor::new(wav)).expect("the bundled recordings are WAV files")
}

/// Reads a WAV file of any rate, width and number of channels.
///
/// # Errors
/// Says which file, and what is wrong with it.
pub fn read_wav(path: &Path) -> io::Result<Vec<i16>> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(|e| io::Error::new(e.kind(), named(&e)))?;
    decode(io::BufReader::new(file))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, named(&error)))
}

/// Writes samples, `rate` a second, as a WAV file.
///
/// # Errors
/// Says which file, and what the system said.
pub(super) fn write_wav(path: &Path, rate: u32, samples: &[i16]) -> io::Result<()> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let write = || {
        let mut writer = WavWriter::create(path, spec)?;
        for sample in samples {
            writer.write_sample(*sample)?;
        }
        writer.finalize()
    };
    write().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// Why a WAV file is of no use here.
#[derive(Debug, thiserror::Error)]
enum BadWav {
    #[error("not a WAV file that can be read ({0})")]
    Format(#[from] hound::Error),
    #[error("longer than {LONGEST} s")]
    TooLong,
    #[error("no samples a second, or no channels")]
    Empty,
}

fn decode(wav: impl Read) -> Result<Vec<i16>, BadWav> {
    let mut reader = WavReader::new(wav)?;
    let spec = reader.spec();
    if spec.sample_rate == 0 || spec.channels == 0 {
        return Err(BadWav::Empty);
    }
    if reader.duration() / spec.sample_rate >= LONGEST {
        return Err(BadWav::TooLong);
    }
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let scale = 1.0 / (1i64 << (spec.bits_per_sample - 1)) as f32;
            let scaled = |sample: Result<i32, _>| sample.map(|sample| sample as f32 * scale);
            reader.samples().map(scaled).collect::<Result<_, _>>()?
        }
    };
    let mono: Vec<f32> = samples
        .chunks_exact(usize::from(spec.channels))
        .map(|frame| frame.iter().sum::<f32>() / f32::from(spec.channels))
        .collect();
    let resampled = resample(&mono, spec.sample_rate);
    let pcm = |sample: f32| (sample * 32_768.0).round() as i16; // saturates
    Ok(resampled.into_iter().map(pcm).collect())
}

/// Simple: downwards the mean of the samples each new one covers, upwards the
/// line between two. Good enough for words to test with.
fn resample(samples: &[f32], rate: u32) -> Vec<f32> {
    let step = f64::from(rate) / f64::from(RATE);
    let length = (samples.len() as f64 / step).floor() as usize;
    let one = |n: usize| {
        let from = n as f64 * step;
        let first = from as usize;
        if step > 1.0 {
            let until = ((from + step) as usize).clamp(first + 1, samples.len());
            let covered = &samples[first..until];
            covered.iter().sum::<f32>() / covered.len() as f32
        } else {
            let next = samples[(first + 1).min(samples.len() - 1)];
            let part = (from - first as f64) as f32;
            samples[first] * (1.0 - part) + next * part
        }
    };
    (0..length).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, channels: u16, bits: u16, samples: &[i32]) -> Vec<u8> {
        let spec = WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: bits,
            sample_format: SampleFormat::Int,
        };
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        file.into_inner()
    }

    #[test]
    fn both_people_speak_at_a_sensible_level() {
        for words in [visitor(), callee()] {
            // Over what is spoken: blocks of 20 ms that are not silence.
            let spoken: Vec<f64> = words
                .chunks(160)
                .filter(|block| block.iter().any(|sample| sample.abs() > 300))
                .flatten()
                .map(|sample| f64::from(*sample) / 32_768.0)
                .collect();
            assert!(spoken.len() > 2 * 8000);
            let power = spoken.iter().map(|s| s * s).sum::<f64>() / spoken.len() as f64;
            let level = 10.0 * power.log10();
            assert!((-22.0..-17.0).contains(&level), "{level} dBFS");
        }
    }

    #[test]
    fn other_formats_become_ours() {
        let stereo: Vec<i32> = [1000, 3000].repeat(480);
        let cases = [
            ("as it is", wav(8000, 1, 16, &[2000; 80]), 80),
            ("48 kHz stereo", wav(48_000, 2, 16, &stereo), 80),
            ("44.1 kHz", wav(44_100, 1, 16, &[2000; 441]), 80),
            ("16 kHz, 24 bit", wav(16_000, 1, 24, &[2000 << 8; 160]), 80),
            ("4 kHz", wav(4000, 1, 16, &[2000; 40]), 80),
        ];
        for (name, file, length) in cases {
            assert_eq!(decode(&file[..]).unwrap(), vec![2000; length], "{name}");
        }
    }

    #[test]
    fn files_of_no_use_are_refused_by_name() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("callbox-{}-not.wav", std::process::id()));
        std::fs::write(&path, "not a WAV").unwrap();
        let error = read_wav(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(
            error.contains("not.wav") && error.contains("not a WAV file"),
            "{error}"
        );
        assert!(read_wav(&path).unwrap_err().to_string().contains("not.wav"));
        let long = wav(8, 1, 8, &[0; 8 * 600]);
        assert!(matches!(decode(&long[..]), Err(BadWav::TooLong)));
    }
}
