//! `callbox calls show`: a call as a person reads it.

use callbox::edge::store::{
    Column, Direction, Kind, Line, Outcome, Party, Reconciled, Row, Source, StoreHandle, Timeline,
    Update,
};
use callbox::units::{CallId, E164};
use serde_json::{Value, json};

use crate::calls::{calls, calls_at, pressed};
use crate::details::{line, opening};
use crate::support::*;

/// The second number of a list confirmed, spoke and opened the door.
fn a_whole_call() -> (Folder, StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let row = Row {
        direction: Some(Direction::Outbound),
        kind: Some(Kind::Talk),
        press: Some(token(0xa0)),
        button: Some(0),
        position: Some(1),
        cycle: Some(0),
        to_number: E164::parse("+4930123456").ok(),
        from_number: E164::parse("+15550100").ok(),
        call_id: CallId::parse("call-1"),
        clock_trusted: Some(true),
        pressed_at: pressed("2026-11-22T14:49:02.250Z"),
        sent_after_ms: Some(4),
        accepted_after_ms: Some(320),
        answered_after_ms: Some(6000),
        stream_after_ms: Some(6100),
        confirmed_after_ms: Some(8000),
        joined_after_ms: Some(8001),
        ended_after_ms: Some(98_000),
        talk_ms: Some(92_000),
        outcome: Some(Outcome::Answered),
        local_reason: Some("the far end hung up".into()),
        service_status: Some("completed".into()),
        service_hangup_reason: Some("remote".into()),
        http_status: Some(200),
        codec: Some("PCMU/8000".into()),
        drift_ppm: Some(-37.5),
        closed: Some(true),
        reconciled: Some(Reconciled::Done),
        ..Row::new(token(0xa1))
    };
    record(&store, row);
    write(&store, Update::opening(token(0xa1), opening(15_500)));
    let say = |line| write(&store, Update::transcript(token(0xa1), line).unwrap());
    say(Line {
        at_ms: 9_250,
        ..line(0, "who is\u{1b}[2J there?")
    });
    say(Line {
        n: 0,
        at_ms: 3000,
        party: Party::Device,
        text: "it is the post".into(),
        source: Source::Service,
    });
    (folder, store)
}

#[test]
fn a_page_tells_the_call_in_the_order_it_went() {
    let (folder, _store) = a_whole_call();
    let page = calls("show 000000a1", &folder.database()).unwrap();
    let want = "\
id                      000000a1
call id                 call-1
kind                    outbound, talk
button                  front
from                    +…100
to                      +…456
try                     2 of the press that began with 000000a0
pressed                 2026-11-22 14:49:02 UTC
outcome                 answered: the far end hung up
talked                  1:32
service says            completed, remote
request                 HTTP 200

How it went (seconds since the press)
      0.000  pressed
      0.004  request sent
      0.320  taken on by the service
      6.000  answered
      6.100  media stream up
      8.000  confirmed with a key
      8.001  the two hear each other
      9.250  far end: who is\u{fffd}[2J there?
     15.500  front door opened by code from +…456
     98.000  over

What the service heard (seconds since the answer)
      3.000  device: it is the post

What was measured and said
codec                   PCMU/8000
drift ppm               -37.5
closed                  yes
reconciled              done
";
    assert_eq!(page, want);
    let page = calls("show 000000a1 --numbers", &folder.database()).unwrap();
    assert!(page.contains("code from +4930123456"), "{page}");
}

#[test]
fn a_call_is_drawn_into_the_file_that_was_named() {
    let (folder, store) = a_whole_call();
    let mut timeline = Timeline::default();
    let column = Column {
        mic_db: -20,
        delay_ms: 60,
        ..Column::BLANK
    };
    timeline.put(9_000, column);
    write(&store, Update::timeline(token(0xa1), &timeline));
    let draw = |file: &std::path::Path| {
        let line = format!("show 000000a1 --picture {}", file.display());
        calls(&line, &folder.database()).map_err(|error| error.to_string())
    };
    let file = folder.database().with_extension("svg");
    let said = format!("call 000000a1 is drawn in {}\n", file.display());
    assert_eq!(draw(&file), Ok(said));
    let picture = std::fs::read_to_string(file).unwrap();
    for want in [
        "Call to +…456 on 2026-11-22 14:49:02 UTC: answered",
        "front door opened by code",
        "confirmed",
        "playout delay",
    ] {
        assert!(picture.contains(want), "{want} is not in {picture}");
    }
    let told = draw("/nonexistent/call.svg".as_ref()).unwrap_err();
    let want = "the picture cannot be written to /nonexistent/call.svg: ";
    assert!(told.starts_with(want), "{told}");
}

#[test]
fn a_narrow_page_says_the_same() {
    let (folder, _store) = a_whole_call();
    let whole = |width| {
        let page = calls_at("show 000000a1", &folder.database(), width, &mut || false);
        page.unwrap().split_whitespace().collect::<String>()
    };
    assert_eq!(whole(24), whole(400));
}

#[test]
fn a_program_gets_what_is_beside_the_row() {
    let (folder, _store) = a_whole_call();
    let shown = calls("show call-1 --json", &folder.database()).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let opened = json!([{
        "at": "2027-01-15T08:00:15.500Z",
        "after_ms": 15_500,
        "door": 0,
        "by": "code",
        "number": "+…456",
    }]);
    assert_eq!(shown["opened"], opened);
    let transcript = json!([
        {"source": "stream", "at_ms": 9250, "party": "far", "text": "who is\u{1b}[2J there?"},
        {"source": "service", "at_ms": 3000, "party": "device", "text": "it is the post"},
    ]);
    assert_eq!(shown["transcript"], transcript);
    assert_eq!(shown["drift_ppm"], -37.5);
}
