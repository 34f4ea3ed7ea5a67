//! `callbox audio`: the sound cards by themselves, without a call.
//!
//! ```text
//!  list                 the cards that are there, and what to write for each
//!  meter                the microphone's level, as it changes
//!  test                 plays a sweep, hears it again, says what is wrong
//!  record FILE          the microphone as the engine hears it, into a WAV file
//!  play FILE            a WAV file out of the speaker
//! ```
//!
//! All but `list` open the cards that the configuration names, by the road that
//! calls take. A running callbox has them: it is stopped first, or tests itself
//! (`[sound] self_test`).

mod cards;
mod list;
mod meter;
mod play;
mod plot;
mod record;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

/// `callbox audio …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The sound cards that are there, what they can do, and what to write for each
    List,
    /// Show the microphone's level, as it changes
    Meter(meter::Arguments),
    /// Play a sweep, hear it again, and say what is wrong between speaker and microphone
    Test(test::Arguments),
    /// Record the microphone as calls hear it: WAV, 16 kHz, one channel
    Record(record::Arguments),
    /// Play a WAV file
    Play(play::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::List => Ok(list::run()),
        What::Meter(arguments) => meter::run(arguments),
        What::Test(arguments) => test::run(arguments),
        What::Record(arguments) => record::run(arguments),
        What::Play(arguments) => play::run(arguments),
    }
}
