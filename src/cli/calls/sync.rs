//! `callbox calls sync`: what the service knows of ended calls is written down.
//!
//! The daemon does the same for calls, a few at a time; this asks about all of
//! them at once, and for transcripts. What was learned is written as it comes:
//! a line that breaks in the middle loses nothing.

use std::io::Write;

use super::remote::Service;
use super::{Failure, Sync};
use crate::edge::store::{
    Config, Query, Reader, Reconciled, Row, Update, Writer, is_hopeless, look_up, transcript,
};
use crate::wire::rest::ApiError;

/// Calls between two writes.
const BATCH: usize = 20;

pub(super) fn run(
    sync: &Sync,
    reader: &Reader,
    config: &Config,
    service: impl FnOnce() -> Result<Service, Failure>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let limit = sync.limit;
    let rows = reader.rows(&Query::Unreconciled { limit })?;
    let nothing = rows.is_empty() && reader.rows(&Query::Untranscribed { limit })?.is_empty();
    if nothing {
        return Ok(writeln!(
            out,
            "the service has said all it knows of these calls"
        )?);
    }
    let mut writer = Writer::open(config)?;
    let service = service()?;
    look_all_up(&rows, &service, &mut writer, out)?;
    let rows = reader.rows(&Query::Untranscribed { limit })?;
    fetch_transcripts(&rows, &service, &mut writer, out)
}

fn look_all_up(
    rows: &[Row],
    service: &Service,
    writer: &mut Writer,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (mut done, mut absent, mut up) = (0, 0, 0);
    for (asked, batch) in rows.chunks(BATCH).enumerate() {
        let told = service.wait(look_up(&service.rest, batch));
        for change in &told.changes {
            match change.reconciled {
                Some(Reconciled::Done) => done += 1,
                Some(Reconciled::Absent) => absent += 1,
                _ => up += 1,
            }
        }
        let changes: Vec<_> = told.changes.into_iter().map(Update::record).collect();
        writer.write(&changes)?;
        if let Some(error) = told.error {
            let later = rows.len() - (asked * BATCH + batch.len());
            let calls = told.unanswered + later;
            return Err(Failure::Unanswered { calls, error });
        }
    }
    Ok(writeln!(
        out,
        "{} calls asked for: {done} brought up to date, {absent} not known to the service, \
         {up} still up",
        rows.len(),
    )?)
}

fn fetch_transcripts(
    rows: &[Row],
    service: &Service,
    writer: &mut Writer,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (mut calls, mut lines, mut failed) = (0, 0, Vec::new());
    for (asked, row) in rows.iter().enumerate() {
        match service.wait(transcript(&service.rest, row)) {
            Ok(said) => {
                writer.write(&said.updates)?;
                calls += usize::from(said.lines > 0);
                lines += said.lines;
            }
            Err(ApiError::Unsupported) => {
                return Ok(writeln!(out, "the service keeps no transcripts")?);
            }
            Err(error) if is_hopeless(&error) => {
                let calls = rows.len() - asked;
                return Err(Failure::Unanswered { calls, error });
            }
            Err(error) => failed.push(error),
        }
    }
    writeln!(out, "transcripts of {calls} calls fetched, {lines} lines")?;
    let calls = failed.len();
    match failed.pop() {
        None => Ok(()),
        Some(error) => Err(Failure::Unanswered { calls, error }),
    }
}
