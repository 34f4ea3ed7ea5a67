//! Calls on record, a line each: for people and for programs.

use std::collections::BTreeMap;
use std::io::Write;

use super::export::Exported;
use super::table::{Column, Layout};
use super::terminal::{cut, harmless};
use super::{Export, Failure, List, Manner, Surroundings};
use crate::edge::clock::Stamp;
use crate::edge::store::{Direction, Filter, Reader, Row};
use crate::units::E164;

const COLUMNS: [Column; 8] = {
    const fn column(name: &'static str, usual: usize, rank: u8) -> Column {
        Column { name, usual, rank }
    }
    [
        column("ID", 8, 0),
        column("PRESSED", 17, 0),
        column("BUTTON", 6, 4),
        column("WITH", 10, 2),
        column("TRY", 5, 5),
        column("OUTCOME", 11, 0),
        column("TALK", 5, 3),
        column("WHY", 11, 1),
    ]
};

/// Cells of a whole number with what stands before it.
const WHOLE_NUMBER: usize = "from +123456789012345".len();

/// Cells of a button's name; more would leave no room for the rest.
const NAME_MAX: usize = 12;

/// `callbox calls list`
pub(super) fn list(
    list: &List,
    reader: &Reader,
    around: &Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let filter = list.filters.filter(&around.now, around.buttons)?;
    let rows = reader.matching(&filter, list.limit, list.offset)?;
    if list.json || list.csv {
        let exported = Exported::begin(list.csv, columns(), out)?;
        for row in &rows {
            write!(out, "{}", exported.line(&row.facts(list.numbers))?)?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        return Ok(writeln!(out, "{}", none_left(&filter, list.offset))?);
    }
    let manner = around.manner(list.numbers);
    let tries = Tries::of(&rows);
    let lines: Vec<_> = rows
        .iter()
        .map(|row| cells(row, &manner, tries.of_row(row)))
        .collect();
    let layout = Layout::fit(&COLUMNS, &lines, false, around.width);
    writeln!(out, "{}", layout.line(&headings(&manner)))?;
    for line in &lines {
        writeln!(out, "{}", layout.line(line))?;
    }
    Ok(())
}

/// `callbox calls export`
pub(super) fn export(
    export: &Export,
    reader: &Reader,
    around: &Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let filter = export.filters.filter(&around.now, around.buttons)?;
    let exported = Exported::begin(export.csv, columns(), out)?;
    reader.each(|row| {
        if filter.takes(&row) {
            write!(out, "{}", exported.line(&row.facts(export.numbers))?)?;
        }
        Ok(())
    })?
}

/// Names of the facts of a call on record.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    Row::NAMES.iter().copied()
}

fn none_left(filter: &Filter, offset: u32) -> &'static str {
    match (offset, *filter == Filter::default()) {
        (0, true) => "no calls on record",
        (0, false) => "no call on record is like that",
        _ => "no calls beyond this offset",
    }
}

/// The headings; times are those of the device's place.
pub(super) fn headings(manner: &Manner<'_>) -> [&'static str; 8] {
    let mut names = COLUMNS.map(|column| column.name);
    if matches!(manner.zone.iana_name(), Some("UTC" | "Etc/UTC")) {
        names[1] = "PRESSED (UTC)";
    }
    names
}

/// The columns, with room for lines that are not known yet.
pub(super) fn usual_columns(numbers: bool) -> [Column; 8] {
    let mut columns = COLUMNS;
    if numbers {
        columns[3].usual = WHOLE_NUMBER;
    }
    columns
}

/// How many attempts of each press are listed.
struct Tries(BTreeMap<String, u32>);

impl Tries {
    fn of(rows: &[Row]) -> Self {
        let mut tries = BTreeMap::new();
        for press in rows.iter().filter_map(|row| row.press.clone()) {
            *tries.entry(press).or_insert(0) += 1;
        }
        Self(tries)
    }

    /// Which try of its press `row` is; empty where there was but one.
    fn of_row(&self, row: &Row) -> String {
        let press = row.press.as_ref();
        let several = press.is_some_and(|press| self.0.get(press) > Some(&1));
        let is_later = press.is_some_and(|press| *press != row.token);
        if several || is_later {
            which_try(row)
        } else {
            String::new()
        }
    }
}

/// `2` is the second number of the list, `2/3` the same in the third round.
pub(super) fn which_try(row: &Row) -> String {
    let Some(position) = row.position else {
        return String::new();
    };
    match row.cycle.unwrap_or(0) {
        0 => format!("{}", u16::from(position) + 1),
        rounds => format!("{}/{}", u16::from(position) + 1, u16::from(rounds) + 1),
    }
}

/// The cells of `row` below the headings.
pub(super) fn cells(row: &Row, manner: &Manner<'_>, which_try: String) -> [String; 8] {
    let words = |text: &Option<String>| text.as_deref().map(harmless);
    let reasons = [
        &row.service_hangup_reason,
        &row.local_reason,
        &row.http_error,
    ];
    let far = row.far_number().map(|number| {
        let from = match row.direction {
            Some(Direction::Inbound) => "from ",
            _ => "",
        };
        format!("{from}{}", shown(number, manner.numbers))
    });
    [
        row.short_token().to_owned(),
        pressed(row, manner),
        row.button.map_or_else(unknown, |button| {
            cut(&button_name(button, manner.buttons), NAME_MAX)
        }),
        far.unwrap_or_else(unknown),
        which_try,
        row.outcome().as_str().to_owned(),
        row.talk_ms.map_or_else(unknown, |ms| duration(ms.into())),
        reasons.into_iter().find_map(words).unwrap_or_else(unknown),
    ]
}

/// `2026-11-22 14:49`, with `?` where nobody confirmed the clock.
fn pressed(row: &Row, manner: &Manner<'_>) -> String {
    let doubt = if row.clock_trusted == Some(true) {
        ""
    } else {
        "?"
    };
    row.pressed_at.map_or_else(unknown, |at| {
        let local = zoned(at, manner).strftime("%Y-%m-%d %H:%M").to_string();
        format!("{local}{doubt}")
    })
}

/// A stamp as the clock on the wall had it.
pub(super) fn zoned(at: Stamp, manner: &Manner<'_>) -> jiff::Zoned {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms());
    let at = at.unwrap_or_else(|_| unreachable!("a stamp is within the calendar"));
    at.to_zoned(manner.zone.clone())
}

/// The name of a button, or its place where the configuration has none.
pub(super) fn button_name(button: u8, names: &[String]) -> String {
    match names.get(usize::from(button)) {
        Some(name) => harmless(name),
        None => button.to_string(),
    }
}

/// A number as it may be shown.
pub(super) fn shown(number: &E164, whole: bool) -> String {
    match whole {
        true => number.as_str().to_owned(),
        false => number.to_string(),
    }
}

pub(super) fn unknown() -> String {
    "-".to_owned()
}

/// Minutes and seconds.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
