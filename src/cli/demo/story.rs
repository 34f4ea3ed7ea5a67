//! The words of the story: what a visitor sees and hears, and what happens at
//! the far end.

use crate::call::Phase;
use crate::edge::store::{Direction, Row};
use crate::edge::virtual_panel::{Change, Thing};
use crate::panel::LampRole;
use crate::simulator::{Reason, What};

/// What the visitor is shown and hears.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "lamp dark: ready for a press",
        Phase::Pressed => "lamp lit, a short tone: the press was felt",
        Phase::Dialing => "lamp blinks slowly, soft ticks: the call is being placed",
        Phase::Ringing => "lamp blinks twice and again, ring-back tone: it rings there",
        Phase::Confirming => "answered: two beeps ask for a key; the visitor still hears it ring",
        Phase::Chiming => "lamp blinks short and long, a chime: somebody calls",
        Phase::Announcing => "answered: the announcement is being made",
        Phase::Answered => "lamp lit with a wink, a tone: the two hear each other",
        Phase::OneWay => "nothing is heard from the callee",
        Phase::Reconnecting => "lamp stumbles: the sound dropped and is expected back",
        Phase::Ending => "hanging up",
        Phase::Announced => "lamp dark: the announcement was made",
        Phase::Ended => "lamp dark, a tone: the call is over",
        Phase::Failed => "lamp blinks quickly, a falling tone: the call failed",
        Phase::Limited => "lamp long with short gaps: a limit says no",
        Phase::Offline => "one short flash every three seconds: the service is not reached",
    }
}

/// Whether what a press or a call began has come to its end.
pub(super) fn is_over(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Idle
            | Phase::Announced
            | Phase::Ended
            | Phase::Failed
            | Phase::Limited
            | Phase::Offline
    )
}

/// An attempt that begins.
pub(super) fn attempt(row: &Row) -> Option<String> {
    match (row.direction, row.position) {
        (Some(Direction::Inbound), _) => Some(format!(
            "a call from {}",
            row.from_number.as_ref()?.as_str()
        )),
        (_, position) => {
            let to = row.to_number.as_ref()?.as_str();
            let which = position.map_or(1, |position| position + 1);
            Some(format!("number {which} of the list: {to}"))
        }
    }
}

/// What happened at the far end, where that belongs to the story.
pub(super) fn far_end(what: &What) -> Option<String> {
    Some(match what {
        What::Key(key) => format!("the callee presses {key}"),
        What::Spoken(text) => format!("the callee has heard: \"{text}\""),
        What::Transcript(text) => format!("the callee says: \"{text}\""),
        What::BargeIn { interrupted: true } => {
            "the callee speaks over the voice, which falls silent".to_owned()
        }
        What::Status(_, Some(Reason::Voicemail)) => "the service: that is a machine".to_owned(),
        _ => return None,
    })
}

/// A steady lamp or a relay that changed; the status lamp is in [`phase`].
pub(super) fn change(change: &Change) -> Option<String> {
    let lamp = |name: &str| {
        let what = if change.on { "lit" } else { "dark" };
        format!("lamp \"{name}\" {what}")
    };
    Some(match change.what {
        Thing::Lamp(LampRole::Status) => return None,
        Thing::Lamp(LampRole::InProgress) => lamp("call in progress"),
        Thing::Lamp(LampRole::Listen) => lamp("listen"),
        Thing::Relay(_) if change.on => {
            "relay on, a rising tone at both ends: the door opens".to_owned()
        }
        Thing::Relay(_) => "relay off: the door falls shut".to_owned(),
    })
}
