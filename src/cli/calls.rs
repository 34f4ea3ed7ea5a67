//! `callbox calls`: the records of calls, here and at the service.
//!
//! Reads the database beside a running daemon and never writes to it.
//! Telephone numbers are masked unless `--numbers` says otherwise: output is
//! pasted into mails. Words that came from a server are shown without control
//! characters.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::edge::clock::Stamp;
use crate::edge::rest::Rest;
use crate::edge::store::{Query, ReadError, Reader, Row};
use crate::units::{CallId, E164};
use crate::wire::rest::{ApiError, BadQuery, Call, CallPage, ListQuery};

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
}

#[derive(Debug, Args)]
struct List {
    /// How many calls; at most 200 with --remote
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How many of the newest to leave out
    #[arg(long, default_value_t = 0)]
    offset: u32,
    /// One JSON array
    #[arg(long)]
    json: bool,
    /// Whole telephone numbers
    #[arg(long)]
    numbers: bool,
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
}

#[derive(Debug, Args)]
struct Export {
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
    /// No call of the service can have this id.
    #[error(
        "{0:?} is not a call id of the service: with --remote write the whole id, as \
         `callbox calls list --remote` shows it"
    )]
    BadCallId(String),
    /// The service's client cannot be made from the configuration.
    #[error("{0}")]
    Setup(Box<dyn std::error::Error>),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Shows what `arguments` asks for on `out`: from the record at `database`, or
/// with `--remote` from the service, which `connect` makes a client for. A
/// reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// In words for the person at the terminal.
pub fn run(
    arguments: &Arguments,
    database: &Path,
    connect: impl FnOnce() -> Result<Rest, Box<dyn std::error::Error>>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let service = || Service::start(connect);
    let shown = match &arguments.what {
        What::List(list) if list.remote => list_remote(list, &service()?, out),
        What::List(list) => list_local(list, &Reader::open(database)?, out),
        What::Show(show) if show.remote => show_remote(show, &service()?, out),
        What::Show(show) => show_local(show, &Reader::open(database)?, out),
        What::Export(export) if export.remote => export_remote(export, &service()?, out),
        What::Export(export) => export_local(export, &Reader::open(database)?, out),
    };
    match shown.and_then(|()| Ok(out.flush()?)) {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_local(list: &List, reader: &Reader, out: &mut dyn Write) -> Result<(), Failure> {
    let List { limit, offset, .. } = *list;
    let rows = reader.rows(&Query::Latest { limit, offset })?;
    if list.json {
        let rows = rows.iter().map(|row| row.facts(list.numbers));
        return json_array(rows, out);
    }
    if rows.is_empty() {
        return Ok(writeln!(out, "{}", none_left(offset))?);
    }
    let lines: Vec<_> = rows
        .iter()
        .map(|row| local_line(row, list.numbers))
        .collect();
    table(
        ["ID", "PRESSED (UTC)", "BTN", "TO", "STATUS", "TALK", "WHY"],
        &lines,
        out,
    )
}

fn list_remote(list: &List, service: &Service, out: &mut dyn Write) -> Result<(), Failure> {
    let page = service.list(list.limit, list.offset, list.blocked)?;
    if list.json {
        let calls = page.calls.iter().map(|call| call_facts(call, list.numbers));
        json_array(calls, out)?;
    } else if page.calls.is_empty() {
        writeln!(out, "{}", none_left(list.offset))?;
    } else {
        let lines: Vec<_> = page
            .calls
            .iter()
            .map(|call| remote_line(call, list.numbers))
            .collect();
        table(["ID", "CREATED (UTC)", "WITH", "STATUS"], &lines, out)?;
    }
    warn_of_unreadable(&page);
    Ok(())
}

/// Said beside the output, which may go to another program.
fn warn_of_unreadable(page: &CallPage) {
    if page.unreadable > 0 {
        tracing::warn!(
            calls = page.unreadable,
            "calls of the service's list cannot be read; update callbox"
        );
    }
}

fn none_left(offset: u32) -> &'static str {
    if offset == 0 {
        "no calls on record"
    } else {
        "no calls beyond this offset"
    }
}

fn show_local(show: &Show, reader: &Reader, out: &mut dyn Write) -> Result<(), Failure> {
    let mut rows = match show.id.as_str() {
        "" => Vec::new(),
        start => reader.rows(&Query::Find(start.into()))?,
    };
    let row = match (rows.pop(), rows.is_empty()) {
        (None, _) => return Err(Failure::Unknown(show.id.clone())),
        (Some(row), true) => row,
        (Some(row), false) => {
            rows.push(row);
            let start = show.id.clone();
            let ids = rows
                .iter()
                .map(|row| row.short_token().to_owned())
                .collect();
            return Err(Failure::Ambiguous { start, ids });
        }
    };
    show_facts(&row.facts(show.numbers), show.json, out)
}

fn show_remote(show: &Show, service: &Service, out: &mut dyn Write) -> Result<(), Failure> {
    let id = CallId::parse(&show.id).ok_or_else(|| Failure::BadCallId(show.id.clone()))?;
    let call = service.get(&id)?;
    show_facts(&call_facts(&call, show.numbers), show.json, out)
}

pub(super) fn show_facts(
    facts: &Map<String, Value>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json {
        serde_json::to_writer_pretty(&mut *out, facts).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    let width = facts.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in facts {
        let name = name.replace('_', " ");
        writeln!(out, "{name:width$}  {}", plain(value, "not known"))?;
    }
    Ok(())
}

fn export_local(export: &Export, reader: &Reader, out: &mut dyn Write) -> Result<(), Failure> {
    let columns = Row::default().facts(false);
    let mut exported = Exported::begin(export.csv, columns.keys().map(String::as_str), out)?;
    reader.each(|row| exported.write(&row.facts(export.numbers)))?
}

fn export_remote(export: &Export, service: &Service, out: &mut dyn Write) -> Result<(), Failure> {
    const PAGE: u32 = 200;
    let mut exported = Exported::begin(export.csv, CALL_FIELDS.into_iter(), out)?;
    let mut left = export.limit.unwrap_or(u32::MAX);
    let mut offset = export.offset;
    while left > 0 {
        let limit = left.min(PAGE);
        let page = service.list(limit, offset, export.blocked)?;
        for call in &page.calls {
            exported.write(&call_facts(call, export.numbers))?;
        }
        warn_of_unreadable(&page);
        let listed = page.calls.len() + page.unreadable;
        if listed < limit as usize {
            break;
        }
        left -= limit;
        offset = offset.saturating_add(limit);
    }
    Ok(())
}

/// The documented fields of a call at the service: the columns of its CSV.
const CALL_FIELDS: [&str; 14] = [
    "id",
    "local_phone_number",
    "remote_phone_number",
    "direction",
    "status",
    "client_websocket_url",
    "use_inkbox_tts",
    "use_inkbox_stt",
    "hangup_reason",
    "started_at",
    "ended_at",
    "is_blocked",
    "created_at",
    "updated_at",
];

/// Writes facts for other programs: a JSON object a line, or CSV.
struct Exported<'a> {
    /// The columns of the CSV; `None` is JSON.
    columns: Option<Vec<String>>,
    out: &'a mut dyn Write,
}

impl<'a> Exported<'a> {
    fn begin<'c>(
        csv: bool,
        columns: impl Iterator<Item = &'c str>,
        out: &'a mut dyn Write,
    ) -> Result<Self, Failure> {
        let columns = csv.then(|| columns.map(str::to_owned).collect::<Vec<_>>());
        if let Some(columns) = &columns {
            write!(out, "{}\r\n", columns.join(","))?;
        }
        Ok(Self { columns, out })
    }

    fn write(&mut self, facts: &Map<String, Value>) -> Result<(), Failure> {
        match &self.columns {
            None => {
                serde_json::to_writer(&mut *self.out, facts).map_err(io::Error::from)?;
                writeln!(self.out)?;
            }
            Some(columns) => {
                let fields = columns
                    .iter()
                    .map(|name| facts.get(name).map_or_else(String::new, csv));
                write!(self.out, "{}\r\n", fields.collect::<Vec<_>>().join(","))?;
            }
        }
        Ok(())
    }
}

/// A field of a CSV line (RFC 4180 §2).
fn csv(value: &Value) -> String {
    let text = plain(value, "");
    if text.contains(['"', ',']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn json_array(
    all: impl Iterator<Item = Map<String, Value>>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let all: Value = all.map(Value::Object).collect();
    serde_json::to_writer_pretty(&mut *out, &all).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// A value as text on one line, without what would steer a terminal.
fn plain(value: &Value, missing: &str) -> String {
    match value {
        Value::Null => missing.to_owned(),
        Value::String(text) => harmless(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The facts of a call at the service, in the order of its document.
fn call_facts(call: &Call, numbers: bool) -> Map<String, Value> {
    let Ok(Value::Object(mut facts)) = serde_json::to_value(call) else {
        unreachable!("a call came from a JSON object");
    };
    for name in ["local_phone_number", "remote_phone_number"] {
        if let (Some(Value::String(number)), false) = (facts.get_mut(name), numbers) {
            *number = masked(number);
        }
    }
    facts
}

fn masked(number: &str) -> String {
    E164::parse(number).map_or_else(|_| "…".to_owned(), |number| number.to_string())
}

/// The width that every terminal has.
const TERMINAL: usize = 80;

/// The last column is cut to the terminal, but never below this.
const LAST_LEAST: usize = 12;

/// Writes `lines` in columns below `names`; the last column is cut to fit.
fn table<const N: usize>(
    names: [&str; N],
    lines: &[[String; N]],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let width = |at: usize| {
        let cells = lines.iter().map(|line| line[at].chars().count());
        cells.max().unwrap_or(0).max(names[at].len())
    };
    let widths: Vec<usize> = (0..N - 1).map(width).collect();
    let used: usize = widths.iter().map(|width| width + 2).sum();
    let last = TERMINAL.saturating_sub(used).max(LAST_LEAST);
    let names = names.map(str::to_owned);
    for line in std::iter::once(&names).chain(lines) {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text += &format!("{cell:width$}  ");
        }
        text += &cut(&line[N - 1], last);
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 1).collect();
    kept + "…"
}

fn local_line(row: &Row, numbers: bool) -> [String; 7] {
    let words = |text: &Option<String>| text.as_deref().map(harmless);
    let number = row.to_number.as_ref().map(|number| match numbers {
        true => number.as_str().to_owned(),
        false => number.to_string(),
    });
    let reasons = [
        &row.service_hangup_reason,
        &row.local_reason,
        &row.http_error,
    ];
    [
        row.short_token().to_owned(),
        row.pressed_at.map_or_else(unknown, |at| {
            let doubt = if row.clock_trusted == Some(true) {
                ""
            } else {
                "?"
            };
            format!("{}{doubt}", minute(&at.to_string()))
        }),
        row.button.map_or_else(unknown, |button| button.to_string()),
        number.unwrap_or_else(unknown),
        words(&row.service_status).unwrap_or_else(|| local_status(row).to_owned()),
        row.talk_ms.map_or_else(unknown, |ms| duration(ms.into())),
        reasons.into_iter().find_map(words).unwrap_or_else(unknown),
    ]
}

/// What to call an attempt of which the service has said nothing.
fn local_status(row: &Row) -> &'static str {
    match row.http_status {
        _ if row.closed != Some(true) => "open",
        Some(400..) => "refused",
        _ if row.sent_at.is_none() => "not sent",
        _ => "unknown",
    }
}

fn remote_line(call: &Call, numbers: bool) -> [String; 4] {
    let arrow = match call.direction.as_str() {
        "outbound" => "to ",
        "inbound" => "from ",
        _ => "",
    };
    let number = call
        .remote_phone_number
        .as_deref()
        .map(|number| match numbers {
            true => harmless(number),
            false => masked(number),
        });
    let made = call.created_at.as_ref();
    let made = made.and_then(|made| Some(Stamp::from(made.at()?).to_string()));
    let mut status = call.status.to_string();
    if let Some(reason) = &call.hangup_reason {
        status += &format!(", {reason}");
    }
    [
        call.id.to_string(),
        made.map_or_else(unknown, |made| minute(&made)[2..].to_owned()),
        format!("{arrow}{}", number.unwrap_or_else(unknown)),
        harmless(&status),
    ]
}

fn unknown() -> String {
    "-".to_owned()
}

/// `2026-11-22 14:49` of an RFC 3339 stamp.
fn minute(stamp: &str) -> String {
    stamp[..16].replace('T', " ")
}

/// Minutes and seconds.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The service, asked from a thread that waits.
struct Service {
    rest: Rest,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start(
        connect: impl FnOnce() -> Result<Rest, Box<dyn std::error::Error>>,
    ) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Setup(error.into()))?;
        let rest = connect().map_err(Failure::Setup)?;
        Ok(Self { rest, runtime })
    }

    fn list(&self, limit: u32, offset: u32, blocked: Option<bool>) -> Result<CallPage, Failure> {
        let query = ListQuery::new(limit, offset, blocked)?;
        Ok(self.runtime.block_on(self.rest.list(&query))?)
    }

    fn get(&self, id: &CallId) -> Result<Call, Failure> {
        Ok(self.runtime.block_on(self.rest.get(id))?)
    }
}
