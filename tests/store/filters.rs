//! `callbox calls list` and `export`: each filter, and filters nobody can mean.

use callbox::edge::store::{Direction, Outcome, Row, StoreHandle};
use callbox::units::E164;

use crate::calls::{arguments, calls, pressed};
use crate::support::*;

/// Calls of three days before the tests' now, 2026-11-22 16:00 UTC.
fn a_week() -> (Folder, StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let row = |n, at: &str, button, number: &str, outcome| Row {
        direction: Some(Direction::Outbound),
        button: Some(button),
        to_number: E164::parse(number).ok(),
        from_number: E164::parse("+15550100").ok(),
        pressed_at: pressed(at),
        clock_trusted: Some(true),
        outcome: Some(outcome),
        closed: Some(true),
        ..Row::new(token(n))
    };
    let calls = [
        row(
            1,
            "2026-11-20T23:59:59.999Z",
            0,
            "+4930123456",
            Outcome::Answered,
        ),
        row(
            2,
            "2026-11-21T00:00:00Z",
            1,
            "+4930123789",
            Outcome::Unanswered,
        ),
        row(
            3,
            "2026-11-21T23:59:59.999Z",
            0,
            "+4930123456",
            Outcome::Voicemail,
        ),
        Row {
            direction: Some(Direction::Inbound),
            button: None,
            to_number: E164::parse("+15550100").ok(),
            from_number: E164::parse("+4930999456").ok(),
            ..row(4, "2026-11-22T00:00:00Z", 0, "+15550100", Outcome::Rejected)
        },
        row(
            5,
            "2026-11-22T14:30:00Z",
            7,
            "+4930123789",
            Outcome::Limited,
        ),
        // Begun by a board whose clock nobody set, and still up.
        Row {
            pressed_at: None,
            closed: None,
            ..row(
                6,
                "2026-11-22T15:00:00Z",
                0,
                "+4930123456",
                Outcome::Answered,
            )
        },
    ];
    for call in calls {
        record(&store, call);
    }
    (folder, store)
}

#[test]
fn each_filter_takes_what_it_says() {
    let (folder, _store) = a_week();
    let cases: [(&str, &[u32]); 26] = [
        ("", &[6, 5, 4, 3, 2, 1]),
        (" --since yesterday", &[5, 4, 3, 2]),
        (" --until yesterday", &[3, 2, 1]),
        (" --since yesterday --until yesterday", &[3, 2]),
        (" --since today", &[5, 4]),
        (" --since 2h", &[5]),
        (" --since 1d", &[5, 4, 3]),
        (" --until 2026-11-20", &[1]),
        (" --since 2026-11-22", &[5, 4]),
        (" --since 2026-11-22T14:30:00Z", &[5]),
        (" --until 2026-11-22T14:30:00Z", &[4, 3, 2, 1]),
        (" --since 2026-11-22T16:30:00+02:00", &[5]),
        (" --since 2026-11-22T14:30", &[5]),
        (" --number +4930123456", &[6, 3, 1]),
        (" --number 456", &[6, 4, 3, 1]),
        (" --number 99-94.56", &[4]),
        (" --number 0100", &[]),
        (" --outcome voicemail", &[3]),
        (" --outcome unanswered,limited", &[5, 2]),
        (" --outcome open", &[6]),
        (" --direction inbound", &[4]),
        (
            " --direction outbound --since 2026-11-21 --limit 2",
            &[5, 3],
        ),
        (" --button front", &[6, 3, 1]),
        (" --button 0 --offset 1", &[3, 1]),
        (" --button 7", &[5]),
        (" --button gate --outcome answered", &[]),
    ];
    for (line, want) in cases {
        let shown = calls(&format!("list --csv{line}"), &folder.database()).unwrap();
        let found: Vec<u32> = shown
            .lines()
            .skip(1)
            .map(|line| u32::from_str_radix(&line[..8], 16).unwrap())
            .collect();
        assert_eq!(found, want, "list{line}");
    }
}

#[test]
fn an_export_is_filtered_too() {
    let (folder, _store) = a_week();
    let line = "export --csv --since yesterday --number 456";
    let shown = calls(line, &folder.database()).unwrap();
    let ids: Vec<&str> = shown.lines().skip(1).map(|line| &line[..8]).collect();
    assert_eq!(ids, ["00000003", "00000004"], "oldest first");
}

#[test]
fn a_filter_that_means_nothing_is_said() {
    let cases = [
        (
            "--since soon",
            "write how long ago (30min, 2h, 3d), today, yesterday, 2026-11-20",
        ),
        ("--until 2026-11-31", "write how long ago"),
        ("--since -2h", "unexpected argument"),
        ("--number 12a", "'a' does not belong in a telephone number"),
        ("--number +0049301", "no country code starts with 0"),
        ("--number ...", "its last 1 to 15 digits"),
        (
            "--outcome busy",
            "write one of open, answered, announced, unanswered, unconfirmed, voicemail, \
             rejected, cancelled, failed, refused, limited, unknown",
        ),
        ("--outcome answered,", "write one of open"),
        ("--direction up", "write one of outbound, inbound"),
        ("--since today --remote", "cannot be used with"),
        ("--follow --offset 3", "cannot be used with"),
        ("--follow --remote", "cannot be used with"),
    ];
    for (line, want) in cases {
        let told = arguments(&format!("list {line}")).unwrap_err().to_string();
        assert!(told.contains(want), "{line}: {told}");
    }
    let (folder, _store) = a_week();
    for command in ["list", "export", "list --follow"] {
        let line = format!("{command} --button side");
        let told = calls(&line, &folder.database()).unwrap_err().to_string();
        assert_eq!(
            told,
            "there is no button \"side\"; there is front, gate, or write its place, from 0"
        );
    }
}
