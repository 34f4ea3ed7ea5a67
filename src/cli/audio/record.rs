//! `callbox audio record`: the microphone as the engine hears it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::cards::{Sides, Which, wait};
use crate::audio::BUS_RATE;
use crate::audio::probe::{Probe, State, Take};
use crate::cli::Failure;
use crate::edge::recording;

/// `callbox audio record …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file that is written
    file: PathBuf,
    /// For how long, 1 to 600
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.file.display();
    let unwritten = |error: &dyn std::fmt::Display| format!("{path}: cannot be written: {error}");
    let cards = arguments.which.find(Sides::Microphone)?;
    // Before anybody has spoken for nothing; a card that is not there costs no
    // file.
    recording::write(&arguments.file, &[]).map_err(|e| unwritten(&e))?;
    for line in &cards.lines {
        println!("{line}");
    }
    println!("Recording for {} s.", arguments.seconds);
    let take = Take::new(&[], arguments.seconds as usize * BUS_RATE as usize);
    take.begin();
    let mut running =
        cards.start(|mic, speaker| Probe::new(Arc::clone(&take), cards.channel, mic, speaker))?;
    let limit = Duration::from_secs(arguments.seconds + 10);
    let ended = wait(&mut running, limit, || take.state() == State::Over);
    running.stop();
    // A card that was pulled out leaves what it brought.
    let samples = take.heard();
    recording::write(&arguments.file, &samples).map_err(|e| unwritten(&e))?;
    ended?;
    let seconds = samples.len() / BUS_RATE as usize;
    println!("{path}: {seconds} s, 16 kHz, one channel");
    if take.clipped() > 1.0 {
        println!("It clips: lower the microphone's capture volume (alsamixer, F4).");
    }
    Ok(ExitCode::SUCCESS)
}
