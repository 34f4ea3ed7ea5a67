//! The service's own records of calls.

use std::io::Write;

use serde_json::{Map, Value};

use super::export::Exported;
use super::list::unknown;
use super::page::show_facts;
use super::table::{Column, Layout};
use super::terminal::harmless;
use super::{Export, Failure, List, Show};
use crate::edge::clock::Stamp;
use crate::edge::rest::Rest;
use crate::units::{CallId, E164};
use crate::wire::rest::{Call, CallPage, ListQuery};

const COLUMNS: [Column; 4] = {
    const fn column(name: &'static str, rank: u8) -> Column {
        Column {
            name,
            usual: 0,
            rank,
        }
    }
    [
        column("ID", 0),
        column("CREATED (UTC)", 2),
        column("WITH", 3),
        column("STATUS", 1),
    ]
};

pub(super) fn list(
    list: &List,
    service: &Service,
    width: usize,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let page = service.list(list.limit, list.offset, list.blocked)?;
    if list.json || list.csv {
        write_all(&page, list.csv, list.numbers, out)?;
    } else if page.calls.is_empty() {
        writeln!(out, "{}", none_left(list.offset))?;
    } else {
        let lines: Vec<_> = page
            .calls
            .iter()
            .map(|call| cells(call, list.numbers))
            .collect();
        let layout = Layout::fit(&COLUMNS, &lines, false, width);
        writeln!(out, "{}", layout.line(&COLUMNS.map(|column| column.name)))?;
        for line in &lines {
            writeln!(out, "{}", layout.line(line))?;
        }
    }
    warn_of_unreadable(&page);
    Ok(())
}

fn write_all(
    page: &CallPage,
    csv: bool,
    numbers: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let exported = Exported::begin(csv, CALL_FIELDS.into_iter(), out)?;
    for call in &page.calls {
        write!(out, "{}", exported.line(&facts(call, numbers))?)?;
    }
    Ok(())
}

fn none_left(offset: u32) -> &'static str {
    match offset {
        0 => "no calls on record",
        _ => "no calls beyond this offset",
    }
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

pub(super) fn show(show: &Show, service: &Service, out: &mut dyn Write) -> Result<(), Failure> {
    let id = CallId::parse(&show.id).ok_or_else(|| Failure::BadCallId(show.id.clone()))?;
    let call = service.wait(service.rest.get(&id))?;
    show_facts(&facts(&call, show.numbers), show.json, out)
}

pub(super) fn export(
    export: &Export,
    service: &Service,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    const PAGE: u32 = 200;
    let exported = Exported::begin(export.csv, CALL_FIELDS.into_iter(), out)?;
    let mut left = export.limit.unwrap_or(u32::MAX);
    let mut offset = export.offset;
    while left > 0 {
        let limit = left.min(PAGE);
        let page = service.list(limit, offset, export.blocked)?;
        for call in &page.calls {
            write!(out, "{}", exported.line(&facts(call, export.numbers))?)?;
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

/// The facts of a call at the service, in the order of its document.
fn facts(call: &Call, numbers: bool) -> Map<String, Value> {
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

fn cells(call: &Call, numbers: bool) -> [String; 4] {
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

/// `2026-11-22 14:49` of an RFC 3339 stamp.
fn minute(stamp: &str) -> String {
    stamp[..16].replace('T', " ")
}

/// The service, asked from a thread that waits.
pub(super) struct Service {
    pub(super) rest: Rest,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    pub(super) fn start(
        connect: impl FnOnce() -> Result<Rest, Box<dyn std::error::Error>>,
    ) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Setup(error.into()))?;
        let rest = connect().map_err(Failure::Setup)?;
        Ok(Self { rest, runtime })
    }

    /// Waits for an answer.
    pub(super) fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    fn list(&self, limit: u32, offset: u32, blocked: Option<bool>) -> Result<CallPage, Failure> {
        let query = ListQuery::new(limit, offset, blocked)?;
        Ok(self.wait(self.rest.list(&query))?)
    }
}
