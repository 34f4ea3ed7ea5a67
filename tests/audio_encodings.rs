//! Every encoding through the whole engine, and what a bad far end makes of it.

mod audio_line;
#[path = "audio_line/writer.rs"]
mod writer;

use std::f64::consts::TAU;

use audio_line::{Rig, connect};
use callbox::audio::codec::{Block, Decoder, Encoder};
use callbox::audio::engine::{Command, EngineEvent, Format};
use callbox::audio::ring::{PAYLOAD_MAX, Packet};
use callbox::audio::{BUS_BLOCK, BUS_RATE, Config, echo};
use callbox::units::{ByteOrder, Encoding, L16Rate};
use writer::{Writer, encodings};

const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};

fn rig() -> Rig {
    let open_microphone = Config {
        echo: echo::Config {
            cancel: false,
            suppress_noise: false,
        },
        ..Config::default()
    };
    Rig::new(&open_microphone, CARD, CARD)
}

fn is_opus(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Opus { .. })
}

/// Whether it carries more than a telephone.
fn is_wide(encoding: Encoding) -> bool {
    encoding.rate() > 8000
}

/// The amplitude of a tone in `signal`, and how far all else is below it, in dB.
fn purity(signal: &[i16], frequency: f64) -> (f64, f64) {
    let angle = |n: usize| TAU * frequency * n as f64 / f64::from(BUS_RATE);
    let (mut cc, mut ss, mut cs, mut cx, mut sx) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, &x) in signal.iter().enumerate() {
        let ((s, c), x) = (angle(n).sin_cos(), f64::from(x));
        (cc, ss, cs) = (cc + c * c, ss + s * s, cs + c * s);
        (cx, sx) = (cx + c * x, sx + s * x);
    }
    let det = cc * ss - cs * cs;
    let (a, b) = ((cx * ss - sx * cs) / det, (sx * cc - cx * cs) / det);
    let squares = signal.iter().enumerate().map(|(n, &x)| {
        let (s, c) = angle(n).sin_cos();
        (f64::from(x) - a * c - b * s).powi(2)
    });
    let rest = (squares.sum::<f64>() / signal.len() as f64).sqrt();
    let level = a.hypot(b);
    (level, 20.0 * (level / 2f64.sqrt() / rest).log10())
}

/// The purest the tone is near `frequency`, at the end of `signal`: the servo may
/// have moved its pitch.
fn purest(signal: &[i16], frequency: f64) -> (f64, f64) {
    let signal = &signal[signal.len() - 3000..];
    let near = |around: f64, step: f64| {
        (-20..=20)
            .map(|n| around + f64::from(n) * step)
            .map(|frequency| (frequency, purity(signal, frequency)))
            .max_by(|a, b| a.1.1.total_cmp(&b.1.1))
            .unwrap()
    };
    let (pitch, _) = near(frequency, frequency / 4000.0);
    near(pitch, frequency / 80_000.0).1
}

fn rms(signal: &[i16]) -> f64 {
    let squares = signal.iter().map(|&s| f64::from(s).powi(2));
    (squares.sum::<f64>() / signal.len() as f64).sqrt()
}

fn tone(n: u64) -> f32 {
    let turns = n as f64 * 1013.0 / 16e3;
    (8000.0 * (TAU * turns.fract()).sin()) as f32
}

fn high_tone(n: u64) -> f32 {
    let turns = n as f64 * 6007.0 / 16e3;
    (8000.0 * (TAU * turns.fract()).sin()) as f32
}

/// The keys 5 and 1, 100 ms each, after half a second of nothing.
fn keys(n: u64) -> f32 {
    let (row, column) = match n / 1600 {
        5 => (770.0, 1336.0),
        8 => (697.0, 1209.0),
        _ => return 0.0,
    };
    let angle = TAU * n as f64 / 16e3;
    (4000.0 * ((angle * row).sin() + (angle * column).sin())) as f32
}

fn encode(encoding: Encoding) -> Command {
    Command::Encode {
        stream: 1,
        encoding,
    }
}

/// Speaks for `blocks`; the packets.
fn speak(rig: &mut Rig, blocks: u64, sound: fn(u64) -> f32) -> Vec<Packet> {
    let mut packets = vec![];
    for block in 0..blocks {
        let mic: [i16; BUS_BLOCK] =
            std::array::from_fn(|n| sound(block * BUS_BLOCK as u64 + n as u64) as i16);
        rig.engine.capture(&mic);
        packets.extend(std::iter::from_fn(|| rig.uplink.pop()).map(|(packet, _)| packet));
    }
    packets
}

/// What `packets` say.
fn decoded(packets: &[Packet]) -> Vec<i16> {
    let (mut decoder, mut sound) = (Decoder::new(), vec![]);
    for packet in packets {
        let whole = decoder.decode(packet, |block| sound.extend_from_slice(block.samples));
        assert!(whole, "{packet:?}");
    }
    sound
}

/// Plays `blocks`, before each of which `packets` come; what is heard.
fn hear(rig: &mut Rig, blocks: usize, mut packets: impl FnMut(usize, &mut Rig)) -> Vec<i16> {
    let (mut heard, mut out) = (vec![], [0; BUS_BLOCK / 2]);
    for block in 0..blocks {
        packets(block, rig);
        for _ in 0..2 {
            rig.engine.render(&mut out);
            heard.extend_from_slice(&out);
        }
    }
    heard
}

/// Of a steady far end.
fn hear_from(rig: &mut Rig, far: &mut Writer, blocks: usize) -> Vec<i16> {
    hear(rig, blocks, |_, rig| {
        assert!(rig.downlink.push(far.packet()).is_ok());
    })
}

/// How pure a tone has to be, in dB.
fn least(encoding: Encoding) -> f64 {
    match encoding {
        Encoding::Pcmu | Encoding::Pcma => 33.0,
        Encoding::L16 { .. } => 45.0,
        Encoding::Opus { .. } => 28.0,
    }
}

#[test]
fn a_tone_reaches_the_callee_in_every_encoding() {
    for encoding in encodings() {
        let mut rig = rig();
        rig.commands.push(encode(encoding));
        let packets = speak(&mut rig, 60, tone);
        assert_eq!(packets.len(), 60);
        assert!(packets.iter().all(|p| p.encoding == encoding));
        if let Some(bytes) = encoding.block_bytes() {
            assert!(packets.iter().all(|p| p.payload.len() == bytes));
        }
        let heard = decoded(&packets);
        let (level, purity) = purity(&heard[10_000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        assert!(purity > least(encoding), "{encoding}: {purity:.1} dB");
    }
}

#[test]
fn a_tone_reaches_the_visitor_in_every_encoding() {
    for encoding in encodings() {
        let mut rig = rig();
        let heard = hear_from(&mut rig, &mut Writer::new(encoding, tone), 60);
        let (level, purity) = purest(&heard[16_000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        assert!(purity > least(encoding), "{encoding}: {purity:.1} dB");
        let stats = rig.stats.snapshot();
        assert_eq!((stats.malformed, stats.concealed_ms), (0, 0), "{encoding}");
    }
}

#[test]
fn six_kilohertz_pass_where_the_encoding_is_wide() {
    for encoding in encodings() {
        let mut rig = rig();
        rig.commands.push(encode(encoding));
        let sent = decoded(&speak(&mut rig, 60, high_tone));
        let heard = hear_from(&mut rig, &mut Writer::new(encoding, high_tone), 60);
        for (way, sound) in [("sent", &sent[10_000..]), ("heard", &heard[16_000..])] {
            let (level, _) = purest(sound, 6007.0);
            if is_wide(encoding) {
                let lost = 20.0 * (level / 8000.0).log10();
                let most = if is_opus(encoding) { 3.0 } else { 0.3 };
                assert!(lost.abs() < most, "{encoding} {way}: {lost:.1} dB");
            } else {
                assert!(level < 200.0, "{encoding} {way}: {level}");
            }
        }
    }
}

#[test]
fn linear_sound_is_exact_in_both_orders() {
    let samples: [i16; BUS_BLOCK] =
        std::array::from_fn(|n| (n as i16).wrapping_mul(405).wrapping_sub(12_345));
    for order in [ByteOrder::Big, ByteOrder::Little] {
        let encoding = Encoding::L16 {
            rate: L16Rate::K16,
            order,
        };
        let mut encoder = Encoder::new();
        encoder.reset(encoding);
        let payload = encoder.encode(&samples.map(f32::from));
        let first = match order {
            ByteOrder::Big => samples[0].to_be_bytes(),
            ByteOrder::Little => samples[0].to_le_bytes(),
        };
        assert_eq!(payload[..2], first);
        let packet = Packet {
            stream: 1,
            seq: 0,
            encoding,
            payload,
        };
        assert_eq!(decoded(&[packet]), samples, "{order:?}");
    }
}

/// Packets of Opus of `ms` each, numbered by where they begin.
fn opus_packets(ms: f64, count: usize) -> Vec<Packet> {
    let length = (ms * 16.0) as usize;
    let mut codec =
        opus::Encoder::new(16_000, opus::Channels::Mono, opus::Application::Audio).unwrap();
    (0..count)
        .map(|n| {
            let first = n * length;
            let samples: Vec<i16> = (first..first + length)
                .map(|n| tone(n as u64) as i16)
                .collect();
            let mut payload = [0; PAYLOAD_MAX];
            let bytes = codec.encode(&samples, &mut payload).unwrap();
            Packet {
                stream: 1,
                seq: (first / BUS_BLOCK) as u32,
                encoding: Encoding::Opus { rate: 48_000 },
                payload: heapless::Vec::from_slice(&payload[..bytes]).unwrap(),
            }
        })
        .collect()
}

#[test]
fn opus_packets_of_any_length_are_cut_into_blocks() {
    for ms in [2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0] {
        let packets = opus_packets(ms, (2400.0 / ms) as usize);
        let (mut decoder, mut seqs, mut sound) = (Decoder::new(), vec![], vec![]);
        for packet in &packets {
            let whole = decoder.decode(packet, |block| {
                assert!(!block.made_up, "{ms} ms");
                seqs.push(block.seq);
                sound.extend_from_slice(block.samples);
            });
            assert!(whole, "{ms} ms");
        }
        assert_eq!(seqs, (0..120).collect::<Vec<_>>(), "{ms} ms");
        let (level, purity) = purity(&sound[16_000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{ms} ms: {level}");
        assert!(purity > 12.0, "{ms} ms: {purity:.1} dB");
        // And through playout, as they come off a line.
        let mut rig = rig();
        let mut waiting = packets.iter().peekable();
        let heard = hear(&mut rig, 115, |block, rig| {
            let spoken = |packet: &Packet| f64::from(packet.seq) * 20.0 + ms <= block as f64 * 20.0;
            while let Some(packet) = waiting.next_if(|packet| spoken(packet)) {
                _ = rig.downlink.push(packet.clone());
            }
        });
        let (level, _) = purest(&heard[20_000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{ms} ms: {level}");
        let stats = rig.stats.snapshot();
        assert_eq!((stats.malformed, stats.late), (0, 0), "{ms} ms");
    }
}

/// Blocks of `packets`: number, level, and whether made up.
fn blocks_of(packets: &[Packet]) -> Vec<(u32, f64, bool)> {
    let (mut decoder, mut blocks) = (Decoder::new(), vec![]);
    let mut keep = |block: Block<'_>| blocks.push((block.seq, rms(block.samples), block.made_up));
    for packet in packets {
        decoder.decode(packet, &mut keep);
    }
    blocks
}

#[test]
fn a_gap_in_opus_is_filled_by_its_decoder() {
    let mut packets = opus_packets(20.0, 60);
    packets.drain(50..52);
    let blocks = blocks_of(&packets);
    let numbers: Vec<u32> = blocks.iter().map(|b| b.0).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    for (seq, level, made_up) in &blocks[20..] {
        assert_eq!(*made_up, (50..52).contains(seq), "{seq}");
        assert!(*level > 2500.0, "{seq}: {level}");
    }
}

#[test]
fn a_long_gap_in_opus_stays_one() {
    let mut packets = opus_packets(20.0, 60);
    packets.drain(40..55);
    let made_up: Vec<u32> = blocks_of(&packets)
        .iter()
        .filter(|block| block.2)
        .map(|block| block.0)
        .collect();
    assert_eq!(made_up, [40, 41, 42]);
}

#[test]
fn opus_goes_on_by_itself_while_the_line_is_dry() {
    let mut rig = rig();
    let mut far = Writer::new(Encoding::Opus { rate: 16_000 }, tone);
    let late: Vec<Packet> = {
        hear_from(&mut rig, &mut far, 60);
        (0..2).map(|_| far.packet()).collect()
    };
    // Nothing comes for 40 ms, then both, then as before.
    let dry = hear(&mut rig, 2, |_, _| {});
    assert!(rms(&dry) > 3500.0, "{}", rms(&dry));
    let stats = rig.stats.snapshot();
    assert!((10..=40).contains(&stats.concealed_ms), "{stats:?}");
    let mut heard = hear(&mut rig, 1, |_, rig| {
        for packet in &late {
            _ = rig.downlink.push(packet.clone());
        }
        _ = rig.downlink.push(far.packet());
    });
    heard.extend(hear_from(&mut rig, &mut far, 10));
    let all = [dry, heard].concat();
    // A tone obeys this, whatever its level; a click of 8000 would leave 8000.
    let turn = 2.0 * (TAU * 1013.0 / 16e3).cos();
    let clicks = all.windows(3).map(|w| {
        let [a, b, c] = [0, 1, 2].map(|n| f64::from(w[n]));
        (a + c - turn * b).abs()
    });
    let loudest = clicks.fold(0.0, f64::max);
    assert!(loudest < 1000.0, "{loudest}");
    // And when no more comes, it fades.
    let end = hear(&mut rig, 20, |_, _| {});
    let last = &end[end.len() - BUS_BLOCK..];
    assert!(last.iter().all(|s| *s == 0), "silence after 60 ms");
}

#[test]
fn garbage_makes_no_panic_and_is_counted_and_forgotten() {
    let mut noise = 5u64;
    let mut byte = || {
        noise = noise.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (noise >> 56) as u8
    };
    for encoding in encodings() {
        let mut rig = rig();
        let mut far = Writer::new(encoding, tone);
        hear_from(&mut rig, &mut far, 20);
        const STEP: usize = 5;
        hear(&mut rig, PAYLOAD_MAX / STEP, |n, rig| {
            let bytes: Vec<u8> = (0..n * STEP).map(|_| byte()).collect();
            let mut packet = far.packet();
            packet.payload = heapless::Vec::from_slice(&bytes).unwrap();
            assert!(rig.downlink.push(packet).is_ok());
        });
        let stats = rig.stats.snapshot();
        let least = match encoding.block_bytes() {
            // One of the lengths is right.
            Some(_) => PAYLOAD_MAX / STEP - 1,
            // Most bytes are a packet of Opus, if not one that was meant.
            None => 20,
        };
        assert!(
            stats.malformed >= least as u64,
            "{encoding}: {}",
            stats.malformed
        );
        let seq = far.seq;
        far = Writer::new(encoding, tone);
        far.seq = seq;
        let heard = hear_from(&mut rig, &mut far, 90);
        let (level, purity) = purest(&heard[heard.len() - 8000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        assert!(
            purity > least_after_garbage(encoding),
            "{encoding}: {purity:.1} dB"
        );
    }
}

/// The servo may still be at work after what garbage said about time.
fn least_after_garbage(encoding: Encoding) -> f64 {
    least(encoding) - 3.0
}

#[test]
fn an_odd_byte_of_linear_sound_is_left_out() {
    for order in [ByteOrder::Big, ByteOrder::Little] {
        let encoding = Encoding::L16 {
            rate: L16Rate::K16,
            order,
        };
        let mut packet = Writer::new(encoding, tone).packet();
        let want = decoded(std::slice::from_ref(&packet));
        packet.payload.truncate(2 * 100 + 1);
        let mut got = vec![];
        let whole = Decoder::new().decode(&packet, |block| got.extend_from_slice(block.samples));
        assert!(!whole);
        assert_eq!(got[..100], want[..100], "{order:?}");
        assert!(got[100..].iter().all(|s| *s == 0), "{order:?}");
    }
}

#[test]
fn each_call_begins_with_the_default_and_takes_what_it_is_told() {
    let mut rig = rig();
    for (stream, encoding) in (2..).zip(encodings()) {
        rig.commands.push(Command::Disconnect);
        rig.commands.push(connect(stream));
        assert!(
            speak(&mut rig, 3, tone)
                .iter()
                .all(|p| p.encoding == Encoding::default() && p.stream == stream)
        );
        // What was meant for another stream changes nothing.
        rig.commands.push(Command::Encode {
            stream: stream - 1,
            encoding: Encoding::Opus { rate: 8000 },
        });
        assert_eq!(speak(&mut rig, 1, tone)[0].encoding, Encoding::default());
        rig.commands.push(Command::Encode { stream, encoding });
        let packets = speak(&mut rig, 50, tone);
        assert!(packets.iter().all(|p| p.encoding == encoding));
        let (level, _) = purity(&decoded(&packets)[8000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        let mut far = Writer::new(encoding, tone);
        far.stream = stream;
        let heard = hear_from(&mut rig, &mut far, 50);
        let (level, _) = purest(&heard[heard.len() - 6000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        assert_eq!(rig.stats.snapshot().malformed, 0);
    }
}

#[test]
fn a_far_end_may_change_its_mind_in_mid_call() {
    let mut rig = rig();
    let mut seq = 0;
    for encoding in encodings() {
        let mut far = Writer::new(encoding, tone);
        far.seq = seq;
        let heard = hear_from(&mut rig, &mut far, 40);
        let (level, _) = purest(&heard[6000..], 1013.0);
        assert!((level / 8000.0 - 1.0).abs() < 0.1, "{encoding}: {level}");
        seq = far.seq;
    }
    let stats = rig.stats.snapshot();
    assert_eq!(
        (stats.restarts, stats.malformed, stats.concealed_ms),
        (0, 0, 0)
    );
}

#[test]
fn the_callees_keys_are_found_in_every_encoding() {
    for encoding in encodings() {
        let mut rig = rig();
        hear_from(&mut rig, &mut Writer::new(encoding, keys), 60);
        let events: Vec<_> = std::iter::from_fn(|| rig.events.pop()).collect();
        let pressed: String = events
            .iter()
            .map(|event| match event {
                EngineEvent::Digit { stream: 1, digit } => digit.key(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pressed, "51", "{encoding}");
        assert_eq!(rig.engine.capture(&[]), 2, "the media runtime is woken");
        assert_eq!(rig.engine.capture(&[]), 0);
    }
}
