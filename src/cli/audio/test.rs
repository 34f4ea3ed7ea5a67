//! `callbox audio test`: a sweep out of the speaker, and what comes back of it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cards::{Cards, Sides, Which, wait};
use super::plot;
use crate::audio::BUS_RATE;
use crate::audio::probe::{Probe, State, Take};
use crate::audio::sweep::{Heard, Measured, Sweep, Way, measure};
use crate::cli::{Failure, text};
use crate::edge::clock::Stamp;
use crate::edge::sound_test::Report;
use crate::units::tenths;

/// `callbox audio test …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Draw the impulse and the frequency response into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

/// Longest that it takes.
const LIMIT: Duration = Duration::from_secs(15);
/// A card that was late is measured anew, up to so often in all.
const TRIES: u32 = 3;
/// Columns of a value's name.
const NAME: usize = 14;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let cards = arguments.which.find(Sides::Both)?;
    if !arguments.json {
        for line in &cards.lines {
            println!("{line}");
        }
        println!("A sweep is played for two seconds: be quiet.\n");
    }
    let (measured, late) = listen(&cards)?;
    let report = Report::new(Stamp::system(), &measured, &cards.names);
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::svg(&measured, &report))
            .map_err(|e| format!("{}: cannot be written: {e}", path.display()))?;
    }
    if arguments.json {
        println!("{:#}", page(&report, &measured));
    } else {
        print!("{}", words(&report, &measured));
    }
    if late > 0 {
        eprintln!(
            "callbox: the card was late {late} times while it was measured; raise [sound] periods \
             if that is so again"
        );
    }
    if let Some(path) = &cards.report {
        keep(&report, path);
    }
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Measures, and says how often a card was late meanwhile: some of the sound is
/// missing then.
fn listen(cards: &Cards) -> Result<(Measured, u64), Failure> {
    let sweep = Sweep::new(BUS_RATE);
    let mut tried = 0;
    loop {
        let take = Take::new(sweep.samples(), sweep.listen());
        take.begin();
        let mut running = cards
            .start(|mic, speaker| Probe::new(Arc::clone(&take), cards.channel, mic, speaker))?;
        wait(&mut running, LIMIT, || take.state() == State::Over)?;
        let late = running.stats.microphone.xruns() + running.stats.speaker.xruns();
        running.stop();
        tried += 1;
        if late > 0 && tried < TRIES {
            continue;
        }
        let samples = take.heard();
        let heard = Heard {
            samples: &samples,
            clipped: take.clipped(),
            converted_ms: take.converted_ms(),
        };
        return Ok((measure(&sweep, &heard), late));
    }
}

/// For `status` and `doctor`. The folder is the daemon's to make, and its user's.
fn keep(report: &Report, path: &Path) {
    let there = path.parent().is_some_and(Path::is_dir);
    if there && let Err(error) = report.save(path) {
        eprintln!(
            "callbox: {}: the result is not kept: {error}",
            path.display()
        );
    }
}

fn words(report: &Report, measured: &Measured) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        out.push_str(&format!("{name:<NAME$}"));
        text::write_wrapped(&mut out, &value, NAME);
    };
    line(
        "microphone",
        format!(
            "peak {:.1}, rms {:.1} dBFS; {:.1} % at full scale; offset {:.1} %",
            report.peak_dbfs, report.rms_dbfs, report.clipped_percent, report.offset_percent
        ),
    );
    line("noise", format!("{:.1} dBFS", report.noise_dbfs));
    if let Some(way) = &measured.way {
        line("delay", format!("{:.1} ms", way.delay_ms));
        line("echo loss", format!("{:.1} dB", way.loss_db));
        line("distortion", distortion(way));
        let polarity = match way.inverted {
            true => "inverted, which nobody hears of one speaker",
            false => "as it should be",
        };
        line("polarity", polarity.to_owned());
        out.push('\n');
        out.push_str(&plot::impulse(way));
        out.push('\n');
        out.push_str(&plot::response(way));
    }
    out.push('\n');
    if report.passed {
        out.push_str("passed: the microphone hears the speaker, and all is as it should be.\n");
    }
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for found in &report.findings {
        let (on, off) = if colours {
            ("\x1b[33m", "\x1b[0m")
        } else {
            ("", "")
        };
        out.push_str(&format!("{on}{}{off}\n  fix: ", found.what));
        text::write_wrapped(&mut out, &found.fix, 7);
    }
    out
}

fn distortion(way: &Way) -> String {
    match way.distortion {
        Some(share) => format!("{:.1} %", share * 100.0),
        None => "not known: the noise hides it".to_owned(),
    }
}

fn page(report: &Report, measured: &Measured) -> Value {
    let mut page = json!(report);
    if let Some(way) = &measured.way {
        let point = |(hz, db): &(f32, f32)| json!({ "hz": hz.round(), "db": tenths(*db) });
        page["response"] = way.response.iter().map(point).collect();
    }
    page
}
