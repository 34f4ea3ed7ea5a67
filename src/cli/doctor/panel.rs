//! What a visitor has before the eyes and ears: doors, hours, prompts.

use std::fmt::Write as _;
use std::path::Path;

use super::Patient;
use super::device::private;
use super::report::{Finding, Level};
use crate::audio::prompt::Cue;
use crate::config::Door;
use crate::edge::clock::Stamp;
use crate::edge::zone::Zone;

/// Whether each door can be opened, and by nobody who reads a file.
pub(super) fn doors(patient: &mut Patient) -> Vec<Finding> {
    let by_systemd = std::env::var_os("CREDENTIALS_DIRECTORY").is_some();
    let given = |door: &Door| door.code.is_some() || door.code_file.is_some();
    let doors = &patient.file.doors;
    if doors.is_empty() {
        return Vec::new();
    }
    let all_given = doors.iter().all(given);
    match patient.file.doors() {
        Err(_) if !all_given && patient.runs() && !by_systemd => vec![Finding::skip(
            "the service manager hands the codes to the running callbox; they are not seen from \
             here",
        )],
        Err(why) => vec![Finding::told(
            Level::Fault,
            &why,
            "write the code into a file, and its path into code_file",
        )],
        Ok(_) => doors
            .iter()
            .map(|door| secrecy(door, &patient.path))
            .collect(),
    }
}

/// Who besides callbox may read a door's code.
fn secrecy(door: &Door, config: &Path) -> Finding {
    let name = format!("code of {}", door.name);
    match (&door.code_file, &door.code) {
        (Some(path), _) => private(&name, path),
        (None, Some(_)) => private(&format!("{name} in"), config),
        (None, None) if door.words.phrases().is_empty() => {
            Finding::ok(format!("{name}: handed over by the service manager"))
        }
        (None, None) => Finding::ok(format!("{}: opened by words", door.name)),
    }
}

/// Whether night, quiet and schedules are judged by the right clock, and
/// whether somebody is called at any time.
pub(super) fn hours(patient: &mut Patient) -> Vec<Finding> {
    let file = &patient.file;
    let clock = &file.clock;
    let mut found = Vec::new();
    for button in &file.buttons {
        if let Some((day, at)) = file.gap(button) {
            found.push(Finding::warn(
                format!("{} calls nobody on {day:?} at {at}", button.name),
                "add a [[button.target]] with when = \"always\", unless that is meant",
            ));
        }
    }
    let by_hours = (file.buttons.iter()).any(|b| !b.targets.is_empty());
    let by_clock =
        (file.buttons.iter()).any(|b| b.say.as_ref().is_some_and(crate::config::Text::names_time));
    let used = by_hours
        || by_clock
        || clock.quiet.is_some()
        || !file.schedules.is_empty()
        || file.sound.self_test.is_some();
    if !used && clock.timezone.is_none() {
        return found;
    }
    found.push(match file.timezone() {
        Err(why) => Finding::told(Level::Fault, &why, "[hours] timezone: name another"),
        Ok(_) if clock.timezone.is_none() && !Zone::system_is_set() => Finding::warn(
            "this machine has no time zone, so all hours are taken as UTC",
            "[hours] timezone = \"Europe/Berlin\", or timedatectl set-timezone Europe/Berlin",
        ),
        Ok(zone) => {
            let mut what = format!("it is {} here", zone.local(Stamp::system()));
            let named = [("night", &clock.night), ("quiet", &clock.quiet)];
            for (name, hours) in named {
                if let Some(hours) = hours {
                    _ = write!(what, "; {name} is {hours}");
                }
            }
            Finding::ok(what)
        }
    });
    found
}

/// Whether the installer's recordings can be used, and which there are.
pub(super) fn prompts(patient: &mut Patient) -> Vec<Finding> {
    let Some(folder) = &patient.file.prompts.folder else {
        return Vec::new();
    };
    let shown = folder.display();
    let prompts = match patient.file.prompts() {
        Ok(prompts) => prompts,
        Err(why) => return vec![Finding::told(Level::Fault, &why, "see [prompts] folder")],
    };
    let names = |cues: &mut dyn Iterator<Item = Cue>| -> Vec<String> {
        cues.map(|cue| format!("{}.wav", cue.name())).collect()
    };
    let heard = names(&mut Cue::all().filter(|cue| prompts.of(*cue).is_some()));
    vec![match heard.is_empty() {
        false => Finding::ok(format!("{shown}: {}", heard.join(", "))),
        true => Finding::warn(
            format!("{shown} holds no recording, so callbox's own sounds are heard"),
            format!("name them {}", names(&mut Cue::all()).join(", ")),
        ),
    }]
}
