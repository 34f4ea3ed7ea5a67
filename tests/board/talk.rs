//! Two people talk: from the press to the end, and how it sounds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use callbox::simulator::{Says, Status, What, speech};

use crate::far_end::{ms, says, service_with, talks};
use crate::kit::{Board, Clock, Device, Installed, RATE, STATUS};
use crate::sound::{self, LINE_RATE};

/// Words of each side, and how many of them may be broken: an emulator whose
/// host is busy stumbles now and then.
const WORDS: usize = 8;
const BROKEN: usize = 2;
/// What the room's echo of -14 dB loses at the least before the callee hears it; an
/// xrun of either card moves the echo, and is heard for a moment.
const ECHO_LOSS_DB: f64 = 20.0;
/// How often speech is spoken until the emulator was not held up, and the xruns in
/// a call of 20 s from which on it was; on an idle host there are one or two.
const TRIES: usize = 4;
const HELD_UP: u64 = 10;

/// Prints how long it took from each mouth to the other ear, how loud it was
/// and what was missing.
#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_press_becomes_a_conversation() {
    let board = Board::take();
    let far = board.service(service_with(talks(WORDS)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    let pressed = device.press();
    device.says("answered");
    let lit = device.turns(STATUS, true, pressed) - pressed;
    println!("first edge to lamp, seen each ms: {lit:?}");
    let call = far.call().id;
    let up = far.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));

    // One after the other, so that each is told from its own echo.
    let every = sound::PAUSE + sound::CHIRP;
    far.pass(up.at + Duration::from_secs_f64(every * WORDS as f64 + 0.5));
    let clock = board.clock();
    let spoken = clock.there(far.began + up.at) + sound::PAUSE;
    let ear = Ear::of(&device.heard(), device.ear_began(), spoken, every);
    ear.report("callee → visitor", &clock, 3.0);

    let every = sound::VISITORS_PAUSE + sound::CHIRP;
    let words = sound::words(sound::VISITORS_PAUSE, RATE);
    let spoken = device.speak(&words.repeat(WORDS)) + sound::VISITORS_PAUSE;
    device.spoken();
    far.pass(far.began.elapsed() + ms(500));
    let answered = clock.there(far.began + far.wait_status(Status::Answered).at);
    let heard = far.handle.heard(&call).unwrap();
    let ear = Ear::of(&heard, answered, spoken, every);
    // The automatic level is on its way to where it wants the visitor.
    ear.report("visitor → callee", &clock, 6.0);

    let status = device.status();
    println!(
        "xruns {} + {}, playout {}, priority {}",
        status["microphone"]["xruns"],
        status["speaker"]["xruns"],
        status["playout"]["delay_ms"],
        status["priority"]
    );
    assert_eq!(status["priority"], "real time");
    assert!(far.handle.hang_up(&call));
    let record = device.record(0);
    assert_eq!(record["local_reason"], "the far end hung up");
    assert_eq!(record["service_hangup_reason"], "remote");
    assert_eq!(
        (&record["one_way"], &record["reconnects"]),
        (&false.into(), &0.into())
    );
    assert_eq!(record["codec"], "PCMU/8000");
    println!(
        "press to request {} ms, delay in the record {} / {} / {} ms",
        record["sent_after_ms"],
        record["delay_p50_ms"],
        record["delay_p95_ms"],
        record["delay_p99_ms"]
    );
    assert_eq!(far.posts(), 1);
    assert_eq!(device.records().len(), 1);
}

/// What an ear made of the [`WORDS`] of the other side.
struct Ear {
    /// From the mouth to this ear in seconds, for each word that is whole.
    delays: Vec<f64>,
    /// Against the mouth.
    level_db: f64,
}

impl Ear {
    /// `heard` began at `began`; the first word was spoken at `spoken`, the next
    /// ones `every` so many seconds. All by one clock.
    fn of(heard: &[i16], began: f64, spoken: f64, every: f64) -> Self {
        let words = sound::chirp(LINE_RATE);
        let places = sound::find_all(heard, &words);
        assert!(!places.is_empty(), "nothing was heard");
        let energy = |some: &[i16]| some.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let own = energy(&words);
        let level = |at: &usize| 10.0 * (energy(&heard[*at..at + words.len()]) / own).log10();
        // The words are alike: each is taken for the latest that was spoken.
        let delay = |at: &usize| (began + *at as f64 / f64::from(LINE_RATE) - spoken) % every;
        let mut delays: Vec<f64> = places.iter().map(delay).collect();
        delays.sort_by(f64::total_cmp);
        Self {
            delays,
            level_db: places.iter().map(level).sum::<f64>() / places.len() as f64,
        }
    }

    /// Says how it was, and fails the story where a person would complain: also of
    /// a level more than `within` dB off.
    #[track_caller]
    fn report(&self, who: &str, clock: &Clock, within: f64) {
        let whole = self.delays.len();
        let delay = self.delays[whole / 2];
        println!(
            "{who}: {:.0} ms, {:.0} to {:.0} (± {:.0}), {:+.1} dB, {whole} of {WORDS} words whole",
            delay * 1e3,
            self.delays[0] * 1e3,
            self.delays[whole - 1] * 1e3,
            clock.off.as_secs_f64() * 1e3,
            self.level_db,
        );
        assert!(whole + BROKEN >= WORDS, "{who}: words are missing");
        assert!(whole <= WORDS, "{who}: words came twice");
        assert!(self.level_db.abs() < within, "{who}: {} dB", self.level_db);
        assert!((0.0..0.35).contains(&delay), "{who}: {delay} s");
    }
}

/// Leaves what each heard in a folder it names; `CALLBOX_PESQ` is a Python with
/// numpy and pesq, which then tells how good that is. What is wrong counts if the
/// emulator was not held up; else they speak again.
#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn speech_arrives_as_speech() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("board-speech");
    fs::create_dir_all(&folder).unwrap();
    let mut tries = (0..TRIES).map(|_| spoken(&folder));
    let spoken = tries.find(|spoken| spoken.is_whole() || spoken.xruns < HELD_UP);
    let spoken = spoken.expect("the emulator is held up again and again");
    assert!(spoken.is_whole(), "{spoken:?}");
    let Some(python) = std::env::var_os("CALLBOX_PESQ") else {
        return println!("{}: for tests/figures/score.py", folder.display());
    };
    let score = Command::new(python)
        .arg("tests/figures/score.py")
        .arg(&folder)
        .output();
    let score = score.expect("CALLBOX_PESQ names a Python");
    print!(
        "{}{}",
        String::from_utf8_lossy(&score.stdout),
        String::from_utf8_lossy(&score.stderr)
    );
    assert!(score.status.success());
}

/// What became of speech.
#[derive(Debug)]
struct Spoken {
    echo_loss_db: f64,
    /// Tenths of a second of the visitor's and the callee's speech that arrived,
    /// and of how many.
    arrived: [(usize, usize); 2],
    /// Of both cards.
    xruns: u64,
}

impl Spoken {
    fn is_whole(&self) -> bool {
        let whole = |(whole, of): &(usize, usize)| whole * 10 >= of * 9;
        self.echo_loss_db > ECHO_LOSS_DB && self.arrived.iter().all(whole)
    }
}

/// The callee speaks, then the visitor; what each heard is left in `folder`.
fn spoken(folder: &Path) -> Spoken {
    let board = Board::take();
    let far = board.service(service_with(says(Says::Speech(speech::callee().into()))));
    let mut device = Device::start(&board, &Installed::plain(&far));
    device.press();
    device.says("answered");
    let call = far.call().id;
    let said = speech::callee();
    // The callee has said it all, and it has been played.
    let up = far.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    far.pass(up.at + sound::length(said.len()) + ms(1000));
    device.speak(&at_card_rate(&speech::visitor()));
    device.spoken();
    far.pass(far.began.elapsed() + ms(1000));
    let heard = far.handle.heard(&call).unwrap();
    far.handle
        .save_heard(&call, &folder.join("callee-heard.wav"))
        .unwrap();
    write_wav(
        &folder.join("visitor-heard.wav"),
        RATE,
        &device.heard_by_the_card(),
    );
    let status = device.status();
    let echo_loss = status["microphone"]["echo_loss_db"].as_f64();
    assert!(far.handle.hang_up(&call));
    device.record(0);
    let xruns = ["microphone", "speaker"].map(|card| status[card]["xruns"].as_u64());
    let spoken = Spoken {
        echo_loss_db: echo_loss.expect("the microphone has heard the speaker"),
        arrived: [
            arrived(&speech::visitor(), &heard),
            arrived(&said, &device.heard()),
        ],
        xruns: xruns.into_iter().flatten().sum(),
    };
    println!("{spoken:?}");
    spoken
}

/// Of the tenths of a second in which `said` is loud, how many are found in
/// `heard` at the right place, give or take what playout may shift; and of how
/// many.
fn arrived(said: &[i16], heard: &[i16]) -> (usize, usize) {
    let tenth = LINE_RATE as usize / 10;
    let loud = |piece: &&(usize, &[i16])| piece.1.iter().any(|sample| sample.unsigned_abs() > 2000);
    let pieces: Vec<_> = said.chunks_exact(tenth).enumerate().collect();
    let pieces: Vec<_> = pieces.iter().filter(loud).collect();
    // Where all of it is: where one of a few half seconds is, of which any may be
    // broken.
    let anchors = pieces.iter().step_by(5).take(5);
    let starts = anchors.filter_map(|(nth, _)| {
        let from = nth * tenth;
        let half = said.get(from..from + 5 * tenth)?;
        Some(sound::find(heard, half).0 as i64 - from as i64)
    });
    let slack = tenth as i64;
    let whole = |start: i64| {
        let found = pieces.iter().filter(|(nth, piece)| {
            let from = start + (nth * tenth) as i64 - slack;
            let until = from + 3 * slack;
            let range = from.max(0) as usize..until.max(0) as usize;
            heard
                .get(range)
                .is_some_and(|near| sound::find(near, piece).1 > 0.6)
        });
        found.count()
    };
    (starts.map(whole).max().unwrap_or(0), pieces.len())
}

/// The line's samples for the card: between two of them lies a straight line.
fn at_card_rate(samples: &[i16]) -> Vec<i16> {
    let step = (RATE / LINE_RATE) as i32;
    let pair = |pair: &[i16]| {
        let (from, to) = (i32::from(pair[0]), i32::from(pair[1]));
        (0..step)
            .map(move |n| (from + (to - from) * n / step) as i16)
            .collect::<Vec<_>>()
    };
    samples.windows(2).flat_map(pair).collect()
}

fn write_wav(path: &Path, rate: u32, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
}
