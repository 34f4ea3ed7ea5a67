//! What happened, and when: from the record's facts, and from the timeline
//! what these do not say.

use super::Call;
use crate::edge::store::{Direction, Row};

/// Characters of a label; the rest is cut.
const TEXT_MAX: usize = 32;
/// Characters of a door's name.
const NAME_MAX: usize = 20;
/// The shortest time that is drawn.
const LENGTH_MIN_MS: u32 = 1_000;
/// A note this near to a milestone of the same name says the same.
const SAME_MS: u32 = 1_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at_ms: u32,
    pub(super) text: String,
}

/// Events of the timeline that are not milestones.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) shown: Vec<Mark>,
    /// Those the timeline had no room for.
    pub(super) left_out: usize,
}

/// The stations every call goes through, and the openings of a door.
pub(super) fn milestones(call: &Call<'_>) -> Vec<Mark> {
    let row = call.row;
    let begin = match row.direction {
        Some(Direction::Inbound) => "incoming",
        _ => "press",
    };
    let stations = [
        (Some(0), begin),
        (row.sent_after_ms, "dialing"),
        (row.ringing_after_ms, "ringing"),
        (row.answered_after_ms, "answered"),
        (row.confirmed_after_ms, "confirmed"),
        (row.joined_after_ms, "joined"),
        (row.ended_after_ms, "ended"),
    ];
    let stations = stations.into_iter().filter_map(|(at_ms, text)| {
        let text = text.to_owned();
        at_ms.map(|at_ms| Mark { at_ms, text })
    });
    let openings = call.openings.iter().map(|opening| {
        let name = call.doors.get(usize::from(opening.door));
        let name = match name {
            Some(name) => clip(name, NAME_MAX),
            None => format!("door {}", opening.door),
        };
        Mark {
            at_ms: opening.after_ms,
            text: format!("{name} opened by {}", opening.by.as_str()),
        }
    });
    let mut marks: Vec<_> = stations.chain(openings).collect();
    marks.sort_by_key(|mark| mark.at_ms);
    marks
}

/// What else the timeline has.
pub(super) fn notes(call: &Call<'_>, milestones: &[Mark]) -> Notes {
    let Some(timeline) = call.timeline else {
        return Notes {
            shown: Vec::new(),
            left_out: 0,
        };
    };
    let marks = timeline.events.iter().map(|(at_ms, text)| Mark {
        at_ms: *at_ms,
        text: clip(text, TEXT_MAX),
    });
    let mut shown: Vec<_> = marks
        .filter(|note| !milestones.iter().any(|mark| mark.says(note)))
        .collect();
    shown.sort_by_key(|mark| mark.at_ms);
    Notes {
        shown,
        left_out: timeline.events_left_out as usize,
    }
}

impl Mark {
    /// Whether `note` is this mark in other words: "ringing", or "door opened".
    fn says(&self, note: &Self) -> bool {
        let near = self.at_ms.abs_diff(note.at_ms) < SAME_MS;
        let opened = |mark: &Self| mark.text.contains("opened");
        near && (self.text.starts_with(&note.text)
            || note.text.starts_with(&self.text)
            || opened(self) && opened(note))
    }
}

/// How long the picture is.
pub(super) fn length_ms(call: &Call<'_>) -> u32 {
    let Row { ended_after_ms, .. } = call.row;
    let sound = call.timeline.map(|timeline| {
        let columns = timeline.columns.len() as u32;
        columns.saturating_mul(timeline.step_ms)
    });
    let noted = call.timeline.iter().flat_map(|timeline| &timeline.events);
    let opened = call.openings.iter().map(|opening| opening.after_ms);
    let times = milestones(call).into_iter().map(|mark| mark.at_ms);
    times
        .chain(noted.map(|(at_ms, _)| *at_ms))
        .chain(opened)
        .chain(sound)
        .chain(*ended_after_ms)
        .fold(LENGTH_MIN_MS, u32::max)
}

/// No more than `max` characters of `text`.
pub(super) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
