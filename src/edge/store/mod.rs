//! Keeps the record of every attempt at a call, on a thread of its own.
//!
//! The daemon hands in an [`Update`] as things happen and never waits; the
//! thread writes what is queued in one transaction, and says so to who asked.
//!
//! ```text
//!  daemon ──write(Update)──▶ [ QUEUE ] ──▶ store thread ──commit──▶ calls.db
//!         ◀──── oneshot: Saved::OnDisk ───────────┤          (WAL, FULL)
//!         ──ask(Query), ping──▶                   └─ no disk? ─▶ memory, and
//!  callbox calls ──Reader──▶ calls.db (read only)                back later
//!  callbox calls sync ──Writer──▶ calls.db
//! ```
//!
//! Always true:
//! - [`Saved::OnDisk`] means: it is there after a power cut (SQLite with
//!   `synchronous=FULL`, one sync per transaction).
//! - Nothing is dropped: a full queue hands the item back, and the caller
//!   holds it. What the disk refuses is kept in memory, tried again with the
//!   next write and every [`RETRY`], and moved to disk when that works.
//! - A file that cannot be used is set aside, never overwritten; another
//!   program's database is not touched at all.
//! - The record is bounded: by count in every write, by age with
//!   [`Update::prune`], by size with `max_page_count`. Transcripts and
//!   timelines give way before rows do.
//!
//! Units: rows; sizes in bytes. Threads: [`StoreHandle`] is for any thread but
//! the audio thread; all else here runs on `callbox-store`.

mod ask;
mod details;
mod file;
mod filter;
mod keeper;
mod query;
mod reconcile;
mod row;
mod timeline;
mod words;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::edge::clock::{Reading, Stamp};
use crate::trace::{Counter, Trace};
use details::Detail;
use keeper::Keeper;

pub use ask::{LookedUp, Transcript, is_hopeless, look_up, transcript};
pub use details::{LINE_TEXT_MAX, LINES_MAX, Line, OPENINGS_MAX, Opening};
pub use file::Trouble;
pub use filter::{BadNumberFilter, Filter, NumberFilter};
pub use query::{Query, ReadError, Reader};
pub use reconcile::{absent, reconcile};
pub use row::Row;
pub use timeline::{
    BLOB_MAX, BadTimeline, COLUMNS_MAX, Column, EVENT_TEXT_MAX, EVENTS_MAX, STEP_MS, Timeline,
};
pub use words::{Direction, Kind, OpenedBy, Outcome, Party, Reconciled, Source, Transcribed};
pub use writer::Writer;

/// Messages the queue holds. A call makes about ten; what does not fit is
/// handed back.
pub const QUEUE: usize = 256;

/// How long a failed disk is left alone when nothing is written.
pub const RETRY: Duration = Duration::from_secs(30);

/// Rows kept in memory while the disk takes none. The oldest gives way.
const ROWS_IN_MEMORY: u32 = 1000;

/// Attempts whose lines and timelines are kept in memory meanwhile: with the
/// longest words each takes a megabyte.
const DETAILS_IN_MEMORY: u32 = 4;

/// Enough for SQLite in a debug build; it is touched only as far as needed.
const STACK: usize = 512 * 1024;

/// Where the record is and how large it may grow.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database. Its folder is made when it is missing.
    pub path: PathBuf,
    /// Attempts kept; the oldest gives way. Default 10 000, which is a hundred
    /// days of the service's whole allowance, and some 6 MB, with 6 KB more for
    /// the sound of five minutes and 4 KB for forty lines of words. Each start
    /// reads them all to check them: a million take a slow card minutes. 0
    /// keeps none.
    pub max_rows: u32,
    /// Attempts older than this go with the next [`Update::prune`]. Default 400
    /// days: last year's season can still be looked up.
    pub max_age: Duration,
    /// The file never grows beyond this. Default 64 MiB, or 4 KiB for each of
    /// `max_rows`; less than 64 KiB cannot hold the tables. From three quarters
    /// on the oldest words and courses of sound give way.
    pub max_bytes: u64,
}

impl Config {
    /// The defaults, at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::bounded(path, 10_000, Duration::from_secs(400 * 24 * 3600))
    }

    /// Bounds of one's own, and room enough on disk for `max_rows`.
    #[must_use]
    pub fn bounded(path: impl Into<PathBuf>, max_rows: u32, max_age: Duration) -> Self {
        Self {
            path: path.into(),
            max_rows,
            max_age,
            max_bytes: ROOM_LEAST.max(u64::from(max_rows) * ROOM_PER_ROW),
        }
    }
}

const ROOM_LEAST: u64 = 64 * 1024 * 1024;

/// Bytes for a row: eight times what one with every fact takes, since the
/// longest words are longer than most.
const ROOM_PER_ROW: u64 = 4096;

/// What the store found when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// What went wrong, already logged; `Display` is for people.
    pub troubles: Vec<Trouble>,
    /// Attempts that were not over when the power went, oldest first.
    pub unfinished: Vec<Row>,
    /// The values [`Update::keep`] kept, by name.
    pub kept: BTreeMap<String, String>,
    /// Resolves when the last handle is gone and all that was queued is
    /// written: the clean end.
    pub ended: oneshot::Receiver<()>,
}

/// Where an acknowledged update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// On disk: a power cut does not lose it.
    OnDisk,
    /// In memory only: the disk takes nothing now. A power cut loses it.
    InMemory,
}

/// How the store is, for `callbox status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why records are in memory only; `None` is well.
    pub in_memory: Option<String>,
    /// Files that were set aside since the start, and why: the latest first,
    /// at most four.
    pub set_aside: Vec<String>,
}

/// Something to write down.
#[derive(Debug)]
pub struct Update {
    change: Change,
    done: Option<oneshot::Sender<Saved>>,
}

#[derive(Debug)]
enum Change {
    Record(Box<Row>),
    Detail { token: String, detail: Detail },
    Keep { key: String, value: String },
    Prune { before: Stamp },
}

impl Update {
    /// Writes the facts of `row` over what is known of the attempt, or begins
    /// its record: the intent, each later fact and the end are all this.
    #[must_use]
    pub fn record(mut row: Row) -> Self {
        row.clip();
        Self::new(Change::Record(Box::new(row)))
    }

    /// Notes that a door was opened in the attempt `token`. The same opening
    /// again changes nothing.
    #[must_use]
    pub fn opening(token: impl Into<String>, opening: Opening) -> Self {
        Self::detail(token, Detail::Opening(opening))
    }

    /// Adds a line to the attempt's transcript, or writes it anew. `None` for
    /// the lines after [`LINES_MAX`]: whoever counts them says so.
    #[must_use]
    pub fn transcript(token: impl Into<String>, mut line: Line) -> Option<Self> {
        line.clip();
        (line.n < LINES_MAX).then(|| Self::detail(token, Detail::Line(line)))
    }

    /// Keeps how the attempt sounded over time: once, when it is over.
    #[must_use]
    pub fn timeline(token: impl Into<String>, timeline: &Timeline) -> Self {
        Self::detail(token, Detail::Timeline(timeline.encode()))
    }

    fn detail(token: impl Into<String>, detail: Detail) -> Self {
        let token = token.into();
        Self::new(Change::Detail { token, detail })
    }

    /// Keeps a small value by name: state that outlives a restart.
    #[must_use]
    pub fn keep(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(Change::Keep {
            key: key.into(),
            value: value.into(),
        })
    }

    /// Removes what is older than `max_age` at `now`. `None` unless `now` is
    /// trusted: a clock that runs ahead must not empty the record.
    #[must_use]
    pub fn prune(config: &Config, now: Reading) -> Option<Self> {
        let before = now.stamp.minus(config.max_age);
        now.trusted.then(|| Self::new(Change::Prune { before }))
    }

    /// Asks to be told when it is saved. The answer is an error when it was
    /// lost, which takes a full disk and a full memory.
    #[must_use]
    pub fn acknowledged(mut self) -> (Self, oneshot::Receiver<Saved>) {
        let (done, saved) = oneshot::channel();
        self.done = Some(done);
        (self, saved)
    }

    fn new(change: Change) -> Self {
        Self { change, done: None }
    }
}

/// The item was not taken: here it is again.
#[derive(Debug, thiserror::Error)]
pub enum Refused<T> {
    /// The queue is full. Hold the item and try again: it must not be lost.
    #[error("the store's queue is full")]
    Full(T),
    /// The store thread has ended.
    #[error("the store has stopped")]
    Stopped(T),
}

enum Message {
    Write(Update),
    Ask(Query, oneshot::Sender<Vec<Row>>),
    Ping(oneshot::Sender<()>),
}

/// The way in. Cheap to clone; when the last is dropped, the store writes what
/// is queued and ends.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    queue: SyncSender<Message>,
    health: Arc<Mutex<Health>>,
    trace: Arc<Trace>,
}

impl StoreHandle {
    /// Opens the record and starts its thread. Waits for the disk while the
    /// file is checked: once, before the daemon is ready.
    ///
    /// Trouble with the file is not an error: the device goes on, with a new
    /// file or in memory, and [`Opened::troubles`] says so.
    ///
    /// # Errors
    /// The system gives no thread, or SQLite no memory.
    pub fn open(config: Config, trace: Arc<Trace>) -> std::io::Result<(Self, Opened)> {
        let health = Arc::new(Mutex::new(Health::default()));
        let (keeper, troubles) = Keeper::open(config, Arc::clone(&trace), Arc::clone(&health))
            .map_err(std::io::Error::other)?;
        let (ended_sender, ended) = oneshot::channel();
        let opened = Opened {
            troubles,
            unfinished: keeper.rows(&Query::Unfinished),
            kept: keeper.kept(),
            ended,
        };
        let (sender, queue) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("callbox-store".into())
            .stack_size(STACK)
            .spawn(move || {
                run(&queue, keeper);
                // Nobody left to tell is fine: the daemon stops in a hurry.
                _ = ended_sender.send(());
            })?;
        let handle = Self {
            queue: sender,
            health,
            trace,
        };
        Ok((handle, opened))
    }

    /// Queues `update`. Never waits.
    ///
    /// # Errors
    /// Hands `update` back, and counts it, when the queue is full: hold it and
    /// try again.
    pub fn write(&self, update: Update) -> Result<(), Refused<Update>> {
        match self.queue.try_send(Message::Write(update)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Message::Write(update))) => {
                self.trace.count(Counter::RecordsWaited);
                Err(Refused::Full(update))
            }
            Err(TrySendError::Disconnected(Message::Write(update))) => {
                Err(Refused::Stopped(update))
            }
            Err(_) => unreachable!("the queue hands back what was put in"),
        }
    }

    /// Asks for rows, as they are after all that was queued before. Never
    /// waits; a store that cannot read answers with none, logs why, and counts
    /// it as `store_errors`.
    ///
    /// # Errors
    /// The queue is full, or the store has stopped.
    pub fn ask(&self, query: Query) -> Result<oneshot::Receiver<Vec<Row>>, Refused<()>> {
        let (answer, rows) = oneshot::channel();
        self.send(Message::Ask(query, answer))?;
        Ok(rows)
    }

    /// Asks for a sign of life: it is answered when all that was queued before
    /// is done. For the watchdog.
    ///
    /// # Errors
    /// The queue is full, or the store has stopped.
    pub fn ping(&self) -> Result<oneshot::Receiver<()>, Refused<()>> {
        let (answer, alive) = oneshot::channel();
        self.send(Message::Ping(answer))?;
        Ok(alive)
    }

    /// How the store is now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn send(&self, message: Message) -> Result<(), Refused<()>> {
        self.queue
            .try_send(message)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => Refused::Full(()),
                TrySendError::Disconnected(_) => Refused::Stopped(()),
            })
    }
}

/// The store thread: takes what is queued, and writes it in one go.
fn run(queue: &Receiver<Message>, mut keeper: Keeper) {
    loop {
        match queue.recv_timeout(RETRY) {
            Ok(first) => {
                let rest = queue.try_iter().take(QUEUE);
                serve(&mut keeper, std::iter::once(first).chain(rest));
            }
            Err(RecvTimeoutError::Timeout) => keeper.return_to_disk(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    keeper.return_to_disk();
}

/// Serves `messages` in order: an answer shows every write queued before it.
fn serve(keeper: &mut Keeper, messages: impl Iterator<Item = Message>) {
    let mut updates = Vec::new();
    for message in messages {
        match message {
            Message::Write(update) => updates.push(update),
            Message::Ask(query, answer) => {
                keeper.commit(&mut updates);
                _ = answer.send(keeper.rows(&query));
            }
            Message::Ping(answer) => {
                keeper.commit(&mut updates);
                _ = answer.send(());
            }
        }
    }
    keeper.commit(&mut updates);
}
