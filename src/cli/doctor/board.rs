//! The board and its sound card, against what is known of them.

use super::Patient;
use super::report::Finding;
use crate::cli::board::wiring::{Part, Sort, parts};
use crate::config::profile::{Board, Objection, Pin};
use crate::config::{File, Machine, Mixer, SoundChoice};
use crate::edge::alsa::{self, CardInfo, Reading, choose};
use crate::edge::board::outputs_persist;
use crate::edge::card::Direction;
use crate::edge::gpio::{self, Listing};

pub(super) fn board(patient: &mut Patient) -> Vec<Finding> {
    compare(&patient.file, &patient.machine, &gpio::list())
}

/// What a settled configuration says otherwise than its board.
pub(in crate::cli) fn compare(
    file: &File,
    machine: &Machine,
    listing: &Result<Listing, gpio::Error>,
) -> Vec<Finding> {
    let mut found = vec![model(file, machine)];
    if let Some(board) = file.settled.board {
        found.extend(chip(board, listing));
        found.extend(parts(file).iter().flat_map(|part| line(file, board, part)));
    }
    let chip = file.settled.board.map(|board| board.chip.as_str());
    found.extend(relays(file, chip.and_then(outputs_persist)));
    found.extend(sound(file, machine));
    found
}

/// Whether the configured board is this one.
fn model(file: &File, machine: &Machine) -> Finding {
    let here = machine.board();
    match (file.board.model, here, &machine.model) {
        (Some(said), Some(here), Some(model)) if said != here => Finding::fault(
            format!("[board] model is {:?}, but this is a {model}", said.name),
            format!("write model = \"auto\", or {:?}", here.name),
        ),
        (_, Some(here), Some(model)) => Finding::ok(format!("{model}: {}", here.name)),
        (Some(said), _, Some(model)) => Finding::warn(
            format!(
                "[board] model is {:?}, but the system says {model}",
                said.name
            ),
            "see that its header is the same, with `callbox board show`; else write model = \
             \"auto\"",
        ),
        (Some(said), _, None) => Finding::warn(
            format!(
                "[board] model is {:?}, but this machine has no device tree to tell",
                said.name
            ),
            "write model = \"auto\"",
        ),
        (None, None, Some(model)) if model.to_string().starts_with("Raspberry Pi") => {
            Finding::warn(
                format!("{model} is no board that is known, so its lines are taken as they are"),
                "if its header is that of another, name that one in [board] model; `callbox \
                 board list` shows them",
            )
        }
        (None, _, Some(model)) => Finding::skip(format!(
            "{model} is no board that is known: lines are found by their names only"
        )),
        (None, _, None) => {
            Finding::skip("no device tree: lines and cards are as the configuration says")
        }
    }
}

/// The chip behind the header has to be there.
fn chip(board: &Board, listing: &Result<Listing, gpio::Error>) -> Option<Finding> {
    // What else is wrong with the lines is told there.
    let listing = listing.as_ref().ok()?;
    if !listing.denied.is_empty() || listing.chips.iter().any(|c| c.label == board.chip) {
        return None;
    }
    let labels: Vec<&str> = listing.chips.iter().map(|c| c.label.as_str()).collect();
    let there = match labels.is_empty() {
        true => "none".to_owned(),
        false => labels.join(", "),
    };
    Some(Finding::fault(
        format!(
            "the chip behind the header of a {}, {}, is not there; this kernel has {there}",
            board.name, board.chip
        ),
        "start a system whose kernel knows the board: Raspberry Pi OS does",
    ))
}

/// What is known against the line of a part.
fn line(file: &File, board: &Board, part: &Part) -> Vec<Finding> {
    let name = &part.name;
    let Some(gpio) = board.gpio(&part.line) else {
        return vec![Finding::warn(
            format!(
                "{name}: {} is not on the header of a {}",
                part.line, board.name
            ),
            format!("see `callbox board show {}`", board.name),
        )];
    };
    let pin = board.header.pin_of(gpio).unwrap_or_default();
    let at = format!("{} (pin {pin})", part.line);
    let mut found = Vec::new();
    match file.settled.objection(gpio) {
        Some(Objection::Taken(what)) => found.push(Finding::fault(
            format!("{name}: {at} is taken: {what}"),
            format!("wire it to another line{}", such_as(file, board, part.sort)),
        )),
        Some(Objection::Shared(what)) => found.push(Finding::warn(
            format!("{name}: {at} is also {what}"),
            format!(
                "see that this is not used, or wire it to another line{}",
                such_as(file, board, part.sort)
            ),
        )),
        None => {}
    }
    if part.sort == Sort::Relay && board.is_pulled_up(gpio) != part.active_low {
        let level = match board.is_pulled_up(gpio) {
            true => "high",
            false => "low",
        };
        found.push(Finding::warn(
            format!(
                "{name}: the board holds {at} {level} until callbox starts, which is what opens \
                 this relay"
            ),
            format!(
                "hold it off with 10 kΩ to {}, or wire it to another line{}",
                if part.active_low { "3.3 V" } else { "ground" },
                such_as(file, board, part.sort)
            ),
        ));
    }
    found
}

/// A line that nothing speaks against and that nobody has.
fn such_as(file: &File, board: &Board, sort: Sort) -> String {
    let parts = parts(file);
    let used = |gpio: u8| {
        parts
            .iter()
            .any(|part| board.gpio(&part.line) == Some(gpio))
    };
    let good = |gpio: &u8| {
        let safe = sort != Sort::Relay || !board.is_pulled_up(*gpio);
        safe && !used(*gpio) && file.settled.objection(*gpio).is_none()
    };
    let usual = match sort {
        Sort::Button => board.button,
        Sort::Lamp => board.lamp,
        Sort::Relay => board.relay,
    };
    let all = board.header.pins().filter_map(|(pin, what)| match what {
        Pin::Gpio(gpio) => Some((gpio, pin)),
        _ => None,
    });
    let mut all: Vec<(u8, u8)> = all.collect();
    all.sort_by_key(|(gpio, _)| (*gpio != usual, *gpio));
    let free = all.iter().find(|(gpio, _)| good(gpio));
    free.map_or_else(String::new, |(gpio, pin)| {
        format!(", such as GPIO{gpio} (pin {pin})")
    })
}

/// A door must not stay open when the program dies.
fn relays(file: &File, persist: Option<bool>) -> Option<Finding> {
    (!file.doors.is_empty() && persist == Some(true)).then(|| {
        Finding::warn(
            "a door that is open when callbox dies stays open until it is started again",
            "add dtparam=strict_gpiod to config.txt and start the board anew",
        )
    })
}

/// Which kinds of cards are in use, and what a named kind needs.
fn sound(file: &File, machine: &Machine) -> Vec<Finding> {
    let mut found = Vec::new();
    for direction in [Direction::Microphone, Direction::Speaker] {
        let kind = match direction {
            Direction::Microphone => file.settled.microphone,
            Direction::Speaker => file.settled.speaker,
        };
        let Some(kind) = kind else { continue };
        if let Some(card) = card(file, machine, direction)
            && kind.kind.is(card)
        {
            found.push(Finding::ok(format!(
                "{direction}: {} ({}), {}",
                kind.name, card.title, card.id
            )));
        } else if let (Some(overlay), Some(system)) = (&kind.overlay, &kind.system) {
            found.push(Finding::fault(
                format!("{direction}: no {} is there", kind.title),
                format!("on {system}, add dtoverlay={overlay} to config.txt and start anew"),
            ));
        }
    }
    if found.is_empty() && file.board.sound == SoundChoice::None {
        found.push(Finding::skip(
            "[board] sound is \"none\": the card is as [sound] says",
        ));
    }
    found
}

/// The card that is in use for one side.
fn card<'a>(file: &File, machine: &'a Machine, direction: Direction) -> Option<&'a CardInfo> {
    let name = match direction {
        Direction::Microphone => &file.sound.microphone,
        Direction::Speaker => &file.sound.speaker,
    };
    match name.as_deref() {
        Some(name) if name != alsa::AUTO => machine.cards.iter().find(|card| card.is_in(name)),
        _ => choose(&machine.cards, &file.settled.kinds, direction).ok(),
    }
}

pub(super) fn mixer(patient: &mut Patient) -> Vec<Finding> {
    let file = &patient.file;
    let mut found = Vec::new();
    for direction in [Direction::Microphone, Direction::Speaker] {
        let kind = match direction {
            Direction::Microphone => file.settled.microphone,
            Direction::Speaker => file.settled.speaker,
        };
        let card = card(file, &patient.machine, direction);
        let (Some(kind), Some(card)) = (kind, card) else {
            continue;
        };
        let settings = kind.kind.settings.iter();
        let settings: Vec<_> = settings
            .filter(|setting| setting.direction == direction)
            .cloned()
            .collect();
        match alsa::look(&card.control(), &settings) {
            Ok(readings) => {
                let told = readings.iter();
                found.extend(told.filter_map(|r| {
                    control(r, &card.control(), file.board.mixer, patient.daemon.is_ok())
                }));
            }
            Err(why) => found.push(Finding::warn(
                format!("the mixer of {} cannot be looked at: {why}", card.control()),
                "see `amixer -D` with that name",
            )),
        }
    }
    if found.is_empty() && file.settled.sounds().next().is_some() {
        found.push(Finding::ok("as the kind of card wants it"));
    }
    found
}

/// What is said of one control; nothing while it is as it is to be.
fn control(reading: &Reading, card: &str, mixer: Mixer, runs: bool) -> Option<Finding> {
    let differs = reading.differs.as_ref()?;
    let what = format!("{} {:?}: {differs}", reading.direction, reading.control);
    Some(match (mixer, runs) {
        _ if reading.missing => Finding::warn(
            what,
            format!(
                "see `amixer -D {card} scontrols`; it may be a card of another kind, which \
                 [board] sound names"
            ),
        ),
        (Mixer::Set, false) => Finding::ok(format!("{what}; callbox sets it when it starts")),
        (Mixer::Set, true) => {
            let what = format!("{what}; it was changed since callbox opened the card");
            let fix = "systemctl restart callbox sets it again; mixer = \"leave\" in [board] \
                       leaves it alone";
            match reading.muted {
                true => Finding::fault(what, fix),
                false => Finding::warn(what, fix),
            }
        }
        (Mixer::Leave, _) if reading.muted => Finding::fault(
            what,
            format!("open it with `alsamixer -D {card}`, or write mixer = \"set\" in [board]"),
        ),
        (Mixer::Leave, _) => Finding::ok(format!("{what}; left alone, as [board] mixer says")),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::doctor::report::Level;
    use crate::config::parse;
    use crate::config::profile::Model;
    use crate::edge::gpio::ChipListing;

    const SMALL: &str = r#"
[service]
from_number = "+15550100001"
[ingress]
mode = "public-url"
public_url = "wss://door.example.org"
[[button]]
name = "bell"
to = "+15550100002"
line = "GPIO17"
"#;

    fn machine(model: &str, ids: &[&str]) -> Machine {
        let card = |id: &&str| CardInfo {
            id: (*id).to_owned(),
            driver: "USB-Audio".to_owned(),
            title: format!("The {id}"),
            microphone: Some(0),
            speaker: Some(0),
            ..CardInfo::default()
        };
        Machine {
            model: Model::read(model.as_bytes()),
            cards: ids.iter().map(card).collect(),
        }
    }

    fn chips(labels: &[&str]) -> Result<Listing, gpio::Error> {
        let chip = |label: &&str| ChipListing {
            path: "/dev/gpiochip0".into(),
            label: (*label).to_owned(),
            lines: Vec::new(),
        };
        Ok(Listing {
            chips: labels.iter().map(chip).collect(),
            denied: Vec::new(),
        })
    }

    /// What is found, worst first, each as a line.
    fn found(more: &str, machine: &Machine, labels: &[&str]) -> Vec<String> {
        let mut file = parse(Path::new("t"), &format!("{SMALL}{more}")).unwrap();
        file.settle(machine);
        let found = compare(&file, machine, &chips(labels));
        let bad = found
            .iter()
            .filter(|f| matches!(f.level, Level::Warn | Level::Fault));
        bad.map(|f| format!("{:?} {} [{}]", f.level, f.what, f.fix.as_deref().unwrap()))
            .collect()
    }

    #[test]
    fn a_board_that_fits_has_nothing_against_it() {
        for (model, label) in [
            ("Raspberry Pi Zero 2 W Rev 1.0", "pinctrl-bcm2835"),
            ("Raspberry Pi 3 Model B+", "pinctrl-bcm2835"),
            ("Raspberry Pi 4 Model B Rev 1.1", "pinctrl-bcm2711"),
            ("Raspberry Pi 5 Model B Rev 1.0", "pinctrl-rp1"),
        ] {
            let found = found("", &machine(model, &["USB"]), &["gpio-brcmstb", label]);
            assert_eq!(found, [""; 0], "{model}");
        }
        // A PC, and an emulated machine.
        for model in ["", "linux,dummy-virt"] {
            assert_eq!(found("", &machine(model, &[]), &[]), [""; 0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_to_do() {
        let pi4 = machine("Raspberry Pi 4 Model B Rev 1.1", &["USB"]);
        let cases = [
            (
                "[board]\nmodel = \"pi-3\"",
                &["pinctrl-bcm2711"][..],
                "Fault [board] model is \"pi-3\", but this is a Raspberry Pi 4",
            ),
            (
                "",
                &["gpio-brcmstb"],
                "pinctrl-bcm2711, is not there; this kernel has gpio-brcmstb",
            ),
            (
                "[board]\nsound = \"wm8960-hat\"\n[[lamp]]\nline = \"GPIO18\"",
                &["pinctrl-bcm2711"],
                "lamp: GPIO18 (pin 12) is taken: I2S [wire it to another line, such as GPIO27 (pin 13)]",
            ),
            (
                "[board]\nsound = \"wm8960-hat\"",
                &["pinctrl-bcm2711"],
                "add dtoverlay=wm8960-soundcard to config.txt",
            ),
            (
                "[[lamp]]\nline = \"TXD1\"",
                &["pinctrl-bcm2711"],
                "Warn lamp: TXD1 (pin 8) is also the serial console",
            ),
            (
                "[[lamp]]\nline = \"SD_PWR_ON\"",
                &["pinctrl-bcm2711"],
                "lamp: SD_PWR_ON is not on the header of a pi-4 [see `callbox board show pi-4`]",
            ),
            (
                "[[door]]\nname = \"gate\"\nline = \"GPIO5\"\ncode = \"123\"",
                &["pinctrl-bcm2711"],
                "gate: the board holds GPIO5 (pin 29) high until callbox starts",
            ),
            (
                "[[door]]\nname = \"gate\"\nline = \"GPIO26\"\nactive_low = true\ncode = \"123\"",
                &["pinctrl-bcm2711"],
                "gate: the board holds GPIO26 (pin 37) low until callbox starts",
            ),
        ];
        for (more, labels, want) in cases {
            let found = found(more, &pi4, labels);
            assert!(
                found.iter().any(|f| f.contains(want)),
                "no {want:?} in {found:#?}"
            );
        }
    }

    #[test]
    fn an_unknown_pi_is_warned_of_and_may_be_named() {
        let cm4 = machine("Raspberry Pi Compute Module 4 Rev 1.0", &["USB"]);
        let said = found("", &cm4, &["pinctrl-bcm2711"]);
        assert!(said[0].contains("is no board that is known"), "{said:?}");
        let said = found("[board]\nmodel = \"pi-4\"", &cm4, &["pinctrl-bcm2711"]);
        assert!(
            said[0].contains("the system says Raspberry Pi Compute"),
            "{said:?}"
        );
    }

    #[test]
    fn a_relay_is_warned_of_where_outputs_stay() {
        let door = "[[door]]\nname = \"gate\"\nline = \"GPIO26\"\ncode = \"123\"";
        let file = parse(Path::new("t"), &format!("{SMALL}{door}")).unwrap();
        assert!(relays(&file, Some(true)).is_some());
        assert!(relays(&file, Some(false)).is_none());
        assert!(relays(&file, None).is_none());
        let file = parse(Path::new("t"), SMALL).unwrap();
        assert!(relays(&file, Some(true)).is_none());
    }

    #[test]
    fn a_muted_control_is_worth_what_becomes_of_it() {
        let reading = |muted, missing| Reading {
            control: "PCM".into(),
            direction: Direction::Speaker,
            differs: Some("off, and is to be on".into()),
            muted,
            missing,
        };
        let cases = [
            (
                Mixer::Set,
                false,
                reading(true, false),
                Level::Ok,
                "sets it when it starts",
            ),
            (
                Mixer::Set,
                true,
                reading(true, false),
                Level::Fault,
                "was changed since",
            ),
            (
                Mixer::Set,
                true,
                reading(false, false),
                Level::Warn,
                "was changed since",
            ),
            (
                Mixer::Leave,
                true,
                reading(true, false),
                Level::Fault,
                "off, and is to be on",
            ),
            (
                Mixer::Leave,
                false,
                reading(false, false),
                Level::Ok,
                "left alone",
            ),
            (Mixer::Set, false, reading(false, true), Level::Warn, "PCM"),
        ];
        for (mixer, runs, reading, level, want) in cases {
            let found = control(&reading, "hw:CARD=USB", mixer, runs).unwrap();
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.what.contains(want), "{found:?}");
        }
    }
}
