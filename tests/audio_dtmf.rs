//! The receiver of telephone keys at the edges of its tolerances, for all
//! sixteen keys, straight and through every encoding of a telephone line, and
//! its silence at everything that is no key.
//!
//! A script is read left to right: `K40` is the key in hand for 40 ms, `-40` is
//! silence, `~30` the key 15 dB weaker. Levels are dBm0.

use std::f32::consts::TAU;

use callbox::audio::dtmf::{Detector, HIGH, KEYS, LOW};

/// The amplitude of 0 dBm0.
const DBM0: f32 = 32_768.0 * 0.6966;

/// How a key is sent.
#[derive(Clone, Copy)]
struct Sent {
    /// How far each tone is off, as a part of its frequency and in Hz.
    off: (f32, f32),
    plus_hz: f32,
    /// The level of each, low group first.
    level: (f32, f32),
    /// How far below the pair the noise is; none at 99.
    noise: f32,
    /// What goes on besides: Hz, and dB below the pair.
    besides: Option<(f32, f32)>,
}

const PLAIN: Sent = Sent {
    off: (0.0, 0.0),
    plus_hz: 0.0,
    level: (-10.0, -10.0),
    noise: 99.0,
    besides: None,
};

/// What the sound went through.
#[derive(Debug, Clone, Copy)]
enum Through {
    Line8k,
    Line16k,
    Pcmu,
    Pcma,
    Opus,
}

impl Through {
    fn rate(self) -> u32 {
        match self {
            Self::Line8k | Self::Pcmu | Self::Pcma => 8_000,
            Self::Line16k | Self::Opus => 16_000,
        }
    }

    fn pass(self, sound: &mut [i16]) {
        match self {
            Self::Line8k | Self::Line16k => {}
            Self::Pcmu => sound.iter_mut().for_each(|s| *s = mu_law(*s)),
            Self::Pcma => sound.iter_mut().for_each(|s| *s = a_law(*s)),
            Self::Opus => opus(sound),
        }
    }
}

/// µ-law there and back (ITU-T G.711 §3.2), 14 bits in 8 chords.
fn mu_law(sample: i16) -> i16 {
    let size = (i32::from(sample).abs() / 4).min(8158) + 33;
    let chord = 26 - size.leading_zeros() as i32;
    let step = (size >> (chord + 1)) & 15;
    let back = ((2 * step + 33) << chord) - 33;
    (4 * back * i32::from(sample).signum()) as i16
}

/// A-law there and back (ITU-T G.711 §3.1), 13 bits in 8 chords, of which the
/// first two are alike.
fn a_law(sample: i16) -> i16 {
    let size = (i32::from(sample).abs() / 8).min(4095);
    let width = (27 - size.leading_zeros() as i32).max(1);
    let back = (size >> width << width) + (1 << (width - 1));
    (8 * back * if sample < 0 { -1 } else { 1 }) as i16
}

/// Opus at 16 kHz and 24 kbit/s there and back, in packets of 20 ms.
fn opus(sound: &mut [i16]) {
    use opus::{Application, Bitrate, Channels, Decoder, Encoder};
    let mut there = Encoder::new(16_000, Channels::Mono, Application::Voip).unwrap();
    there.set_bitrate(Bitrate::Bits(24_000)).unwrap();
    let mut back = Decoder::new(16_000, Channels::Mono).unwrap();
    for block in sound.as_chunks_mut::<320>().0 {
        let packet = there.encode_vec(block, 1275).unwrap();
        back.decode(&packet, block, false).unwrap();
    }
}

/// Numbers that look random: a linear congruence.
struct Random(u32);

impl Random {
    /// 0 to 1.
    fn part(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 16_777_216.0
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.part()
    }

    /// A normal distribution of 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.part()).sum::<f32>() - 6.0
    }
}

fn factor(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// The sound of `script` for the key at `row` and `column`.
fn sound(sent: Sent, row: usize, column: usize, rate: u32, script: &str) -> Vec<i16> {
    let mut random = Random((row * 4 + column) as u32 + 1);
    let hertz = (
        LOW[row] * (1.0 + sent.off.0) + sent.plus_hz.copysign(sent.off.0),
        HIGH[column] * (1.0 + sent.off.1) + sent.plus_hz.copysign(sent.off.1),
    );
    let size = (DBM0 * factor(sent.level.0), DBM0 * factor(sent.level.1));
    let pair = ((size.0 * size.0 + size.1 * size.1) / 2.0).sqrt();
    let noise = if sent.noise < 99.0 {
        pair * factor(-sent.noise)
    } else {
        0.0
    };
    let mut sound = Vec::new();
    // Each key begins elsewhere in the receiver's windows.
    let lead = format!("-{}", 60 + 3 * row + column);
    for word in std::iter::once(lead.as_str())
        .chain(script.split(' '))
        .chain(["-80"])
    {
        let level = match &word[..1] {
            "K" => 1.0,
            "~" => factor(-15.0),
            _ => 0.0,
        };
        let ms: u32 = word[1..].parse().unwrap();
        for _ in 0..rate * ms / 1000 {
            let t = sound.len() as f32 / rate as f32;
            let mut sample = level * size.0 * (TAU * hertz.0 * t).sin()
                + level * size.1 * (TAU * hertz.1 * t + 1.0).sin()
                + noise * random.normal();
            if let Some((hum, below)) = sent.besides {
                sample += 1.41 * pair * factor(-below) * (TAU * hum * t).sin();
            }
            sound.push(sample as i16);
        }
    }
    sound
}

fn heard(rate: u32, sound: &[i16]) -> String {
    let mut keys = String::new();
    Detector::new(rate).feed(sound, |digit| keys.push(digit.key()));
    keys
}

/// Plays `script` for each key; what was heard other than `times` that key.
fn faults(name: &str, sent: Sent, through: Through, script: &str, times: usize) -> Vec<String> {
    let keys = (0..4).flat_map(|row| (0..4).map(move |column| (row, column)));
    keys.filter_map(|(row, column)| {
        let mut sound = sound(sent, row, column, through.rate(), script);
        through.pass(&mut sound);
        let heard = heard(through.rate(), &sound);
        let key = KEYS[row][column];
        let want = key.to_string().repeat(times);
        (heard != want).then(|| format!("{name}, {through:?}, {key}: {want:?} became {heard:?}"))
    })
    .collect()
}

const G711: [Through; 4] = [
    Through::Line8k,
    Through::Line16k,
    Through::Pcmu,
    Through::Pcma,
];

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn keys_at_the_edge_of_tolerance_are_taken() {
    let mut cases = vec![
        ("plain", PLAIN),
        ("loud", level(0.0, 0.0)),
        ("weak", level(-25.0, -25.0)),
        ("high tone 4 dB stronger", level(-14.0, -10.0)),
        ("high tone 8 dB weaker", level(-10.0, -18.0)),
        ("loud, high tone 8 dB weaker", level(0.0, -8.0)),
        ("weak, high tone 4 dB stronger", level(-25.0, -21.0)),
    ];
    for (name, low, high) in [
        ("both tones 1.5 % and 2 Hz high", 0.015, 0.015),
        ("low tone high, high tone low", 0.015, -0.015),
        ("low tone low, high tone high", -0.015, 0.015),
        ("both tones 1.5 % and 2 Hz low", -0.015, -0.015),
    ] {
        let off = Sent {
            off: (low, high),
            plus_hz: 2.0,
            ..PLAIN
        };
        let weaker = Sent {
            level: (-10.0, -18.0),
            ..off
        };
        let stronger = Sent {
            level: (-14.0, -10.0),
            ..off
        };
        cases.extend([(name, off), (name, weaker), (name, stronger)]);
    }
    let mut wrong = Vec::new();
    for (name, sent) in cases {
        for through in G711 {
            wrong.extend(faults(name, sent, through, "K40 -40 K40 -40 K40", 3));
        }
    }
    none(wrong);
}

fn level(low: f32, high: f32) -> Sent {
    Sent {
        level: (low, high),
        ..PLAIN
    }
}

#[test]
fn keys_in_noise_and_over_other_sounds_are_taken() {
    let besides = |hertz| Sent {
        besides: Some((hertz, 15.0)),
        ..PLAIN
    };
    let noise = Sent {
        noise: 15.0,
        ..PLAIN
    };
    let cases = [
        ("noise at 15 dB", noise),
        (
            "weak in noise at 15 dB",
            Sent {
                level: (-25.0, -25.0),
                ..noise
            },
        ),
        ("dial tone of 425 Hz", besides(425.0)),
        ("dial tone of 350 Hz", besides(350.0)),
        ("hum of 50 Hz", besides(50.0)),
        ("whistle of 2600 Hz", besides(2600.0)),
    ];
    let mut wrong = Vec::new();
    for (name, sent) in cases {
        for through in G711 {
            wrong.extend(faults(name, sent, through, "K40 -40 K40 -40 K40", 3));
        }
    }
    none(wrong);
}

#[test]
fn a_press_is_one_key_however_long_and_broken() {
    let cases = [
        ("a long press is one", "K2000", 1),
        ("40 ms parts two", "K40 -40 K40", 2),
        ("30 ms after a long one, too", "K300 -40 K40 -40 K300", 3),
        ("10 ms is an interruption", "K60 -10 K60", 1),
        ("so is a lost packet", "K100 -20 K100 -20 K100", 1),
        ("an echo is no press", "K80 ~80", 1),
        ("nor an echo that comes late", "K80 -50 ~80", 1),
        ("a weaker press later is one", "K80 -300 ~80", 2),
    ];
    let mut wrong = Vec::new();
    for (name, script, times) in cases {
        for through in G711 {
            wrong.extend(faults(name, PLAIN, through, script, times));
        }
    }
    none(wrong);
}

#[test]
fn keys_survive_opus() {
    let noise = Sent {
        noise: 20.0,
        ..PLAIN
    };
    let mut wrong = faults("plain", PLAIN, Through::Opus, "K60 -60 K60 -60 K60", 3);
    wrong.extend(faults(
        "weak",
        level(-25.0, -25.0),
        Through::Opus,
        "K60 -60 K60",
        2,
    ));
    wrong.extend(faults("noise", noise, Through::Opus, "K60 -60 K60", 2));
    none(wrong);
}

#[test]
fn what_is_out_of_tolerance_is_not_taken() {
    let off = |low, high| Sent {
        off: (low, high),
        ..PLAIN
    };
    let cases = [
        ("low tone 3.5 % high", off(0.035, 0.0), "K200"),
        ("low tone 3.5 % low", off(-0.035, 0.0), "K200"),
        ("high tone 3.5 % high", off(0.0, 0.035), "K200"),
        ("high tone 3.5 % low", off(0.0, -0.035), "K200"),
        ("20 ms", PLAIN, "K20 -40 K20 -40 K20"),
        ("-36 dBm0", level(-36.0, -36.0), "K200"),
        ("high tone 8 dB stronger", level(-18.0, -10.0), "K200"),
        ("high tone 12 dB weaker", level(-10.0, -22.0), "K200"),
        ("low tone alone", level(-10.0, -90.0), "K200"),
        ("high tone alone", level(-90.0, -10.0), "K200"),
        (
            "noise as loud",
            Sent {
                noise: 0.0,
                ..PLAIN
            },
            "K200",
        ),
        (
            "another tone as loud",
            Sent {
                besides: Some((425.0, 3.0)),
                ..PLAIN
            },
            "K200",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, sent, script) in cases {
        for through in G711 {
            wrong.extend(faults(name, sent, through, script, 0));
        }
    }
    none(wrong);
}

#[test]
fn the_cut_of_the_stream_does_not_matter() {
    let sound = sound(PLAIN, 1, 1, 8_000, "K70 -60 K45 -40 K200");
    for length in [1, 7, 31, 33, 160, 4_000] {
        let mut detector = Detector::new(8_000);
        let mut keys = String::new();
        for piece in sound.chunks(length) {
            detector.feed(piece, |digit| keys.push(digit.key()));
        }
        assert_eq!(keys, "555", "pieces of {length}");
    }
}

#[test]
fn a_telephone_number_is_read() {
    let mut all = Vec::new();
    for key in "0123456789*#ABCD".chars() {
        let row = KEYS.iter().position(|row| row.contains(&key)).unwrap();
        let column = KEYS[row].iter().position(|&k| k == key).unwrap();
        all.extend(sound(PLAIN, row, column, 16_000, "K65"));
    }
    assert_eq!(heard(16_000, &all), "0123456789*#ABCD");
}

/// A minute of made speech: pulses of a gliding voice through the resonances
/// of vowels, and noise between them.
fn speech(rate: u32, seed: u32) -> Vec<i16> {
    const VOWELS: [[f32; 3]; 6] = [
        [730.0, 1090.0, 2440.0],
        [270.0, 2290.0, 3010.0],
        [300.0, 870.0, 2240.0],
        [530.0, 1840.0, 2480.0],
        [570.0, 840.0, 2410.0],
        [660.0, 1720.0, 2410.0],
    ];
    let mut random = Random(seed);
    let mut sound = Vec::new();
    let base = random.between(80.0, 320.0);
    let mut phase = 0.0;
    let mut memory = [[0.0f32; 2]; 3];
    while sound.len() < 60 * rate as usize {
        let vowel = VOWELS[(random.part() * 6.0) as usize];
        let next = VOWELS[(random.part() * 6.0) as usize];
        let (from, to) = (random.between(0.8, 1.4), random.between(0.8, 1.4));
        let length = random.between(0.08, 0.4) * rate as f32;
        let hiss = random.part() < 0.2;
        for n in 0..length as u32 {
            let way = n as f32 / length;
            phase += base * (from + (to - from) * way) / rate as f32;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let source = if hiss { 0.1 * random.normal() } else { pulse };
            let mut sample = 0.0;
            for (k, [last, before]) in memory.iter_mut().enumerate() {
                let hertz = vowel[k] + (next[k] - vowel[k]) * way;
                let radius = (-std::f32::consts::PI * 60.0 / rate as f32).exp();
                let turn = 2.0 * radius * (TAU * hertz / rate as f32).cos();
                let resonance = source + turn * *last - radius * radius * *before;
                (*before, *last) = (*last, resonance);
                sample += resonance / (k + 1) as f32;
            }
            let envelope = (std::f32::consts::PI * way).sin();
            sound.push((4000.0 * envelope * sample).clamp(-32_000.0, 32_000.0) as i16);
        }
    }
    sound
}

/// A minute of chords of three and four notes, of one to five harmonics each.
fn chords(rate: u32, seed: u32) -> Vec<i16> {
    let mut random = Random(seed);
    let mut sound = Vec::new();
    while sound.len() < 60 * rate as usize {
        let root = 220.0 * 2f32.powf((random.part() * 30.0).floor() / 12.0);
        let third = if random.part() < 0.5 { 4.0 } else { 3.0 };
        let notes = [0.0, third, 7.0, 12.0].map(|step| root * 2f32.powf(step / 12.0));
        let count = 3 + (random.part() * 2.0) as usize;
        let harmonics = 1 + (random.part() * 5.0) as u32;
        let length = random.between(0.1, 1.0) * rate as f32;
        for n in 0..length as u32 {
            let t = n as f32 / rate as f32;
            let note = |hertz: f32| -> f32 {
                let wave = |h: u32| (TAU * hertz * h as f32 * t).sin() / h as f32;
                (1..=harmonics).map(wave).sum()
            };
            let sample: f32 = notes[..count].iter().map(|&hertz| note(hertz)).sum();
            sound.push((3000.0 * sample * (-3.0 * t).exp()) as i16);
        }
    }
    sound
}

/// Half a minute of one tone that goes where `hertz` says at each time.
fn one_tone(rate: u32, hertz: impl Fn(f32) -> f32) -> Vec<i16> {
    let mut phase = 0.0;
    (0..30 * rate)
        .map(|n| {
            phase = (phase + hertz(n as f32 / rate as f32) / rate as f32).fract();
            (16_000.0 * (TAU * phase).sin()) as i16
        })
        .collect()
}

/// Ten seconds of the tones of a network.
fn network(rate: u32, hertz: &[f32]) -> Vec<i16> {
    (0..10 * rate)
        .map(|n| {
            let t = n as f32 / rate as f32;
            let on = t % 1.0 < 0.5;
            let tone: f32 = hertz.iter().map(|f| (TAU * f * t).sin()).sum();
            (6000.0 * tone * f32::from(u8::from(on))) as i16
        })
        .collect()
}

#[test]
fn speech_music_and_tones_of_the_network_are_no_keys() {
    let mut wrong = Vec::new();
    for rate in [8_000, 16_000] {
        let mut material = vec![
            ("sweep", one_tone(rate, |t| 300.0 + 100.0 * t)),
            ("fast sweep", one_tone(rate, |t| 300.0 + 3000.0 * (t % 1.0))),
            (
                "whistle",
                one_tone(rate, |t| {
                    700.0 + 150.0 * (t * 2.0).floor() % 1000.0 + 20.0 * (TAU * 5.0 * t).sin()
                }),
            ),
            ("dial tone", network(rate, &[350.0, 440.0])),
            ("ring-back", network(rate, &[440.0, 480.0])),
            ("busy", network(rate, &[480.0, 620.0])),
            ("Europe's", network(rate, &[425.0])),
            ("special information", network(rate, &[950.0])),
            ("fax", network(rate, &[1100.0])),
            ("answering fax", network(rate, &[2100.0])),
            ("register signal, MF 7", network(rate, &[700.0, 1700.0])),
            ("register signal, MF 2", network(rate, &[700.0, 1100.0])),
        ];
        for seed in 1..=4 {
            material.push(("speech", speech(rate, seed)));
            material.push(("chords", chords(rate, seed)));
        }
        for (name, sound) in material {
            let heard = heard(rate, &sound);
            if !heard.is_empty() {
                wrong.push(format!("{name} at {rate} Hz: {heard:?}"));
            }
        }
    }
    none(wrong);
}
