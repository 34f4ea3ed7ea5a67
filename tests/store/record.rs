//! What is written is there, merged, found, bounded, and never dropped.

use std::time::Duration;

use callbox::edge::clock::{Reading, Stamp};
use callbox::edge::store::{
    Config, Direction, Kind, Outcome, Query, Reader, Reconciled, Refused, Row, Saved, Transcribed,
    Update,
};
use callbox::units::{CallId, E164};

use crate::support::*;

fn at(ms: i64) -> Option<Stamp> {
    Some(Stamp::from_unix_ms(1_800_000_000_000 + ms))
}

/// A row with every fact, none of them a default.
fn full_row() -> Row {
    Row {
        token: token(7),
        client_websocket_url: Some(format!("wss://door.example/{}", token(7))),
        direction: Some(Direction::Outbound),
        kind: Some(Kind::Announce),
        press: Some(token(6)),
        button: Some(2),
        target: Some(3),
        position: Some(1),
        cycle: Some(4),
        to_number: Some(E164::parse("+4930123456").unwrap()),
        from_number: Some(E164::parse("+15550100").unwrap()),
        call_id: CallId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11"),
        clock_trusted: Some(true),
        pressed_at: at(0),
        sent_at: at(4),
        accepted_at: at(320),
        ringing_at: at(1400),
        stream_at: at(6100),
        answered_at: at(6000),
        confirmed_at: at(7000),
        joined_at: at(7001),
        ended_at: at(98_000),
        sent_after_ms: Some(4),
        accepted_after_ms: Some(320),
        ringing_after_ms: Some(1400),
        stream_after_ms: Some(6100),
        answered_after_ms: Some(6000),
        confirmed_after_ms: Some(7000),
        joined_after_ms: Some(7001),
        ended_after_ms: Some(98_000),
        talk_ms: Some(92_000),
        outcome: Some(Outcome::Announced),
        service_status: Some("completed".into()),
        service_hangup_reason: Some("abducted_by_aliens".into()),
        service_created_at: Some("2027-01-15T08:00:00.3Z".into()),
        service_started_at: Some("2027-01-15T08:00:06+00:00".into()),
        service_ended_at: Some("soon after".into()),
        local_reason: Some("far end hung up".into()),
        http_status: Some(200),
        http_error: Some("none to speak of".into()),
        calls_remaining: Some(97),
        minutes_remaining: Some(98.5),
        use_inkbox_tts: Some(true),
        use_inkbox_stt: Some(false),
        service_use_inkbox_tts: Some(true),
        service_use_inkbox_stt: Some(false),
        digits: Some(6),
        openings: Some(2),
        said: Some("water in the cellar".into()),
        spoken: Some(3),
        codec: Some("pcmu 8000".into()),
        delay_p50_ms: Some(42),
        delay_p95_ms: Some(61),
        delay_p99_ms: Some(90),
        concealed_ms: Some(20),
        stretched_ms: Some(140),
        skipped_ms: Some(980),
        drops: Some(3),
        xruns: Some(1),
        drift_ppm: Some(-37.5),
        echo_loss_db: Some(46.25),
        one_way: Some(false),
        bad_sound: Some("the microphone is too loud".into()),
        reconnects: Some(2),
        closed: Some(true),
        reconciled: Some(Reconciled::Done),
        transcribed: Some(Transcribed::Absent),
    }
}

#[test]
fn every_fact_comes_back_after_a_restart() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    assert_eq!(record(&store, full_row()), Saved::OnDisk);
    close(store, opened);

    let (store, _) = open_at(&folder.database());
    let found = latest(&store);
    assert!(found == [full_row()], "{found:#?}");
    let missing: Vec<String> = full_row()
        .facts(true)
        .into_iter()
        .filter(|(_, fact)| fact.is_null())
        .map(|f| f.0)
        .collect();
    assert!(missing.is_empty(), "the test's row leaves out {missing:?}");
}

#[test]
fn what_is_not_known_stays_null_and_hides_nothing() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let intent = Row {
        button: Some(0),
        pressed_at: at(0),
        ..Row::new(token(1))
    };
    let later = Row {
        drops: Some(0),
        xruns: Some(4),
        ..Row::new(token(1))
    };
    let last = Row {
        xruns: Some(5),
        closed: Some(true),
        ..Row::new(token(1))
    };
    for row in [intent, later, last] {
        record(&store, row);
    }
    let want = Row {
        button: Some(0),
        pressed_at: at(0),
        drops: Some(0),
        xruns: Some(5),
        closed: Some(true),
        ..Row::new(token(1))
    };
    let found = latest(&store);
    assert!(found == [want], "{found:#?}");

    let plain = rusqlite::Connection::open(folder.database()).unwrap();
    let sql = "SELECT concealed_ms IS NULL AND drops = 0 FROM attempts";
    assert!(
        plain
            .query_row(sql, [], |row| row.get::<_, bool>(0))
            .unwrap()
    );
}

#[test]
fn the_clocks_newest_word_counts_when_it_is_about_every_stamp() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let row = |n, clock_trusted, pressed_at, sent_at| Row {
        clock_trusted: Some(clock_trusted),
        pressed_at,
        sent_at,
        ..Row::new(token(n))
    };
    let cases = [
        ("doubt after trust", [true, false], [at(1), at(1)], false),
        (
            "every stamp comes anew",
            [false, true],
            [at(1), at(1)],
            true,
        ),
        (
            "one stamp is still the doubtful one",
            [false, true],
            [at(1), None],
            false,
        ),
        (
            "a doubtful stamp is added",
            [true, false],
            [None, at(1)],
            false,
        ),
        (
            "no stamp is doubtful yet",
            [false, true],
            [None, at(1)],
            true,
        ),
    ];
    for (n, (name, trusted, sent, want)) in (0..).zip(cases) {
        record(&store, row(n, trusted[0], at(0), sent[0]));
        record(&store, row(n, trusted[1], at(0), sent[1]));
        let found = rows(&store, Query::Find(token(n))).remove(0);
        assert_eq!(found.clock_trusted, Some(want), "{name}");
    }
}

#[test]
fn rows_are_found_by_the_start_of_token_or_call_id() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    for n in 0..20 {
        let call_id = CallId::parse(&format!("call-{n:02}"));
        record(
            &store,
            Row {
                call_id,
                ..Row::new(token(n))
            },
        );
    }
    let find = |text: &str| rows(&store, Query::Find(text.into()));
    assert_eq!(tokens(&find("00000003")), [token(3)]);
    assert_eq!(tokens(&find("call-07")), [token(7)]);
    assert_eq!(find("call-0").len(), 10, "at most ten");
    assert!(find("no").is_empty() && find("%").is_empty() && find("call-%").is_empty());

    let page = |limit, offset| rows(&store, Query::Latest { limit, offset });
    assert_eq!(tokens(&page(2, 0)), [token(19), token(18)]);
    assert_eq!(tokens(&page(2, 18)), [token(1), token(0)]);
    assert!(page(2, 20).is_empty());
}

#[test]
fn calls_that_were_up_at_a_power_cut_are_told_at_the_next_start() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    record(
        &store,
        Row {
            closed: Some(true),
            ..Row::new(token(1))
        },
    );
    record(
        &store,
        Row {
            call_id: CallId::parse("up"),
            ..Row::new(token(2))
        },
    );
    record(
        &store,
        Row {
            closed: Some(false),
            ..Row::new(token(3))
        },
    );
    close(store, opened);
    let (store, opened) = open_at(&folder.database());
    assert_eq!(tokens(&opened.unfinished), [token(2), token(3)]);
    assert_eq!(opened.unfinished[0].call_id, CallId::parse("up"));
    assert_eq!(
        tokens(&rows(&store, Query::Unfinished)),
        [token(2), token(3)]
    );
}

#[test]
fn rows_wait_for_the_services_word_until_it_is_known() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let closed = |n, reconciled| Row {
        closed: Some(true),
        reconciled,
        ..Row::new(token(n))
    };
    for row in [
        closed(1, None),
        closed(2, Some(Reconciled::Pending)),
        closed(3, Some(Reconciled::Done)),
        closed(4, Some(Reconciled::Absent)),
        closed(5, Some(Reconciled::NotSent)),
        Row::new(token(6)),
    ] {
        record(&store, row);
    }
    let waiting = |limit| rows(&store, Query::Unreconciled { limit });
    assert_eq!(tokens(&waiting(10)), [token(2), token(1)]);
    assert_eq!(tokens(&waiting(1)), [token(2)]);
}

#[test]
fn the_oldest_attempts_give_way() {
    let folder = Folder::new();
    let bounds = Config::bounded(folder.database(), 3, Duration::from_secs(1));
    let (store, _) = open(bounds);
    for n in 0..10 {
        record(&store, Row::new(token(n)));
    }
    assert_eq!(tokens(&latest(&store)), [token(9), token(8), token(7)]);
}

#[test]
fn old_attempts_go_by_a_trusted_clock_only() {
    let folder = Folder::new();
    let config = Config::bounded(folder.database(), 100, Duration::from_secs(60));
    let (store, _) = open(config.clone());
    let attempt = |n, ms, clock_trusted, closed| Row {
        pressed_at: at(ms),
        clock_trusted: Some(clock_trusted),
        closed: Some(closed),
        ..Row::new(token(n))
    };
    record(&store, attempt(1, 0, true, true));
    record(&store, attempt(2, 0, false, true));
    record(&store, attempt(3, 0, true, false));
    record(&store, attempt(4, 60_000, true, true));
    let now = |trusted| Reading {
        stamp: at(100_000).unwrap(),
        trusted,
    };

    assert!(Update::prune(&config, now(false)).is_none());
    write(&store, Update::prune(&config, now(true)).unwrap());
    assert_eq!(tokens(&latest(&store)), [token(4), token(3), token(2)]);
}

#[test]
fn kept_values_outlive_a_restart() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    assert!(opened.kept.is_empty());
    write(&store, Update::keep("hold_off", "600 2026-11-22T14:00:00Z"));
    write(&store, Update::keep("clock", "1"));
    write(&store, Update::keep("clock", "2"));
    close(store, opened);
    let (_, opened) = open_at(&folder.database());
    let kept: Vec<_> = opened
        .kept
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        kept,
        [("clock", "2"), ("hold_off", "600 2026-11-22T14:00:00Z")]
    );
}

#[test]
fn a_full_queue_hands_the_record_back_and_loses_none() {
    let folder = Folder::new();
    let trace = std::sync::Arc::new(callbox::trace::Trace::default());
    let config = Config::new(folder.database());
    let (store, _) = callbox::edge::store::StoreHandle::open(config, trace.clone()).unwrap();
    // Another program holds the file, so the first write keeps the thread.
    let other = rusqlite::Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let mut taken = 0;
    let held = loop {
        match store.write(Update::record(Row::new(token(taken)))) {
            Ok(()) => taken += 1,
            Err(Refused::Full(update)) => break update,
            Err(stopped) => panic!("{stopped}"),
        }
    };
    assert!(taken >= 256, "{taken}");
    assert!(matches!(
        store.ask(Query::Unfinished),
        Err(Refused::Full(()))
    ));
    assert_eq!(trace.read(callbox::trace::Counter::RecordsWaited), 1);

    other.execute_batch("COMMIT").unwrap();
    let (mut held, saved) = held.acknowledged();
    // The queue has room as soon as the thread goes on; the daemon comes back
    // with its timer, a test at once.
    while let Err(refused) = store.write(held) {
        match refused {
            Refused::Full(update) => held = update,
            Refused::Stopped(_) => panic!("the store stopped"),
        }
        std::thread::yield_now();
    }
    assert_eq!(saved.blocking_recv().unwrap(), Saved::OnDisk);
    let all = rows(
        &store,
        Query::Latest {
            limit: 10_000,
            offset: 0,
        },
    );
    assert_eq!(all.len() as u32, taken + 1);
}

#[test]
fn a_ping_is_answered_after_what_was_queued_before_it() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    store.write(Update::record(Row::new(token(1)))).unwrap();
    store.ping().unwrap().blocking_recv().unwrap();
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(
        reader
            .rows(&Query::Latest {
                limit: 9,
                offset: 0
            })
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_queued_is_written_before_the_end() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    for n in 0..100 {
        store.write(Update::record(Row::new(token(n)))).unwrap();
    }
    close(store, opened);
    assert_eq!(
        folder.files("calls.db"),
        ["calls.db"],
        "the log was folded in"
    );
    let reader = Reader::open(&folder.database()).unwrap();
    let all = reader
        .rows(&Query::Latest {
            limit: 1000,
            offset: 0,
        })
        .unwrap();
    assert_eq!(all.len(), 100);
}

#[test]
fn a_servers_endless_answer_does_not_fill_the_disk() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let http_error = Some("ö".repeat(1_000_000));
    record(
        &store,
        Row {
            http_error,
            ..Row::new(token(1))
        },
    );
    assert_eq!(latest(&store)[0].http_error, Some("ö".repeat(512)));
}

#[test]
fn a_row_in_a_log_shows_no_secret_and_no_whole_number() {
    let shown = format!("{:?}", full_row());
    assert!(
        shown.contains("00000007") && shown.contains("+…456"),
        "{shown}"
    );
    assert!(
        !shown.contains(&token(7)) && !shown.contains("30123456"),
        "{shown}"
    );
}
