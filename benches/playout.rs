//! Lines for `tests/figures/playout`, which compares what playout makes of them:
//! `cargo bench --bench playout -- FOLDER`.
//!
//! Each line is three minutes of packets, seeded. In FOLDER:
//! - `voice.ulaw`: what the far end says, packet after packet;
//! - `lines`: a line's name, its quickest way in ms, and how much faster the far
//!   end's clock is, in parts per million;
//! - `NAME/arrivals`: number and time of each packet, in ms of the card's clock,
//!   as they come;
//! - `NAME/callbox.N`: what callbox does with them when N per mille of the packets
//!   are to be in time: for each 10 ms of the card the place in the stream
//!   behind it, and how much of it was made up, both in ms.
//!
//! Without FOLDER: what rendering costs on each line.

#[path = "../tests/audio_line/dice.rs"]
mod dice;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::audio::codec::{Decoder, pcmu};
use callbox::audio::playout::{Config, Playout};
use callbox::audio::ring::{self, Packet};
use callbox::audio::{BUS_CHUNK, LINE_RATE, Stats};
use callbox::units::Encoding;
use dice::Dice;

/// Length of a line.
const SECONDS: usize = 180;
const PACKETS: usize = SECONDS * 50;
/// Line samples of a packet.
const LINE_BLOCK: usize = LINE_RATE as usize / 50;
/// The quickest way, in ms.
const WAY: f64 = 35.0;
/// What is tried, in per mille of the packets in time.
const IN_TIME: [u32; 8] = [900, 950, 970, 980, 990, 995, 998, 999];

fn main() {
    let lines = lines();
    let voice = Voice::default().ulaw();
    match std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        Some(folder) => write(Path::new(&folder), &lines, &voice),
        None => processor(&lines, &voice),
    }
}

fn write(folder: &Path, lines: &[Line], voice: &[u8]) {
    let mut list = String::new();
    for line in lines {
        let here = folder.join(line.name);
        std::fs::create_dir_all(&here).expect("the folder can be made");
        _ = writeln!(list, "{}\t{WAY}\t{}", line.name, line.ppm);
        let arrivals = line
            .arrivals
            .iter()
            .map(|(seq, at)| format!("{seq} {at:.3}\n"));
        let mut files = vec![("arrivals".to_owned(), arrivals.collect())];
        for in_time in IN_TIME {
            let mut rows = String::new();
            play(line, voice, in_time, |place, made| {
                _ = writeln!(rows, "{place:.2} {made}");
            });
            files.push((format!("callbox.{in_time}"), rows));
        }
        for (name, text) in files {
            std::fs::write(here.join(name), text).expect("the folder can be written to");
        }
    }
    std::fs::write(folder.join("voice.ulaw"), voice).expect("the folder can be written to");
    std::fs::write(folder.join("lines"), list).expect("the folder can be written to");
}

fn processor(lines: &[Line], voice: &[u8]) {
    println!("Decoding and playout, per second of audio (longest period of 10 ms, best of 5):");
    for line in lines {
        let mut best = vec![Duration::MAX; SECONDS * 100 - 1];
        for _ in 0..5 {
            let mut times = best.iter_mut();
            let mut before: Option<Instant> = None;
            play(line, voice, 995, |_, _| {
                let now = Instant::now();
                // What comes before the first is the making of it all.
                if let Some(before) = before
                    && let Some(best) = times.next()
                {
                    *best = (now - before).min(*best);
                }
                before = Some(now);
            });
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "  {}: {:.0} us (longest {:.0} us)",
            line.name,
            micros(best.iter().sum()) / SECONDS as f64,
            best.iter().max().map_or(0.0, |time| micros(*time))
        );
    }
}

/// Plays a line; `heard` gets the place behind each 10 ms, and what was made up.
fn play(line: &Line, voice: &[u8], in_time: u32, mut heard: impl FnMut(f64, u64)) {
    let config = Config {
        in_time: in_time as f32 / 1000.0,
        ..Config::default()
    };
    let stats = Arc::new(Stats::default());
    let mut playout = Playout::new(&config, Arc::clone(&stats));
    let mut decoder = Decoder::new();
    let (mut downlink, mut packets) = ring::downlink();
    let mut arrivals = line.arrivals.iter().peekable();
    let mut concealed = 0;
    playout.start();
    for period in 0..SECONDS * 100 {
        let now = period as f64 * 10.0;
        while let Some((seq, _)) = arrivals.next_if(|(_, at)| *at <= now) {
            // What a full ring refuses is gone.
            _ = downlink.push(packet(*seq, voice));
        }
        while let Some(packet) = packets.pop() {
            decoder.decode(&packet, |block| playout.put(block));
        }
        let mut bus = [0.0; BUS_CHUNK];
        playout.render(BUS_CHUNK, &mut bus, &mut decoder);
        let before = std::mem::replace(&mut concealed, stats.snapshot().concealed_ms);
        let place = playout
            .place()
            .map_or(f64::NAN, |place| place as f64 / 16.0);
        heard(place, concealed - before);
    }
}

fn packet(seq: usize, voice: &[u8]) -> Packet {
    Packet {
        stream: 1,
        seq: seq as u32,
        encoding: Encoding::Pcmu,
        payload: voice[seq * LINE_BLOCK..][..LINE_BLOCK]
            .iter()
            .copied()
            .collect(),
    }
}

/// A line, and when it brings each packet.
struct Line {
    name: &'static str,
    ppm: f64,
    arrivals: Vec<(usize, f64)>,
}

impl Line {
    /// `wait` says what is added to the quickest way of a packet sent then.
    fn new(name: &'static str, ppm: f64, mut wait: impl FnMut(f64) -> f64) -> Self {
        let arrival = |seq: usize| {
            let sent = (seq + 1) as f64 * 20.0 / (1.0 + ppm * 1e-6);
            (seq, sent + WAY + wait(sent))
        };
        Self {
            name,
            ppm,
            arrivals: (0..PACKETS).map(arrival).collect(),
        }
    }

    /// TCP: no packet overtakes another.
    fn in_order(mut self) -> Self {
        let mut last = 0.0;
        for (_, at) in &mut self.arrivals {
            *at = at.max(last);
            last = *at;
        }
        self
    }

    /// UDP: each when it comes.
    fn any_order(mut self) -> Self {
        self.arrivals.sort_by(|a, b| a.1.total_cmp(&b.1));
        self
    }

    /// Nothing passes for `length` ms in each `every`; then all comes at once.
    fn stalls(name: &'static str, every: f64, length: f64) -> Self {
        let mut dice = Dice(4);
        let wait = |sent: f64| {
            let way = dice.exponential(2.0);
            let begun = (sent + way - every / 2.0).rem_euclid(every);
            way + (length - begun).max(0.0)
        };
        Self::new(name, 30.0, wait).in_order()
    }
}

fn lines() -> Vec<Line> {
    let calm = |seed| {
        let mut dice = Dice(seed);
        move |_| dice.roll()
    };
    vec![
        Line::new("clean", 30.0, calm(1)).in_order(),
        Line::new("Wi-Fi", 30.0, wifi()).in_order(),
        Line::new("LTE", -30.0, lte()).in_order(),
        Line::stalls("stalls of 0.3 s", 20e3, 300.0),
        Line::stalls("stalls of 1 s", 20e3, 1000.0),
        Line::stalls("stalls of 5 s", 45e3, 5000.0),
        Line::new("100 ppm faster", 100.0, calm(5)).in_order(),
        Line::new("100 ppm slower", -100.0, calm(6)).in_order(),
        Line::new("reordered", 30.0, reordered()).any_order(),
    ]
}

/// Quiet and busy spells, and now and then nothing for 50 to 150 ms, after which
/// all that was held comes at once.
fn wifi() -> impl FnMut(f64) -> f64 {
    let mut dice = Dice(2);
    let (mut busy, mut busy_ends) = (false, 0.0);
    let (mut held_until, mut next_hold) = (0.0, 3e3);
    move |sent| {
        if sent > busy_ends {
            busy = !busy;
            busy_ends = sent + dice.exponential(if busy { 2e3 } else { 8e3 });
        }
        if sent > next_hold {
            held_until = sent + 50.0 + 100.0 * dice.roll();
            next_hold = sent + dice.exponential(5e3);
        }
        let way = dice.exponential(if busy { 12.0 } else { 2.0 });
        way.max(held_until - sent)
    }
}

/// A way that wanders between 0 and 40 ms, slots of 8 ms, and now and then a
/// handover of 100 to 300 ms.
fn lte() -> impl FnMut(f64) -> f64 {
    let mut dice = Dice(3);
    let mut wander = 20.0;
    let (mut gone_until, mut next_handover) = (0.0, 10e3);
    move |sent| {
        wander += (20.0 - wander) * 0.01 + (dice.roll() - 0.5) * 5.0;
        wander = wander.clamp(0.0, 40.0);
        if sent > next_handover {
            gone_until = sent + 100.0 + 200.0 * dice.roll();
            next_handover = sent + 10e3 + dice.exponential(10e3);
        }
        (wander + 8.0 * dice.roll()).max(gone_until - sent)
    }
}

/// One packet of twenty comes after the one or two behind it.
fn reordered() -> impl FnMut(f64) -> f64 {
    let mut dice = Dice(7);
    move |_| {
        let detour = if dice.roll() < 0.05 {
            25.0 + 20.0 * dice.roll()
        } else {
            0.0
        };
        dice.exponential(2.0) + detour
    }
}

/// Somebody on the telephone, of sorts: phrases of syllables with a melody, three
/// formants, some hiss, pauses, and a room.
struct Voice {
    dice: Dice,
    samples: Vec<f32>,
    formants: [Formant; 3],
    /// Where in its period the voice is, in turns.
    phase: f32,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            dice: Dice(11),
            samples: vec![],
            formants: Default::default(),
            phase: 0.0,
        }
    }
}

impl Voice {
    fn ulaw(mut self) -> Vec<u8> {
        let wanted = PACKETS * LINE_BLOCK;
        while self.samples.len() < wanted {
            self.silence(0.3, 1.2);
            let (syllables, pitch) = (
                5 + (self.dice.roll() * 10.0) as u32,
                self.between(95.0, 190.0),
            );
            for n in 0..syllables {
                self.syllable(pitch * (1.15 - 0.3 * n as f32 / syllables as f32));
            }
        }
        let room = |sample: &f32| (sample + (self.dice.roll() as f32 - 0.5) * 40.0) as i16;
        let heard = self.samples[..wanted].iter().map(room);
        heard.map(pcmu::encode).collect()
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.dice.roll() as f32
    }

    fn silence(&mut self, low: f32, high: f32) {
        let length = self.between(low, high) * LINE_RATE as f32;
        self.samples.extend((0..length as usize).map(|_| 0.0));
    }

    fn syllable(&mut self, pitch: f32) {
        if self.dice.roll() < 0.4 {
            self.hiss();
        }
        let targets = [(300.0, 800.0), (900.0, 2200.0), (2400.0, 3000.0)];
        let targets = targets.map(|(low, high)| self.between(low, high));
        let (length, rise) = (self.between(0.12, 0.25), self.between(0.9, 1.15));
        let length = (length * LINE_RATE as f32) as usize;
        for n in 0..length {
            let passed = n as f32 / length as f32;
            let loud = (passed * std::f32::consts::PI).sin().sqrt();
            let jitter = 1.0 + (self.dice.roll() as f32 - 0.5) * 0.02;
            self.phase += pitch * (1.0 + (rise - 1.0) * passed) * jitter / LINE_RATE as f32;
            let mut pulse = 0.03 * (self.dice.roll() as f32 - 0.5);
            if self.phase >= 1.0 {
                self.phase -= 1.0;
                pulse += 1.0;
            }
            let formants = self.formants.iter_mut().zip(targets).zip([1.0, 0.5, 0.25]);
            let sample: f32 = formants
                .map(|((formant, target), share)| share * formant.ring(target, pulse))
                .sum();
            self.samples.push(sample * loud * 5000.0);
        }
    }

    fn hiss(&mut self) {
        let (length, mut last) = (self.between(0.04, 0.1) * LINE_RATE as f32, 0.0);
        for n in 0..length as usize {
            let loud = (n as f32 / length * std::f32::consts::PI).sin();
            let noise = self.dice.roll() as f32 - 0.5;
            self.samples.push((noise - last) * loud * 2500.0);
            last = noise;
        }
    }
}

/// A resonance of the mouth.
#[derive(Default)]
struct Formant {
    frequency: f32,
    last: [f32; 2],
}

impl Formant {
    fn ring(&mut self, target: f32, input: f32) -> f32 {
        self.frequency += (target - self.frequency) * 0.005;
        let turn = std::f32::consts::TAU * self.frequency / LINE_RATE as f32;
        let damping = (-std::f32::consts::PI * 90.0 / LINE_RATE as f32).exp();
        let [one, two] = self.last;
        let sample = input + 2.0 * damping * turn.cos() * one - damping * damping * two;
        self.last = [sample, one];
        sample
    }
}
