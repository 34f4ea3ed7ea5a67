//! Figures of the audio engine: `cargo bench --bench engine`.
//!
//! Processor time per second of audio, what a block waits on lines of several
//! kinds, and an hour with two clocks. The lines are seeded, so only the times
//! differ from run to run.

#[path = "../tests/audio_line/mod.rs"]
mod audio_line;

use std::sync::Arc;
use std::time::Instant;

use audio_line::{Far, Rig, listen, packet};
use callbox::audio::engine::Format;
use callbox::audio::{Config, Snapshot};

const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};
/// What a card of three periods of 10 ms has in its buffer when it asks for more.
const CARD_BUFFER_MS: u32 = 20;

fn main() {
    processor();
    delays();
    drift();
}

fn voice(n: u64) -> f32 {
    let angle = (n % 80) as f32 / 80.0 * std::f32::consts::TAU;
    8000.0 * angle.sin() + 3000.0 * (7.0 * angle).sin() + (n * n % 997) as f32
}

fn processor() {
    println!("Processor time of a PCMU call, per second of audio (best of 40):");
    for (rate, channels) in [(16_000, 1), (48_000, 1), (48_000, 2)] {
        let card = Format { rate, channels };
        let best = |work: fn(Format) -> (f64, f64)| {
            (0..40)
                .map(|_| work(card))
                .min_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)))
                .unwrap()
        };
        let (capture, render) = best(call);
        println!(
            "  {rate} Hz, {channels} ch: capture {capture:.0} us, render {render:.0} us, \
             together {:.2} per mille of a processor",
            (capture + render) / 1000.0
        );
    }
    println!();
}

/// Five seconds of a call: µs per second of audio in `capture` and `render`.
fn call(card: Format) -> (f64, f64) {
    const SECONDS: u32 = 5;
    let mut rig = Rig::new(&Config::default(), card, card);
    let samples = card.rate as usize / 100 * usize::from(card.channels);
    let mic: Vec<i16> = (0..samples).map(|n| voice(n as u64) as i16).collect();
    let mut speaker = vec![0; samples];
    let blocks: Vec<_> = (0..50).map(|seq| packet(seq, voice)).collect();
    let (mut capture, mut render) = (0.0, 0.0);
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
        capture += (middle - start).as_secs_f64();
        render += (end - middle).as_secs_f64();
    }
    let micros = 1e6 / f64::from(SECONDS);
    (capture * micros, render * micros)
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
