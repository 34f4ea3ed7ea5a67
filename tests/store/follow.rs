//! `callbox calls list --follow` beside a store that writes.

use callbox::edge::store::{Outcome, Row, StoreHandle, Update};

use crate::calls::{calls_at, pressed};
use crate::support::*;

/// What a call of one's own leaves in the record as it goes, and things that
/// are none of its business.
fn step(store: &StoreHandle, n: u32) {
    let of_call = |row: Row| record(store, row);
    match n {
        // Two looks that find nothing.
        0 | 1 => {}
        2 => _ = write(store, Update::keep("limits", "so many")),
        3 => {
            of_call(Row {
                button: Some(1),
                pressed_at: pressed("2026-11-22T16:00:01Z"),
                clock_trusted: Some(true),
                ..Row::new(token(9))
            });
        }
        // Nothing that a table shows.
        4 => {
            of_call(Row {
                sent_after_ms: Some(4),
                ..Row::new(token(9))
            });
        }
        5 => {
            of_call(Row {
                outcome: Some(Outcome::Answered),
                talk_ms: Some(61_000),
                closed: Some(true),
                ..Row::new(token(9))
            });
            of_call(Row {
                closed: Some(true),
                ..Row::new(token(8))
            });
        }
        6 => {
            of_call(Row {
                service_hangup_reason: Some("voicemail".into()),
                ..Row::new(token(1))
            });
        }
        _ => {}
    }
}

fn follow(line: &str) -> String {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    for n in 1..4 {
        let row = Row {
            closed: Some(true),
            ..Row::new(token(n))
        };
        record(&store, row);
    }
    let mut steps = 0..9;
    let mut pause = || steps.next().inspect(|n| step(&store, *n)).is_some();
    calls_at(line, &folder.database(), 80, &mut pause).unwrap()
}

#[test]
fn each_new_and_changed_call_is_printed_once() {
    let want = "\
ID        PRESSED (UTC)      BUTTON  WITH        OUTCOME      TALK   WHY
00000001  -                  -       -           limited      -      -
00000002  -                  -       -           limited      -      -
00000003  -                  -       -           limited      -      -
00000009  2026-11-22 16:00   gate    -           open         -      -
00000009  2026-11-22 16:00   gate    -           answered     1:01   -
00000008  -                  -       -           limited      -      -
00000001  -                  -       -           voicemail    -      voicemail
";
    assert_eq!(follow("list --follow"), want);
}

#[test]
fn a_program_is_told_every_change_once() {
    let shown = follow("list --follow --json");
    let tokens: Vec<&str> = shown.lines().map(|line| &line[10..18]).collect();
    let want = [1, 2, 3, 9, 9, 9, 8, 1].map(|n| format!("{n:08x}"));
    assert_eq!(tokens, want);
}

#[test]
fn only_what_is_wanted_is_followed() {
    let shown = follow("list --follow --csv --outcome answered,voicemail");
    let ids: Vec<&str> = shown.lines().skip(1).map(|line| &line[..8]).collect();
    assert_eq!(ids, ["00000009", "00000001"]);
}

#[test]
fn older_calls_are_not_new() {
    let shown = follow("list --follow --csv --limit 1");
    let ids: Vec<&str> = shown.lines().skip(1).map(|line| &line[..8]).collect();
    let want = [3, 9, 9, 9, 8, 1].map(|n| format!("{n:08x}"));
    assert_eq!(ids, want);
}
