//! Opus by bit rate and complexity, and G.711, for `tests/figures/opus`, which
//! scores what is left of the speech: `cargo bench --bench opus -- FOLDER`.
//!
//! In FOLDER are recordings, as WAV of 16 kHz. Each setting gets a folder there
//! with what each recording decodes to; `settings` lists them, with the bytes,
//! the packets, and the microseconds to encode and to decode of a second of sound.
//!
//! Without FOLDER: what encoding the demo's two speeches takes. `-- --stage
//! SETTING SECONDS` does nothing but that, for `tests/figures/instructions`.

use std::fmt::{self, Display, Write};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use callbox::audio::BUS_BLOCK;
use callbox::audio::codec::{BITRATE, COMPLEXITY, Decoder, Encoder};
use callbox::audio::resample::Resampler;
use callbox::audio::ring::{PAYLOAD_MAX, Packet};
use callbox::simulator::speech;
use callbox::units::Encoding;

const KILOBITS: [i32; 6] = [12, 16, 20, 24, 32, 40];
const COMPLEXITIES: [i32; 7] = [0, 2, 3, 5, 6, 8, 10];
const RATE: u32 = 16_000;
/// Whoever else uses the processor hits another block each time.
const TIMES: usize = 5;

type Block = [f32; BUS_BLOCK];
type Payload = heapless::Vec<u8, PAYLOAD_MAX>;

/// How sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Pcmu,
    Opus {
        kilobits: i32,
        complexity: i32,
        /// Whether packets without speech are left out.
        discontinuous: bool,
    },
}

/// As `callbox::audio::codec` has it.
const CHOSEN: Setting = Setting::Opus {
    kilobits: BITRATE / 1000,
    complexity: COMPLEXITY,
    discontinuous: false,
};

impl Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pcmu => write!(f, "PCMU"),
            Self::Opus {
                kilobits,
                complexity,
                discontinuous,
            } => {
                let dtx = if *discontinuous { "-dtx" } else { "" };
                write!(f, "{kilobits}-{complexity}{dtx}")
            }
        }
    }
}

impl Setting {
    fn all() -> Vec<Self> {
        let opus = |kilobits, complexity, discontinuous| Self::Opus {
            kilobits,
            complexity,
            discontinuous,
        };
        let grid = KILOBITS
            .iter()
            .flat_map(|&rate| COMPLEXITIES.map(|complexity| opus(rate, complexity, false)));
        let mut all: Vec<_> = [Self::Pcmu].into_iter().chain(grid).collect();
        if !all.contains(&CHOSEN) {
            all.push(CHOSEN);
        }
        all.push(opus(BITRATE / 1000, COMPLEXITY, true));
        all
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::Pcmu => Encoding::Pcmu,
            Self::Opus { .. } => Encoding::Opus { rate: RATE },
        }
    }

    fn encoder(self) -> Box<dyn FnMut(&Block) -> Payload> {
        match self {
            Self::Pcmu => callbox(Encoding::Pcmu),
            Self::Opus {
                kilobits,
                complexity,
                discontinuous,
            } => {
                let mut codec = libopus(kilobits * 1000, complexity, discontinuous).unwrap();
                Box::new(move |block| {
                    let samples = block.map(|sample| sample.round() as i16);
                    let mut payload = Payload::new();
                    _ = payload.resize_default(PAYLOAD_MAX);
                    let length = codec.encode(&samples, &mut payload).unwrap();
                    payload.truncate(length);
                    payload
                })
            }
        }
    }
}

fn callbox(encoding: Encoding) -> Box<dyn FnMut(&Block) -> Payload> {
    let mut encoder = Encoder::new();
    encoder.reset(encoding);
    Box::new(move |block| encoder.encode(block))
}

/// libopus as `callbox::audio::codec` sets it up, but for what is tried.
fn libopus(bitrate: i32, complexity: i32, discontinuous: bool) -> opus::Result<opus::Encoder> {
    let mut codec = opus::Encoder::new(RATE, opus::Channels::Mono, opus::Application::Voip)?;
    codec.set_bitrate(opus::Bitrate::Bits(bitrate))?;
    codec.set_complexity(complexity)?;
    codec.set_signal(opus::Signal::Voice)?;
    codec.set_dtx(discontinuous)?;
    codec.set_inband_fec(false)?;
    codec.set_max_bandwidth(opus::Bandwidth::Wideband)?;
    Ok(codec)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--stages", ..] => Setting::all()
            .iter()
            .for_each(|setting| println!("{setting}")),
        ["--stage", name, seconds, ..] => one_setting(name, seconds),
        [folder, ..] if !folder.starts_with('-') => recordings(Path::new(folder)),
        _ => speeches(),
    }
}

/// So much speech in one setting, and no clock.
fn one_setting(name: &str, seconds: &str) {
    let seconds: usize = seconds.parse().expect("a number of seconds");
    let all = Setting::all();
    let setting = all.iter().find(|setting| setting.to_string() == name);
    let mut encode = setting.expect("a setting of --stages").encoder();
    let blocks = demo();
    blocks.iter().cycle().take(50 * seconds).for_each(|block| {
        encode(block);
    });
}

fn speeches() {
    let blocks = demo();
    println!("Encoding speech, us of processor per second of audio (best of {TIMES}):");
    for setting in Setting::all() {
        let (_, time) = written(setting, &blocks);
        println!(
            "  {:10} {:6.0}",
            setting.to_string(),
            a_second(time, blocks.len())
        );
    }
}

fn recordings(folder: &Path) {
    same_as_callbox();
    let files: Vec<_> = fs::read_dir(folder)
        .expect("a folder of recordings")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "wav"))
        .collect();
    let mut list = String::new();
    for setting in Setting::all() {
        let here = folder.join(setting.to_string());
        fs::create_dir_all(&here).expect("the folder can be written");
        let mut sum = Cost::default();
        for file in &files {
            let cost = recording(setting, file, &here);
            sum = Cost {
                blocks: sum.blocks + cost.blocks,
                bytes: sum.bytes + cost.bytes,
                packets: sum.packets + cost.packets,
                encoding: sum.encoding + cost.encoding,
                decoding: sum.decoding + cost.decoding,
            };
        }
        let seconds = sum.blocks as f64 / 50.0;
        let _ = writeln!(
            list,
            "{setting}\t{:.0}\t{:.1}\t{:.1}\t{:.1}",
            sum.bytes as f64 / seconds,
            sum.packets as f64 / seconds,
            a_second(sum.encoding, sum.blocks),
            a_second(sum.decoding, sum.blocks),
        );
    }
    fs::write(folder.join("settings"), list).expect("the folder can be written");
}

/// Fails where the settings in here have gone other ways than callbox's.
fn same_as_callbox() {
    let (mut here, mut there) = (CHOSEN.encoder(), callbox(CHOSEN.encoding()));
    for block in demo() {
        assert_eq!(here(&block), there(&block), "libopus is set up otherwise");
    }
}

#[derive(Default)]
struct Cost {
    blocks: usize,
    bytes: usize,
    /// That have to be sent: libopus says so by their length.
    packets: usize,
    encoding: Duration,
    decoding: Duration,
}

/// Through the codec and back, into a file of the same name.
fn recording(setting: Setting, file: &Path, folder: &Path) -> Cost {
    let blocks = read(file);
    let (packets, encoding) = written(setting, &blocks);
    let mut decoder = Decoder::new();
    let (mut sound, mut decoding) = (vec![], Duration::ZERO);
    for (seq, payload) in (0..).zip(&packets) {
        let packet = Packet {
            stream: 1,
            seq,
            encoding: setting.encoding(),
            payload: payload.clone(),
        };
        let start = Instant::now();
        decoder.decode(&packet, |block| sound.extend_from_slice(block.samples));
        decoding += start.elapsed();
    }
    save(
        &folder.join(file.file_name().expect("it has a name")),
        &sound,
    );
    let sent = packets.iter().filter(|payload| payload.len() > 2);
    Cost {
        blocks: blocks.len(),
        bytes: sent.clone().map(|payload| payload.len()).sum(),
        packets: sent.count(),
        encoding,
        decoding,
    }
}

/// Packets, and the best time of each.
fn written(setting: Setting, blocks: &[Block]) -> (Vec<Payload>, Duration) {
    let mut best = vec![Duration::MAX; blocks.len()];
    let mut packets = vec![];
    for _ in 0..TIMES {
        let mut encode = setting.encoder();
        packets.clear();
        for (block, best) in blocks.iter().zip(&mut best) {
            let start = Instant::now();
            packets.push(encode(block));
            *best = start.elapsed().min(*best);
        }
    }
    (packets, best.iter().sum())
}

fn a_second(time: Duration, blocks: usize) -> f64 {
    time.as_secs_f64() * 1e6 * 50.0 / blocks as f64
}

/// Both speeches, one after the other.
fn demo() -> Vec<Block> {
    let words = [speech::visitor(), speech::callee()].concat();
    let words: Vec<f32> = words.into_iter().map(f32::from).collect();
    let mut resampler = Resampler::from_8_to_16();
    let raised = words.as_chunks::<{ BUS_BLOCK / 2 }>().0.iter().map(|line| {
        let mut block = [0.0; BUS_BLOCK];
        resampler.process(line, &mut block);
        block.map(f32::round)
    });
    raised.collect()
}

fn read(path: &Path) -> Vec<Block> {
    let mut file = hound::WavReader::open(path).expect("a recording can be read");
    let spec = file.spec();
    assert_eq!(
        (spec.sample_rate, spec.channels),
        (RATE, 1),
        "{}",
        path.display()
    );
    let samples: Vec<f32> = file
        .samples::<i16>()
        .map(|sample| f32::from(sample.expect("the recording is whole")))
        .collect();
    samples.as_chunks().0.to_vec()
}

fn save(path: &Path, sound: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("a file can be made");
    for sample in sound {
        file.write_sample(*sample).expect("the file can be written");
    }
    file.finalize().expect("the file can be closed");
}
