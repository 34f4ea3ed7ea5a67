//! The device itself: secrets, cards, lines, disk, rights.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::resume_unwind;
use std::path::Path;

use super::Patient;
use super::report::{Finding, Level};
use crate::config::IngressMode;
use crate::edge::alsa;
use crate::edge::card::Direction;
use crate::edge::control::group_id;
use crate::edge::gpio::{self, Buttons, CONSUMER, LineListing, LineSpec, Listing};
use crate::edge::realtime::{self, AUDIO_PRIORITY};
use crate::edge::sound_test::{Found, Report};
use crate::edge::store::{Query, ReadError, Reader};
use crate::panel::Level as LineLevel;

/// Room for some ten thousand records, and for the system beside them.
const SPACE_WARN: u64 = 100 << 20;
/// SQLite itself needs this much to work.
const SPACE_FAULT: u64 = 4 << 20;
/// The database makes two files beside itself; the system needs many more.
const FILES_WARN: u64 = 1000;
/// Minutes of the organization that are worth a word.
const MINUTES_WARN: f64 = 10.0;

pub(super) fn control(patient: &mut Patient) -> Vec<Finding> {
    let control = &patient.file.control;
    let shown = control.socket.display();
    if patient.runs() {
        // It has answered already.
        return Vec::new();
    }
    if let Some(Err(why)) = control.group.as_deref().map(group_id) {
        let why = format!("[control] group: {why}");
        return vec![Finding::told(Level::Fault, &why, "name another group")];
    }
    let folder = nearest(&control.socket);
    vec![match try_to_write(folder) {
        Ok(()) => Finding::ok(format!("{shown} can be made")),
        Err(why) => Finding::fault(
            format!("{shown} cannot be made: {}: {why}", folder.display()),
            "put RuntimeDirectory=callbox under [Service] in the unit, run as root, or set \
             [control] socket",
        ),
    }]
}

/// The nearest folder above `path` that is there: what is missing the daemon makes.
fn nearest(path: &Path) -> &Path {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("."))
}

pub(super) fn secrets(patient: &mut Patient) -> Vec<Finding> {
    let service = &patient.file.service;
    let by_systemd = std::env::var_os("CREDENTIALS_DIRECTORY").is_some();
    let key = match (&service.api_key_file, patient.file.rest()) {
        (Some(path), Ok(_)) => private("API key", path),
        (None, Ok(_)) => Finding::ok("API key: handed over by the service manager"),
        (None, Err(_)) if patient.runs() && !by_systemd => Finding::skip(
            "API key: the service manager hands it to the running callbox; it is not seen \
             from here",
        ),
        (_, Err(why)) => Finding::told(Level::Fault, &why, MAKE_KEY),
    };
    let mut found = vec![key];
    found.push(match (&service.signing_key_file, patient.file.ingress()) {
        (Some(path), Ok(_)) => private("signing key", path),
        (_, Err(why)) => Finding::told(Level::Fault, &why, "copy it again from the console"),
        (None, Ok(config)) if config.signing_key.is_some() => {
            Finding::ok("signing key: handed over by the service manager")
        }
        (None, Ok(_)) => Finding::skip(
            "signing key: none seen, so the secret path alone tells the service from a stranger",
        ),
    });
    if let (IngressMode::Tls, Some(path)) =
        (patient.file.ingress.mode, &patient.file.ingress.private_key)
    {
        found.push(private("private key", path));
    }
    found
}

const MAKE_KEY: &str = "make a key in the service's console, and write it into that file";

/// Whether a file that can be read is kept from others.
pub(super) fn private(name: &str, path: &Path) -> Finding {
    let shown = path.display();
    let mode = match std::fs::metadata(path) {
        Ok(file) => file.permissions().mode() & 0o777,
        Err(why) => {
            return Finding::fault(
                format!("{name} {shown}: {why}"),
                "see that the path is right, and that callbox's user may read the file",
            );
        }
    };
    match mode & 0o007 {
        0 => Finding::ok(format!("{name}: {shown}, mode {mode:03o}")),
        _ => Finding::warn(
            format!("{name}: {shown} is open to every user of this machine (mode {mode:03o})"),
            format!("chmod 640 {shown}"),
        ),
    }
}

pub(super) fn cards(patient: &mut Patient) -> Vec<Finding> {
    let mut config = patient.file.cards();
    // It is looked at only.
    config.set_mixer = false;
    let mut found = Vec::new();
    for direction in [Direction::Microphone, Direction::Speaker] {
        let side = match direction {
            Direction::Microphone => &mut config.microphone,
            Direction::Speaker => &mut config.speaker,
        };
        let page = patient.status(&format!("/{direction}"));
        if page["present"] == true
            && let Some(side) = side.take()
        {
            found.push(held(direction, &side.name, page["xruns"].as_u64()));
        }
    }
    for (direction, name, fit) in alsa::check(&config) {
        found.push(match fit {
            Ok(fit) => Finding::ok(format!("{direction} {name:?}: {fit}")),
            Err(fault) => Finding::told(
                Level::Fault,
                &format!("{direction}: {fault}"),
                "see `aplay -l`, `arecord -l` and [sound]",
            ),
        });
    }
    let devices = alsa::list();
    found.extend(devices.iter().map(|d| Finding::ok(format!("here is {d}"))));
    found.extend(tested(patient));
    found
}

/// What the latest test of the sound found; nothing is played here.
fn tested(patient: &Patient) -> Vec<Finding> {
    let Some(report) = Report::load(&patient.file.sound_test_path()) else {
        return vec![Finding::skip(
            "the sound was never tested: `callbox audio test` plays a sweep and hears it again",
        )];
    };
    let at = &report.at;
    if let (Some(delay), Some(loss)) = (report.delay_ms, report.echo_loss_db)
        && report.passed
    {
        let what = format!(
            "sound test of {at}: passed; delay {delay:.0} ms, echo loss {loss:.0} dB, noise \
             {:.0} dBFS",
            report.noise_dbfs
        );
        return vec![Finding::ok(what)];
    }
    let finding = |found: &Found| {
        let what = format!("sound test of {at}: {}", found.what);
        Finding::warn(what, &found.fix)
    };
    report.findings.iter().map(finding).collect()
}

fn held(direction: Direction, name: &str, xruns: Option<u64>) -> Finding {
    let what = format!("{direction} {name:?}: the running callbox has it");
    match xruns {
        None | Some(0) => Finding::ok(what),
        Some(n) => Finding::warn(
            format!("{what}, and was late for it {n} times"),
            "see rights below; or raise [sound] period_ms or periods",
        ),
    }
}

pub(super) fn lines(patient: &mut Patient) -> Vec<Finding> {
    let buttons = patient.file.button_lines();
    let file = &patient.file;
    if buttons.is_empty() && file.lamps.is_empty() && file.doors.is_empty() {
        return vec![Finding::skip(
            "no button has a line: only `callbox call` presses them",
        )];
    }
    let listing = match gpio::list() {
        Ok(listing) => listing,
        Err(error) => return vec![Finding::told(Level::Fault, &chain(&error), SEE_GPIO)],
    };
    let names = patient.file.buttons.iter().map(|b| b.name.as_str());
    let names: Vec<_> = names.collect();
    let mut wanted: Vec<(&str, &LineSpec)> = buttons
        .iter()
        .map(|(id, line)| (names[usize::from(id.0)], &line.line))
        .collect();
    wanted.extend(file.lamps.iter().map(|lamp| ("lamp", &lamp.line)));
    let doors = file.doors.iter();
    wanted.extend(doors.map(|door| (door.name.as_str(), &door.line)));
    let mut found: Vec<_> = wanted
        .iter()
        .map(|(name, spec)| line(&listing, name, spec, patient.runs()))
        .collect();
    let free = found.iter().all(|f| f.level == Level::Ok) && !patient.runs();
    if free {
        let lines: Vec<_> = buttons.iter().map(|(_, line)| line.clone()).collect();
        let names: Vec<_> = buttons
            .iter()
            .map(|(id, _)| names[usize::from(id.0)])
            .collect();
        found.extend(at_rest(&names, &lines));
    }
    if found.iter().any(|f| f.level == Level::Fault) {
        found.extend(listing.chips.iter().map(chip));
    }
    found
}

const SEE_GPIO: &str = "see `ls -l /dev/gpiochip*` and the kernel's log";

/// What the kernel says of one line; the running callbox holds its own.
fn line(listing: &Listing, name: &str, spec: &LineSpec, runs: bool) -> Finding {
    let held = |line: &LineListing| runs && line.user.as_deref() == Some(CONSUMER);
    let mut others = listing.clone();
    let lines = others.chips.iter_mut().flat_map(|chip| &mut chip.lines);
    lines
        .filter(|line| held(line))
        .for_each(|line| line.user = None);
    let place = match others.find(spec) {
        Ok(place) => place,
        Err(error) => {
            let why = format!("{name}: {}", chain(&error));
            return Finding::told(Level::Fault, &why, SEE_GPIO);
        }
    };
    let chip = listing.chips.iter().find(|chip| chip.path == place.chip);
    let line = chip.and_then(|chip| chip.lines.get(place.offset as usize));
    let at = format!("{} line {}", place.chip.display(), place.offset);
    match (runs, line.is_some_and(held)) {
        (_, true) => Finding::ok(format!("{name}: {spec}, held by callbox ({at})")),
        (false, _) => Finding::ok(format!("{name}: {spec} is free ({at})")),
        (true, _) => Finding::warn(
            format!("{name}: {spec} is free, though callbox runs ({at})"),
            "systemctl restart callbox; `journalctl -u callbox` says why it has no line",
        ),
    }
}

/// A button that reads as pressed while nobody is there is wired or configured
/// the wrong way round.
fn at_rest(names: &[&str], lines: &[gpio::ButtonLine]) -> Vec<Finding> {
    let levels = match Buttons::open(lines).and_then(|buttons| buttons.levels()) {
        Ok(levels) => levels,
        Err(error) => return vec![Finding::told(Level::Fault, &chain(&error), SEE_GPIO)],
    };
    let pressed = names.iter().zip(levels);
    pressed
        .filter(|(_, level)| *level == LineLevel::Active)
        .map(|(name, _)| {
            Finding::warn(
                format!("{name}: reads as pressed"),
                "if nobody presses it, turn active_low round, or see to its bias and wiring",
            )
        })
        .collect()
}

fn chip(chip: &gpio::ChipListing) -> Finding {
    let free = chip.lines.iter().filter(|line| line.user.is_none());
    let names: Vec<_> = free
        .map(|line| line.name.as_str())
        .filter(|n| !n.is_empty())
        .collect();
    Finding::ok(format!(
        "here is {}, {} lines; free by name: {}",
        chip.label,
        chip.lines.len(),
        match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        }
    ))
}

/// An error with what lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        behind = error.source();
    }
    text
}

pub(super) fn records(patient: &mut Patient) -> Vec<Finding> {
    let path = &patient.file.store.path;
    let mut found = vec![folder(path), database(patient, path)];
    if let Some(why) = patient.status("/records").as_str()
        && why != "on disk"
    {
        found.push(Finding::fault(
            format!("the running callbox keeps its records {why}"),
            "make the folder writable and the disk whole, then: systemctl restart callbox",
        ));
    }
    if let Some(aside) = patient.status("/set_aside").as_array() {
        let names: Vec<_> = aside.iter().filter_map(|name| name.as_str()).collect();
        found.push(Finding::warn(
            format!("damaged records were set aside: {}", names.join(", ")),
            "test the memory card; keep those files if the calls in them matter",
        ));
    }
    found
}

/// Room and rights where the database lives.
fn folder(path: &Path) -> Finding {
    let there = nearest(path);
    let shown = there.display();
    if !there.is_dir() {
        return Finding::fault(
            format!("{shown} is a file, and should be the folder of the records"),
            "[store] path: name another, or move that file away",
        );
    }
    if let Err(why) = try_to_write(there) {
        return Finding::fault(
            format!("{shown}: nothing can be written there: {why}"),
            "run as callbox's user or root; mount it writable; or set [store] path",
        );
    }
    match realtime::space(there) {
        Ok(space) if space.bytes < SPACE_FAULT => Finding::fault(
            format!("{shown}: the disk is full ({} kB left)", space.bytes >> 10),
            "make room: `journalctl --vacuum-size=50M`, `du -xh / | sort -h`",
        ),
        Ok(space) if space.bytes < SPACE_WARN => Finding::warn(
            format!("{shown}: {} MB left", space.bytes >> 20),
            "make room: `journalctl --vacuum-size=50M`, `du -xh / | sort -h`",
        ),
        Ok(space) if space.files.is_some_and(|n| n < FILES_WARN) => Finding::warn(
            format!("{shown}: room for {} more files", space.files.unwrap_or(0)),
            "find the folder with very many small files, and remove them",
        ),
        Ok(space) => Finding::ok(format!("{shown}: writable, {} MB left", space.bytes >> 20)),
        Err(why) => Finding::warn(format!("{shown}: {why}"), "see that the folder is mounted"),
    }
}

fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".callbox-doctor-{}", std::process::id()));
    std::fs::File::create_new(&path)?;
    std::fs::remove_file(&path)
}

fn database(patient: &Patient, path: &Path) -> Finding {
    let reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(ReadError::Missing(_)) if !patient.runs() => {
            return Finding::skip("no records yet: callbox begins them when it starts");
        }
        Err(error) => return Finding::told(Level::Fault, &chain(&error), SEE_STORE),
    };
    let mut count = 0_u32;
    let read = reader.each(|_| {
        count += 1;
        Ok::<(), std::convert::Infallible>(())
    });
    if let Err(error) = read {
        return Finding::told(Level::Fault, &chain(&error), SEE_STORE);
    }
    let latest = reader.rows(&Query::Latest {
        limit: 1,
        offset: 0,
    });
    let left = latest.ok().and_then(|rows| rows.first()?.minutes_remaining);
    let what = format!("{count} calls on record, all readable");
    match left {
        Some(left) if left < MINUTES_WARN => Finding::warn(
            format!("{what}; the organization had {left:.0} min left at the last call"),
            "wait: minutes come back 24 h after they were used; or lower [limits] on its devices",
        ),
        Some(left) => Finding::ok(format!(
            "{what}; the organization had {left:.0} min left at the last call"
        )),
        None => Finding::ok(what),
    }
}

const SEE_STORE: &str = "[store] path: see that it names callbox's database, and who owns it";

pub(super) fn rights(patient: &mut Patient) -> Vec<Finding> {
    if let Some(said) = patient.status("/priority").as_str() {
        return vec![match said {
            "real time" => Finding::ok("the running callbox has real-time priority for sound"),
            denied => Finding::told(Level::Warn, denied, "see LimitRTPRIO= in the unit"),
        }];
    }
    // A thread of its own, so that the right is not kept.
    let fifo = std::thread::spawn(|| realtime::run_fifo(AUDIO_PRIORITY));
    let fifo = fifo.join().unwrap_or_else(|panic| resume_unwind(panic));
    let mut found = Vec::new();
    let rights = [
        ("real-time priority for sound", fifo),
        ("memory may be locked", realtime::may_lock_memory()),
    ];
    for (name, right) in rights {
        found.push(match right {
            Ok(()) => Finding::ok(format!("{name}: granted to {}", user())),
            Err(denied) => Finding::told(Level::Warn, &denied.to_string(), "see the unit"),
        });
    }
    found
}

/// Whose rights were tried.
fn user() -> String {
    let uid = std::fs::metadata("/proc/self").map(|own| own.uid());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse().ok() == uid.as_ref().ok().copied()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| "this user".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::gpio::ChipListing;

    /// A chip with two lines, used by these.
    fn board(users: [Option<&str>; 2]) -> Listing {
        let line = |(n, user): (usize, Option<&str>)| LineListing {
            name: format!("GPIO{n}"),
            user: user.map(str::to_owned),
        };
        let chip = ChipListing {
            path: "/dev/gpiochip0".into(),
            label: "pinctrl".into(),
            lines: users.into_iter().enumerate().map(line).collect(),
        };
        Listing {
            chips: vec![chip],
            denied: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_free_or_callboxs_or_anothers() {
        let cases = [
            (
                None,
                false,
                Level::Ok,
                "door: GPIO0 is free (/dev/gpiochip0 line 0)",
            ),
            (None, true, Level::Warn, "is free, though callbox runs"),
            (Some(CONSUMER), true, Level::Ok, "held by callbox"),
            (
                Some(CONSUMER),
                false,
                Level::Fault,
                "in use by another callbox",
            ),
            (Some("spi0"), true, Level::Fault, "in use by \"spi0\""),
        ];
        for (user, runs, level, want) in cases {
            // The other line is callbox's, and must not be taken for this one.
            let board = board([user, Some(CONSUMER)]);
            let found = line(&board, "door", &LineSpec::Name("GPIO0".into()), runs);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.what.contains(want), "no {want:?} in {found:?}");
        }
    }

    #[test]
    fn a_chip_is_listed_with_its_free_lines() {
        let board = board([None, Some("spi0")]);
        let text = chip(&board.chips[0]).what;
        assert_eq!(text, "here is pinctrl, 2 lines; free by name: GPIO0");
    }
}
