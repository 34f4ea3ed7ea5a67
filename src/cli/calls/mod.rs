//! `callbox calls`: the records of calls, here and at the service.
//!
//! ```text
//!             filters ─┐
//!  calls.db ──Reader──▶├─ list ── table | export ─▶ terminal, programs
//!                      ├─ follow: again after each change
//!                      └─ show ── page
//!  calls.db ◀─Writer─── sync ◀── service ──▶ remote: list, show, export
//! ```
//!
//! Reads the database beside a running daemon; only `sync` writes to it.
//! Telephone numbers are masked unless `--numbers` says otherwise: output is
//! pasted into mails. Words that came from a server are shown without control
//! characters.

mod export;
mod filters;
mod follow;
mod list;
mod page;
mod remote;
mod sync;
mod table;
mod terminal;
mod when;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::edge::rest::Rest;
use crate::edge::store::{self, ReadError, Reader};
use crate::wire::rest::{ApiError, BadQuery};
use filters::Filters;
use remote::Service;

/// How often `--follow` looks at the record.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `callbox calls …`
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The latest calls, the newest first
    List(List),
    /// All that is known of one call
    Show(Show),
    /// All calls, oldest first, for other programs
    Export(Export),
    /// Asks the service for what it knows of ended calls, and writes it down
    Sync(Sync),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filters: Filters,
    /// How many calls; at most 200 with --remote
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How many of the newest to leave out
    #[arg(long, default_value_t = 0)]
    offset: u32,
    /// A JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// A table with a line of names, as spreadsheets read it (RFC 4180)
    #[arg(long)]
    csv: bool,
    /// Whole telephone numbers
    #[arg(long)]
    numbers: bool,
    /// Oldest first, then each new or changed call as it comes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["remote", "offset"])]
    follow: bool,
    /// The service's own list of calls
    #[arg(long)]
    remote: bool,
    /// Only calls a contact rule blocked, or only others
    #[arg(long, requires = "remote", value_name = "true|false")]
    blocked: Option<bool>,
}

#[derive(Debug, Args)]
struct Show {
    /// The start of the id that `list` shows, or of the service's call id; with
    /// --remote the whole call id
    // An id may begin with a hyphen.
    #[arg(allow_hyphen_values = true)]
    id: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Whole telephone numbers
    #[arg(long)]
    numbers: bool,
    /// The service's own record of the call
    #[arg(long)]
    remote: bool,
    /// Draw the call into this file, an SVG that any browser shows
    #[arg(long, value_name = "FILE", conflicts_with_all = ["remote", "json"])]
    picture: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    filters: Filters,
    /// A JSON object a line; this is the default
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// A table with a line of names, as spreadsheets read it (RFC 4180)
    #[arg(long)]
    csv: bool,
    /// Whole telephone numbers
    #[arg(long)]
    numbers: bool,
    /// The service's own list of calls, newest first
    #[arg(long)]
    remote: bool,
    /// How many of the service's calls; all of them by default
    #[arg(long, requires = "remote", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// How many of the service's newest to leave out
    #[arg(long, requires = "remote", default_value_t = 0)]
    offset: u32,
    /// Only calls a contact rule blocked, or only others
    #[arg(long, requires = "remote", value_name = "true|false")]
    blocked: Option<bool>,
}

#[derive(Debug, Args)]
struct Sync {
    /// How many calls to ask about at most, the newest first
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The service did not answer as hoped.
    #[error(transparent)]
    Service(#[from] ApiError),
    /// The service does not take such a question.
    #[error(transparent)]
    Query(#[from] BadQuery),
    /// No call has this id.
    #[error("no call on record begins with {0:?}: `callbox calls list` shows the ids")]
    Unknown(String),
    /// More than one call has it.
    #[error("{start:?} fits more than one call: {}", .ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        start: String,
        /// What it fits.
        ids: Vec<String>,
    },
    /// The picture cannot be written.
    #[error("the picture cannot be written to {}: {error}", path.display())]
    Picture {
        /// The file that was named.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No button has this name.
    #[error("there is no button {name:?}; there is {}, or write its place, from 0", .buttons.join(", "))]
    NoButton {
        /// What was asked for.
        name: String,
        /// The names of the configuration.
        buttons: Vec<String>,
    },
    /// No call of the service can have this id.
    #[error(
        "{0:?} is not a call id of the service: with --remote write the whole id, as \
         `callbox calls list --remote` shows it"
    )]
    BadCallId(String),
    /// The service did not say all that was asked for.
    #[error("{calls} calls still wait for the service's word: {error}")]
    Unanswered {
        /// How many.
        calls: usize,
        /// What went wrong last.
        error: ApiError,
    },
    /// The service's client cannot be made from the configuration.
    #[error("{0}")]
    Setup(Box<dyn std::error::Error>),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// What `callbox calls` finds where it is started.
pub struct Surroundings<'a> {
    /// The record.
    pub store: &'a store::Config,
    /// Names of the buttons, in the order of the configuration.
    pub buttons: &'a [String],
    /// Names of the doors, in the order of the configuration.
    pub doors: &'a [String],
    /// The time, in the zone that times are read and shown in.
    pub now: Zoned,
    /// Characters in a line of the terminal.
    pub width: usize,
    /// Waits until it is worth another look at the record; `false` when nobody
    /// reads the output any more.
    pub pause: &'a mut dyn FnMut() -> bool,
}

/// How a record is shown.
struct Manner<'a> {
    buttons: &'a [String],
    doors: &'a [String],
    zone: &'a TimeZone,
    width: usize,
    numbers: bool,
}

impl Surroundings<'_> {
    fn manner(&self, numbers: bool) -> Manner<'_> {
        Manner {
            buttons: self.buttons,
            doors: self.doors,
            zone: self.now.time_zone(),
            width: self.width,
            numbers,
        }
    }
}

/// Shows the call of this token on `out`, and draws it into `picture`: for
/// whoever has just made it.
pub(super) fn tell(
    token: &str,
    around: &Surroundings<'_>,
    picture: &Path,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let reader = Reader::open(&around.store.path)?;
    page::tell(token, &reader, around, picture, out)
}

/// Shows what `arguments` asks for on `out`: from the record, or with
/// `--remote` from the service, which `connect` makes a client for. A reader
/// that has seen enough (`| head`) is no failure.
///
/// # Errors
/// In words for the person at the terminal.
pub fn run(
    arguments: &Arguments,
    mut around: Surroundings<'_>,
    connect: impl FnOnce() -> Result<Rest, Box<dyn std::error::Error>>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let service = || Service::start(connect);
    let reader = || Reader::open(&around.store.path);
    let width = around.width;
    let shown = match &arguments.what {
        What::List(list) if list.remote => remote::list(list, &service()?, width, out),
        What::List(list) if list.follow => follow::list(list, &reader()?, &mut around, out),
        What::List(list) => list::list(list, &reader()?, &around, out),
        What::Show(show) if show.remote => remote::show(show, &service()?, out),
        What::Show(show) => page::show(show, &reader()?, &around, out),
        What::Export(export) if export.remote => remote::export(export, &service()?, out),
        What::Export(export) => list::export(export, &reader()?, &around, out),
        What::Sync(sync) => sync::run(sync, &reader()?, around.store, service, out),
    };
    match shown.and_then(|()| Ok(out.flush()?)) {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}
