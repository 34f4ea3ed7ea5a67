//! `callbox calls sync`: the service's word comes into the record.

use callbox::edge::store::{
    Party, Query, Reader, Reconciled, Row, Source, StoreHandle, Transcribed,
};
use callbox::units::CallId;
use serde_json::{Value, json};

use crate::calls::{remote_at, service};
use crate::support::*;

const URL: &str = "wss://door.example/media/";

/// Calls whose end the service was not asked for: one with an id, one known
/// by its stream, one it does not know, and one that is up there.
fn unreconciled() -> (Folder, StoreHandle) {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let row = |n, call_id: Option<&str>| Row {
        call_id: call_id.and_then(CallId::parse),
        client_websocket_url: Some(format!("{URL}{}", token(n))),
        answered_after_ms: Some(6000),
        closed: Some(true),
        ..Row::new(token(n))
    };
    record(&store, row(1, Some("call-1")));
    record(&store, row(2, None));
    record(&store, row(3, Some("call-3")));
    record(&store, row(4, Some("call-4")));
    (folder, store)
}

fn call(id: &str, n: u32, status: &str) -> Value {
    json!({
        "id": id,
        "direction": "outbound",
        "status": status,
        "client_websocket_url": format!("{URL}{}", token(n)),
        "use_inkbox_tts": false,
        "use_inkbox_stt": n == 1,
        "ended_at": if status == "completed" { json!("2026-11-22T14:50:40Z") } else { Value::Null },
    })
}

fn segments(id: &str) -> Value {
    let said = |seq, party, text: &str| json!({"call_id": id, "seq": seq, "ts_ms": seq * 1000, "party": party, "text": text});
    json!([
        said(1, "remote", "who is there?"),
        said(2, "local", "the post")
    ])
}

/// A service that knows calls 1 and 2, which are over, and 4, which is up.
fn answer(path: &str) -> Value {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    match path {
        path if path.ends_with("call-1/transcripts") => segments("call-1"),
        path if path.ends_with("/transcripts") => json!([]),
        path if path.ends_with("/calls") => json!([call("call-2", 2, "completed")]),
        path if path.ends_with("/call-1") => call("call-1", 1, "completed"),
        path if path.ends_with("/call-4") => call("call-4", 4, "answered"),
        _ => Value::Null,
    }
}

#[test]
fn the_services_word_and_transcripts_come_into_the_record() {
    let (folder, _store) = unreconciled();
    let (base, paths) = service(answer);
    let told = remote_at("sync", &folder.database(), &base).unwrap();
    let want = "\
4 calls asked for: 2 brought up to date, 1 not known to the service, 1 still up
transcripts of 1 calls fetched, 2 lines
";
    assert_eq!(told, want);
    let lists = paths.try_iter().filter(|path| path.contains("limit="));
    assert_eq!(lists.count(), 1, "the list is read once for all");

    let reader = Reader::open(&folder.database()).unwrap();
    let row = |n| reader.rows(&Query::Find(token(n))).unwrap().remove(0);
    let states: Vec<_> = (1..5)
        .map(|n| (row(n).reconciled, row(n).transcribed))
        .collect();
    assert_eq!(
        states,
        [
            (Some(Reconciled::Done), Some(Transcribed::Done)),
            (Some(Reconciled::Done), Some(Transcribed::Absent)),
            (Some(Reconciled::Absent), Some(Transcribed::Absent)),
            (None, Some(Transcribed::Absent)),
        ]
    );
    assert_eq!(row(1).service_use_inkbox_stt, Some(true));
    assert_eq!(row(2).call_id, CallId::parse("call-2"));
    assert_eq!(row(4).service_status.as_deref(), Some("answered"));
    let lines = reader.transcript(&token(1)).unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.n,
                line.at_ms,
                line.party,
                line.text.as_str(),
                line.source,
            )
        })
        .collect();
    let want = [
        (0, 1000, Party::Far, "who is there?", Source::Service),
        (1, 2000, Party::Device, "the post", Source::Service),
    ];
    assert_eq!(said, want);
}

#[test]
fn what_was_said_once_is_not_asked_for_again() {
    let (folder, store) = unreconciled();
    let (base, paths) = service(answer);
    remote_at("sync", &folder.database(), &base).unwrap();
    paths.try_iter().for_each(drop);
    let told = remote_at("sync", &folder.database(), &base).unwrap();
    assert!(
        told.starts_with("1 calls asked for: 0 brought up to date"),
        "{told}"
    );
    let asked: Vec<String> = paths.try_iter().collect();
    assert!(
        asked.iter().all(|path| path.contains("call-4")),
        "{asked:?}"
    );

    let reconciled = Some(Reconciled::Done);
    record(
        &store,
        Row {
            reconciled,
            ..Row::new(token(4))
        },
    );
    let told = remote_at("sync", &folder.database(), &base).unwrap();
    assert_eq!(told, "the service has said all it knows of these calls\n");
    assert_eq!(paths.try_iter().count(), 0);
}

#[test]
fn a_transcript_that_is_not_ready_is_asked_for_again() {
    let (folder, _store) = unreconciled();
    let (base, _) = service(|path| match path {
        path if path.ends_with("/transcripts") => json!([]),
        path => answer(path),
    });
    remote_at("sync", &folder.database(), &base).unwrap();
    let reader = Reader::open(&folder.database()).unwrap();
    let waiting = reader.rows(&Query::Untranscribed { limit: 10 }).unwrap();
    assert_eq!(
        tokens(&waiting),
        [token(1)],
        "speech was made text in this one"
    );
}

#[test]
fn another_calls_answer_is_not_taken() {
    let (folder, _store) = unreconciled();
    let (base, _) = service(|path| match path {
        path if path.ends_with("/transcripts") => segments("call-9"),
        path if path.ends_with("/call-1") => call("call-9", 9, "completed"),
        path => answer(path),
    });
    let told = remote_at("sync", &folder.database(), &base).unwrap_err();
    assert!(told.to_string().starts_with("1 calls still wait"), "{told}");
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(
        reader.rows(&Query::Find(token(1))).unwrap()[0].reconciled,
        None
    );
    for n in 1..5 {
        assert_eq!(reader.transcript(&token(n)).unwrap(), [], "{n}");
    }
}

#[test]
fn a_service_that_is_away_says_how_much_is_left() {
    let (folder, _store) = unreconciled();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let base = callbox::wire::rest::BaseUrl::parse(&base).unwrap();
    let told = remote_at("sync", &folder.database(), &base)
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("4 calls still wait for the service's word: nothing answers at"),
        "{told}"
    );
}

#[test]
fn a_record_that_is_not_there_is_not_made() {
    let folder = Folder::new();
    let (base, _) = service(answer);
    let told = remote_at("sync", &folder.database(), &base)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("the daemon makes the file at its first start"),
        "{told}"
    );
    assert!(!folder.database().exists());
}
