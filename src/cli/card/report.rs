//! `callbox card report`: how the box is, where any PC can read it.
//!
//! The first line says whether it is well, or what to mend first. It is
//! written only when it says something new, since a card wears: times and
//! figures alone are nothing new.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::files::Card;
use super::import::note;
use super::{FOUND, Failure, Level, Places, Told, first_fault};
use crate::cli::doctor::links;
use crate::cli::text::{span, write_wrapped};
use crate::config::SIZE_MAX;
use crate::edge::clock::Stamp;
use crate::edge::volume::{read, replace};
use crate::panel::Trouble;

/// The file on the card.
const REPORT: &str = "callbox-report.txt";
/// What the report on the card says, without times and figures.
const SAID: &str = "report.said";
/// What the image says of the data partition: clean, repaired, made anew.
const DATA: &str = "data";
/// All of doctor's waits together are shorter.
const DOCTOR_WITHIN: Duration = Duration::from_secs(120);
/// A finding has a line; nobody has so many.
const DOCTOR_MAX: u64 = 1 << 20;

/// `callbox card report …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    places: Places,
    /// The card is not written more often than this
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    every: u64,
    /// The system that is looked at, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    system: PathBuf,
}

/// Looks at everything, and writes it down.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        places,
        every,
        system,
    } = arguments;
    let told = read(&places.run.join(FOUND), SIZE_MAX).ok();
    let mut told: Vec<Told> = told
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let (links, network) = links::of_system(system);
    add_doctors(
        &mut told,
        ask_doctor(places),
        serde_json::from_value(network)?,
    );
    note(&places.run, first_fault(&told))?;

    let board = fs::read(system.join("proc/device-tree/model")).unwrap_or_default();
    let page = Page {
        told: &told,
        links: &links,
        board: String::from_utf8_lossy(&board)
            .trim_end_matches('\0')
            .to_owned(),
        up: up(system),
        data: fs::read_to_string(places.run.join(DATA)).ok(),
    };
    let (text, said) = (page.text(), page.said());
    replace(&places.run.join(REPORT), text.as_bytes(), 0o600)
        .map_err(|e| format!("{}: {e}", places.run.display()))?;
    let said_before = places.run.join(SAID);
    if read(&said_before, SIZE_MAX).is_ok_and(|before| before == said.as_bytes())
        || is_fresh(&said_before, Duration::from_secs(*every))
    {
        return Ok(ExitCode::SUCCESS);
    }
    let written = Card::open(&places.card).and_then(|mut card| card.write(REPORT, text.as_bytes()));
    written.map_err(|e| {
        format!(
            "{}: the report cannot be written: {e}; {} has it",
            places.card.join(REPORT).display(),
            places.run.join(REPORT).display()
        )
    })?;
    replace(&said_before, said.as_bytes(), 0o600)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether it was written less than `every` ago. A clock that was set back
/// makes nothing fresh.
fn is_fresh(path: &Path, every: Duration) -> bool {
    let written = fs::metadata(path).and_then(|file| file.modified());
    let age = written.map(|at| SystemTime::now().duration_since(at));
    matches!(age, Ok(Ok(age)) if age < every)
}

/// What doctor found; nothing when there is no configuration to ask about.
fn ask_doctor(places: &Places) -> Vec<Told> {
    let config = places.run.join("callbox.toml");
    if !config.exists() {
        return Vec::new();
    }
    let credentials = places.data.join("credentials");
    match doctor(&config, &credentials) {
        Ok(found) => found,
        Err(why) => vec![Told::warn(
            "doctor",
            format!("the box could not be looked at: {why}"),
            "wait some minutes for the next report",
        )],
    }
}

/// A process of its own: it may hang where this one must not.
fn doctor(config: &Path, credentials: &Path) -> Result<Vec<Told>, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--log", "error", "doctor", "--json", "--config"])
        .arg(config)
        .env("CREDENTIALS_DIRECTORY", credentials)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let read = out.map(|out| out.take(DOCTOR_MAX).read_to_end(&mut said));
        read.transpose().map(|_| said)
    });
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > DOCTOR_WITHIN {
            child.kill()?;
            child.wait()?;
            return Err("it took too long".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = reader.join().map_err(|_| "its answer was lost")??;
    let said: Value = serde_json::from_slice(&said)?;
    Ok(serde_json::from_value(said["findings"].clone())?)
}

/// Puts doctor's findings behind the import's. Of a broken configuration the
/// import has told; the network is looked at also when doctor did not.
fn add_doctors(told: &mut Vec<Told>, doctors: Vec<Told>, network: Vec<Told>) {
    let of = |check: &str, all: &[Told]| all.iter().any(|told| told.check == check);
    let broken = told
        .iter()
        .any(|told| told.check == "config" && told.is_fault());
    let doctors = doctors
        .into_iter()
        .filter(|told| !(broken && told.check == "config" && told.is_fault()));
    let doctors: Vec<_> = doctors.collect();
    if !of("service", &doctors) && !of("network", &doctors) {
        told.extend(network);
    }
    told.extend(doctors);
}

/// Since the power came.
fn up(system: &Path) -> Option<Duration> {
    let text = fs::read_to_string(system.join("proc/uptime")).ok()?;
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

struct Page<'a> {
    told: &'a [Told],
    links: &'a [String],
    board: String,
    up: Option<Duration>,
    data: Option<String>,
}

impl Page<'_> {
    /// The file: with a mark in front and ends of lines as Notepad wants them.
    fn text(&self) -> String {
        let mut out = self.headline();
        out.push_str("\n\n");
        self.list(&mut out, "To be mended, from the top", Level::Fault);
        self.list(&mut out, "Worth a look", Level::Warn);
        let taken = |told: &&Told| told.level == Level::Ok && told.what.contains(": taken");
        let taken: Vec<_> = self
            .told
            .iter()
            .filter(taken)
            .map(|t| t.what.as_str())
            .collect();
        section(&mut out, "Taken from this card", &taken);
        let links: Vec<_> = self.links.iter().map(String::as_str).collect();
        section(&mut out, "Network", &links);
        let service = self.told.iter().filter(|told| told.check == "service");
        let service: Vec<_> = service.map(|told| told.what.as_str()).collect();
        section(&mut out, "Service", &service);
        self.times(&mut out);
        format!("\u{feff}{}", masked(&out).replace('\n', "\r\n"))
    }

    fn headline(&self) -> String {
        let Some(fault) = first_fault(self.told) else {
            return "callbox is well: the next press should place a call.".to_owned();
        };
        let lamp = match fault.trouble() {
            Some(trouble) => format!(" (the lamp flashes {} times)", trouble.flashes()),
            None => " (the lamp flashes once)".to_owned(),
        };
        format!("FAULT{lamp}: {}", one_line(&fault.what))
    }

    fn list(&self, out: &mut String, title: &str, level: Level) {
        let of_level: Vec<_> = self
            .told
            .iter()
            .filter(|told| told.level == level)
            .collect();
        if of_level.is_empty() {
            return;
        }
        _ = writeln!(out, "{title}:");
        for Told {
            check, what, fix, ..
        } in of_level
        {
            out.push_str("  - ");
            write_wrapped(out, &format!("{check}: {}", one_line(what)), 4);
            if let Some(fix) = fix {
                out.push_str("    What to do: ");
                write_wrapped(out, fix, 16);
            }
        }
        out.push('\n');
    }

    fn times(&self, out: &mut String) {
        let board = match self.board.is_empty() {
            true => "an unknown board",
            false => &self.board,
        };
        let version = env!("CARGO_PKG_VERSION");
        let now = Stamp::system().to_string().replace('T', " ");
        let now: String = now.chars().take(16).collect();
        _ = writeln!(out, "callbox {version} on {board}");
        _ = write!(out, "Written {now} UTC");
        if let Some(up) = self.up {
            _ = write!(out, ", {} after the power came", span(up));
        }
        out.push_str(".\n");
        if let Some(data) = &self.data {
            _ = writeln!(out, "Data partition: {}.", one_line(data));
        }
        out.push_str("\nThe lamp, while nobody presses:\n");
        out.push_str("  1 flash: the service is not reached\n");
        out.push_str("  2 flashes: a button does not let go\n");
        let mut troubles = Trouble::ALL;
        troubles.sort_by_key(|trouble| trouble.flashes());
        for trouble in troubles {
            _ = writeln!(out, "  {} flashes: {}", trouble.flashes(), trouble.means());
        }
    }

    /// What makes two reports the same: what there is to be done.
    fn said(&self) -> String {
        let news = self.told.iter().filter(|told| told.level != Level::Skip);
        let mut said = String::new();
        for Told {
            check,
            level,
            what,
            fix,
            lamp,
        } in news
        {
            let what = if *level == Level::Fault || what.contains(": taken") {
                what
            } else {
                ""
            };
            let plain: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
            _ = writeln!(said, "{level:?} {check} {plain} {fix:?} {lamp:?}");
        }
        said + &self.links.join("\n") + &self.board
    }
}

fn section(out: &mut String, title: &str, lines: &[&str]) {
    if lines.is_empty() {
        return;
    }
    _ = writeln!(out, "{title}:");
    for line in lines {
        out.push_str("  - ");
        write_wrapped(out, &one_line(line), 4);
    }
    out.push('\n');
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Seven digits or more in a row may be a telephone number: the last three
/// stay.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for run in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = run.bytes().take_while(u8::is_ascii_digit).count();
        match digits >= 7 {
            true => {
                out.push_str("...");
                out.push_str(&run[digits - 3..]);
            }
            false => out.push_str(run),
        }
    }
    out.replace('…', "...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(told: &[Told]) -> String {
        let page = Page {
            told,
            links: &["eth0 (b8:27:eb:00:00:01): a cable that leads somewhere".to_owned()],
            board: "Raspberry Pi 3 Model B Rev 1.2".to_owned(),
            up: Some(Duration::from_secs(31)),
            data: Some("clean\n".to_owned()),
        };
        page.text()
    }

    #[test]
    fn the_first_line_says_it_all() {
        let well = page(&[Told::ok("config", "door calls +…199")]);
        assert!(well.starts_with("\u{feff}callbox is well: "), "{well}");
        let told = [
            Told::fault(Trouble::Sound, "cards", "no card", "plug it in"),
            Told::fault(
                Trouble::Config,
                "config",
                "callbox.toml:3: [service]\nfrom_number: +4930123456789 is wrong",
                "mend it",
            ),
            Told::warn("clock", "7 s off", "set it"),
        ];
        let text = page(&told);
        let first = text.split("\r\n").next().unwrap();
        assert_eq!(
            first,
            "\u{feff}FAULT (the lamp flashes 4 times): callbox.toml:3: [service] from_number: +...789 is wrong"
        );
        for want in [
            "To be mended, from the top:\r\n  - cards: no card\r\n    What to do: plug it in\r\n",
            "Worth a look:\r\n  - clock: 7 s off",
            "callbox 0.1.0 on Raspberry Pi 3 Model B Rev 1.2\r\n",
            ", 31 s after the power came.\r\nData partition: clean.\r\n",
            "  1 flash: ",
            "  10 flashes: the service cannot reach this device\r\n",
        ] {
            assert!(text.contains(want), "no {want:?} in\n{text}");
        }
        assert!(!text.replace("\r\n", "").contains('\n'), "bare line feeds");
        let longest = text.split("\r\n").skip(1).map(|l| l.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?}\n{text}");
    }

    #[test]
    fn figures_and_times_alone_are_nothing_new() {
        let said = |what: &str, level: Level, up: u64| {
            let told = [Told {
                level,
                ..Told::warn("service", what, "wait")
            }];
            let page = Page {
                told: &told,
                links: &[],
                board: String::new(),
                up: Some(Duration::from_secs(up)),
                data: None,
            };
            page.said()
        };
        use Level::{Fault, Ok};
        assert_eq!(
            said("answers in 3 ms", Ok, 1),
            said("answers in 41 ms", Ok, 2)
        );
        assert_eq!(
            said("no answer within 3 s", Fault, 1),
            said("no answer within 5 s", Fault, 1)
        );
        assert_ne!(said("no answer", Fault, 1), said("not found", Fault, 1));
        assert_ne!(said("no answer", Fault, 1), said("no answer", Ok, 1));
    }

    #[test]
    fn the_import_tells_of_the_configuration_and_doctor_of_the_rest() {
        let broken = || Told::fault(Trouble::Config, "config", "line 3", "mend it");
        let network = || {
            vec![Told::fault(
                Trouble::Network,
                "network",
                "no cable",
                "plug it in",
            )]
        };
        let checks = |mut told: Vec<Told>, doctors| {
            add_doctors(&mut told, doctors, network());
            told.into_iter().map(|told| told.check).collect::<Vec<_>>()
        };
        assert_eq!(
            checks(vec![broken()], vec![broken()]),
            ["config", "network"]
        );
        assert_eq!(checks(vec![], vec![]), ["network"]);
        let well = vec![Told::ok("config", ""), Told::ok("service", "")];
        assert_eq!(
            checks(vec![broken()], well),
            ["config", "config", "service"]
        );
    }
}
