//! `callbox audio play`: a WAV file out of the speaker.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::cards::{Sides, Which, wait};
use crate::audio::BUS_RATE;
use crate::audio::probe::{Probe, State, Take};
use crate::cli::Failure;
use crate::edge::recording;

/// `callbox audio play …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A WAV file of at most two minutes
    file: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Seconds of a file at most: enough to walk to the speaker and back.
const SECONDS_MAX: usize = 120;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.file.display();
    let samples =
        recording::read(&arguments.file, SECONDS_MAX).map_err(|fault| format!("{path} {fault}"))?;
    let cards = arguments.which.find(Sides::Speaker)?;
    for line in &cards.lines {
        println!("{line}");
    }
    let seconds = samples.len().div_ceil(BUS_RATE as usize);
    println!("Playing {path}, {seconds} s.");
    let take = Take::new(&samples, 0);
    take.begin();
    let mut running =
        cards.start(|mic, speaker| Probe::new(Arc::clone(&take), cards.channel, mic, speaker))?;
    let limit = Duration::from_secs(seconds as u64 + 10);
    let ended = wait(&mut running, limit, || take.state() == State::Over);
    // What the card still holds is heard.
    std::thread::sleep(running.stats.speaker.delay());
    running.stop();
    ended?;
    Ok(ExitCode::SUCCESS)
}
