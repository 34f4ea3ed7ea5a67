//! The picture of a call: its sound, its delay and what happened, over time.
//!
//! ```text
//!  Row, openings, Timeline ─▶ marks ─▶ labels (no two overlap) ─▶ SVG
//!
//!        press dialing ringing answered
//!          │  │       │       │
//!          ▁▂▁        │     ▂▅▃▂▅▇▃      microphone
//!          ───────────┼─────────────
//!                     │     ▔▔▀▀▔▔▔      speaker
//!          ~~~~~~~~~~~┴~~~~~~~~~~~~~     playout delay, made up, skipped
//!          0:00      0:10       0:20
//! ```
//!
//! [`svg`] is a function of the record alone. The text it returns has no script
//! and fetches nothing; it follows the viewer's choice of light or dark, and is
//! light with a ground of its own where the viewer has none.
//!
//! Units: pixels of the picture; times are ms since the press; levels are dBFS.

mod chart;
mod labels;
mod marks;
pub(super) mod paper;

use std::time::Duration;

use super::text::span;
use crate::edge::store::{Direction, Opening, Row, Timeline};
use paper::{Paper, Place};

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The record of the attempt.
    pub row: &'a Row,
    /// Openings of a door.
    pub openings: &'a [Opening],
    /// The course of the sound, where it was kept.
    pub timeline: Option<&'a Timeline>,
    /// When the press was, in words.
    pub date: Option<&'a str>,
    /// Names of the doors, in the order of the configuration.
    pub doors: &'a [String],
    /// Whether the telephone number is shown whole.
    pub numbers: bool,
}

/// Colours for light and dark, and the fonts. Meaning is never by colour alone:
/// each series has its name beside it.
const STYLE: &str = "\
text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}.soft{fill:#59636e}\
.ground{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;fill:none}.axis{stroke:#59636e;fill:none}\
.mark{stroke:#1f2328;stroke-opacity:.45;fill:none}.note{stroke:#59636e;stroke-opacity:.6;fill:none}\
.mic{fill:#0969da}.far{fill:#1a7f37}path.mic,path.far{fill-opacity:.8}.delay{stroke:#8250df;stroke-width:1.5;fill:none}\
text.delay{fill:#8250df;stroke:none}.made-up{fill:#bc4c00}.skipped{fill:#cf222e}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.soft{fill:#9198a1}.ground{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}\
.axis{stroke:#9198a1}.mark{stroke:#e6edf3}.note{stroke:#9198a1}.mic{fill:#4493f8}.far{fill:#3fb950}\
.delay{stroke:#ab7df8}text.delay{fill:#ab7df8}.made-up{fill:#f0883e}.skipped{fill:#ff7b72}}";

/// Width of the picture.
const WIDTH: f64 = 960.0;
/// Where time begins and ends.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 850.0;
/// Characters of the line below the title.
const SUMMARY_MAX: usize = 140;
/// From the upper edge to the first label.
const HEAD: f64 = 62.0;

/// The picture as an SVG file.
#[must_use]
pub fn svg(call: &Call<'_>) -> String {
    let axis = chart::Axis::new(LEFT, RIGHT, marks::length_ms(call));
    let milestones = marks::milestones(call);
    let notes = marks::notes(call, &milestones);
    let above = labels::lay_out(&milestones, &axis, WIDTH);
    let below = labels::lay_out(&notes.shown, &axis, WIDTH);

    let mut paper = Paper::new(STYLE);
    paper.text(Place::left(16.0, 28.0), "title", &title(call));
    paper.text(Place::left(16.0, 48.0), "soft", &summary(call));
    let top = HEAD + above.height();
    let bottom = chart::draw(&mut paper, &axis, top, call.timeline);
    above.draw_above(&mut paper, &axis, top, bottom);
    let end = bottom + chart::AXIS_HEIGHT;
    below.draw_below(&mut paper, &axis, end);
    let hidden = above.hidden + below.hidden + notes.left_out;
    let mut height = end + below.height() + 10.0;
    if hidden > 0 {
        height += 14.0;
        let left_out = format!("{hidden} more events have no room here");
        paper.text(Place::left(LEFT, height - 8.0), "soft", &left_out);
    }
    paper.finish(WIDTH, height, &title(call), &summary(call))
}

fn title(call: &Call<'_>) -> String {
    let row = call.row;
    let way = match row.direction {
        Some(Direction::Inbound) => "Call from",
        _ => "Call to",
    };
    let number = match (row.far_number(), call.numbers) {
        (Some(number), true) => number.as_str().to_owned(),
        (Some(number), false) => number.to_string(),
        (None, _) => "an unknown number".to_owned(),
    };
    let date = call.date.map(|date| format!(" on {date}"));
    let outcome = row.outcome();
    format!(
        "{way} {number}{}: {}",
        date.unwrap_or_default(),
        outcome.as_str()
    )
}

fn summary(call: &Call<'_>) -> String {
    let row = call.row;
    let seconds = |ms: u32| span(Duration::from_millis(ms.into()));
    let mut parts = Vec::new();
    parts.extend(row.talk_ms.map(|ms| format!("{} talk", seconds(ms))));
    parts.extend(row.codec.clone());
    if let (Some(p50), Some(p95)) = (row.delay_p50_ms, row.delay_p95_ms) {
        parts.push(format!("delay {p50} ms, p95 {p95} ms"));
    }
    parts.extend(row.concealed_ms.map(|ms| format!("made up {ms} ms")));
    parts.extend(row.skipped_ms.map(|ms| format!("skipped {ms} ms")));
    parts.extend(row.echo_loss_db.map(|db| format!("echo loss {db:.0} dB")));
    parts.extend(row.service_hangup_reason.clone());
    let mut columns = call.timeline.iter().flat_map(|timeline| &timeline.columns);
    if !columns.any(chart::is_measured) {
        parts.push("no sound was measured".to_owned());
    }
    marks::clip(&parts.join(" · "), SUMMARY_MAX)
}

#[cfg(test)]
mod tests;
