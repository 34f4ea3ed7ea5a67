//! Two people talk: from the press to the end, and how it sounds.

use std::fs;
use std::path::Path;
use std::process::Command;

use callbox::simulator::{Says, What, speech};

use crate::far_end::{says, service_with, talks};
use crate::kit::{Board, Device, Installed, RATE, STATUS};
use crate::sound::{self, LINE_RATE};

/// Words of each side.
const WORDS: usize = 4;

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
    let up = far.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    let call = far.call();

    // One after the other, since the device lets one side speak at a time.
    let mut heard = 0;
    for _ in 0..WORDS {
        heard = device.hears_after(heard) + LINE_RATE as usize / 2;
    }
    let (guest, ours, off) = board.clock();
    // A moment of ours, in seconds of the guest.
    let there = |at: std::time::Instant| {
        let before = ours
            .checked_duration_since(at)
            .map_or(0.0, |d| -d.as_secs_f64());
        guest
            + before
            + at.checked_duration_since(ours)
                .map_or(0.0, |d| d.as_secs_f64())
    };
    let ear = Ear::of(&device.heard());
    let played = device.ear_began() + ear.first;
    let spoken = there(far.began + up.at) + sound::PAUSE;
    let to_visitor = played - spoken;
    ear.report("callee → visitor", to_visitor, off.as_secs_f64());

    let words = sound::words(sound::VISITORS_PAUSE, RATE);
    let spoken = device.speak(&words.repeat(WORDS)) + sound::VISITORS_PAUSE;
    device.spoken();
    let answered = far.wait_status(callbox::simulator::Status::Answered).at;
    let since = far.handle.heard(&call.id).unwrap().len();
    crate::far_end::poll(
        || (far.handle.heard(&call.id)?.len() > since + LINE_RATE as usize).then_some(()),
        || "the call does not go on".to_owned(),
    );
    let ear = Ear::of(&far.handle.heard(&call.id).unwrap());
    let to_callee = there(far.began + answered) + ear.first - spoken;
    ear.report("visitor → callee", to_callee, off.as_secs_f64());

    let status = device.status();
    println!(
        "xruns {} + {}, playout {}, priority {}",
        status["microphone"]["xruns"],
        status["speaker"]["xruns"],
        status["playout"]["delay_ms"],
        status["priority"]
    );
    assert_eq!(status["priority"], "real time");
    assert!(far.handle.hang_up(&call.id));
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
    /// When the first of them came, in seconds.
    first: f64,
    words: usize,
    /// Against the mouth.
    level_db: f64,
}

impl Ear {
    fn of(heard: &[i16]) -> Self {
        let words = sound::chirp(LINE_RATE);
        let places = sound::find_all(heard, &words);
        let first = *places.first().expect("it was heard");
        let energy = |some: &[i16]| some.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let own = energy(&words);
        let level = |at: &usize| 10.0 * (energy(&heard[*at..at + words.len()]) / own).log10();
        Self {
            first: first as f64 / f64::from(LINE_RATE),
            words: places.len(),
            level_db: places.iter().map(level).sum::<f64>() / places.len() as f64,
        }
    }

    /// Says how it was, and fails the story where a person would complain.
    #[track_caller]
    fn report(&self, who: &str, delay: f64, off: f64) {
        println!(
            "{who}: {:.0} ms (± {:.0}), {:+.1} dB, {} of {WORDS} words whole",
            delay * 1e3,
            off * 1e3,
            self.level_db,
            self.words
        );
        assert_eq!(self.words, WORDS, "{who}: words are missing");
        assert!(self.level_db.abs() < 3.0, "{who}: {} dB", self.level_db);
        assert!((-0.05..0.5).contains(&delay), "{who}: {delay} s");
    }
}

/// Leaves what each heard in a folder it names; `CALLBOX_PESQ` is a Python with
/// numpy and pesq, which then tells how good that is.
#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn speech_arrives_as_speech() {
    let board = Board::take();
    let far = board.service(service_with(says(Says::Speech(speech::callee().into()))));
    let mut device = Device::start(&board, &Installed::plain(&far));
    device.press();
    device.says("answered");
    let call = far.call().id;
    let said = speech::callee();
    // The callee has said it all, and it has been played.
    let up = far.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    let until = up.at + sound::length(said.len()) + std::time::Duration::from_secs(1);
    crate::far_end::poll(
        || (far.began.elapsed() > until).then_some(()),
        || "time stands still".to_owned(),
    );
    device.speak(&at_card_rate(&speech::visitor()));
    device.spoken();
    let spoken = far.handle.heard(&call).unwrap().len();
    crate::far_end::poll(
        || (far.handle.heard(&call)?.len() > spoken + LINE_RATE as usize).then_some(()),
        || "the call does not go on".to_owned(),
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("board-speech");
    fs::create_dir_all(&folder).unwrap();
    let heard = far.handle.heard(&call).unwrap();
    far.handle
        .save_heard(&call, &folder.join("callee-heard.wav"))
        .unwrap();
    write_wav(
        &folder.join("visitor-heard.wav"),
        RATE,
        &device.heard_by_the_card(),
    );
    assert!(far.handle.hang_up(&call));
    device.record(0);

    for (who, said, heard) in [
        ("the visitor", speech::visitor(), heard),
        ("the callee", said, device.heard()),
    ] {
        let (whole, pieces) = arrived(&said, &heard);
        println!("of {who}'s speech {whole} of {pieces} tenths of a second arrived");
        assert!(whole * 10 >= pieces * 9, "{who} was cut to pieces");
    }
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

/// Of the tenths of a second in which `said` is loud, how many are found in
/// `heard` at the right place, give or take what playout may shift; and of how
/// many.
fn arrived(said: &[i16], heard: &[i16]) -> (usize, usize) {
    let tenth = LINE_RATE as usize / 10;
    let loud = |piece: &&(usize, &[i16])| piece.1.iter().any(|sample| sample.unsigned_abs() > 2000);
    let pieces: Vec<_> = said.chunks_exact(tenth).enumerate().collect();
    let pieces: Vec<_> = pieces.iter().filter(loud).collect();
    // Where all of it is: where half a second of its middle is.
    let middle = pieces[pieces.len() / 2].0 * tenth;
    let (at, _) = sound::find(heard, &said[middle..middle + 5 * tenth]);
    let start = at as i64 - middle as i64;
    let slack = tenth as i64;
    let whole = pieces.iter().filter(|(nth, piece)| {
        let from = start + (nth * tenth) as i64 - slack;
        let until = from + 3 * slack;
        let range = from.max(0) as usize..until.max(0) as usize;
        heard
            .get(range)
            .is_some_and(|near| sound::find(near, piece).1 > 0.6)
    });
    (whole.count(), pieces.len())
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
