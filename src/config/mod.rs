//! The configuration file, turned once into the parts' own config structs.
//!
//! One TOML file, `/etc/callbox/callbox.toml` unless `--config` says otherwise.
//! Every key but a handful has a default; [`TEMPLATE`] is the file that
//! `callbox config init` writes, with each key and its default explained.
//! Secrets are not in it: it names files that hold them.
//!
//! ```text
//!  callbox.toml ──load──▶ File (checked values) ──▶ call::Config, panel::Config, …
//! ```
//!
//! Always true: after [`load`] only valid values travel. An error names the
//! file, the line, the section and the key, and says what to write instead.
//!
//! Read at start, by `doctor` and by `config check`; not on any hot path.

mod board;
mod button;
mod check;
mod door;
mod file;
mod hours;
mod parts;
mod plain;
pub mod profile;
mod secret;
mod text;
mod value;
pub mod wifi;

use std::fmt;
use std::path::{Path, PathBuf};

use check::Wrong;

use crate::edge::gpio::OutputLine;
use crate::panel::LampRole;

pub use board::{Board, Machine, Mixer, Settled, SoundChoice};
pub use button::{Action, Button, Kind, Schedule, Target};
pub use door::{BadCode, Code, Words};
pub use file::{Call, Control, File, Inbound, InboundAction, Ingress, IngressMode, Limits};
pub use file::{Clock, Door, Lamp, Panel, Place, Prompts, Service, Sound, Store};
pub use hours::{BadDays, BadHours, BadTime, Days, Hours, TimeOfDay, When};
pub use parts::NO_SIGNING_KEY;
pub use plain::{NotText, Wide, plain_text};
pub use text::{BadText, Facts, Text};

/// Where the configuration is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/callbox/callbox.toml";

/// The commented file that `callbox config init` writes.
pub const TEMPLATE: &str = include_str!("template.toml");

/// Larger files are refused unread: 64 KiB.
pub const SIZE_MAX: u64 = 64 * 1024;

/// Reads and checks the file at `path`.
///
/// # Errors
/// Whatever is wrong with it, one fault at a time, in words for the installer.
pub fn load(path: &Path) -> Result<File, Fault> {
    let fault = |what: String| Fault {
        path: path.to_owned(),
        at: None,
        what,
    };
    let metadata = std::fs::metadata(path).map_err(|e| fault(unreadable(path, &e)))?;
    if !metadata.is_file() {
        return Err(fault("this is not a file".to_owned()));
    }
    if metadata.len() > SIZE_MAX {
        return Err(fault(format!(
            "the file has {} bytes; a configuration has at most {SIZE_MAX}",
            metadata.len()
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| fault(unreadable(path, &e)))?;
    parse_bytes(path, &bytes)
}

/// Checks `bytes`, in whatever encoding a PC's editor saved them, as if they
/// had been read from `path`.
///
/// # Errors
/// As [`load`].
pub fn parse_bytes(path: &Path, bytes: &[u8]) -> Result<File, Fault> {
    let text = plain_text(bytes).map_err(|not| Fault {
        path: path.to_owned(),
        at: Some(At {
            line: not.line,
            key: String::new(),
        }),
        what: not.to_string(),
    })?;
    parse(path, &text)
}

/// Checks `text` as if it had been read from `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<File, Fault> {
    let fault = |at: Option<At>, what: &str| Fault {
        path: path.to_owned(),
        at,
        what: what.to_owned(),
    };
    let file: File = toml::from_str(text)
        .map_err(|e| fault(e.span().map(|span| At::find(text, span.start)), plain(&e)))?;
    file.check()
        .map_err(|wrong| fault(At::find_key(text, &wrong), &wrong.what))?;
    Ok(file)
}

/// The message of a fault of form, or better words for a frequent one.
fn plain(error: &toml::de::Error) -> &str {
    match error.message() {
        said if said.contains("invalid type: map, expected a sequence") => {
            "there may be several of these; write the section with two brackets, like [[lamp]]"
        }
        said => said,
    }
}

/// The lines of the lamps in a file that may be broken elsewhere. Where none
/// can be read it is the line the template gives to the lamp, unless the file
/// names that line for something else.
#[must_use]
pub fn lamp_lines_at(path: &Path) -> Vec<(LampRole, OutputLine)> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = plain_text(&bytes[..bytes.len().min(SIZE_MAX as usize)]).unwrap_or_default();
    let lamps = lamps_in(&text);
    let usual = "line = \"GPIO27\"";
    let is_free = !text.contains("GPIO27") && parse(path, &text).is_err();
    let usual = toml::from_str(usual).ok().filter(|_| is_free);
    let used = lamps.is_empty().then_some(usual).flatten();
    let lamps = lamps.into_iter().chain(used);
    lamps.map(|lamp| (lamp.role, lamp.output())).collect()
}

/// The `[[lamp]]` sections that are whole by themselves.
fn lamps_in(text: &str) -> Vec<Lamp> {
    let mut lamps = Vec::new();
    let mut section: Option<String> = None;
    for line in text.lines().chain(["[end]"]) {
        if let Some(header) = header(line) {
            let read = section.take().map(|text| toml::from_str(&text));
            lamps.extend(read.and_then(Result::ok));
            section = (header == "[[lamp]]").then(String::new);
        } else if let Some(section) = &mut section {
            section.push_str(line);
            section.push('\n');
        }
    }
    lamps
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "there is no such file; `callbox config init --config {}` writes one to start from",
            path.display()
        ),
        std::io::ErrorKind::PermissionDenied => {
            "it may not be read; run callbox as its service user, or as root".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    path: PathBuf,
    at: Option<At>,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(at) = &self.at {
            write!(f, ":{}", at.line)?;
            if !at.key.is_empty() {
                write!(f, ": {}", one_line(&at.key))?;
            }
        }
        write!(f, ": {}", one_line(&self.what))
    }
}

impl std::error::Error for Fault {}

/// Without what would move a terminal's cursor: faults repeat what the file says.
fn one_line(text: &str) -> String {
    text.trim().replace(char::is_control, " ")
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct At {
    /// From 1.
    line: usize,
    /// `[section] key`, as far as it is known.
    key: String,
}

impl At {
    /// The place of the byte at `offset`, named by what stands in and above its line.
    fn find(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count();
        let section = text.lines().take(line + 1).filter_map(header).last();
        let here = text.lines().nth(line).unwrap_or_default();
        let key = here.split_once('=').map(|(key, _)| key.trim());
        let words: Vec<&str> = section.into_iter().chain(key).collect();
        Self {
            line: line + 1,
            key: words.join(" "),
        }
    }

    /// The place of a key, or of its section's header, or nothing when the file
    /// has neither.
    fn find_key(text: &str, wrong: &Wrong) -> Option<Self> {
        let lines = || text.lines().enumerate();
        let is_ours = |header: &str| header.trim_matches(['[', ']']) == wrong.section;
        let headers = lines().filter_map(|(n, line)| Some((n, header(line)?)));
        let (top, name) = headers.filter(|(_, h)| is_ours(h)).nth(wrong.nth)?;
        let inside = lines().skip(top + 1);
        let at = inside
            .take_while(|(_, line)| header(line).is_none())
            .find(|(_, line)| {
                line.split_once('=')
                    .is_some_and(|(k, _)| k.trim() == wrong.key)
            })
            .map_or(top, |(n, _)| n);
        Some(Self {
            line: at + 1,
            key: format!("{name} {}", wrong.key).trim().to_owned(),
        })
    }
}

fn header(line: &str) -> Option<&str> {
    let line = line.trim();
    let end = line.find(']')?;
    let end = if line.starts_with("[[") {
        end + 2
    } else {
        end + 1
    };
    (line.starts_with('[')).then(|| line.get(..end)).flatten()
}

#[cfg(test)]
mod tests;
