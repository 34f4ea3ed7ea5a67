//! Which pin goes to which screw: the parts of a panel, and the pins of the
//! header that each of them wants.
//!
//! Always true: each part has its line and, where there is one left on the
//! header, a ground or supply of its own, on the same side if it can be.

use std::collections::BTreeSet;

use crate::config::File;
use crate::config::profile::{Board, Pin};
use crate::edge::gpio::LineSpec;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Sort {
    Button,
    Lamp,
    Relay,
}

/// A button, a lamp or a door's relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Part {
    pub(in crate::cli) name: String,
    pub(in crate::cli) sort: Sort,
    pub(in crate::cli) line: LineSpec,
    pub(in crate::cli) active_low: bool,
}

/// A part's terminal, and the pin it is wired to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) terminal: &'static str,
    pub(super) pin: u8,
    pub(super) to: Pin,
}

/// A part with its wires, its line first; without any it is not on the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wired<'a> {
    pub(super) part: &'a Part,
    pub(super) wires: Vec<Wire>,
}

/// The parts of a configuration that have a line.
pub(in crate::cli) fn parts(file: &File) -> Vec<Part> {
    let buttons = file.buttons.iter().filter_map(|b| {
        Some(Part {
            name: b.name.clone(),
            sort: Sort::Button,
            line: b.line.clone()?,
            active_low: b.active_low,
        })
    });
    let several = file.lamps.len() > 1;
    let lamps = (1..).zip(&file.lamps).map(|(n, lamp)| Part {
        name: match several {
            true => format!("lamp {n}"),
            false => "lamp".to_owned(),
        },
        sort: Sort::Lamp,
        line: lamp.line.clone(),
        active_low: lamp.active_low,
    });
    let doors = file.doors.iter().map(|door| Part {
        name: door.name.clone(),
        sort: Sort::Relay,
        line: door.line.clone(),
        active_low: door.active_low,
    });
    buttons.chain(lamps).chain(doors).collect()
}

/// The parts of a panel for which nothing else is said.
pub(super) fn usual(board: &Board) -> Vec<Part> {
    let part = |name: &str, sort, gpio, active_low| Part {
        name: name.to_owned(),
        sort,
        line: LineSpec::Name(format!("GPIO{gpio}")),
        active_low,
    };
    vec![
        part("button", Sort::Button, board.button, true),
        part("lamp", Sort::Lamp, board.lamp, false),
        part("door", Sort::Relay, board.relay, false),
    ]
}

/// Finds the pins of each part.
pub(super) fn connect<'a>(board: &Board, parts: &'a [Part]) -> Vec<Wired<'a>> {
    let mut used = BTreeSet::new();
    let wire = |part: &'a Part| {
        let line = board.gpio(&part.line);
        let signal = line.and_then(|gpio| Some((gpio, board.header.pin_of(gpio)?)));
        let wires = signal.map(|(gpio, pin)| {
            let mut wires = vec![Wire {
                terminal: match part.sort {
                    Sort::Button => "contact",
                    Sort::Lamp if part.active_low => "LED −",
                    Sort::Lamp => "330 Ω, LED +",
                    Sort::Relay => "IN",
                },
                pin,
                to: Pin::Gpio(gpio),
            }];
            let others = others(part);
            wires.extend(others.iter().filter_map(|(terminal, to)| {
                let pin = free(board, *to, pin, &used)?;
                used.insert(pin);
                Some(Wire {
                    terminal,
                    pin,
                    to: *to,
                })
            }));
            wires
        });
        Wired {
            part,
            wires: wires.unwrap_or_default(),
        }
    };
    parts.iter().map(wire).collect()
}

/// What a part wants beside its line.
fn others(part: &Part) -> &'static [(&'static str, Pin)] {
    match (part.sort, part.active_low) {
        (Sort::Button, true) => &[("contact", Pin::Ground)],
        (Sort::Button, false) => &[("contact", Pin::Volts3)],
        (Sort::Lamp, false) => &[("LED −", Pin::Ground)],
        (Sort::Lamp, true) => &[("330 Ω, LED +", Pin::Volts3)],
        (Sort::Relay, _) => &[("GND", Pin::Ground), ("VCC", Pin::Volts5)],
    }
}

/// The nearest pin of a sort that is not used: on the same side first.
fn free(board: &Board, sort: Pin, near: u8, used: &BTreeSet<u8>) -> Option<u8> {
    let alike = board.header.pins().filter(|(_, pin)| *pin == sort);
    let alike = alike.map(|(number, _)| number);
    alike.min_by_key(|n| (used.contains(n), n % 2 != near % 2, n.abs_diff(near)))
}

/// The wires in words, a line for each part.
pub(super) fn words(wired: &[Wired<'_>]) -> Vec<(String, String)> {
    let words = |wired: &Wired<'_>| {
        let part = wired.part;
        let wires = wired.wires.iter();
        let wires: Vec<_> = wires
            .map(|w| format!("{} to pin {} ({})", w.terminal, w.pin, w.to))
            .collect();
        let how = match (part.sort, part.active_low) {
            _ if wires.is_empty() => format!("{} is not on the header", part.line),
            (Sort::Relay, true) => format!("{}; on when low", wires.join(", ")),
            _ => wires.join(", "),
        };
        (part.name.clone(), how)
    };
    wired.iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_panel_is_wired_as_people_are_told() {
        let board = Board::named("pi-3").unwrap();
        let parts = usual(board);
        let words = words(&connect(board, &parts));
        let want = [
            (
                "button",
                "contact to pin 11 (GPIO17), contact to pin 9 (GND)",
            ),
            (
                "lamp",
                "330 Ω, LED + to pin 13 (GPIO27), LED − to pin 25 (GND)",
            ),
            (
                "door",
                "IN to pin 37 (GPIO26), GND to pin 39 (GND), VCC to pin 4 (5V)",
            ),
        ];
        let want = want.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(words, want);
    }

    #[test]
    fn no_pin_is_used_twice_while_there_are_others() {
        let board = Board::named("pi-5").unwrap();
        let part = |gpio: u8| Part {
            name: format!("b{gpio}"),
            sort: Sort::Button,
            line: LineSpec::Name(format!("GPIO{gpio}")),
            active_low: true,
        };
        let parts: Vec<Part> = (4..20).map(part).collect();
        let wired = connect(board, &parts);
        let pins = wired.iter().flat_map(|w| &w.wires).map(|w| w.pin);
        let distinct: BTreeSet<u8> = pins.clone().collect();
        // 16 lines and the eight grounds there are.
        assert_eq!(distinct.len(), 24);
        assert_eq!(pins.count(), 32);
    }

    #[test]
    fn a_line_that_is_not_on_the_header_is_said() {
        let board = Board::named("pi-4").unwrap();
        let mut parts = usual(board);
        parts[0].line = LineSpec::Name("STATUS_LED".into());
        let words = words(&connect(board, &parts));
        assert_eq!(words[0].1, "STATUS_LED is not on the header");
    }
}
