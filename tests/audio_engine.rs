//! The whole audio path, both ways, at every card format and with periods that
//! fit nothing.

mod audio_line;
#[path = "audio_line/far.rs"]
mod far;

use std::f64::consts::TAU;

use audio_line::Rig;
use callbox::audio::codec::pcmu;
use callbox::audio::engine::{Command, Format};
use callbox::audio::tone::Tone;
use callbox::audio::{Config, MicChannel, echo};
use far::{Far, listen, packet};

const FORMATS: [Format; 4] = [
    Format {
        rate: 16_000,
        channels: 1,
    },
    Format {
        rate: 16_000,
        channels: 2,
    },
    Format {
        rate: 48_000,
        channels: 1,
    },
    Format {
        rate: 48_000,
        channels: 2,
    },
];

fn open_microphone() -> Config {
    Config {
        automatic_level: false,
        echo: echo::Config {
            cancel: false,
            suppress_noise: false,
        },
        ..Config::default()
    }
}

/// Speaks `sound` (by card sample) into the microphone for `ms`, in periods of
/// all the lengths given; what the callee hears, by line sample.
fn speak(
    rig: &mut Rig,
    format: Format,
    periods: &[usize],
    ms: usize,
    sound: impl Fn(usize) -> f64,
) -> Vec<i16> {
    let total = format.rate as usize * ms / 1000;
    let (mut heard, mut at) = (vec![], 0);
    for &length in periods.iter().cycle() {
        let length = length.min(total - at);
        let mic: Vec<i16> = (at..at + length)
            .flat_map(|n| vec![sound(n) as i16; usize::from(format.channels)])
            .collect();
        rig.engine.capture(&mic);
        while let Some((packet, _)) = rig.uplink.pop() {
            heard.extend(packet.payload.iter().map(|&code| pcmu::decode(code)));
        }
        at += length;
        if at == total {
            return heard;
        }
    }
    heard
}

/// The amplitude of a tone in `signal`, and how far all else is below it, in dB.
fn purity(signal: &[f64], frequency: f64, rate: f64) -> (f64, f64) {
    let angle = |n: usize| TAU * frequency * n as f64 / rate;
    // Least squares for both phases; the signal need not be whole turns.
    let (mut cc, mut ss, mut cs, mut cx, mut sx) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, x) in signal.iter().enumerate() {
        let (s, c) = angle(n).sin_cos();
        (cc, ss, cs) = (cc + c * c, ss + s * s, cs + c * s);
        (cx, sx) = (cx + c * x, sx + s * x);
    }
    let det = cc * ss - cs * cs;
    let (a, b) = ((cx * ss - sx * cs) / det, (sx * cc - cx * cs) / det);
    let rest: f64 = signal
        .iter()
        .enumerate()
        .map(|(n, x)| (x - a * angle(n).cos() - b * angle(n).sin()).powi(2))
        .sum();
    let level = a.hypot(b);
    let rest = (rest / signal.len() as f64).sqrt();
    (level, 20.0 * (level / 2f64.sqrt() / rest).log10())
}

#[test]
fn a_tone_reaches_the_callee_pure_at_every_format() {
    for format in FORMATS {
        let rate = f64::from(format.rate);
        for periods in [&[format.rate as usize / 100][..], &[1, 7, 441, 1024, 3000]] {
            for frequency in [307.0, 1013.0, 3301.0] {
                let mut rig = Rig::new(&open_microphone(), format, format);
                let tone = |n: usize| 8000.0 * (TAU * frequency * n as f64 / rate).sin();
                let heard = speak(&mut rig, format, periods, 500, tone);
                let heard: Vec<f64> = heard[800..].iter().map(|&s| f64::from(s)).collect();
                let (level, purity) = purity(&heard, frequency, 8000.0);
                let what = format!("{format:?} {periods:?} {frequency} Hz");
                assert!((level / 8000.0 - 1.0).abs() < 0.02, "{what}: {level:.0}");
                // G.711 itself allows about 38 dB.
                assert!(purity > 35.0, "{what}: {purity:.1} dB");
            }
        }
    }
}

#[test]
fn what_the_line_cannot_carry_does_not_fold_into_it() {
    for format in [FORMATS[1], FORMATS[3]] {
        let rate = f64::from(format.rate);
        for frequency in [4700.0, 6000.0, 7900.0, 12_700.0, 20_300.0] {
            if frequency > rate / 2.0 {
                continue;
            }
            let mut rig = Rig::new(&open_microphone(), format, format);
            let tone = |n: usize| 16_000.0 * (TAU * frequency * n as f64 / rate).sin();
            let heard = speak(&mut rig, format, &[480], 300, tone);
            let loudest = heard[400..].iter().map(|s| s.abs()).max();
            assert!(loudest < Some(33), "{format:?} {frequency}: {loudest:?}");
        }
    }
}

#[test]
fn a_tone_reaches_the_visitor_pure_at_every_format() {
    let tone = |n: u64| 8000.0 * (std::f32::consts::TAU * (n * 1013 % 8000) as f32 / 8e3).sin();
    for format in FORMATS {
        for period in [format.rate as usize / 100, 441, 1000] {
            let mut rig = Rig::new(&Config::default(), format, format);
            let mut heard = vec![];
            let channels = usize::from(format.channels);
            listen(
                &mut rig,
                &mut Far::new(tone),
                format,
                period,
                900.0,
                |_, out| {
                    for frame in out.chunks(channels) {
                        assert!(frame.iter().all(|s| *s == frame[0]));
                        heard.push(f64::from(frame[0]));
                    }
                },
            );
            // The last tenth of a second, at the pitch the servo gave it.
            let rate = format.rate as usize;
            let heard = &heard[heard.len() - rate / 10..];
            let sharpest = |around: f64, step: f64| {
                (-25..=25)
                    .map(|n| around + f64::from(n) * step)
                    .map(|frequency| (frequency, purity(heard, frequency, rate as f64)))
                    .max_by(|a, b| a.1.1.total_cmp(&b.1.1))
                    .unwrap()
            };
            let (pitch, _) = sharpest(1013.0, 0.25);
            let (_, (level, purity)) = sharpest(pitch, 0.02);
            assert!(
                (level / 8000.0 - 1.0).abs() < 0.02,
                "{format:?} {period}: {level:.0}"
            );
            assert!(purity > 34.0, "{format:?} {period}: {purity:.1} dB");
        }
    }
}

#[test]
fn microphone_to_packet_takes_less_than_30_ms() {
    for format in FORMATS {
        let mut rig = Rig::new(&open_microphone(), format, format);
        let period = format.rate as usize / 100;
        // A click in the first sample of each 200 ms: the one that waits longest.
        let (mut clicks, mut heard) = (0, 0);
        for n in 0..200 {
            let click = n % 20 == 0;
            let mut mic = vec![0i16; period * usize::from(format.channels)];
            if click {
                mic[..usize::from(format.channels) * 6].fill(20_000);
                clicks += 1;
            }
            rig.engine.capture(&mic);
            while let Some((packet, _)) = rig.uplink.pop() {
                let block = packet.payload.iter().map(|&code| pcmu::decode(code));
                let (at, loudest) = (0..).zip(block).max_by_key(|(_, s)| *s).unwrap();
                if loudest > 1000 {
                    heard += 1;
                    // It came after two periods, and lies this far behind the
                    // packet's beginning: the filters.
                    assert_eq!(n % 20, 1, "{format:?}: came after {} periods", n % 20 + 1);
                    assert!(f64::from(at) / 8.0 < 3.0, "{format:?}: {at} samples");
                }
            }
        }
        assert_eq!(clicks, heard, "{format:?}");
    }
}

#[test]
fn the_card_alone_paces_the_packets() {
    for format in FORMATS {
        for periods in [&[1][..], &[160], &[441], &[479, 481], &[1024], &[96_001]] {
            let mut rig = Rig::new(&Config::default(), format, format);
            let (mut taken, mut numbers) = (0, vec![]);
            let block = format.rate as usize / 50;
            for &length in periods.iter().cycle() {
                let mic = vec![0; length * usize::from(format.channels)];
                rig.engine.capture(&mic);
                taken += length;
                let made = rig.stats.snapshot().packets_out;
                assert_eq!(made as usize, taken / block, "{format:?} {periods:?}");
                while let Some((packet, _)) = rig.uplink.pop() {
                    numbers.push(packet.seq);
                }
                if taken > 20 * block {
                    break;
                }
            }
            assert!(numbers.is_sorted(), "{format:?} {periods:?}");
        }
    }
}

#[test]
fn numbers_go_on_while_the_uplink_refuses() {
    let format = FORMATS[0];
    let mut rig = Rig::new(&Config::default(), format, format);
    // A second at once: 50 packets, of which the uplink holds 10.
    assert_eq!(rig.engine.capture(&[0; 16_000]), 10);
    assert_eq!(rig.stats.snapshot().uplink_refused, 40);
    let (oldest, age) = rig.uplink.pop().unwrap();
    assert_eq!(
        (oldest.seq, age),
        (0, 49),
        "the consumer can tell it is stale"
    );
    while rig.uplink.pop().is_some() {}
    rig.engine.capture(&[0; 320]);
    assert_eq!(
        rig.uplink.pop().map(|(packet, age)| (packet.seq, age)),
        Some((50, 0))
    );
}

#[test]
fn without_a_stream_nothing_is_sent_and_nothing_heard() {
    let format = FORMATS[2];
    let mut rig = Rig::new(&Config::default(), format, format);
    rig.commands.push(Command::Disconnect);
    assert_eq!(rig.engine.capture(&[1000; 48_000]), 0);
    _ = rig.downlink.push(packet(0, |_| 9000.0));
    let mut out = [1; 48_000];
    rig.engine.render(&mut out);
    assert!(out.iter().all(|s| *s == 0));
    let stats = rig.stats.snapshot();
    assert_eq!(
        (stats.captured, stats.rendered),
        (48_000, 48_000),
        "heartbeats"
    );
    assert_eq!(stats.other_stream, 1);
}

#[test]
fn the_named_channel_of_a_stereo_microphone_is_sent() {
    let format = FORMATS[1];
    for (channel, want) in [
        (MicChannel::Both, 6000.0),
        (MicChannel::Left, 8000.0),
        (MicChannel::Right, 4000.0),
    ] {
        let config = Config {
            mic_channel: channel,
            ..open_microphone()
        };
        let mut rig = Rig::new(&config, format, format);
        let tone = |n: usize, most: f64| (most * (TAU * n as f64 / 16.0).sin()) as i16;
        let mic = (0..3200).flat_map(|n| [tone(n, 8000.0), tone(n, 4000.0)]);
        rig.engine.capture(&mic.collect::<Vec<_>>());
        let (packet, _) = std::iter::from_fn(|| rig.uplink.pop()).last().unwrap();
        let heard = packet.payload.iter();
        let heard: Vec<f64> = heard.map(|&code| pcmu::decode(code).into()).collect();
        let (level, _) = purity(&heard, 1000.0, 8000.0);
        // Within a step of G.711.
        assert!((level - want).abs() < 140.0, "{channel:?}: {level}");
    }
}

#[test]
fn gain_beyond_full_scale_bends_and_does_not_wrap() {
    let format = FORMATS[0];
    let config = Config {
        mic_gain_db: 30.0,
        ..open_microphone()
    };
    let mut rig = Rig::new(&config, format, format);
    let tone = |n: usize| 20_000.0 * (TAU * 500.0 * n as f64 / 16e3).sin();
    let heard = speak(&mut rig, format, &[160], 200, tone);
    // At 500 Hz each half turn has 8 samples; a wrapped one would change sign.
    let turns = heard[400..].windows(2).filter(|w| (w[0] < 0) != (w[1] < 0));
    assert!(turns.count().abs_diff((heard.len() - 400) / 8) <= 1);
    assert!(heard[400..].iter().any(|s| *s > 28_000));
}

#[test]
fn volume_holds_for_speech_and_tones() {
    let format = FORMATS[2];
    let config = Config {
        speaker_volume_db: -20.0,
        ..Config::default()
    };
    let loudest = |config: &Config| {
        let mut rig = Rig::new(config, format, format);
        rig.commands.push(Command::Tone(Tone::Failed));
        let mut out = [0; 4800];
        rig.engine.render(&mut out);
        f64::from(*out.iter().max().unwrap())
    };
    let ratio = loudest(&Config::default()) / loudest(&config);
    assert!((ratio - 10.0).abs() < 0.1, "{ratio}");
}

#[test]
fn a_dead_microphone_is_counted() {
    let format = FORMATS[3];
    let mut rig = Rig::new(&Config::default(), format, format);
    rig.engine.capture(&vec![0; 96_000]);
    rig.engine.capture(&vec![-1; 96_000]);
    let noise: Vec<i16> = (0..96_000).map(|n| (n / 2 % 17) as i16 * 1000).collect();
    rig.engine.capture(&noise);
    let stats = rig.stats.snapshot();
    assert_eq!((stats.mic_silent, stats.mic_stuck), (1, 1));
    assert!((stats.mic.peak_dbfs() + 6.2).abs() < 0.3, "{:?}", stats.mic);
}
