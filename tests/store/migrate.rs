//! A record of the first format is brought up to date, and nothing is lost,
//! whenever the power goes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callbox::edge::store::{Config, Direction, Kind, Outcome, Query, Reader, Reconciled, Row};
use rusqlite::Connection;

use crate::support::*;

const ROLE: &str = "CALLBOX_TEST_MIGRATES";

/// Every column of format 1 but its key.
const COLUMNS: &str = "token, client_websocket_url, button, to_number, from_number, call_id, \
    clock_trusted, pressed_at, sent_at, accepted_at, ringing_at, stream_at, answered_at, \
    ended_at, sent_after_ms, accepted_after_ms, ringing_after_ms, stream_after_ms, \
    answered_after_ms, ended_after_ms, talk_ms, service_status, service_hangup_reason, \
    service_created_at, service_started_at, service_ended_at, local_reason, http_status, \
    http_error, calls_remaining, minutes_remaining, codec, delay_p50_ms, delay_p95_ms, \
    delay_p99_ms, concealed_ms, stretched_ms, skipped_ms, drops, xruns, drift_ppm, \
    echo_loss_db, one_way, reconnects, closed, reconciled";

/// A record as the first version left it: `rows` calls with every fact, one
/// that is up, and a kept value.
fn of_format_1(path: &Path, rows: u32) {
    let mut old = Connection::open(path).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(include_str!("../../src/edge/store/format_1.sql"))
        .unwrap();
    old.pragma_update(None, "application_id", 0x6362_6f78)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let transaction = old.transaction().unwrap();
    let sql = format!(
        "INSERT INTO attempts ({COLUMNS}) VALUES (?1, 'wss://door.example/x', 1, '+4930123456',
         '+15550100', 'call-' || ?2, 1, 1800000000000 + ?2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
         15, 16, 'completed', 'remote', 'a', 'b', 'c', 'the far end hung up', 200, 'e', 97, 98.5,
         'PCMU/8000', 42, 61, 90, 20, 140, 980, 3, 1, -37.5, 46.25, 0, 2, 1, 'done')"
    );
    for n in 0..rows {
        let values = rusqlite::params![token(n), n];
        transaction
            .prepare_cached(&sql)
            .unwrap()
            .execute(values)
            .unwrap();
    }
    transaction
        .execute_batch(&format!(
            "INSERT INTO attempts (token, call_id) VALUES ('{}', 'up');
             INSERT INTO kept VALUES ('limits', 'so many');",
            token(rows)
        ))
        .unwrap();
    transaction.commit().unwrap();
}

/// All of format 1 that is in the file, as text.
fn old_facts(path: &Path) -> Vec<String> {
    let plain = Connection::open(path).unwrap();
    let count = COLUMNS.split(',').count();
    let mut statement = plain
        .prepare(&format!("SELECT {COLUMNS}, seq FROM attempts ORDER BY seq"))
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            let values = (0..=count).map(|at| row.get::<_, rusqlite::types::Value>(at));
            Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn version(path: &Path) -> u32 {
    let plain = Connection::open(path).unwrap();
    plain
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

#[test]
fn a_record_of_the_first_format_keeps_every_fact() {
    let folder = Folder::new();
    of_format_1(&folder.database(), 300);
    let before = old_facts(&folder.database());
    let told = Reader::open(&folder.database()).unwrap_err().to_string();
    assert!(told.contains("start the daemon once"), "{told}");

    let (store, opened) = open_at(&folder.database());
    assert!(opened.troubles.is_empty(), "{:?}", opened.troubles);
    assert_eq!(tokens(&opened.unfinished), [token(300)]);
    assert_eq!(opened.kept["limits"], "so many");
    assert_eq!(old_facts(&folder.database()), before);
    let row = rows(&store, Query::Find(token(7))).remove(0);
    let first = Row {
        direction: Some(Direction::Outbound),
        kind: Some(Kind::Talk),
        press: Some(token(7)),
        target: Some(0),
        position: Some(0),
        cycle: Some(0),
        ..row.clone()
    };
    assert!(
        row == first,
        "what was true of every attempt is said: {row:#?}"
    );
    assert_eq!(
        (row.joined_at, row.outcome, row.said.clone()),
        (None, None, None)
    );
    assert_eq!(row.outcome(), Outcome::Answered);
    assert_eq!(row.reconciled, Some(Reconciled::Done));
    close(store, opened);

    assert_eq!(version(&folder.database()), 3);
    let (_store, opened) = open_at(&folder.database());
    assert!(opened.troubles.is_empty(), "a second start changes nothing");
    assert_eq!(old_facts(&folder.database()), before);
}

/// What the outcome of an attempt is where only format 1 speaks of it.
#[test]
fn old_rows_say_what_became_of_them() {
    let row = |change: &dyn Fn(&mut Row)| {
        let mut row = Row {
            closed: Some(true),
            sent_at: Some(callbox::edge::clock::Stamp::from_unix_ms(1)),
            ..Row::new(token(1))
        };
        change(&mut row);
        row.outcome()
    };
    let status = |word: &'static str| row(&|row| row.service_status = Some(word.into()));
    let reason = |word: &'static str| {
        row(&|row| {
            row.service_hangup_reason = Some(word.into());
            row.answered_after_ms = Some(1);
        })
    };
    assert_eq!(row(&|row| row.closed = None), Outcome::Open);
    assert_eq!(
        row(&|row| row.answered_after_ms = Some(1)),
        Outcome::Answered
    );
    assert_eq!(row(&|row| row.http_status = Some(429)), Outcome::Refused);
    assert_eq!(row(&|row| row.sent_at = None), Outcome::Limited);
    assert_eq!(row(&|_| ()), Outcome::Unknown);
    assert_eq!(status("failed"), Outcome::Failed);
    assert_eq!(status("canceled"), Outcome::Unanswered);
    assert_eq!(status("completed"), Outcome::Answered);
    assert_eq!(status("faded"), Outcome::Unknown);
    assert_eq!(reason("voicemail"), Outcome::Voicemail);
    assert_eq!(reason("rejected"), Outcome::Rejected);
    assert_eq!(reason("remote"), Outcome::Answered);
    let unconfirmed = |row: &mut Row| {
        row.answered_after_ms = Some(1);
        row.outcome = Some(Outcome::Unconfirmed);
    };
    assert_eq!(
        row(&unconfirmed),
        Outcome::Unconfirmed,
        "what the device saw counts"
    );
}

/// A kill leaves the old record or the new one, with every fact.
#[test]
fn a_kill_while_migrating_leaves_one_or_the_other() {
    if let Some(path) = std::env::var_os(ROLE) {
        let (_store, opened) = open(Config::bounded(&path, u32::MAX, Duration::MAX));
        assert!(opened.troubles.is_empty(), "{:?}", opened.troubles);
        std::process::exit(0);
    }
    let kills: u32 = std::env::var("CALLBOX_KILLS").map_or(10, |text| text.parse().unwrap());
    let (mut old, mut new) = (0, 0);
    for kill in 0..kills {
        let folder = Folder::new();
        let path = folder.database();
        of_format_1(&path, 500);
        let before = old_facts(&path);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "migrate::a_kill_while_migrating_leaves_one_or_the_other",
            ])
            .env(ROLE, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // From before the file is opened until after it is migrated.
        std::thread::sleep(Duration::from_micros(u64::from(kill % 60) * 700));
        child.kill().unwrap();
        child.wait().unwrap();
        match version(&path) {
            1 => old += 1,
            2 => new += 1,
            other => panic!("kill {kill} left format {other}"),
        }
        assert_eq!(old_facts(&path), before, "kill {kill}");
        let (store, opened) = open_at(&path);
        assert!(
            opened.troubles.is_empty(),
            "kill {kill}: {:?}",
            opened.troubles
        );
        assert_eq!(old_facts(&path), before, "kill {kill}");
        assert_eq!(latest(&store).len(), 100, "kill {kill}");
        close(store, opened);
    }
    println!("{kills} kills: {old} left format 1, {new} format 2, no fact lost");
}
