//! The curves: both levels, the delay, and what was made up or skipped.

use std::fmt::Write;

use super::paper::{Paper, Place};
use crate::edge::store::{Column, Timeline};

/// Height of the axis with its times.
pub(super) const AXIS_HEIGHT: f64 = 26.0;
/// Height of one level's half.
const LEVEL: f64 = 80.0;
/// The level that lies on the middle line, in dBFS.
const FLOOR_DB: f64 = -60.0;
/// Height of the delay's panel.
const DELAY: f64 = 64.0;
/// Height of a lane of stretches, and between panels.
const LANE: f64 = 14.0;
const GAP: f64 = 18.0;
/// The narrowest stretch that is seen.
const STRETCH: f64 = 2.0;
/// Pixels between two times on the axis at least.
const TICK: f64 = 70.0;

/// Time from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) left: f64,
    pub(super) right: f64,
    length_ms: u32,
}

impl Axis {
    pub(super) fn new(left: f64, right: f64, length_ms: u32) -> Self {
        Self {
            left,
            right,
            length_ms,
        }
    }

    /// Where `at_ms` is.
    pub(super) fn x(&self, at_ms: u32) -> f64 {
        let part = f64::from(at_ms) / f64::from(self.length_ms);
        self.left + (self.right - self.left) * part.min(1.0)
    }

    /// From one time to the next, a step a person would take.
    fn tick_ms(&self) -> u32 {
        const STEPS: [u32; 14] = [
            100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
            600_000, 1_800_000,
        ];
        let most = (self.right - self.left) / TICK;
        let fits = |step: &&u32| f64::from(self.length_ms / **step) <= most;
        let step = STEPS.iter().find(fits).copied();
        step.unwrap_or((f64::from(self.length_ms) / most) as u32)
    }
}

/// Draws everything between the labels and the axis; returns where it ends.
pub(super) fn draw(paper: &mut Paper, axis: &Axis, top: f64, timeline: Option<&Timeline>) -> f64 {
    let empty = Timeline::default();
    let timeline = timeline.unwrap_or(&empty);
    let measured = timeline.columns.iter().any(is_measured);
    let middle = top + LEVEL;
    levels(paper, axis, middle, timeline);
    let mut bottom = middle + LEVEL;
    if measured {
        delay(paper, axis, bottom + GAP, timeline);
        bottom += GAP + DELAY + 8.0;
        lane(paper, axis, bottom, ("made-up", "made up"), timeline, |c| {
            c.concealed_ms
        });
        bottom += LANE;
        lane(paper, axis, bottom, ("skipped", "skipped"), timeline, |c| {
            c.dropped_ms
        });
        bottom += LANE;
    }
    times(paper, axis, bottom + 4.0);
    bottom + 4.0
}

/// Whether a stream was up.
pub(super) fn is_measured(column: &Column) -> bool {
    column.mic_db != Column::UNMEASURED || column.far_db != Column::UNMEASURED
}

/// The microphone upwards and the speaker downwards from the middle.
fn levels(paper: &mut Paper, axis: &Axis, middle: f64, timeline: &Timeline) {
    for db in [0, -20, -40] {
        let away = height(f64::from(db));
        for y in [middle - away, middle + away] {
            paper.line("grid", (axis.left, y), (axis.right, y));
            paper.text(
                Place::right(axis.left - 6.0, y + 4.0),
                "soft",
                &db.to_string(),
            );
        }
    }
    let unit = Place::right(axis.left - 6.0, middle + 4.0);
    paper.text(unit, "soft", "dBFS");
    paper.path("mic", &area(axis, middle, -1.0, timeline, |c| c.mic_db));
    paper.path("far", &area(axis, middle, 1.0, timeline, |c| c.far_db));
    paper.line("axis", (axis.left, middle), (axis.right, middle));
    let name = |y| Place::left(axis.right + 10.0, y);
    paper.text(name(middle - LEVEL / 2.0), "mic", "microphone");
    paper.text(name(middle + LEVEL / 2.0 + 8.0), "far", "speaker");
}

fn height(db: f64) -> f64 {
    (1.0 - db / FLOOR_DB).clamp(0.0, 1.0) * LEVEL
}

/// The outline of a level, a piece for each stretch that was measured.
fn area(
    axis: &Axis,
    middle: f64,
    way: f64,
    timeline: &Timeline,
    level: impl Fn(&Column) -> i8,
) -> String {
    let mut path = String::new();
    let mut open = false;
    for (n, column) in timeline.columns.iter().enumerate() {
        let db = level(column);
        let (from, to) = edges(axis, timeline, n);
        if db != Column::UNMEASURED {
            if !open {
                _ = write!(path, "M{from:.1} {middle:.1}");
            }
            let y = middle + way * height(f64::from(db)).max(1.0);
            _ = write!(path, "V{y:.1}H{to:.1}");
        } else if open {
            _ = write!(path, "V{middle:.1}Z");
        }
        open = db != Column::UNMEASURED;
    }
    if open {
        _ = write!(path, "V{middle:.1}Z");
    }
    path
}

/// Where the `n`th column begins and ends.
fn edges(axis: &Axis, timeline: &Timeline, n: usize) -> (f64, f64) {
    let at = |n: usize| axis.x((n as u32).saturating_mul(timeline.step_ms));
    (at(n), at(n + 1))
}

fn delay(paper: &mut Paper, axis: &Axis, top: f64, timeline: &Timeline) {
    let longest = timeline.columns.iter().map(|c| c.delay_ms).max();
    let scale = round_up(longest.unwrap_or(0));
    let bottom = top + DELAY;
    for (ms, y) in [(scale, top), (scale / 2, top + DELAY / 2.0), (0, bottom)] {
        paper.line("grid", (axis.left, y), (axis.right, y));
        let text = if ms == 0 {
            "ms".to_owned()
        } else {
            ms.to_string()
        };
        paper.text(Place::right(axis.left - 6.0, y + 4.0), "soft", &text);
    }
    let mut path = String::new();
    let mut open = false;
    for (n, column) in timeline.columns.iter().enumerate() {
        // No packet waits for nothing: 0 is before the first one.
        let known = is_measured(column) && column.delay_ms > 0;
        if known {
            let (from, to) = edges(axis, timeline, n);
            let y = bottom - f64::from(column.delay_ms) / f64::from(scale) * DELAY;
            let begin = if open { 'L' } else { 'M' };
            _ = write!(path, "{begin}{from:.1} {y:.1}H{to:.1}");
        }
        open = known;
    }
    paper.path("delay", &path);
    let name = Place::left(axis.right + 10.0, top + DELAY / 2.0 + 4.0);
    paper.text(name, "delay", "playout delay");
}

/// A scale for a delay whose half is a plain number, too.
fn round_up(ms: u16) -> u32 {
    const STEPS: [u32; 11] = [
        100, 200, 300, 400, 600, 1_000, 2_000, 4_000, 10_000, 20_000, 40_000,
    ];
    let step = STEPS.into_iter().find(|step| u32::from(ms) <= *step);
    step.unwrap_or(100_000)
}

/// Stretches of which a part was not the far end's sound; the fuller the
/// colour, the more of it.
fn lane(
    paper: &mut Paper,
    axis: &Axis,
    top: f64,
    (class, name): (&str, &str),
    timeline: &Timeline,
    lost: impl Fn(&Column) -> u16,
) {
    let foot = top + LANE - 3.0;
    paper.line("grid", (axis.left, foot), (axis.right, foot));
    for (n, column) in timeline.columns.iter().enumerate() {
        let ms = lost(column);
        if ms > 0 {
            let (from, to) = edges(axis, timeline, n);
            let part = f64::from(ms) / f64::from(timeline.step_ms);
            let width = (to - from).max(STRETCH);
            let part = part.clamp(0.35, 1.0);
            paper.bar(class, (from, top + 2.0), (width, LANE - 5.0), part);
        }
    }
    paper.text(Place::left(axis.right + 10.0, foot), class, name);
}

fn times(paper: &mut Paper, axis: &Axis, y: f64) {
    paper.line("axis", (axis.left, y), (axis.right, y));
    let tick = axis.tick_ms();
    let mut at = 0;
    while at <= axis.length_ms {
        let x = axis.x(at);
        paper.line("axis", (x, y), (x, y + 4.0));
        paper.text(Place::middle(x, y + 16.0), "soft", &clock(at, tick));
        let Some(next) = at.checked_add(tick.max(1)) else {
            break;
        };
        at = next;
    }
}

/// A time on the axis, with tenths where the axis has them.
fn clock(ms: u32, tick_ms: u32) -> String {
    let (minutes, seconds) = (ms / 60_000, ms / 1000 % 60);
    if tick_ms < 1000 {
        format!("{minutes}:{seconds:02}.{}", ms / 100 % 10)
    } else {
        format!("{minutes}:{seconds:02}")
    }
}
