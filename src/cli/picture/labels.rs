//! Gives each mark's label a row, so that no two overlap and no line runs
//! through a text.
//!
//! ```text
//!   depth 1   press
//!   depth 0   │ dialing      ended
//!             │ │            │
//!             chart
//! ```
//!
//! The line of a mark runs from the chart to its label, past the rows before
//! it. So labels are placed from the last to the first, each as near the chart
//! as it can be: those that lie under an earlier one's text are in already.

use super::chart::Axis;
use super::marks::Mark;
use super::paper::{Paper, Place};

/// Rows of labels at most; what finds no room keeps its line.
const ROWS: usize = 6;
/// Height of a row.
const ROW: f64 = 15.0;
/// Width of a character, rather too much: the viewer's font is not known.
const CHARACTER: f64 = 6.4;
/// Nearer than this, two lines are one to the eye.
const SAME: f64 = 2.0;
/// Bytes of the labels that are joined, at most.
const JOINED: usize = 48;
/// Between a line and its text.
const GAP: f64 = 4.0;
/// Between texts.
const SPACE: f64 = 6.0;

/// Marks with their places.
#[derive(Debug)]
pub(super) struct Laid {
    marks: Vec<Spot>,
    rows: usize,
    /// Labels that found no room.
    pub(super) hidden: usize,
}

#[derive(Debug)]
struct Spot {
    x: f64,
    text: String,
    /// Its row, counted from the chart, and where its text begins and ends.
    row: Option<(usize, f64, f64)>,
}

/// Finds places for `marks`, which are in order of time.
pub(super) fn lay_out(marks: &[Mark], axis: &Axis, width: f64) -> Laid {
    let mut spots: Vec<Spot> = Vec::with_capacity(marks.len());
    for (x, text) in joined(marks, axis).into_iter().rev() {
        let length = text.chars().count() as f64 * CHARACTER;
        let behind = (x + GAP, x + GAP + length);
        let before = (x - GAP - length, x - GAP);
        let row = [behind, before]
            .into_iter()
            .filter(|(from, to)| *from >= axis.left && *to <= width - SPACE)
            .flat_map(|(from, to)| (0..ROWS).map(move |row| (row, from, to)))
            .find(|place| spots.iter().all(|spot| spot.leaves_room(x, *place)));
        spots.push(Spot { x, text, row });
    }
    let rows = spots.iter().filter_map(|spot| spot.row);
    Laid {
        rows: rows.map(|(row, ..)| row + 1).max().unwrap_or(0),
        hidden: spots.iter().filter(|spot| spot.row.is_none()).count(),
        marks: spots,
    }
}

/// Marks that fall on one line have one label.
fn joined(marks: &[Mark], axis: &Axis) -> Vec<(f64, String)> {
    let mut joined: Vec<(f64, String)> = Vec::with_capacity(marks.len());
    for mark in marks {
        let x = axis.x(mark.at_ms);
        match joined.last_mut() {
            Some((last, text)) if x - *last < SAME && text.len() + mark.text.len() < JOINED => {
                text.push_str(", ");
                text.push_str(&mark.text);
            }
            _ => joined.push((x, mark.text.clone())),
        }
    }
    joined
}

impl Spot {
    /// Whether a mark at `x` may have its text in this place.
    fn leaves_room(&self, x: f64, (row, from, to): (usize, f64, f64)) -> bool {
        let Some((own_row, own_from, own_to)) = self.row else {
            return true;
        };
        let apart = to + SPACE <= own_from || own_to + SPACE <= from;
        let crosses_mine = own_row < row && own_from <= x && x <= own_to;
        let crosses_its = row < own_row && from <= self.x && self.x <= to;
        (own_row != row || apart) && !crosses_mine && !crosses_its
    }
}

impl Laid {
    pub(super) fn height(&self) -> f64 {
        self.rows as f64 * ROW
    }

    /// Labels above the chart, which is from `top` to `bottom`, and lines
    /// through it.
    pub(super) fn draw_above(&self, paper: &mut Paper, axis: &Axis, top: f64, bottom: f64) {
        for spot in &self.marks {
            let depth = spot
                .row
                .map_or(0.0, |(row, ..)| (row + 1) as f64 * ROW - 3.0);
            let x = spot.x.clamp(axis.left, axis.right);
            paper.line("mark", (x, top - depth), (x, bottom));
            if let Some((row, from, _)) = spot.row {
                let y = top - row as f64 * ROW - GAP;
                paper.text(Place::left(from, y), "", &spot.text);
            }
        }
    }

    /// Labels below the axis, which ends at `end`.
    pub(super) fn draw_below(&self, paper: &mut Paper, axis: &Axis, end: f64) {
        for spot in &self.marks {
            let x = spot.x.clamp(axis.left, axis.right);
            let depth = spot
                .row
                .map_or(3.0, |(row, ..)| (row + 1) as f64 * ROW - 3.0);
            paper.line("note", (x, end - GAP), (x, end + depth));
            if let Some((row, from, _)) = spot.row {
                let y = end + (row + 1) as f64 * ROW - GAP;
                paper.text(Place::left(from, y), "soft", &spot.text);
            }
        }
    }
}
