//! Figures of the audio engine: `cargo bench --bench engine`.
//!
//! Processor time per second of audio, by stage and of the whole, with and without
//! echo cancelling; what each encoding costs in bytes, time and delay, what a
//! block waits on lines of several kinds, and an hour with two clocks. The lines
//! are seeded, so only the times differ from run to run.
//!
//! `-- --stages` lists the stages; `-- --stage NAME SECONDS` does nothing but
//! that much audio of one, for `tests/figures/instructions`.

#[path = "../tests/audio_line/mod.rs"]
mod audio_line;
#[path = "../tests/audio_line/far.rs"]
mod far;
mod stages;
#[path = "../tests/audio_line/writer.rs"]
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use audio_line::Rig;
use callbox::audio::codec::Decoder;
use callbox::audio::engine::{Command, Format};
use callbox::audio::{BUS_BLOCK, Config, Snapshot, echo};
use callbox::units::Encoding;
use far::{Far, listen, packet};
use stages::stages;
use writer::{Writer, encodings};

const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};
/// What a card of three periods of 10 ms has in its buffer when it asks for more.
const CARD_BUFFER_MS: u32 = 20;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--stages", ..] => return stages().iter().for_each(|s| println!("{}", s.name)),
        ["--stage", name, seconds, ..] => return one_stage(name, seconds),
        _ => {}
    }
    memory();
    processor();
    each_stage();
    encodings_compared();
    delays();
    drift();
}

fn voice(n: u64) -> f32 {
    let angle = (n % 80) as f32 / 80.0 * std::f32::consts::TAU;
    8000.0 * angle.sin() + 3000.0 * (7.0 * angle).sin() + (n * n % 997) as f32
}

/// What a call adds to the process: the engine, its queues, and the pages of
/// codec and stack that it touches.
fn memory() {
    let resident = || -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let resident = pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
        4 * resident.unwrap_or(0)
    };
    for encoding in [Encoding::Pcmu, Encoding::Opus { rate: 16_000 }] {
        let before = resident();
        let mut times = Times(vec![(Duration::MAX, Duration::MAX); SECONDS as usize * 100]);
        encoded_call(encoding, &mut times);
        let more = resident() - before;
        println!("Memory: a {encoding} call made {more} kB resident.");
    }
    println!();
}

/// Length of a measured call.
const SECONDS: u32 = 5;

/// The best time of each period of 10 ms: whoever else uses the processor hits
/// another period each time.
struct Times(Vec<(Duration, Duration)>);

impl Times {
    fn note(&mut self, period: u32, capture: Duration, render: Duration) {
        let best = &mut self.0[period as usize];
        *best = (best.0.min(capture), best.1.min(render));
    }
}

/// µs per second of audio in `capture` and `render`, of a call made 20 times.
fn best_of_20(mut call: impl FnMut(&mut Times)) -> (f64, f64) {
    let mut times = Times(vec![(Duration::MAX, Duration::MAX); SECONDS as usize * 100]);
    (0..20).for_each(|_| call(&mut times));
    let micros = |of: fn(&(Duration, Duration)) -> Duration| {
        times.0.iter().map(of).sum::<Duration>().as_secs_f64() * 1e6 / f64::from(SECONDS)
    };
    (micros(|t| t.0), micros(|t| t.1))
}

fn processor() {
    println!("Processor time of a PCMU call, per second of audio (best of 20):");
    for (rate, channels) in [(16_000, 1), (48_000, 1), (48_000, 2)] {
        let card = Format { rate, channels };
        let (capture, render) = best_of_20(|times| call(card, times));
        println!(
            "  {rate} Hz, {channels} ch: capture {capture:.0} us, render {render:.0} us, \
             together {:.2} per mille of a processor",
            (capture + render) / 1000.0
        );
    }
    println!();
}

/// Five seconds of a call.
fn call(card: Format, times: &mut Times) {
    let mut rig = Rig::new(&Config::default(), card, card);
    let samples = card.rate as usize / 100 * usize::from(card.channels);
    let mic: Vec<i16> = (0..samples).map(|n| voice(n as u64) as i16).collect();
    let mut speaker = vec![0; samples];
    let blocks: Vec<_> = (0..50).map(|seq| packet(seq, voice)).collect();
    for period in 0..SECONDS * 100 {
        if period % 2 == 0 {
            let mut block = blocks[(period / 2 % 50) as usize].clone();
            block.seq = period / 2;
            _ = rig.downlink.push(block);
        }
        let start = Instant::now();
        rig.engine.capture(&mic);
        let middle = Instant::now();
        rig.engine.render(&mut speaker);
        let end = Instant::now();
        while rig.uplink.pop().is_some() {}
        times.note(period, middle - start, end - middle);
    }
}

/// So much audio of one stage.
fn one_stage(name: &str, seconds: &str) {
    let seconds: u32 = seconds.parse().expect("a number of seconds");
    let all = stages();
    let stage = all.iter().find(|stage| stage.name == name);
    let mut step = (stage.expect("a stage of --stages").begin)();
    (0..seconds * 50).for_each(|_| step());
}

fn each_stage() {
    println!(
        "Each stage, us of processor per second of audio (best of 20); engine at 48 kHz, 1 ch:"
    );
    for stage in stages() {
        let mut best = [Duration::MAX; 100];
        for _ in 0..20 {
            let mut step = (stage.begin)();
            for best in &mut best {
                let start = Instant::now();
                step();
                *best = start.elapsed().min(*best);
            }
        }
        let seconds = best.len() as f64 / 50.0;
        let micros = best.iter().sum::<Duration>().as_secs_f64() * 1e6 / seconds;
        println!("  {:40} {micros:6.0}", stage.name);
    }
    println!();
}

/// Speech of sorts by bus sample: a pitch that moves, syllables, some breath.
fn speech(n: u64) -> f32 {
    let seconds = n as f32 / 16e3;
    let turns = 120.0 * seconds + 3.0 * (seconds * 4.0).sin();
    let angle = turns.fract() * std::f32::consts::TAU;
    let voiced: f32 = (1..24)
        .map(|k| (k as f32 * angle).sin() / (1.0 + (k as f32 - 5.0).abs()))
        .sum();
    let breath = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as f32 - 8192.0;
    let syllable = (seconds * 9.0).sin().max(0.0);
    3000.0 * voiced * syllable + breath * 0.02
}

fn encodings_compared() {
    println!(
        "Each encoding, per second of audio at 48 kHz, 1 ch (best of 20); delays of a clean line:"
    );
    for encoding in encodings() {
        let mut bytes = 0;
        let (capture, render) = best_of_20(|times| bytes = encoded_call(encoding, times));
        let (sent, heard) = (microphone_delay(encoding), packet_delay(encoding));
        println!(
            "  {encoding:>11}: {bytes:>4} bytes a packet, {:>5.1} kb/s; capture {capture:.0} us, \
             render {render:.0} us, together {:.2} per mille; microphone to packet {sent:.1} ms \
             at most, packet to speaker {heard} ms",
            f64::from(bytes) * 0.4,
            (capture + render) / 1000.0
        );
    }
    println!();
}

/// Five seconds; the mean size of a packet.
fn encoded_call(encoding: Encoding, times: &mut Times) -> u32 {
    let card = Format {
        rate: 48_000,
        channels: 1,
    };
    let mut rig = Rig::new(&open_microphone(), card, card);
    rig.commands.push(Command::Encode {
        stream: 1,
        encoding,
    });
    let mut far = Writer::new(encoding, speech);
    let mut speaker = vec![0; 480];
    let mut bytes = 0;
    for period in 0..SECONDS * 100 {
        if period % 2 == 0 {
            _ = rig.downlink.push(far.packet());
        }
        let first = u64::from(period) * 480;
        let mic: Vec<i16> = (first..first + 480).map(|n| speech(n / 3) as i16).collect();
        let start = Instant::now();
        rig.engine.capture(&mic);
        let middle = Instant::now();
        rig.engine.render(&mut speaker);
        let end = Instant::now();
        while let Some((packet, _)) = rig.uplink.pop() {
            bytes += packet.payload.len() as u32;
        }
        times.note(period, middle - start, end - middle);
    }
    bytes / (SECONDS * 50)
}

fn open_microphone() -> Config {
    Config {
        echo: echo::Config {
            cancel: false,
            suppress_noise: false,
        },
        ..Config::default()
    }
}

/// How long after it was spoken the first sample of a block is in the uplink: a
/// click is spoken, and looked for in what the packets decode to.
fn microphone_delay(encoding: Encoding) -> f64 {
    let card = Format {
        rate: 48_000,
        channels: 1,
    };
    let mut rig = Rig::new(&open_microphone(), card, card);
    rig.commands.push(Command::Encode {
        stream: 1,
        encoding,
    });
    let mut decoder = Decoder::new();
    let mut heard = vec![];
    const CLICK: usize = 48_000;
    for period in 0..150 {
        let click = |n: usize| {
            let x = (n as f32 - CLICK as f32) / 24.0;
            (20_000.0 * (-x * x).exp()) as i16
        };
        let mic: Vec<i16> = (period * 480..(period + 1) * 480).map(click).collect();
        rig.engine.capture(&mic);
        while let Some((packet, _)) = rig.uplink.pop() {
            decoder.decode(&packet, |block| heard.extend_from_slice(block.samples));
        }
    }
    let (at, _) = (0..).zip(&heard).max_by_key(|(_, s)| s.abs()).unwrap();
    let late = at as f64 - CLICK as f64 / 3.0 - decoder.delay() as f64;
    (late + BUS_BLOCK as f64) / 16.0
}

/// The median time from a packet at the socket to the card, in ms.
fn packet_delay(encoding: Encoding) -> u32 {
    let mut rig = Rig::new(&Config::default(), CARD, CARD);
    let mut far = Writer::new(encoding, speech);
    let mut speaker = [0; 160];
    for period in 0..3000 {
        if period % 2 == 0 {
            _ = rig.downlink.push(far.packet());
        }
        rig.engine.render(&mut speaker);
    }
    rig.stats.snapshot().delays.percentile(0.5).unwrap_or(0) + CARD_BUFFER_MS
}

fn delays() {
    println!(
        "Packet at the socket to its first sample at the card, in ms, ten minutes each\n\
         (engine, its filters and {CARD_BUFFER_MS} ms of card buffer; up to one period\n\
         of 10 ms more before the audio thread looks):"
    );
    let stalls = |every: f64, length: f64| -> Vec<_> {
        (1..(600e3 / every) as u32)
            .map(|n| (f64::from(n) * every, length))
            .collect()
    };
    let lines = [
        ("clean", 0.0, vec![]),
        ("jitter 2 ms", 2.0, vec![]),
        ("jitter 5 ms", 5.0, vec![]),
        ("jitter 15 ms", 15.0, vec![]),
        ("jitter 2 ms, 80 ms stall each 3 s", 2.0, stalls(3e3, 80.0)),
        (
            "jitter 2 ms, 1 s stall each minute",
            2.0,
            stalls(60e3, 1000.0),
        ),
    ];
    for (name, jitter, stalls) in lines {
        let mut far = Far::new(voice);
        (far.ppm, far.jitter, far.stalls) = (30.0, jitter, stalls);
        let mut rig = Rig::new(&Config::default(), CARD, CARD);
        listen(&mut rig, &mut far, CARD, 160, 600e3, |_, _| {});
        let stats = rig.stats.snapshot();
        let rank = |rank| stats.delays.percentile(rank).unwrap_or(0) + CARD_BUFFER_MS;
        println!(
            "  {name}: min {}, p50 {}, p95 {}, p99 {}; made up {} ms, skipped {} ms, stretched {} ms",
            rank(0.0),
            rank(0.5),
            rank(0.95),
            rank(0.99),
            stats.concealed_ms,
            stats.skipped_ms,
            stats.stretched_ms
        );
    }
    println!();
}

fn drift() {
    println!("An hour with the far end's clock beside the speaker's:");
    for ppm in [-100.0, 100.0] {
        let start = Instant::now();
        let mut far = Far::new(voice);
        far.ppm = ppm;
        let mut rig = Rig::new(&Config::default(), CARD, CARD);
        let figures = Arc::clone(&rig.stats);
        let mut minute = |far: &mut Far| -> Snapshot {
            let before = figures.snapshot();
            listen(&mut rig, far, CARD, 160, 60e3, |_, _| {});
            figures.snapshot().since(&before)
        };
        let minutes: Vec<_> = (0..60).map(|_| minute(&mut far)).collect();
        let waits = |minute: &Snapshot| minute.delays.percentile(0.5).unwrap_or(0);
        let sum = |what: fn(&Snapshot) -> u64| minutes.iter().map(what).sum::<u64>();
        println!(
            "  {ppm:+} ppm: median wait {} ms in the first minute, {} ms in the last \
             (least {}, most {} of any minute); made up {} ms, skipped {} ms; \
             drift taken for {:+.0} ppm; simulated in {:.1} s",
            waits(&minutes[0]),
            waits(&minutes[59]),
            minutes.iter().map(waits).min().unwrap_or(0),
            minutes.iter().map(waits).max().unwrap_or(0),
            sum(|m| m.concealed_ms),
            sum(|m| m.skipped_ms),
            minutes[59].drift_ppm,
            start.elapsed().as_secs_f64()
        );
    }
}
