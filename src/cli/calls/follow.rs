//! `callbox calls list --follow`: each new and each changed call, as it comes.
//!
//! ```text
//!  pause ──▶ data_version changed? ──▶ the newest WINDOW calls ──▶ lines that
//!    ▲              no │                                           were not
//!    └─────────────────┴──────────────────────────────────────── printed yet
//! ```
//!
//! SQLite counts the commits of others for each connection, so a look that
//! finds nothing reads no row. A call is printed again when its line reads
//! otherwise: a table shows fewer changes than JSON does.

use std::collections::HashMap;
use std::io::Write;

use super::export::Exported;
use super::list::{cells, columns, headings, usual_columns, which_try};
use super::table::Layout;
use super::{Failure, List, Surroundings};
use crate::edge::store::{Reader, Row};

/// Calls whose changes are seen: the service settles a call within minutes,
/// and makes at most a hundred a day.
const WINDOW: u32 = 500;

pub(super) fn list(
    list: &List,
    reader: &Reader,
    around: &mut Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let filter = list.filters.filter(&around.now, around.buttons)?;
    let window = WINDOW.max(list.limit);
    let mut version = reader.version()?;
    let mut rows = reader.matching(&filter, window, 0)?;
    let lines = Lines::begin(list, &rows, around, out)?;
    // Older ones count as printed: they are asked for with --limit.
    let mut printed = HashMap::new();
    for row in rows.iter().skip(list.limit as usize) {
        printed.insert(row.token.clone(), lines.line(row, around)?);
    }
    loop {
        let mut now = HashMap::new();
        for row in rows.iter().rev() {
            let line = lines.line(row, around)?;
            if printed.get(&row.token) != Some(&line) {
                write!(out, "{line}")?;
            }
            now.insert(row.token.clone(), line);
        }
        out.flush()?;
        printed = now;
        version = loop {
            if !(around.pause)() {
                return Ok(());
            }
            match reader.version()? {
                same if same == version => {}
                newer => break newer,
            }
        };
        rows = reader.matching(&filter, window, 0)?;
    }
}

/// The form of a line.
enum Lines {
    Table(Layout, bool),
    Exported(Exported, bool),
}

impl Lines {
    /// The headings are printed at once; room is left for what usually comes.
    fn begin(
        list: &List,
        rows: &[Row],
        around: &Surroundings<'_>,
        out: &mut dyn Write,
    ) -> Result<Self, Failure> {
        if list.json || list.csv {
            let exported = Exported::begin(list.csv, columns(), out)?;
            return Ok(Self::Exported(exported, list.numbers));
        }
        let manner = around.manner(list.numbers);
        let first = rows.iter().take(list.limit as usize);
        let first: Vec<_> = first
            .map(|row| cells(row, &manner, which_try(row)))
            .collect();
        let layout = Layout::fit(&usual_columns(list.numbers), &first, true, around.width);
        writeln!(out, "{}", layout.line(&headings(&manner)))?;
        Ok(Self::Table(layout, list.numbers))
    }

    /// The line of `row`, with its end.
    fn line(&self, row: &Row, around: &Surroundings<'_>) -> Result<String, Failure> {
        match self {
            Self::Exported(exported, numbers) => exported.line(&row.facts(*numbers)),
            Self::Table(layout, numbers) => {
                let cells = cells(row, &around.manner(*numbers), which_try(row));
                Ok(layout.line(&cells) + "\n")
            }
        }
    }
}
