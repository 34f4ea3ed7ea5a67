//! What a record costs: time and bytes of a commit, time to open, room on disk;
//! and what the course of a call's sound and its words add.
//!
//! `cargo bench --bench store`; `CALLBOX_BENCH_DIR` names a folder on the card
//! to measure, the system's temporary folder otherwise. Bytes are what the
//! kernel counted for this process in `/proc/self/io`: `written` is handed to
//! the kernel, `to disk` left for the device.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::edge::clock::Stamp;
use callbox::edge::store::{
    Column, Config, Direction, Kind, Line, Outcome, Party, Reconciled, Row, STEP_MS, Saved, Source,
    StoreHandle, Timeline, Transcribed, Update,
};
use callbox::trace::Trace;
use callbox::units::{CallId, E164};

const COMMITS: u32 = 500;
const ROWS: u32 = 10_000;

fn main() {
    let folder =
        std::env::var_os("CALLBOX_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("callbox-bench-{}", std::process::id()));
    let path = folder.join("calls.db");
    println!("in {}", folder.display());
    commits(&path);
    std::fs::remove_dir_all(&folder).expect("the bench's own folder");
    a_full_record(&path);
    std::fs::remove_dir_all(&folder).expect("the bench's own folder");
    courses(&path);
    std::fs::remove_dir_all(&folder).expect("the bench's own folder");
    transcripts(&path);
    std::fs::remove_dir_all(&folder).expect("the bench's own folder");
}

/// Calls of five minutes with the course of their sound: what each adds.
fn courses(path: &Path) {
    let timeline = five_minutes();
    grow(path, "a timeline of 5 min", |n| {
        vec![Update::timeline(token(n), &timeline)]
    });
    println!("  its blob: {} bytes", timeline.encode().len());
}

/// Calls with forty lines of sixty letters: what each adds.
fn transcripts(path: &Path) {
    let line = |n| Line {
        n,
        at_ms: 5000 * u32::from(n),
        party: Party::Far,
        text: "x".repeat(60),
        source: Source::Stream,
    };
    grow(path, "a transcript of 40 lines", |n| {
        let lines = (0..40).filter_map(|at| Update::transcript(token(n), line(at)));
        lines.collect()
    });
}

/// Writes `what` beside each of some records, and says what that took.
fn grow(path: &Path, name: &str, what: impl Fn(u32) -> Vec<Update>) {
    const CALLS: u32 = 200;
    let (store, opened) = open(path);
    for n in 0..CALLS {
        write(&store, full_row(n));
    }
    close(store, opened);
    let before = path.metadata().expect("the database").len();
    let (store, opened) = open(path);
    let mut times = Vec::new();
    for n in 0..CALLS {
        let start = Instant::now();
        let mut updates = what(n);
        let (last, saved) = updates.pop().expect("something to write").acknowledged();
        for update in updates {
            store.write(update).expect("an empty queue");
        }
        store.write(last).expect("an empty queue");
        assert_eq!(saved.blocking_recv(), Ok(Saved::OnDisk));
        times.push(start.elapsed());
    }
    close(store, opened);
    times.sort();
    let grown = path.metadata().expect("the database").len() - before;
    println!(
        "{name}: {} bytes on disk, written in p50 {:.2} ms, p99 {:.2} ms",
        grown / u64::from(CALLS),
        times[CALLS as usize / 2].as_secs_f64() * 1e3,
        times[CALLS as usize * 99 / 100].as_secs_f64() * 1e3,
    );
}

/// As a call of five minutes leaves it: speech, pauses, some loss.
fn five_minutes() -> Timeline {
    let mut timeline = Timeline::default();
    for n in 0..300_000 / STEP_MS {
        let lost = n.is_multiple_of(40);
        let column = Column {
            mic_db: -((n * 7 % 60) as i8),
            far_db: -((n * 11 % 60) as i8),
            delay_ms: 40 + (n % 30) as u16,
            concealed_ms: if lost { 20 } else { 0 },
            dropped_ms: 0,
        };
        timeline.put(n * STEP_MS, column);
    }
    for (at, what) in [(0, "pressed"), (1400, "ringing"), (6000, "answered")] {
        timeline.note(at, what);
    }
    timeline
}

fn token(n: u32) -> String {
    format!("{n:08x}{:024}", 0)
}

/// One acknowledged record after another, as calls make them.
fn commits(path: &Path) {
    let (store, opened) = open(path);
    write(&store, full_row(0));
    let before = Io::read();
    let mut times: Vec<Duration> = (1..=COMMITS)
        .map(|n| {
            let start = Instant::now();
            write(&store, full_row(n));
            start.elapsed()
        })
        .collect();
    let io = Io::read().since(&before);
    times.sort();
    let at = |share: f64| times[(share * f64::from(COMMITS - 1)) as usize].as_secs_f64() * 1e3;
    println!(
        "commit of one whole record: p50 {:.2} ms, p99 {:.2} ms; {} bytes written, {} to disk",
        at(0.5),
        at(0.99),
        io.written / u64::from(COMMITS),
        io.to_disk / u64::from(COMMITS),
    );
    close(store, opened);
}

/// The record as full as it gets: its size, and how long a start takes.
fn a_full_record(path: &Path) {
    let (store, opened) = open(path);
    for n in 0..ROWS {
        let mut update = Update::record(full_row(n));
        while let Err(callbox::edge::store::Refused::Full(held)) = store.write(update) {
            update = held;
            std::thread::yield_now();
        }
    }
    close(store, opened);
    let size = path.metadata().expect("the database").len();
    let start = Instant::now();
    let (store, opened) = open(path);
    let opening = start.elapsed();
    println!(
        "{ROWS} whole records: {:.1} MB, {} bytes each; checked and opened in {:.0} ms",
        size as f64 / 1e6,
        size / u64::from(ROWS),
        opening.as_secs_f64() * 1e3,
    );
    close(store, opened);
}

fn open(path: &Path) -> (StoreHandle, callbox::edge::store::Opened) {
    let (store, opened) =
        StoreHandle::open(Config::new(path), Arc::new(Trace::default())).expect("a thread");
    assert!(opened.troubles.is_empty(), "{:?}", opened.troubles);
    (store, opened)
}

fn write(store: &StoreHandle, row: Row) {
    let (update, saved) = Update::record(row).acknowledged();
    store.write(update).expect("an empty queue");
    assert_eq!(saved.blocking_recv(), Ok(Saved::OnDisk));
}

fn close(store: StoreHandle, opened: callbox::edge::store::Opened) {
    drop(store);
    opened.ended.blocking_recv().expect("the thread ends");
}

/// A row as long as a real one.
fn full_row(n: u32) -> Row {
    let token = token(n);
    let at = |ms: i64| Some(Stamp::from_unix_ms(1_800_000_000_000 + ms));
    let text = |text: &str| Some(text.to_owned());
    Row {
        client_websocket_url: Some(format!("wss://door-17.example.com/media/{token}")),
        direction: Some(Direction::Outbound),
        kind: Some(Kind::Talk),
        press: Some(token.clone()),
        button: Some(0),
        target: Some(0),
        position: Some(0),
        cycle: Some(0),
        to_number: E164::parse("+4930123456").ok(),
        from_number: E164::parse("+15550100").ok(),
        call_id: CallId::parse(&format!("6f2c9f0e-7d1b-4a53-9a8e-{n:012}")),
        clock_trusted: Some(true),
        pressed_at: at(0),
        sent_at: at(4),
        accepted_at: at(320),
        ringing_at: at(1400),
        stream_at: at(6100),
        answered_at: at(6000),
        ended_at: at(98_000),
        sent_after_ms: Some(4),
        accepted_after_ms: Some(320),
        ringing_after_ms: Some(1400),
        stream_after_ms: Some(6100),
        answered_after_ms: Some(6000),
        ended_after_ms: Some(98_000),
        talk_ms: Some(92_000),
        confirmed_at: at(7900),
        joined_at: at(7900),
        confirmed_after_ms: Some(7900),
        joined_after_ms: Some(7900),
        outcome: Some(Outcome::Answered),
        use_inkbox_tts: Some(false),
        use_inkbox_stt: Some(false),
        service_use_inkbox_tts: Some(false),
        service_use_inkbox_stt: Some(false),
        digits: Some(1),
        openings: Some(0),
        transcribed: Some(Transcribed::Absent),
        service_status: text("completed"),
        service_hangup_reason: text("remote"),
        service_created_at: text("2027-01-15T08:00:00.300000Z"),
        service_started_at: text("2027-01-15T08:00:06.100000Z"),
        service_ended_at: text("2027-01-15T08:01:38.000000Z"),
        local_reason: text("far end hung up"),
        http_status: Some(200),
        http_error: None,
        calls_remaining: Some(97),
        minutes_remaining: Some(98.5),
        codec: text("pcmu 8000"),
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
        reconnects: Some(2),
        closed: Some(true),
        reconciled: Some(Reconciled::Done),
        ..Row::new(token)
    }
}

/// What the kernel counted for this process.
struct Io {
    written: u64,
    to_disk: u64,
}

impl Io {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/self/io").expect("a Linux with /proc");
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value
                .and_then(|value| value.trim().parse().ok())
                .expect("a count")
        };
        Self {
            written: field("wchar:"),
            to_disk: field("write_bytes:"),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            written: self.written - earlier.written,
            to_disk: self.to_disk - earlier.to_disk,
        }
    }
}
