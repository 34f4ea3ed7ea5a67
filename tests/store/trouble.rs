//! A file that is missing, read-only, full, newer, damaged or another
//! program's: what people are told, and that nothing else is harmed.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use callbox::edge::store::{Config, Opened, Query, Reader, Row, Saved, StoreHandle};
use callbox::trace::{Counter, Trace};
use rusqlite::Connection;

use crate::support::*;

/// The one message of `opened`.
fn message(opened: &Opened) -> String {
    assert_eq!(opened.troubles.len(), 1, "{:?}", opened.troubles);
    opened.troubles[0].to_string()
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

/// The device goes on and records in a file that works.
fn works(store: &StoreHandle, path: &Path) {
    assert_eq!(record(store, Row::new(token(99))), Saved::OnDisk);
    assert_eq!(store.health().in_memory, None);
    let reader = Reader::open(path).unwrap();
    let found = reader.rows(&Query::Find(token(99))).unwrap();
    assert_eq!(tokens(&found), [token(99)]);
}

/// The device goes on and keeps its records in memory.
fn works_in_memory(store: &StoreHandle, told: &str) {
    assert_eq!(record(store, Row::new(token(99))), Saved::InMemory);
    assert_eq!(store.health().in_memory.as_deref(), Some(told));
    assert_eq!(tokens(&latest(store)), [token(99)]);
}

/// A record with one row, closed cleanly.
fn with_a_row(path: &Path) {
    let (store, opened) = open_at(path);
    record(&store, Row::new(token(1)));
    close(store, opened);
}

#[test]
fn a_missing_file_is_made_with_its_folder_and_nobody_elses_business() {
    let folder = Folder::new();
    let path = folder.0.join("var/lib/callbox/calls.db");
    let (store, opened) = open_at(&path);
    assert!(opened.troubles.is_empty());
    works(&store, &path);
    for file in ["calls.db", "calls.db-wal"] {
        let mode = path.with_file_name(file).metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o640, "{file}");
    }
}

#[test]
fn an_empty_file_is_a_new_record() {
    let folder = Folder::new();
    std::fs::write(folder.database(), "").unwrap();
    let (store, opened) = open_at(&folder.database());
    assert!(opened.troubles.is_empty());
    works(&store, &folder.database());
}

#[test]
fn a_damaged_file_is_set_aside_as_it_is() {
    let folder = Folder::new();
    let garbage = b"this was a database before the card wore out".repeat(400);
    std::fs::write(folder.database(), &garbage).unwrap();
    let (store, opened) = open_at(&folder.database());
    let aside = folder.files("calls.db.corrupt-");
    assert_eq!(aside.len(), 1);
    assert_eq!(std::fs::read(folder.0.join(&aside[0])).unwrap(), garbage);
    let told = message(&opened);
    says(
        &told,
        &[
            "are damaged (file is not a database)",
            &aside[0],
            "a new one begun",
        ],
    );
    assert_eq!(store.health().set_aside, [told]);
    works(&store, &folder.database());
}

#[test]
fn damage_in_the_middle_of_a_file_is_found_at_the_start() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    for n in 0..400 {
        let row = Row {
            local_reason: Some("x".repeat(200)),
            ..Row::new(token(n))
        };
        store.write(callbox::edge::store::Update::record(row)).ok();
    }
    close(store, opened);
    let mut bytes = std::fs::read(folder.database()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(folder.database(), &bytes).unwrap();

    let (store, opened) = open_at(&folder.database());
    says(&message(&opened), &["are damaged (", "calls.db.corrupt-"]);
    assert!(opened.unfinished.is_empty());
    works(&store, &folder.database());
}

#[test]
fn damage_that_comes_while_the_device_runs_costs_no_new_record() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    assert!(opened.troubles.is_empty());
    record(&store, Row::new(token(1)));
    // The card loses all pages but the first, and SQLite has to read them again.
    let other = Connection::open(folder.database()).unwrap();
    other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(folder.database())
        .unwrap();
    let size = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xa5; size as usize - 4096], 4096)
        .unwrap();
    other.pragma_update(None, "user_version", 2).unwrap();

    assert_eq!(record(&store, Row::new(token(2))), Saved::OnDisk);
    assert!(!folder.files("calls.db.corrupt-").is_empty());
    says(
        &store.health().set_aside[0],
        &["are damaged", "set aside as"],
    );
    let reader = Reader::open(&folder.database()).unwrap();
    assert_eq!(
        tokens(&reader.rows(&Query::Find(token(2))).unwrap()),
        [token(2)]
    );
}

#[test]
fn a_table_without_its_columns_is_damage_too() {
    let folder = Folder::new();
    with_a_row(&folder.database());
    let plain = Connection::open(folder.database()).unwrap();
    plain
        .execute_batch("ALTER TABLE attempts DROP COLUMN xruns")
        .unwrap();
    drop(plain);
    let (store, opened) = open_at(&folder.database());
    says(
        &message(&opened),
        &["no such column: xruns", "calls.db.corrupt-"],
    );
    works(&store, &folder.database());
}

#[test]
fn a_dying_card_does_not_fill_up_with_damaged_files() {
    let folder = Folder::new();
    for _ in 0..6 {
        std::fs::write(folder.database(), "not a database, and long enough to tell").unwrap();
        let (store, opened) = open_at(&folder.database());
        says(&message(&opened), &["are damaged"]);
        close(store, opened);
    }
    assert_eq!(folder.files("calls.db.corrupt-").len(), 3);
}

#[test]
fn a_newer_file_is_set_aside_unchanged() {
    let folder = Folder::new();
    with_a_row(&folder.database());
    let plain = Connection::open(folder.database()).unwrap();
    plain.pragma_update(None, "user_version", 7).unwrap();
    drop(plain);
    let before = std::fs::read(folder.database()).unwrap();

    let (store, opened) = open_at(&folder.database());
    let aside = folder.files("calls.db.newer-").remove(0);
    says(
        &message(&opened),
        &[
            "by a newer callbox (format 7, this one knows 3)",
            &aside,
            "install the newer version",
        ],
    );
    assert_eq!(std::fs::read(folder.0.join(&aside)).unwrap(), before);
    works(&store, &folder.database());

    let told = Reader::open(&folder.0.join(&aside))
        .unwrap_err()
        .to_string();
    says(&told, &["format 7", "use the callbox the daemon runs"]);
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = Folder::new();
    let plain = Connection::open(folder.database()).unwrap();
    plain
        .execute_batch("CREATE TABLE bees (hive TEXT); INSERT INTO bees VALUES ('3')")
        .unwrap();
    drop(plain);
    let before = std::fs::read(folder.database()).unwrap();

    let (store, opened) = open_at(&folder.database());
    let told = message(&opened);
    says(
        &told,
        &[
            "it is another program's database, which was left alone",
            "Choose another path",
        ],
    );
    works_in_memory(&store, &told);
    assert_eq!(std::fs::read(folder.database()).unwrap(), before);
    let told = Reader::open(&folder.database()).unwrap_err().to_string();
    says(&told, &["does not hold call records: check the path"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("file"), "in the way").unwrap();
    let (store, opened) = open_at(&folder.0.join("file/calls.db"));
    let told = message(&opened);
    says(
        &told,
        &[
            "cannot be written to",
            "file/calls.db",
            "lost when the power goes",
            "choose another",
        ],
    );
    works_in_memory(&store, &told);
}

#[test]
fn a_folder_in_the_files_place_is_said() {
    let folder = Folder::new();
    std::fs::create_dir(folder.database()).unwrap();
    let (store, opened) = open_at(&folder.database());
    let told = message(&opened);
    says(
        &told,
        &["cannot be written to", "unable to open database file"],
    );
    works_in_memory(&store, &told);
}

#[test]
fn a_locked_file_is_waited_for_in_memory() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(record(&store, Row::new(token(1))), Saved::InMemory);
    says(
        &store.health().in_memory.unwrap(),
        &["database is locked", "Close the other program"],
    );

    other.execute_batch("COMMIT").unwrap();
    assert_eq!(record(&store, Row::new(token(2))), Saved::OnDisk);
    assert_eq!(store.health().in_memory, None);
    assert_eq!(tokens(&latest(&store)), [token(2), token(1)]);
}

#[test]
fn what_waits_in_memory_moves_to_the_disk_at_the_end() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(record(&store, Row::new(token(1))), Saved::InMemory);
    other.execute_batch("COMMIT").unwrap();
    close(store, opened);
    let reader = Reader::open(&folder.database()).unwrap();
    let rows = reader.rows(&Query::Unfinished).unwrap();
    assert_eq!(tokens(&rows), [token(1)]);
}

/// `max_page_count` makes SQLite answer SQLITE_FULL as a full disk does.
#[test]
fn records_outlive_a_full_disk_and_move_to_it_when_there_is_room() {
    let folder = Folder::new();
    let config = Config {
        max_bytes: 96 * 1024,
        ..Config::new(folder.database())
    };
    let (store, opened) = open(config);
    let row = |n| Row {
        closed: Some(true),
        local_reason: Some("x".repeat(900)),
        ..Row::new(token(n))
    };
    let full_at = (0..1000)
        .find(|n| record(&store, row(*n)) == Saved::InMemory)
        .unwrap();
    let told = store.health().in_memory.unwrap();
    says(
        &told,
        &[
            "database or disk is full",
            "Free some space",
            "kept in memory",
        ],
    );
    let more = Row {
        button: Some(3),
        ..row(full_at + 1)
    };
    assert_eq!(record(&store, more), Saved::InMemory);
    // A fact about a row that is on disk.
    assert_eq!(
        record(
            &store,
            Row {
                xruns: Some(7),
                ..Row::new(token(0))
            }
        ),
        Saved::InMemory
    );

    let other = Connection::open(folder.database()).unwrap();
    let removed = other
        .execute("DELETE FROM attempts WHERE seq BETWEEN 2 AND 20", [])
        .unwrap();
    assert_eq!(removed, 19);
    assert_eq!(record(&store, Row::new(token(500))), Saved::OnDisk);
    assert_eq!(store.health().in_memory, None);
    close(store, opened);

    let reader = Reader::open(&folder.database()).unwrap();
    let find = |n| reader.rows(&Query::Find(token(n))).unwrap().remove(0);
    assert_eq!(find(full_at).local_reason, Some("x".repeat(900)));
    assert_eq!(find(full_at + 1).button, Some(3));
    let merged = find(0);
    assert_eq!(
        (merged.xruns, merged.local_reason),
        (Some(7), Some("x".repeat(900)))
    );
}

#[test]
fn memory_is_bounded_while_the_disk_takes_nothing() {
    let folder = Folder::new();
    std::fs::create_dir(folder.database()).unwrap();
    let trace = Arc::new(Trace::default());
    let config = Config::new(folder.database());
    let (store, _) = StoreHandle::open(config, Arc::clone(&trace)).unwrap();
    for n in 0..1200 {
        record(&store, Row::new(token(n)));
    }
    assert_eq!(trace.read(Counter::RecordsLost), 200);
    let all = rows(
        &store,
        Query::Latest {
            limit: 5000,
            offset: 0,
        },
    );
    assert_eq!((all.len(), all[0].token.clone()), (1000, token(1199)));
}

/// The superuser may write everywhere, so the test goes on as nobody.
#[test]
fn a_read_only_file_is_said_and_still_read() {
    const ROLE: &str = "CALLBOX_TEST_READ_ONLY";
    if let Some(path) = std::env::var_os(ROLE) {
        return read_only_child(&PathBuf::from(path));
    }
    let folder = Folder::new();
    with_a_row(&folder.database());
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = folder.0.join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&folder.database(), 0o444);
    std::fs::write(folder.0.join("secret.db"), "").unwrap();
    mode(&folder.0.join("secret.db"), 0o000);
    mode(&folder.0, 0o555);
    let mut child = Command::new(&program);
    child.args([
        "--exact",
        "trouble::a_read_only_file_is_said_and_still_read",
        "--nocapture",
    ]);
    child.env(ROLE, folder.database());
    if folder.0.metadata().unwrap().uid() == 0 {
        child.uid(65534).gid(65534);
    }
    let output = child.output().unwrap();
    mode(&folder.0, 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "the child ran nothing: {said}");
}

fn read_only_child(path: &Path) {
    let (store, opened) = open_at(path);
    let told = message(&opened);
    says(
        &told,
        &[
            "cannot be written to",
            "readonly",
            "Make the folder and the file writable",
        ],
    );
    assert_eq!(
        tokens(&opened.unfinished),
        [token(1)],
        "the call that was up is known"
    );
    assert_eq!(record(&store, Row::new(token(99))), Saved::InMemory);
    assert_eq!(store.health().in_memory, Some(told));
    assert_eq!(tokens(&latest(&store)), [token(99), token(1)]);

    let reader = Reader::open(path).unwrap();
    let rows = reader
        .rows(&Query::Latest {
            limit: 9,
            offset: 0,
        })
        .unwrap();
    assert_eq!(tokens(&rows), [token(1)]);
}

#[test]
fn a_reader_is_told_what_is_wrong() {
    let folder = Folder::new();
    let told = |path: &Path| Reader::open(path).unwrap_err().to_string();
    says(
        &told(&folder.database()),
        &["no call records at", "the daemon makes the file"],
    );

    std::fs::write(folder.database(), "nothing like a database, by far").unwrap();
    says(&told(&folder.database()), &["does not hold call records"]);

    std::fs::write(folder.database(), "").unwrap();
    says(&told(&folder.database()), &["no call records at"]);
}

#[test]
fn readers_and_the_daemon_do_not_wait_for_each_other() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    record(&store, Row::new(token(1)));
    let reader = Reader::open(&folder.database()).unwrap();
    let mut seen = 0;
    reader
        .each(|row| {
            // The daemon writes while the reader is in the middle of the file.
            let n = 2 + seen;
            assert_eq!(record(&store, Row::new(token(n))), Saved::OnDisk);
            assert_eq!(row.token, token(1), "a reader sees the file as it was");
            seen += 1;
            Ok::<_, std::io::Error>(())
        })
        .unwrap()
        .unwrap();
    assert_eq!(seen, 1);
    assert_eq!(latest(&store).len(), 2);
}

/// Locks of this kind are the process's: a file that is opened and closed
/// anywhere in it takes all of them away.
#[test]
fn a_reader_takes_no_locks_away() {
    let folder = Folder::new();
    let (store, _) = open_at(&folder.database());
    record(&store, Row::new(token(1)));
    let inode = format!(":{} ", folder.database().metadata().unwrap().ino());
    // Not /proc/locks, which leaves some out when others come and go.
    let is_locked = || {
        let open = std::fs::read_dir("/proc/self/fdinfo").unwrap();
        // One may be closed by now.
        let told = open.filter_map(|fd| std::fs::read_to_string(fd.unwrap().path()).ok());
        told.flat_map(|told| told.lines().map(str::to_owned).collect::<Vec<_>>())
            .any(|line| line.starts_with("lock:") && line.contains(&inode))
    };
    assert!(
        is_locked(),
        "SQLite holds a lock as long as the file is open"
    );
    drop(Reader::open(&folder.database()).unwrap());
    assert!(is_locked());
    drop(store);
}

#[test]
fn an_odd_file_name_is_no_obstacle() {
    let folder = Folder::new();
    let path = folder.0.join("anrufe ä ?mode=rwc#%20.db");
    let (store, opened) = open(Config::bounded(&path, 10, Duration::ZERO));
    assert!(opened.troubles.is_empty());
    works(&store, &path);
}
