//! The store thread's own: the open database, and what happens when the disk
//! stops taking rows.
//!
//! ```text
//!            write fails                        damaged
//!  on disk ───────────────▶ in memory    on disk ──────▶ set aside, new file
//!     ▲                        │
//!     └── rows moved, by token ┘  with the next write, or after RETRY
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ToSql, Transaction, params};

use super::details;
use super::file::{self, Fault, Trouble};
use super::query::{self, Query};
use super::row::{COLUMNS, Row};
use super::{Change, Config, DETAILS_IN_MEMORY, Health, ROWS_IN_MEMORY, Saved, Update};
use crate::edge::clock::Stamp;
use crate::trace::{Counter, Trace};

/// Files set aside that the status tells of: a card that needs more is dead.
const TOLD_MAX: usize = 4;

pub(super) struct Keeper {
    config: Config,
    trace: Arc<Trace>,
    health: Arc<Mutex<Health>>,
    connection: Connection,
    place: Saved,
}

impl Keeper {
    pub(super) fn open(
        config: Config,
        trace: Arc<Trace>,
        health: Arc<Mutex<Health>>,
    ) -> rusqlite::Result<(Self, Vec<Trouble>)> {
        let mut troubles = Vec::new();
        let (connection, place) = match file::open(&config, &mut troubles) {
            Ok(connection) => (connection, Saved::OnDisk),
            Err(fault) => {
                troubles.push(fault.unwritable(&config.path));
                let mut memory = file::open_in_memory()?;
                salvage(&config, &mut memory);
                (memory, Saved::InMemory)
            }
        };
        let mut keeper = Self {
            config,
            trace,
            health,
            connection,
            place,
        };
        for trouble in &troubles {
            keeper.report(trouble);
        }
        Ok((keeper, troubles))
    }

    /// Writes `updates` in one transaction, and acknowledges them.
    pub(super) fn commit(&mut self, updates: &mut Vec<Update>) {
        if updates.is_empty() {
            return;
        }
        self.return_to_disk();
        let written = self.write(updates);
        for update in updates.drain(..) {
            if let (Some(done), Some(saved)) = (update.done, written) {
                // Who asked may have gone meanwhile.
                _ = done.send(saved);
            }
        }
    }

    /// The answer to `query`; empty, and reported, when it cannot be read.
    pub(super) fn rows(&self, query: &Query) -> Vec<Row> {
        query.rows(&self.connection).unwrap_or_else(|error| {
            self.trace.count(Counter::StoreErrors);
            tracing::error!(%error, "call records cannot be read");
            Vec::new()
        })
    }

    /// All values that were kept.
    pub(super) fn kept(&self) -> BTreeMap<String, String> {
        query::kept(&self.connection).unwrap_or_else(|error| {
            self.trace.count(Counter::StoreErrors);
            tracing::error!(%error, "kept values cannot be read");
            BTreeMap::new()
        })
    }

    /// Moves what is in memory to the disk, if the disk takes it by now.
    pub(super) fn return_to_disk(&mut self) {
        if self.place == Saved::OnDisk {
            return;
        }
        let mut troubles = Vec::new();
        let moved = file::open(&self.config, &mut troubles).and_then(|mut disk| {
            let (limit, offset) = (ROWS_IN_MEMORY, 0);
            let mut rows = Query::Latest { limit, offset }.rows(&self.connection)?;
            rows.reverse();
            let transaction = disk.transaction()?;
            copy(&self.connection, &rows, &transaction)?;
            details::copy(&self.connection, &transaction)?;
            prune_by_count(&transaction, self.config.max_rows)?;
            transaction.commit()?;
            Ok((disk, rows.len()))
        });
        for trouble in &troubles {
            self.report(trouble);
        }
        if let Ok((disk, rows)) = moved {
            self.connection = disk;
            self.place = Saved::OnDisk;
            self.health().in_memory = None;
            tracing::warn!(rows, "call records are written to disk again");
        }
    }

    /// Writes to where the record is; when that fails, to a new file or to
    /// memory. `None`: nowhere.
    fn write(&mut self, updates: &[Update]) -> Option<Saved> {
        let mut may_begin_anew = true;
        loop {
            let error = match self.write_here(updates) {
                Ok(()) => return Some(self.place),
                Err(error) => error,
            };
            if self.place == Saved::InMemory {
                return self.lose(&error);
            }
            if let Err(error) = self.move_away(error.into(), may_begin_anew) {
                return self.lose(&error);
            }
            may_begin_anew = false;
        }
    }

    /// Leaves a file that refused a write: for a new one when this one is
    /// damaged, else for memory.
    fn move_away(&mut self, fault: Fault, may_begin_anew: bool) -> rusqlite::Result<()> {
        // The file is closed before it is opened again or renamed.
        self.connection = file::open_in_memory()?;
        self.place = Saved::InMemory;
        salvage(&self.config, &mut self.connection);
        if may_begin_anew && matches!(fault, Fault::Corrupt(_)) {
            self.return_to_disk();
        }
        if self.place == Saved::InMemory {
            let trouble = fault.unwritable(&self.config.path);
            self.report(&trouble);
        }
        Ok(())
    }

    /// Memory itself is out: nothing is left to do but to say so.
    fn lose(&self, error: &rusqlite::Error) -> Option<Saved> {
        self.trace.count(Counter::RecordsLost);
        tracing::error!(%error, "call records are lost: not even memory takes them");
        None
    }

    fn write_here(&mut self, updates: &[Update]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        write_all(&transaction, updates)?;
        let max_rows = self.config.max_rows;
        let lost = match self.place {
            Saved::OnDisk => {
                prune_by_count(&transaction, max_rows)?;
                details::make_room(&transaction)?;
                0
            }
            Saved::InMemory => {
                prune_by_count(&transaction, max_rows.min(ROWS_IN_MEMORY))?
                    + details::keep_newest(&transaction, DETAILS_IN_MEMORY)?
            }
        };
        transaction.commit()?;
        self.trace.add(Counter::RecordsLost, lost as u64);
        Ok(())
    }

    /// Says it loudly: in the log, the counters and the status.
    fn report(&mut self, trouble: &Trouble) {
        self.trace.count(Counter::StoreErrors);
        tracing::error!("{trouble}");
        let mut health = self.health();
        match trouble {
            Trouble::Unwritable { .. } => health.in_memory = Some(trouble.to_string()),
            Trouble::Corrupt { .. } | Trouble::Newer { .. } => {
                health.set_aside.truncate(TOLD_MAX - 1);
                health.set_aside.insert(0, trouble.to_string());
            }
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the calls that are up and the values that were kept to `memory`, if
/// the file can be read: a card that the kernel made read-only after an error
/// still says what has to be hung up.
fn salvage(config: &Config, memory: &mut Connection) {
    let Ok(disk) = file::open_to_read(&config.path) else {
        return;
    };
    let mut salvaged = || -> rusqlite::Result<()> {
        let rows = Query::Unfinished.rows(&disk)?;
        let transaction = memory.transaction()?;
        copy(&disk, &rows, &transaction)?;
        transaction.commit()
    };
    if let Err(error) = salvaged() {
        tracing::warn!(%error, "calls that were up before are not known");
    }
}

/// Writes `updates` in their order.
pub(super) fn write_all(transaction: &Transaction<'_>, updates: &[Update]) -> rusqlite::Result<()> {
    for update in updates {
        match &update.change {
            Change::Record(row) => write_row(transaction, row)?,
            Change::Detail { token, detail } => details::write(transaction, token, detail)?,
            Change::Keep { key, value } => keep(transaction, key, value)?,
            Change::Prune { before } => prune_by_age(transaction, *before)?,
        }
    }
    Ok(())
}

/// Writes the facts of `row` over those of the same token, NULL over none.
fn write_row(transaction: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&UPSERT)?;
    let mut values: Vec<&dyn ToSql> = vec![&row.token];
    values.extend(row.values());
    statement.execute(&values[..])?;
    Ok(())
}

static UPSERT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let names = COLUMNS.join(", ");
    let places = vec!["?"; COLUMNS.len() + 1].join(", ");
    let updates: Vec<String> = COLUMNS.iter().map(|name| merge(name)).collect();
    format!(
        "INSERT INTO attempts (token, {names}) VALUES ({places})
         ON CONFLICT (token) DO UPDATE SET {}",
        updates.join(", ")
    )
});

/// What becomes of a column that is written again: the newer fact, unless
/// there is none. The newer word about the clock counts when it comes with a
/// newer stamp for each that is there; else one doubtful stamp makes them all
/// doubtful.
fn merge(name: &str) -> String {
    let newer = format!("coalesce(excluded.{name}, {name})");
    if name != "clock_trusted" {
        return format!("{name} = {newer}");
    }
    let stamps = COLUMNS
        .iter()
        .filter(|name| name.ends_with("_at") && !name.starts_with("service_"));
    let renewed: Vec<String> = stamps
        .map(|at| format!("({at} IS NULL OR excluded.{at} IS NOT NULL)"))
        .collect();
    format!(
        "{name} = CASE WHEN {} THEN {newer}
         ELSE min({newer}, coalesce({name}, excluded.{name})) END",
        renewed.join(" AND ")
    )
}

fn keep(transaction: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO kept (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    transaction
        .prepare_cached(sql)?
        .execute(params![key, value])?;
    Ok(())
}

fn prune_by_age(transaction: &Transaction<'_>, before: Stamp) -> rusqlite::Result<()> {
    let sql = "DELETE FROM attempts WHERE closed = 1 AND clock_trusted = 1 AND pressed_at < ?1";
    transaction.prepare_cached(sql)?.execute([before])?;
    Ok(())
}

/// Attempts are counted by their numbers: a count of rows would read them all
/// in every write.
fn prune_by_count(transaction: &Transaction<'_>, max_rows: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM attempts WHERE seq <= (SELECT max(seq) FROM attempts) - ?1";
    transaction.prepare_cached(sql)?.execute([max_rows])
}

/// Writes `rows` of `from`, and all its kept values, over what `to` has.
fn copy(from: &Connection, rows: &[Row], to: &Transaction<'_>) -> rusqlite::Result<()> {
    for row in rows {
        write_row(to, row)?;
    }
    for (key, value) in &query::kept(from)? {
        keep(to, key, value)?;
    }
    Ok(())
}
