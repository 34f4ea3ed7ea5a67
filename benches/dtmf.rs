//! Figures of the receiver of telephone keys: `cargo bench --bench dtmf`, and
//! with `-- FOLDER`, its silence at the sound that `tests/figures/talk-off`
//! has put there.
//!
//! Detection is given for each length of tone and each level of noise, so that
//! one sees where it ends and not only that the tolerances are met.

use std::collections::BTreeMap;
use std::f32::consts::TAU;
use std::path::{Path, PathBuf};
use std::time::Instant;

use callbox::audio::dtmf::{Detector, HIGH, KEYS, LOW};

const RATES: [u32; 2] = [8_000, 16_000];
/// Presses of each key for a figure.
const PRESSES: usize = 20;

fn main() {
    processor();
    detection();
    match std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        Some(folder) => talk_off(Path::new(&folder)),
        None => println!("Talk-off: give the folder tests/figures/talk-off has filled."),
    }
}

fn processor() {
    println!("Processor time per second of sound (best of 10):");
    for rate in RATES {
        let second = |sample: fn(f32) -> f32| -> Vec<i16> {
            (0..rate)
                .map(|n| sample(n as f32 / rate as f32) as i16)
                .collect()
        };
        let cases = [
            ("silence", second(|_| 0.0)),
            ("a vowel", second(|t| 500.0 / (0.05 + (t * 120.0).fract()))),
            (
                "a key",
                second(|t| 8e3 * ((TAU * 770.0 * t).sin() + (TAU * 1336.0 * t).sin())),
            ),
        ];
        for (name, sound) in cases {
            let time = |_| {
                let mut detector = Detector::new(rate);
                let start = Instant::now();
                detector.feed(&sound, |_| {});
                start.elapsed().as_secs_f64() * 1e6
            };
            let best = (0..10).map(time).fold(f64::INFINITY, f64::min);
            println!("  {rate} Hz, {name}: {best:.0} us");
        }
    }
    println!();
}

fn detection() {
    println!("Presses found, of all 16 keys, percent; pauses of 60 ms, -10 dBm0:");
    print!("  tone, ms            ");
    let lengths = [20, 25, 28, 30, 32, 35, 40, 50];
    println!("{}", lengths.map(|ms| format!("{ms:>5}")).concat());
    for rate in RATES {
        for noise in [60.0, 20.0, 15.0, 12.0, 9.0, 6.0] {
            let found = lengths.map(|ms| format!("{:>5.0}", found(rate, ms, noise)));
            println!("  {rate:>5} Hz, noise {noise:>2} dB {}", found.concat());
        }
    }
    println!();
}

fn found(rate: u32, ms: u32, noise: f32) -> f32 {
    let mut seed = 1u32;
    let mut normal = move || {
        let mut part = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 16_777_216.0
        };
        (0..12).map(|_| part()).sum::<f32>() - 6.0
    };
    let size = 32_768.0 * 0.6966 * 10f32.powf(-10.0 / 20.0);
    let noise = size * 10f32.powf(-noise / 20.0);
    let mut right = 0;
    for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
        let mut detector = Detector::new(rate);
        for press in 0..PRESSES as u32 {
            let tone = rate * ms / 1000;
            let pause = rate * 60 / 1000 + 7 * press;
            let sound: Vec<i16> = (0..tone + pause)
                .map(|n| {
                    let t = n as f32 / rate as f32;
                    let pair = (TAU * LOW[row] * t).sin() + (TAU * HIGH[column] * t).sin();
                    let pair = if n < tone { size * pair } else { 0.0 };
                    (pair + noise * normal()) as i16
                })
                .collect();
            let mut keys = 0;
            detector.feed(&sound, |digit| {
                keys += i32::from(digit.key() == KEYS[row][column])
            });
            right += i32::from(keys == 1);
        }
    }
    right as f32 * 100.0 / (16 * PRESSES) as f32
}

/// What was heard in one kind of sound.
#[derive(Default)]
struct Heard {
    files: usize,
    seconds: f64,
    keys: Vec<String>,
}

fn talk_off(folder: &Path) {
    println!("Keys heard where there are none:");
    let mut kinds: BTreeMap<String, Heard> = BTreeMap::new();
    for path in waves(folder) {
        let kind = path.parent().and_then(Path::file_name).unwrap_or_default();
        let mut reader = hound::WavReader::open(&path).expect("a WAV file");
        let rate = reader.spec().sample_rate;
        let sound: Vec<i16> = reader.samples().map_while(Result::ok).collect();
        let name = format!("{}, {} kHz", kind.display(), rate / 1000);
        let heard = kinds.entry(name).or_default();
        heard.files += 1;
        heard.seconds += sound.len() as f64 / f64::from(rate);
        let mut detector = Detector::new(rate);
        for (n, block) in sound.chunks(rate as usize / 50).enumerate() {
            detector.feed(block, |digit| {
                let at = n as f64 / 50.0;
                let key = digit.key();
                heard
                    .keys
                    .push(format!("{key} in {} at {at:.2} s", path.display()));
            });
        }
    }
    println!(
        "  {:<20} {:>6} {:>8} {:>5}",
        "kind", "files", "minutes", "keys"
    );
    for (kind, heard) in &kinds {
        let (minutes, keys) = (heard.seconds / 60.0, heard.keys.len());
        println!("  {kind:<20} {:>6} {minutes:>8.1} {keys:>5}", heard.files);
    }
    for key in kinds.values().flat_map(|heard| &heard.keys) {
        println!("  {key}");
    }
}

fn waves(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder");
        for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(end) if end == "wav" => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}
