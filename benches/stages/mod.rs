//! The engine's stages one by one, and the whole of it: each is something that
//! is done for 20 ms of audio, again and again, with no clock in it.

use std::sync::Arc;

use callbox::audio::codec::{Block, Decoder, Encoder};
use callbox::audio::dtmf::Detector;
use callbox::audio::echo::filter::Filter;
use callbox::audio::echo::suppress::Suppressor;
use callbox::audio::echo::{self, HOP};
use callbox::audio::engine::{Command, Format};
use callbox::audio::playout::Playout;
use callbox::audio::resample::{Raiser, Resampler};
use callbox::audio::ring::Packet;
use callbox::audio::{BUS_BLOCK, BUS_CHUNK, Config, Stats};
use callbox::units::Encoding;

use crate::audio_line::Rig;
use crate::speech;
use crate::writer::{Writer, encodings};

/// Blocks of the speech that a stage is fed with, over and over.
const BLOCKS: usize = 50;
const CARD: Format = Format {
    rate: 48_000,
    channels: 1,
};

/// What is done for 20 ms.
type Step = Box<dyn FnMut()>;

/// A stage by its name, and how to begin it.
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) begin: Box<dyn Fn() -> Step>,
}

/// All of them, the parts first.
pub(crate) fn stages() -> Vec<Stage> {
    let mut all = vec![
        stage("48 to 16 kHz", || {
            resample(Resampler::from_48_to_16(), 3 * BUS_BLOCK)
        }),
        stage("16 to 48 kHz", raise),
        stage("16 to 8 kHz", || {
            resample(Resampler::from_16_to_8(), BUS_BLOCK)
        }),
        stage("8 to 16 kHz", || {
            resample(Resampler::from_8_to_16(), BUS_BLOCK / 2)
        }),
        stage("echo filter", filter),
        stage("suppressor", suppressor),
        stage("playout", playout),
        stage("digits", digits),
    ];
    for encoding in encodings() {
        all.push(stage(&format!("encode {encoding}"), move || {
            encode(encoding)
        }));
        all.push(stage(&format!("decode {encoding}"), move || {
            decode(encoding)
        }));
    }
    for encoding in encodings() {
        for (with, cancel, suppress_noise) in [
            ("nothing", false, false),
            ("noise suppression", false, true),
            ("echo cancelling", true, false),
            ("both", true, true),
        ] {
            let echo = echo::Config {
                cancel,
                suppress_noise,
            };
            all.push(stage(&format!("engine {encoding}, {with}"), move || {
                engine(encoding, echo.clone())
            }));
        }
    }
    all
}

fn stage(name: &str, begin: impl Fn() -> Step + 'static) -> Stage {
    Stage {
        name: name.to_owned(),
        begin: Box::new(begin),
    }
}

/// Runs of `length` samples of speech.
fn runs(length: usize) -> impl Iterator<Item = Vec<f32>> {
    let run = move |n: usize| {
        let first = (n * length) as u64;
        (first..first + length as u64).map(speech).collect()
    };
    let runs: Vec<Vec<f32>> = (0..BLOCKS).map(run).collect();
    runs.into_iter().cycle()
}

fn blocks() -> impl Iterator<Item = [f32; BUS_BLOCK]> {
    runs(BUS_BLOCK).map(|run| run.try_into().expect("a block"))
}

fn resample(mut resampler: Resampler, length: usize) -> Step {
    let (mut input, mut output) = (runs(length), [0.0; 2 * BUS_BLOCK]);
    Box::new(move || {
        for piece in input.next().unwrap_or_default().chunks(length / 2) {
            resampler.process(piece, &mut output);
        }
    })
}

fn raise() -> Step {
    let (mut raiser, mut input) = (Raiser::by_3(), runs(BUS_BLOCK));
    let mut output = [0.0; 3 * BUS_CHUNK];
    Box::new(move || {
        for piece in input.next().unwrap_or_default().chunks(BUS_CHUNK) {
            raiser.process(piece, &mut output);
        }
    })
}

fn hops() -> impl Iterator<Item = [f32; HOP]> {
    runs(HOP).map(|run| run.try_into().expect("a hop"))
}

fn filter() -> Step {
    let (mut filter, mut far, mut near) = (Filter::new(), hops(), hops().skip(7));
    Box::new(move || {
        for (far, near) in far.by_ref().zip(near.by_ref()).take(2) {
            filter.process(&far, &near);
        }
    })
}

fn suppressor() -> Step {
    let (mut filter, mut suppressor) = (Filter::new(), Suppressor::new(true));
    let (mut near, mut out) = (hops(), [0.0; HOP]);
    Box::new(move || {
        for near in near.by_ref().take(2) {
            filter.pass(&near);
            suppressor.process(&mut filter, &mut out);
        }
    })
}

fn playout() -> Step {
    let config = Config::default();
    let mut playout = Playout::new(&config.playout, Arc::new(Stats::default()));
    playout.start();
    let (mut decoder, mut far) = (Decoder::new(), (0..).zip(blocks()));
    let mut bus = [0.0; BUS_CHUNK];
    Box::new(move || {
        if let Some((seq, block)) = far.next() {
            playout.put(Block {
                seq,
                samples: &block.map(|sample| sample as i16),
                made_up: false,
            });
        }
        for _ in 0..2 {
            playout.render(BUS_CHUNK, &mut bus, &mut decoder);
        }
    })
}

fn digits() -> Step {
    let (mut detector, mut far) = (Detector::new(16_000), blocks());
    Box::new(move || {
        if let Some(block) = far.next() {
            detector.feed(&block.map(|sample| sample as i16), |_| ());
        }
    })
}

fn encode(encoding: Encoding) -> Step {
    let (mut encoder, mut blocks) = (Encoder::new(), blocks());
    encoder.reset(encoding);
    Box::new(move || {
        if let Some(block) = blocks.next() {
            drop(encoder.encode(&block));
        }
    })
}

/// Packets of the far end, numbered without end.
fn packets(encoding: Encoding) -> impl Iterator<Item = Packet> {
    let mut far = Writer::new(encoding, speech);
    let packets: Vec<Packet> = (0..BLOCKS).map(|_| far.packet()).collect();
    (0..)
        .zip(packets.into_iter().cycle())
        .map(|(seq, packet)| Packet { seq, ..packet })
}

fn decode(encoding: Encoding) -> Step {
    let (mut decoder, mut packets) = (Decoder::new(), packets(encoding));
    Box::new(move || {
        if let Some(packet) = packets.next() {
            decoder.decode(&packet, |_| ());
        }
    })
}

/// All of it at 48 kHz, in periods of 10 ms.
fn engine(encoding: Encoding, echo: echo::Config) -> Step {
    let config = Config {
        echo,
        ..Config::default()
    };
    let mut rig = Rig::new(&config, CARD, CARD);
    rig.commands.push(Command::Encode {
        stream: 1,
        encoding,
    });
    let mut packets = packets(encoding);
    let card = |run: Vec<f32>| run.into_iter().map(|sample| sample as i16).collect();
    let periods: Vec<Vec<i16>> = runs(3 * BUS_CHUNK).map(card).take(BLOCKS).collect();
    let (mut mic, mut speaker) = (periods.into_iter().cycle(), [0; 3 * BUS_CHUNK]);
    Box::new(move || {
        if let Some(packet) = packets.next() {
            _ = rig.downlink.push(packet);
        }
        for period in mic.by_ref().take(2) {
            rig.engine.capture(&period);
            rig.engine.render(&mut speaker);
        }
        while rig.uplink.pop().is_some() {}
    })
}
