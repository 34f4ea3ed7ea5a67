//! A table that fits the terminal.
//!
//! Columns are as wide as what is in them. Where that is too much, those that
//! matter least are left out, and the last one is cut.

use super::terminal::{cut, padded, width};

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its heading.
    pub(super) name: &'static str,
    /// Cells its values take as a rule, for lines that are not known yet.
    pub(super) usual: usize,
    /// Where room is short, the highest is left out first; 0 never is.
    pub(super) rank: u8,
}

/// The least the last column shows.
const LAST_LEAST: usize = 12;

/// Blanks between columns.
const GAP: usize = 2;

/// Which columns are shown, and how wide.
#[derive(Debug)]
pub(super) struct Layout {
    /// Place among the cells, and cells of the terminal.
    shown: Vec<(usize, usize)>,
    terminal: usize,
}

impl Layout {
    /// Fits `lines` below the headings of `columns` into `terminal` cells. With
    /// `usual`, more lines are to come, and get the room they usually take.
    pub(super) fn fit<const N: usize>(
        columns: &[Column; N],
        lines: &[[String; N]],
        usual: bool,
        terminal: usize,
    ) -> Self {
        let wide = |(at, column): (usize, &Column)| {
            let cells = lines.iter().map(|line| width(&line[at])).max().unwrap_or(0);
            let least = if usual { column.usual } else { 0 };
            let is_empty = cells == 0 && !usual;
            (
                at,
                if is_empty {
                    0
                } else {
                    cells.max(least).max(width(column.name))
                },
            )
        };
        let mut shown: Vec<_> = columns.iter().enumerate().map(wide).collect();
        shown.retain(|(_, width)| *width > 0);
        while least_room(&shown) > terminal {
            let rank = |place: &(usize, usize)| columns[place.0].rank;
            match shown.iter().map(rank).max() {
                None | Some(0) => break,
                Some(highest) => shown.retain(|place| rank(place) < highest),
            }
        }
        Self { shown, terminal }
    }

    /// One line of the table.
    pub(super) fn line(&self, cells: &[impl AsRef<str>]) -> String {
        let mut text = String::new();
        for (at, width) in &self.shown {
            text += &padded(
                &cut(cells[*at].as_ref(), self.room(*at, *width)),
                width + GAP,
            );
        }
        cut(text.trim_end(), self.terminal)
    }

    /// The last column has what the others leave.
    fn room(&self, at: usize, width: usize) -> usize {
        match self.shown.split_last() {
            Some((last, others)) if last.0 == at => self.terminal.saturating_sub(sum(others)),
            _ => width,
        }
    }
}

fn least_room(shown: &[(usize, usize)]) -> usize {
    match shown.split_last() {
        Some((last, others)) => sum(others) + last.1.min(LAST_LEAST),
        None => 0,
    }
}

fn sum(columns: &[(usize, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum()
}
