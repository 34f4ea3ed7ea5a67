//! A folder and a store for a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callbox::edge::store::{Config, Opened, Query, Row, Saved, StoreHandle, Update};
use callbox::trace::Trace;

/// A folder of the test's own, removed with what is in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("callbox-store-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("calls.db")
    }

    /// Names of the files in the folder that begin with `start`.
    pub(crate) fn files(&self, start: &str) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(start)).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A token as the daemon makes them: 32 characters.
pub(crate) fn token(n: u32) -> String {
    format!("{n:08x}{:024}", 0)
}

pub(crate) fn open(config: Config) -> (StoreHandle, Opened) {
    StoreHandle::open(config, Arc::new(Trace::default())).unwrap()
}

pub(crate) fn open_at(path: &Path) -> (StoreHandle, Opened) {
    open(Config::new(path))
}

/// Writes and waits for the word that it is kept.
pub(crate) fn write(store: &StoreHandle, update: Update) -> Saved {
    let (update, saved) = update.acknowledged();
    store.write(update).unwrap();
    saved.blocking_recv().unwrap()
}

pub(crate) fn record(store: &StoreHandle, row: Row) -> Saved {
    write(store, Update::record(row))
}

pub(crate) fn rows(store: &StoreHandle, query: Query) -> Vec<Row> {
    store.ask(query).unwrap().blocking_recv().unwrap()
}

/// The newest rows, up to a hundred.
pub(crate) fn latest(store: &StoreHandle) -> Vec<Row> {
    let (limit, offset) = (100, 0);
    rows(store, Query::Latest { limit, offset })
}

pub(crate) fn tokens(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.token.as_str()).collect()
}

/// Ends the store as the daemon does: the last handle goes, then it waits.
pub(crate) fn close(store: StoreHandle, opened: Opened) {
    drop(store);
    opened.ended.blocking_recv().unwrap();
}
