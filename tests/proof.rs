//! The page of what the service's documents say (`src/wire/proof.md`), held
//! against the sources: each row names tests, and each test is there and runs.
//! What a row says is for people to read.

use std::collections::HashMap;
use std::path::Path;

/// What the rows of the documents' own tables are called.
const NAMED: [&str; 75] = [
    // Requests, and what limits them.
    "from_number",
    "to_number",
    "client_websocket_url",
    "phone_number_id",
    "call_id",
    "limit",
    "offset",
    "is_blocked",
    "rate_limit",
    "calls_used",
    "calls_remaining",
    "calls_limit",
    "minutes_used",
    "minutes_remaining",
    "minutes_limit",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-API-Key",
    "detail",
    "incoming_call_action",
    "auto_accept",
    "auto_reject",
    "webhook",
    // The call object.
    "id",
    "local_phone_number",
    "remote_phone_number",
    "direction",
    "status",
    "use_inkbox_tts",
    "use_inkbox_stt",
    "hangup_reason",
    "started_at",
    "ended_at",
    "created_at",
    "updated_at",
    "outbound",
    "inbound",
    "initiated",
    "ringing",
    "answered",
    "completed",
    "canceled",
    "failed",
    "local",
    "remote",
    "max_duration",
    "voicemail",
    "rejected",
    // The handshake.
    "X-Call-Context",
    "X-Inkbox-Request-ID",
    "X-Inkbox-Timestamp",
    "X-Inkbox-Signature",
    "X-Use-Inkbox-Text-To-Speech",
    "X-Use-Inkbox-Speech-To-Text",
    // Frames and encodings.
    "connected",
    "start",
    "media",
    "media_format",
    "transcript",
    "barge_in",
    "dtmf",
    "mark",
    "error",
    "stop",
    "audio_done",
    "clear",
    "text",
    "delta",
    "PCMU",
    "PCMA",
    "L16",
    "OPUS",
    "G722",
];

#[test]
fn every_row_names_tests_that_run() {
    let rows = rows(&page());
    assert!(rows.len() > 100, "{} rows", rows.len());
    let faults = faults(&rows, |file| std::fs::read_to_string(file).ok());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_name_of_the_documents_has_a_row() {
    let page = page();
    let said: Vec<String> = rows(&page).into_iter().map(|row| row.says).collect();
    let is_told = |name: &&str| said.iter().any(|says| says.contains(&format!("`{name}`")));
    let missing: Vec<&str> = NAMED.into_iter().filter(|name| !is_told(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_page_that_claims_too_much_is_found_out() {
    let source = "#[test]\nfn runs() {}\n\n/// Words.\n#[tokio::test(\n    start_paused = true\n)]\n\
                  async fn runs_too() {}\n\n#[test]\n#[ignore = \"needs a card\"]\nfn rests() {}\n\n\
                  fn helps() {}\n";
    let cases = [
        ("`a.rs::runs`, `a.rs::runs_too`", None),
        ("`a.rs::renamed`", Some("is not in the file")),
        ("`a.rs::rests`", Some("is ignored")),
        ("`a.rs::helps`", Some("is no test")),
        ("`b.rs::runs`", Some("cannot be read")),
        ("`runs`", Some("is not file::test")),
        ("", Some("no test is named")),
    ];
    for (tests, want) in cases {
        let page = format!("| it says | shown by |\n|---|---|\n| a thing | {tests} |\n");
        let faults = faults(&rows(&page), |file| {
            (file == "a.rs").then(|| source.to_owned())
        });
        match want {
            None => assert_eq!(faults, [""; 0], "{tests}"),
            Some(want) => assert!(
                matches!(&faults[..], [fault] if fault.contains(want)),
                "{tests}: {faults:?}"
            ),
        }
    }
}

/// A statement and the tests that show it.
struct Row {
    says: String,
    tests: Vec<String>,
}

fn page() -> String {
    std::fs::read_to_string("src/wire/proof.md").unwrap()
}

/// The rows of all tables of a page, without their heads.
fn rows(page: &str) -> Vec<Row> {
    let lines: Vec<&str> = page.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("|---"));
    let is_row = |n: &usize| {
        lines[*n].starts_with('|') && !is_rule(lines.get(*n)) && !is_rule(lines.get(n + 1))
    };
    (0..lines.len())
        .filter(is_row)
        .map(|n| row(lines[n]))
        .collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let tests = cells.get(1).copied().unwrap_or_default().split(", ");
    Row {
        says: cells[0].to_owned(),
        tests: tests
            .map(|test| test.trim_matches('`').to_owned())
            .filter(|test| !test.is_empty())
            .collect(),
    }
}

/// What is wrong with these rows, by the sources that `read` reads.
fn faults(rows: &[Row], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut files: HashMap<&str, Option<HashMap<String, Kind>>> = HashMap::new();
    let mut faults = Vec::new();
    for row in rows {
        if row.tests.is_empty() {
            faults.push(format!("{}: no test is named", row.says));
        }
        for test in &row.tests {
            let Some((file, name)) = test.split_once("::") else {
                faults.push(format!("{}: {test} is not file::test", row.says));
                continue;
            };
            let functions = files
                .entry(file)
                .or_insert_with(|| read(file).map(|source| functions(&source)));
            let fault = match functions.as_ref().map(|functions| functions.get(name)) {
                None => "cannot be read",
                Some(None) => "is not in the file",
                Some(Some(Kind::Ignored)) => "is ignored",
                Some(Some(Kind::Plain)) => "is no test",
                Some(Some(Kind::Test)) => continue,
            };
            faults.push(format!("{}: {test} {fault}", row.says));
        }
    }
    faults
}

#[derive(Clone, Copy)]
enum Kind {
    Test,
    Ignored,
    Plain,
}

/// The functions of a source, by their name. Sources are as `cargo fmt` leaves
/// them: an attribute begins a line, and its bracket ends one.
fn functions(source: &str) -> HashMap<String, Kind> {
    let mut functions = HashMap::new();
    let mut attributes = String::new();
    let mut is_open = false;
    for line in source.lines().map(str::trim) {
        if is_open || line.starts_with("#[") {
            attributes.push_str(line);
            is_open = !line.ends_with(']');
        } else if let Some(name) = function(line) {
            let is_test = attributes.contains("#[test]") || attributes.contains("#[tokio::test");
            let kind = match (is_test, attributes.contains("#[ignore")) {
                (true, false) => Kind::Test,
                (true, true) => Kind::Ignored,
                (false, _) => Kind::Plain,
            };
            functions.insert(name.to_owned(), kind);
            attributes.clear();
        } else if !line.starts_with("//") {
            attributes.clear();
        }
    }
    functions
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    Some(&name[..name.find(['(', '<'])?])
}

#[test]
fn the_page_stands_in_the_librarys_docs() {
    let wire = std::fs::read_to_string(Path::new("src/wire/mod.rs")).unwrap();
    assert!(wire.contains("#![doc = include_str!(\"proof.md\")]"));
}
