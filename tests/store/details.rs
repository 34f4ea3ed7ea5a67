//! Openings, transcripts and timelines: kept beside their attempt, bounded,
//! gone with it.

use std::time::Duration;

use callbox::edge::clock::Stamp;
use callbox::edge::store::{
    Column, Config, LINES_MAX, Line, OPENINGS_MAX, OpenedBy, Opening, Party, Query, Reader, Row,
    STEP_MS, Saved, Source, StoreHandle, Timeline, Update,
};
use callbox::units::E164;
use rusqlite::Connection;

use crate::support::*;

pub(crate) fn opening(after_ms: u32) -> Opening {
    Opening {
        at: Stamp::from_unix_ms(1_800_000_000_000 + i64::from(after_ms)),
        after_ms,
        door: 0,
        by: OpenedBy::Code,
        number: E164::parse("+4930123456").ok(),
    }
}

pub(crate) fn line(n: u16, text: &str) -> Line {
    Line {
        n,
        at_ms: 1000 * u32::from(n),
        party: Party::Far,
        text: text.into(),
        source: Source::Stream,
    }
}

fn timeline(steps: u32) -> Timeline {
    let mut timeline = Timeline::default();
    for n in 0..steps {
        let column = Column {
            mic_db: -(n as i8 & 0x3f),
            far_db: -30,
            delay_ms: 45,
            concealed_ms: 0,
            dropped_ms: 0,
        };
        timeline.put(n * STEP_MS, column);
    }
    timeline.note(0, "pressed");
    timeline
}

fn say(store: &StoreHandle, n: u32, line: Line) -> Saved {
    write(store, Update::transcript(token(n), line).unwrap())
}

fn count(path: &std::path::Path, table: &str) -> u32 {
    let plain = Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    plain.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_beside_an_attempt_comes_back_in_order() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    record(&store, Row::new(token(1)));
    for after_ms in [9000, 3000, 9000] {
        write(&store, Update::opening(token(1), opening(after_ms)));
    }
    let heard = Line {
        source: Source::Service,
        party: Party::Device,
        ..line(0, "hello")
    };
    say(&store, 1, heard.clone());
    say(&store, 1, line(1, "two"));
    say(&store, 1, line(0, "one?"));
    say(&store, 1, line(0, "one"));
    write(&store, Update::timeline(token(1), &timeline(5)));
    write(&store, Update::timeline(token(1), &timeline(1200)));
    record(&store, Row::new(token(2)));
    close(store, opened);

    let reader = Reader::open(&folder.database()).unwrap();
    let [first, second] = [token(1), token(2)];
    assert_eq!(
        reader.openings(&first).unwrap(),
        [opening(3000), opening(9000)]
    );
    let want = [line(0, "one"), line(1, "two"), heard];
    assert_eq!(reader.transcript(&first).unwrap(), want);
    assert_eq!(reader.timeline(&first).unwrap(), Some(timeline(1200)));
    assert_eq!(reader.openings(&second).unwrap(), []);
    assert_eq!(reader.transcript(&second).unwrap(), []);
    assert_eq!(reader.timeline(&second).unwrap(), None);
}

#[test]
fn what_comes_before_its_row_begins_it() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    say(&store, 1, line(0, "hello"));
    let button = Some(3);
    record(
        &store,
        Row {
            button,
            ..Row::new(token(1))
        },
    );
    assert_eq!(latest(&store).len(), 1);
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(reader.transcript(&token(1)).unwrap().len(), 1);
}

#[test]
fn a_flood_is_bounded() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    for after_ms in 0..2 * OPENINGS_MAX {
        while store
            .write(Update::opening(token(1), opening(after_ms)))
            .is_err()
        {
            std::thread::yield_now();
        }
    }
    assert!(Update::transcript(token(1), line(LINES_MAX, "one too many")).is_none());
    say(&store, 1, line(0, &"ö".repeat(1_000_000)));
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(
        reader.openings(&token(1)).unwrap().len(),
        OPENINGS_MAX as usize
    );
    assert_eq!(
        reader.transcript(&token(1)).unwrap()[0].text,
        "ö".repeat(1024)
    );
}

#[test]
fn what_is_beside_an_attempt_goes_with_it() {
    let folder = Folder::new();
    let (store, _) = open(Config::bounded(folder.database(), 3, Duration::MAX));
    for n in 0..10 {
        record(&store, Row::new(token(n)));
        write(&store, Update::opening(token(n), opening(1)));
        say(&store, n, line(0, "hello"));
        write(&store, Update::timeline(token(n), &timeline(10)));
    }
    for table in ["attempts", "openings", "transcripts", "timelines"] {
        assert_eq!(count(&folder.database(), table), 3, "{table}");
    }
    assert_eq!(tokens(&latest(&store)), [token(9), token(8), token(7)]);
}

/// Words give way before records do: a file that is full of what was said
/// still takes every call.
#[test]
fn the_oldest_words_give_way_when_room_is_short() {
    let folder = Folder::new();
    let config = Config {
        max_bytes: 512 * 1024,
        ..Config::new(folder.database())
    };
    let (store, opened) = open(config);
    for n in 0..300 {
        assert_eq!(record(&store, Row::new(token(n))), Saved::OnDisk, "{n}");
        for at in 0..10 {
            assert_eq!(
                say(&store, n, line(at, &"x".repeat(700))),
                Saved::OnDisk,
                "{n}"
            );
        }
        let saved = write(&store, Update::timeline(token(n), &timeline(1200)));
        assert_eq!(saved, Saved::OnDisk, "{n}");
    }
    close(store, opened);
    assert_eq!(count(&folder.database(), "attempts"), 300);
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(reader.transcript(&token(0)).unwrap(), []);
    assert_eq!(reader.timeline(&token(0)).unwrap(), None);
    assert_eq!(reader.transcript(&token(299)).unwrap().len(), 10);
    assert_eq!(reader.timeline(&token(299)).unwrap(), Some(timeline(1200)));
    let size = folder.database().metadata().unwrap().len();
    assert!(size <= 512 * 1024, "{size}");
}

#[test]
fn what_was_kept_in_memory_moves_to_the_disk_once() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    record(&store, Row::new(token(1)));
    say(&store, 1, line(0, "on disk"));
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(say(&store, 1, line(1, "in memory")), Saved::InMemory);
    // Written as the daemon does: each word waited for is a wait for the lock.
    let queue = |update| store.write(update).unwrap();
    queue(Update::opening(token(1), opening(5)));
    for n in 2..12 {
        queue(Update::record(Row::new(token(n))));
        queue(Update::transcript(token(n), line(0, "hello")).unwrap());
    }
    let last = Update::timeline(token(11), &timeline(9));
    assert_eq!(write(&store, last), Saved::InMemory);
    other.execute_batch("COMMIT").unwrap();
    close(store, opened);

    let reader = Reader::open(&folder.database()).unwrap();
    let found = reader.rows(&Query::Find(token(1))).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(reader.openings(&token(1)).unwrap(), [opening(5)]);
    assert_eq!(
        reader.transcript(&token(1)).unwrap(),
        [line(0, "on disk")],
        "in memory only the newest attempts keep their words"
    );
    assert_eq!(reader.transcript(&token(11)).unwrap(), [line(0, "hello")]);
    assert_eq!(reader.timeline(&token(11)).unwrap(), Some(timeline(9)));
}

#[test]
fn a_damaged_timeline_is_said_and_costs_nothing_else() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    record(&store, Row::new(token(1)));
    write(&store, Update::timeline(token(1), &timeline(100)));
    close(store, opened);
    let plain = Connection::open(folder.database()).unwrap();
    plain
        .execute(
            "UPDATE timelines SET data = CAST(substr(data, 1, 90) || x'ff' AS BLOB)",
            [],
        )
        .unwrap();
    drop(plain);
    let (_store, opened) = open_at(&folder.database());
    assert!(opened.troubles.is_empty(), "{:?}", opened.troubles);
    let reader = Reader::open(&folder.database()).unwrap();
    let told = reader.timeline(&token(1)).unwrap_err().to_string();
    assert_eq!(
        told,
        "the sound's course of this call was damaged on the disk; all else is well"
    );
    assert_eq!(reader.rows(&Query::Find(token(1))).unwrap().len(), 1);
}

#[test]
fn a_line_in_a_log_shows_no_words() {
    let shown = format!("{:?}", line(3, "the key is under the mat"));
    assert_eq!(shown, "Line(stream 3, far at 3000 ms, 24 bytes)");
}
