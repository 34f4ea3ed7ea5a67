//! Kills the process at random moments: what was acknowledged is there, and
//! nothing is torn.
//!
//! A kill leaves what the kernel has; what a power cut leaves is tested on the
//! emulated board. `CALLBOX_KILLS=1000 cargo test kill` is the full mark.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callbox::edge::clock::Stamp;
use callbox::edge::store::{
    Column, Config, Line, OpenedBy, Opening, Party, Query, Reader, Row, Source, StoreHandle,
    Timeline, Update,
};
use rusqlite::Connection;

use crate::support::*;

const ROLE: &str = "CALLBOX_TEST_KILLED";
const KILLS: u32 = 50;

/// Three facts that are written together: a torn row has them apart.
fn row(n: u32) -> Row {
    Row {
        button: Some((n % 251) as u8),
        talk_ms: Some(n),
        local_reason: Some(format!("{n:0500}")),
        ..Row::new(token(n))
    }
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    if let Some(path) = std::env::var_os(ROLE) {
        write_until_killed(Path::new(&path));
    }
    let kills = std::env::var("CALLBOX_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let folder = Folder::new();
    let mut random = Random(0x5eed_ca11);
    let mut acknowledged = 0;
    for kill in 0..kills {
        let told = write_and_kill(&folder.database(), acknowledged, &mut random);
        assert!(told >= acknowledged, "kill {kill}");
        let problems = check(&folder.database(), acknowledged.saturating_sub(100)..told);
        assert!(
            problems.is_empty(),
            "kill {kill}, {told} acknowledged: {problems:?}"
        );
        acknowledged = told;
    }
    let problems = check(&folder.database(), 0..acknowledged);
    assert!(problems.is_empty(), "at the end: {problems:?}");
    assert!(
        acknowledged > kills,
        "the child hardly wrote: {acknowledged}"
    );
    println!("{kills} kills, {acknowledged} rows acknowledged, none lost, none torn");
}

/// Lets a child write from row `from` on, kills it at a random moment, and
/// says how many rows were acknowledged by then.
fn write_and_kill(path: &Path, from: u32, random: &mut Random) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::what_was_acknowledged_outlives_a_kill",
            "--nocapture",
        ])
        .env(ROLE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    if random.below(8) == 0 {
        // While the file is opened, checked and its log read.
        std::thread::sleep(Duration::from_micros(random.below(20_000).into()));
        child.kill().unwrap();
        child.wait().unwrap();
        return from;
    }
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines
        .by_ref()
        .map(Result::unwrap)
        .any(|line| line.ends_with("ready"));
    assert!(started, "the child did not start");
    writeln!(child.stdin.take().unwrap(), "{from}").unwrap();

    // Some kills hit the first writes, some a folding of the log.
    let rows = random.below(40) as usize;
    let mut told = lines
        .map_while(Result::ok)
        .map(|line| line.parse::<u32>().unwrap() + 1);
    let until_now = told.by_ref().take(rows).last();
    std::thread::sleep(Duration::from_micros(random.below(4000).into()));
    child.kill().unwrap();
    let rest = told.last();
    child.wait().unwrap();
    rest.or(until_now).unwrap_or(from)
}

/// The child: writes rows one after another, and says each when it is
/// acknowledged.
fn write_until_killed(path: &Path) -> ! {
    let (store, opened) = open(Config::bounded(path, u32::MAX, Duration::MAX));
    assert!(opened.troubles.is_empty(), "{:?}", opened.troubles);
    println!("ready");
    let mut from = String::new();
    std::io::stdin().read_line(&mut from).unwrap();
    let first: u32 = from.trim().parse().unwrap();
    let mut out = std::io::stdout().lock();
    for n in first..=u32::MAX {
        record_in_parts(&store, n);
        writeln!(out, "{n}").unwrap();
        out.flush().unwrap();
    }
    unreachable!("the child is killed")
}

/// An intent, what is kept beside it, and the end: only the end is waited for.
fn record_in_parts(store: &StoreHandle, n: u32) {
    store.write(Update::record(Row::new(token(n)))).unwrap();
    store.write(Update::opening(token(n), opening(n))).unwrap();
    let line = Update::transcript(token(n), line(n)).unwrap();
    store.write(line).unwrap();
    store
        .write(Update::timeline(token(n), &timeline(n)))
        .unwrap();
    record(store, row(n));
}

fn opening(n: u32) -> Opening {
    Opening {
        at: Stamp::from_unix_ms(n.into()),
        after_ms: n,
        door: 0,
        by: OpenedBy::Code,
        number: None,
    }
}

fn line(n: u32) -> Line {
    Line {
        n: 0,
        at_ms: n,
        party: Party::Far,
        text: format!("{n:0300}"),
        source: Source::Stream,
    }
}

fn timeline(n: u32) -> Timeline {
    let mut timeline = Timeline::default();
    timeline.put(n % 100_000, Column::BLANK);
    timeline.note(n, "written");
    timeline
}

/// Whether all that belongs to row `n` is there, as it was written.
fn is_complete(reader: &Reader, n: u32) -> bool {
    reader.openings(&token(n)).unwrap() == [opening(n)]
        && reader.transcript(&token(n)).unwrap() == [line(n)]
        && reader.timeline(&token(n)).unwrap() == Some(timeline(n))
}

/// What is wrong with the file after a kill; the rows of `range` must be there.
fn check(path: &Path, range: Range<u32>) -> Vec<String> {
    let mut problems = Vec::new();
    let reader = Reader::open(path).unwrap();
    // Rows that were written and not acknowledged any more come on top.
    let limit = range.len() as u32 + 1000;
    let rows = reader.rows(&Query::Latest { limit, offset: 0 }).unwrap();
    let mut missing: BTreeSet<u32> = range.collect();
    for found in &rows {
        let n = u32::from_str_radix(&found.token[..8], 16).unwrap();
        let is_whole = *found == row(n);
        if is_whole && is_complete(&reader, n) {
            missing.remove(&n);
        } else if *found != Row::new(token(n)) {
            problems.push(format!("row {n} is torn: {found:?}"));
        }
    }
    problems.extend(missing.iter().map(|n| format!("row {n} is lost")));
    drop(reader);
    let plain = Connection::open(path).unwrap();
    let verdict: String = plain
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    if verdict != "ok" {
        problems.push(verdict);
    }
    problems
}

/// The check itself finds what it is for.
#[test]
fn the_check_finds_lost_and_torn_rows() {
    let folder = Folder::new();
    let (store, opened) = open_at(&folder.database());
    for n in 0..4 {
        record_in_parts(&store, n);
    }
    close(store, opened);
    assert!(check(&folder.database(), 0..4).is_empty());
    let plain = Connection::open(folder.database()).unwrap();
    plain
        .execute_batch(
            "DELETE FROM attempts WHERE talk_ms = 1;
             UPDATE attempts SET local_reason = NULL WHERE talk_ms = 2;
             DELETE FROM transcripts WHERE at_ms = 3;",
        )
        .unwrap();
    let problems = check(&folder.database(), 0..4);
    let torn = |n| format!("row {n} is torn");
    let lost = |n| format!("row {n} is lost");
    let want = [torn(3), torn(2), lost(1), lost(2), lost(3)];
    assert_eq!(problems.len(), want.len(), "{problems:?}");
    for (found, want) in problems.iter().zip(want) {
        assert!(found.starts_with(&want), "{found} is not: {want}");
    }
}

/// A small generator (xorshift32): the same moments in every run, as far as
/// the system's own timing allows.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % bound
    }
}
