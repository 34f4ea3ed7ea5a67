//! The house rules, held against the sources: which room may name what.
//!
//! Comments, strings and unit tests are not the room's code; what is left is
//! searched for words that do not belong. A rule that finds nothing to hold would be worth nothing, so
//! a second test shows that each of them catches its offence.

use std::path::{Path, PathBuf};

const PURE: [&str; 4] = ["call", "panel", "wire", "audio"];

/// Words no pure room may say, with what they would let in.
const FORBIDDEN: [(&str, &str); 16] = [
    ("std::net", "a socket"),
    ("std::fs", "a file"),
    ("std::io", "the system"),
    ("std::os", "the system"),
    ("std::env", "the system"),
    ("std::process", "the system"),
    ("std::thread", "a thread"),
    ("thread_local", "a thread"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
    ("SystemTime", "a clock"),
    ("now()", "a clock"),
    ("tokio", "a runtime"),
    ("libc", "the system"),
    ("alsa::", "a sound card"),
    ("gpiocdev", "a line"),
];

#[test]
fn pure_rooms_name_no_system_and_no_other_room() {
    let mut faults = Vec::new();
    for room in PURE {
        let files = sources(&Path::new("src").join(room));
        for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
            let text = std::fs::read_to_string(path).unwrap();
            let code = code(untested(&text));
            faults.extend(offences(room, &code).map(|o| format!("{}: {o}", path.display())));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_rule_catches_its_offence() {
    for (word, _) in FORBIDDEN {
        assert_eq!(
            offences("call", &format!("let x = {word};")).count(),
            1,
            "{word}"
        );
    }
    for other in [
        "crate::edge::rest",
        "crate::daemon",
        "crate::wire::rest",
        "super::super::audio",
    ] {
        assert_eq!(
            offences("call", &format!("use {other};")).count(),
            1,
            "{other}"
        );
    }
    assert_eq!(
        offences("call", "use crate::units::E164; use crate::call::Call;").count(),
        0
    );
    assert_eq!(
        code("let a = \"std::fs\"; // std::net\n/* Mutex */ b").trim(),
        "let a = \"\"; \n b"
    );
}

#[test]
fn unsafe_code_lives_in_its_two_homes() {
    for path in sources(Path::new("src")) {
        let home = path.ends_with("edge/realtime.rs") || path.ends_with("audio/ring.rs");
        let text = code(&std::fs::read_to_string(&path).unwrap());
        let used = words(&text).any(|w| w == "unsafe");
        assert!(home || !used, "{}: unsafe", path.display());
    }
}

#[test]
fn only_the_daemon_and_the_programs_around_it_join_rooms_to_the_system() {
    let joins = [
        "daemon",
        "cli",
        "edge",
        "simulator",
        "config",
        "main.rs",
        "lib.rs",
    ];
    for path in sources(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap();
        let text = code(&std::fs::read_to_string(&path).unwrap());
        let allowed = joins
            .iter()
            .any(|j| inside.to_string_lossy().starts_with(j));
        assert!(
            allowed || !text.contains("crate::edge"),
            "{}: crate::edge",
            path.display()
        );
    }
}

fn offences<'a>(room: &'a str, code: &'a str) -> impl Iterator<Item = String> + 'a {
    let system = FORBIDDEN
        .iter()
        .filter(|(word, _)| code.contains(word))
        .map(|(word, lets_in)| format!("{word} ({lets_in})"));
    let neighbours = ["edge", "daemon", "config", "cli", "simulator"]
        .into_iter()
        .chain(PURE)
        .filter(move |other| *other != room)
        .filter(move |other| {
            code.contains(&format!("crate::{other}"))
                || code.contains(&format!("super::super::{other}"))
        })
        .map(|other| format!("names `{other}`"));
    system.chain(neighbours)
}

/// The text up to its unit tests.
fn untested(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |end| &text[..end])
}

/// The text without comments and without what stands inside string literals.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[rest.find("*/").map_or(rest.len(), |at| at + 2)..];
        } else if rest.starts_with("'\"'") {
            rest = &rest[3..];
        } else if c == '"' {
            out.push_str("\"\"");
            rest = &rest[1 + string_length(&rest[1..])..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Bytes up to and with the closing quote.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}
