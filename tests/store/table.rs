//! The table on terminals of every width, and exports to the letter.

use callbox::edge::store::{Direction, Outcome, Row, StoreHandle};
use callbox::units::{CallId, E164};

use crate::calls::{calls, calls_at, pressed};
use crate::support::*;

/// A press that tried three numbers, and one whose words are meant to break
/// things.
fn a_list_was_tried() -> (Folder, StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let attempt = |n, position, cycle, number: &str, outcome, why: &str| Row {
        direction: Some(Direction::Outbound),
        press: Some(token(0xa0)),
        button: Some(0),
        position: Some(position),
        cycle: Some(cycle),
        to_number: E164::parse(number).ok(),
        pressed_at: pressed("2026-11-22T14:49:02Z"),
        clock_trusted: Some(true),
        outcome: Some(outcome),
        local_reason: Some(why.into()),
        closed: Some(true),
        ..Row::new(token(n))
    };
    let mean = format!("=cmd|{}\u{202e}\u{1b}[2J\r\n\u{9b}門", "x".repeat(300));
    let answered = Row {
        talk_ms: Some(92_400),
        ..attempt(
            0xa2,
            0,
            1,
            "+4930123456",
            Outcome::Answered,
            "the far end hung up",
        )
    };
    for row in [
        attempt(
            0xa0,
            0,
            0,
            "+4930123456",
            Outcome::Unanswered,
            "nobody answered",
        ),
        attempt(
            0xa1,
            1,
            0,
            "+4930123789",
            Outcome::Unconfirmed,
            "no key was pressed",
        ),
        answered,
        Row {
            press: Some(token(0xb0)),
            button: Some(200),
            direction: Some(Direction::Inbound),
            from_number: E164::parse("+4930999000").ok(),
            ..attempt(0xb0, 0, 0, "+15550100", Outcome::Rejected, &mean)
        },
    ] {
        record(&store, row);
    }
    (folder, store)
}

#[test]
fn a_narrow_terminal_shows_what_matters_most() {
    let (folder, _store) = a_list_was_tried();
    let shown = calls_at("list", &folder.database(), 40, &mut || false).unwrap();
    let want = "\
ID        PRESSED (UTC)     OUTCOME
000000b0  2026-11-22 14:49  rejected
000000a2  2026-11-22 14:49  answered
000000a1  2026-11-22 14:49  unconfirmed
000000a0  2026-11-22 14:49  unanswered
";
    assert_eq!(shown, want);
}

#[test]
fn a_usual_terminal_shows_most() {
    let (folder, _store) = a_list_was_tried();
    let shown = calls_at("list", &folder.database(), 80, &mut || false).unwrap();
    let want = "\
ID        PRESSED (UTC)     BUTTON  WITH        OUTCOME      TALK  WHY
000000b0  2026-11-22 14:49  200     from +…000  rejected     -     =cmd|xxxxxxx…
000000a2  2026-11-22 14:49  front   +…456       answered     1:32  the far end …
000000a1  2026-11-22 14:49  front   +…789       unconfirmed  -     no key was p…
000000a0  2026-11-22 14:49  front   +…456       unanswered   -     nobody answe…
";
    assert_eq!(shown, want);
}

#[test]
fn a_wide_terminal_shows_all_and_each_try_of_a_press() {
    let (folder, _store) = a_list_was_tried();
    let shown = calls_at("list", &folder.database(), 200, &mut || false).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    let want = [
        "ID        PRESSED (UTC)     BUTTON  WITH        TRY  OUTCOME      TALK  WHY",
        "000000a2  2026-11-22 14:49  front   +…456       1/2  answered     1:32  the far end hung up",
        "000000a1  2026-11-22 14:49  front   +…789       2    unconfirmed  -     no key was pressed",
        "000000a0  2026-11-22 14:49  front   +…456       1    unanswered   -     nobody answered",
    ];
    assert_eq!([lines[0], lines[2], lines[3], lines[4]], want);
    assert!(lines[1].starts_with("000000b0  2026-11-22 14:49  200     from +…000       rejected"));
    assert_eq!(lines[1].chars().count(), 200);
}

#[test]
fn no_line_is_longer_than_the_terminal_and_none_steers_it() {
    let (folder, _store) = a_list_was_tried();
    for width in (1..90).chain([100, 132, 199, 200, 219]) {
        for line in ["list", "list --numbers", "show 000000b0"] {
            let shown = calls_at(line, &folder.database(), width, &mut || false).unwrap();
            // The one wide character of the test takes two cells.
            let cells = |line: &str| line.chars().map(|c| if c == '門' { 2 } else { 1 }).sum();
            let longest: usize = shown.lines().map(cells).max().unwrap();
            assert!(
                longest <= width.max(2),
                "{line} at {width}: {longest}\n{shown}"
            );
            let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!shown.contains(steers), "{line} at {width}: {shown:?}");
        }
    }
}

/// One call, to the letter.
fn one_call() -> (Folder, StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let row = Row {
        direction: Some(Direction::Outbound),
        to_number: E164::parse("+4930123456").ok(),
        call_id: CallId::parse("call-1"),
        clock_trusted: Some(true),
        pressed_at: pressed("2026-11-22T14:49:02.25Z"),
        local_reason: Some("@home, he said \"no\"".into()),
        drift_ppm: Some(-37.5),
        closed: Some(true),
        ..Row::new(token(1))
    };
    record(&store, row);
    (folder, store)
}

#[test]
fn a_spreadsheet_gets_one_header_and_no_formula() {
    let (folder, _store) = one_call();
    for command in ["list", "export"] {
        let line = format!("{command} --csv --numbers");
        let shown = calls(&line, &folder.database()).unwrap();
        let (header, rest) = shown.split_once("\r\n").unwrap();
        assert_eq!(header, Row::NAMES.join(","));
        let fact = |name: &str| match name {
            "token" => token(1),
            "direction" => "outbound".into(),
            "to_number" => "'+4930123456".into(),
            "call_id" => "call-1".into(),
            "clock_trusted" | "closed" => "yes".into(),
            "pressed_at" => "2026-11-22T14:49:02.250Z".into(),
            "local_reason" => "\"'@home, he said \"\"no\"\"\"".into(),
            "drift_ppm" => "-37.5".into(),
            _ => String::new(),
        };
        let want: Vec<String> = Row::NAMES.iter().map(|name| fact(name)).collect();
        assert_eq!(rest, want.join(",") + "\r\n", "{command}");
    }
}

#[test]
fn a_program_gets_a_line_of_json_for_each_call() {
    let (folder, _store) = one_call();
    let known = [
        ("token", format!("\"{}\"", token(1))),
        ("direction", "\"outbound\"".into()),
        ("to_number", "\"+…456\"".into()),
        ("call_id", "\"call-1\"".into()),
        ("clock_trusted", "true".into()),
        ("pressed_at", "\"2026-11-22T14:49:02.250Z\"".into()),
        ("local_reason", r#""@home, he said \"no\"""#.into()),
        ("drift_ppm", "-37.5".into()),
        ("closed", "true".into()),
    ];
    let fact = |name: &&str| {
        let known = known.iter().find(|(known, _)| known == name);
        let value = known.map_or("null", |(_, value)| value);
        format!("\"{name}\":{value}")
    };
    let want: Vec<String> = Row::NAMES.iter().map(fact).collect();
    for line in ["list --json", "export --json", "export"] {
        let shown = calls(line, &folder.database()).unwrap();
        assert_eq!(shown, format!("{{{}}}\n", want.join(",")), "{line}");
    }
}
