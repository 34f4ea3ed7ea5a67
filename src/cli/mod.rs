//! The command line: one file a subcommand, all of them thin.
//!
//! Each `run` returns `Ok` with what the exit code is to be, or a message for
//! the person at the terminal, which is printed behind `callbox:`. Exit codes:
//! 0 done, 1 it failed, 2 the arguments were wrong.

mod audio;
mod board;
pub mod calls;
mod card;
mod config;
mod control;
mod demo;
mod doctor;
mod log;
pub mod picture;
mod run;
mod service;
pub mod simulate;
mod text;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::config::File;
use crate::edge::realtime;
use crate::edge::rest::Rest;

/// What a subcommand says when it fails: one line or more for a person.
type Failure = Box<dyn std::error::Error>;

/// A button, a microphone and a speaker made into a telephone intercom.
#[derive(Debug, Parser)]
#[command(name = "callbox", version, about, arg_required_else_help = true)]
struct Arguments {
    /// How much is logged: error, warn (by demo), info (by all others) or debug
    #[arg(long, global = true, env = "CALLBOX_LOG", value_name = "LEVEL")]
    log: Option<log::Level>,
    #[command(subcommand)]
    command: Command,
}

/// Which configuration file.
#[derive(Debug, clap::Args)]
struct ConfigPath {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the intercom: what the service manager starts
    Run(run::Arguments),
    /// Make a whole call on this machine: no hardware, no account
    Demo(demo::Arguments),
    /// Be the telephone service, for tests and for trying things out
    Simulate(Box<simulate::Arguments>),
    /// Press a button of the running intercom from here
    Call(control::CallArguments),
    /// End the call that is up
    Hangup(ConfigPath),
    /// How the running intercom is
    Status(control::StatusArguments),
    /// The records of calls
    Calls(calls::Arguments),
    /// The configuration file: write one, check it, show what it means
    Config(config::Arguments),
    /// The part of a card image that any PC can edit: take it in, report on it
    Card(card::Arguments),
    /// What the service does with calls to this device's number
    Service(service::Arguments),
    /// What is known of boards and sound cards, and which of them this is
    Board(board::Arguments),
    /// The sound cards by themselves: list them, measure, test, record, play
    Audio(audio::Arguments),
    /// Try everything the configuration names, and say what to mend
    Doctor(doctor::Arguments),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The demo tells the story itself.
    let usual = match arguments.command {
        Command::Demo(_) => log::Level::Warn,
        _ => log::Level::Info,
    };
    log::start(arguments.log.unwrap_or(usual));
    let done = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Call(arguments) => control::call(&arguments),
        Command::Hangup(at) => control::hangup(&at),
        Command::Status(arguments) => control::status(&arguments),
        Command::Calls(arguments) => show_calls(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Card(arguments) => card::run(&arguments),
        Command::Service(arguments) => service::run(&arguments),
        Command::Board(arguments) => board::run(&arguments),
        Command::Audio(arguments) => audio::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("callbox: {failure}");
        ExitCode::FAILURE
    })
}

/// The records of the configured database, or of the configured service.
fn show_calls(arguments: &calls::Arguments) -> Result<ExitCode, Failure> {
    let file = crate::config::load(&arguments.config)?;
    let connect = || Ok(Rest::new(file.rest()?, Arc::default())?);
    with_surroundings(&file, |around, out| {
        Ok(calls::run(arguments, around, connect, out)?)
    })
}

/// What `callbox calls` finds on a device with this file, and a terminal.
fn with_surroundings<T>(
    file: &File,
    show: impl FnOnce(calls::Surroundings<'_>, &mut dyn Write) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let stdout = std::io::stdout();
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>();
    let around = calls::Surroundings {
        store: &file.store(),
        buttons: &names(&mut file.buttons.iter().map(|button| &button.name)),
        doors: &names(&mut file.doors.iter().map(|door| &door.name)),
        now: jiff::Timestamp::now().to_zoned(file.timezone()?.into()),
        width: text::terminal_width(&stdout),
        pause: &mut || !realtime::reader_leaves(&stdout, calls::LOOK_EVERY),
    };
    show(around, &mut stdout.lock())
}
