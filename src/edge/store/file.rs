//! The database file: opened, checked, brought up to date, or set aside.
//!
//! ```text
//!  no file ─────────────▶ made, folder too
//!  ours, same format ───▶ checked (quick_check), used
//!  ours, older ─────────▶ migrated, one transaction per step
//!  ours, newer ─────────▶ renamed to calls.db.newer-20261122T144902Z, new file
//!  damaged ─────────────▶ renamed to calls.db.corrupt-…, new file
//!  another program's ───▶ not touched; memory
//!  full, read-only, … ──▶ memory
//! ```
//!
//! The format is `user_version`, the number of [`MIGRATIONS`] that were run;
//! `application_id` tells our file from another program's.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Config;
use super::query::ReadError;
use crate::edge::clock::Stamp;

/// `cbox` in the header of the file.
const APPLICATION_ID: u32 = 0x6362_6f78;

/// What makes the tables, a step per format. Steps that were released never
/// change; a new format is a new step.
const MIGRATIONS: &[&str] = &[
    include_str!("format_1.sql"),
    include_str!("format_2.sql"),
    include_str!("format_3.sql"),
];

/// Bytes of a database page, SQLite's default and the usual block of a card.
const PAGE: u64 = 4096;

/// Damaged files that are kept for an expert; the oldest gives way, so that a
/// dying card does not fill up with them.
const CORRUPT_MAX: usize = 3;

/// What a connection is given. The cache is bounded to 256 KiB: the record is
/// written by row and rarely read. The log is folded in every 256 pages (1 MiB).
const SETTINGS: &str = "
    PRAGMA cache_size = -256;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 256;
    PRAGMA journal_size_limit = 1048576;
    PRAGMA trusted_schema = OFF;
    PRAGMA foreign_keys = ON;
";

/// Something that went wrong with the record's file, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The file was damaged.
    #[error(
        "call records in {} are damaged ({why}); the file was set aside as {} and a new one \
         begun: earlier calls are not in it, new calls are recorded as usual. If this comes \
         again, replace the card",
        .path.display(), .aside.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// A newer callbox wrote the file.
    #[error(
        "call records in {} were written by a newer callbox (format {found}, this one knows \
         {known}); the file was set aside unchanged as {} and a new one begun. To see the \
         earlier calls, install the newer version and rename the file back",
        .path.display(), .aside.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// Nothing can be written there.
    #[error(
        "call records cannot be written to {}: {why}. Calls work; their records are kept in \
         memory and lost when the power goes. {fix}",
        .path.display()
    )]
    Unwritable {
        /// The database.
        path: PathBuf,
        /// What the system says.
        why: String,
        /// What to do.
        fix: &'static str,
    },
}

/// Why a file cannot be used as it is.
#[derive(Debug)]
pub(super) enum Fault {
    /// Set it aside.
    Corrupt(String),
    /// Set it aside; this is its format.
    Newer(u32),
    /// Leave it alone.
    NotOurs,
    /// The disk or its rights.
    System(rusqlite::Error),
    /// The folder or its rights.
    Folder(io::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match (&error, error.sqlite_error_code()) {
            // Our own SQL does not fit: tables or columns are missing.
            (rusqlite::Error::SqlInputError { msg, .. }, _) => Self::Corrupt(msg.clone()),
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::System(error),
        }
    }
}

impl Fault {
    /// What people are told when the record goes to memory because of it.
    pub(super) fn unwritable(self, path: &Path) -> Trouble {
        let (why, fix) = match self {
            Self::Corrupt(why) => (why, "Replace the card."),
            Self::Newer(_) => (
                "a newer callbox wrote it, and it cannot be set aside".into(),
                "Make its folder writable for the user callbox runs as.",
            ),
            Self::NotOurs => (
                "it is another program's database, which was left alone".into(),
                "Choose another path for the store in the configuration.",
            ),
            Self::Folder(error) => (error.to_string(), RIGHTS),
            Self::System(error) => {
                let fix = match error.sqlite_error_code() {
                    Some(ErrorCode::DiskFull) => FULL,
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                        "Close the other program that has the file open."
                    }
                    Some(ErrorCode::SystemIoFailure) => {
                        "Look for errors of the card in the kernel's log, and replace it."
                    }
                    _ => RIGHTS,
                };
                (error.to_string(), fix)
            }
        };
        let path = path.to_path_buf();
        Trouble::Unwritable { path, why, fix }
    }
}

const RIGHTS: &str = "Make the folder and the file writable for the user callbox runs as, or \
     choose another path for the store in the configuration.";
const FULL: &str = "Free some space on that disk; the records move there by themselves.";

/// Opens the file for the store thread. A file that cannot be used is set
/// aside, and that is added to `troubles`.
pub(super) fn open(config: &Config, troubles: &mut Vec<Trouble>) -> Result<Connection, Fault> {
    make(&config.path).map_err(Fault::Folder)?;
    let fault = match open_once(config) {
        Ok(connection) => return Ok(connection),
        Err(fault) => fault,
    };
    let path = config.path.clone();
    let known = known();
    let trouble = match fault {
        Fault::Corrupt(why) => {
            let aside = set_aside(&path, "corrupt").map_err(Fault::Folder)?;
            forget_oldest(&path);
            Trouble::Corrupt { path, aside, why }
        }
        Fault::Newer(found) => {
            let aside = set_aside(&path, "newer").map_err(Fault::Folder)?;
            Trouble::Newer {
                path,
                aside,
                found,
                known,
            }
        }
        other => return Err(other),
    };
    troubles.push(trouble);
    make(&config.path).map_err(Fault::Folder)?;
    open_once(config)
}

/// A database in memory with the same tables.
pub(super) fn open_in_memory() -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.execute_batch(SETTINGS)?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Opens the file to look only, beside a running daemon or without one.
///
/// Only SQLite may open and close the file: any other `close` in this process
/// would take away the locks its connections hold (POSIX, fcntl).
pub(super) fn open_to_read(path: &Path) -> Result<Connection, ReadError> {
    let connection = open_read_only(path).map_err(|error| ReadError::of(path, error))?;
    check(path, &connection)?;
    Ok(connection)
}

/// Opens the file to add to it, beside a running daemon or without one.
pub(super) fn open_to_add(config: &Config) -> Result<Connection, ReadError> {
    let path = &config.path;
    let failed = |error| ReadError::of(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    check(path, &connection)?;
    let set = |connection: &Connection| {
        connection.execute_batch(SETTINGS)?;
        bound(connection, config)?;
        try_to_write(connection)
    };
    set(&connection).map_err(failed)?;
    Ok(connection)
}

/// Whether the file is ours, and of the format known here.
fn check(path: &Path, connection: &Connection) -> Result<(), ReadError> {
    let failed = |error| ReadError::of(path, error);
    let owner = owner(connection).map_err(failed)?;
    let found = version(connection).map_err(failed)?;
    let (path, known) = (path.to_path_buf(), known());
    match owner {
        Owner::Nobody => Err(ReadError::Missing(path)),
        Owner::Other => Err(ReadError::NotOurs(path)),
        Owner::Callbox if found < known => Err(ReadError::Older(path)),
        Owner::Callbox if found > known => Err(ReadError::Newer { path, found, known }),
        Owner::Callbox => Ok(()),
    }
}

/// A log file needs a writable folder even to be read, unless a daemon has it
/// open. Without a log the file is complete and can be read as it lies.
fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    match version(&connection) {
        Ok(_) => Ok(connection),
        Err(error) if beside(path, "-wal").exists() => Err(error),
        Err(_) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags)
        }
    }
}

/// SQLite's name for a file that nobody changes.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// Makes the folder, and the file readable for owner and group only: it
/// holds telephone numbers. The log takes its mode from the file.
fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(path)?;
    sync(folder)?;
    sync(self::folder(folder))
}

/// The folder of `path`.
fn folder(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Names in `folder` outlive a power cut from here on.
fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn open_once(config: &Config) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&config.path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Until the file is known to be ours, closing it must not change it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    judge(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch(SETTINGS)?;
    bound(&connection, config)?;
    migrate(&mut connection, MIGRATIONS)?;
    try_to_write(&connection)?;
    connection.prepare(&super::query::select_all())?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// The file grows no further than `config` lets it, from this connection.
fn bound(connection: &Connection, config: &Config) -> rusqlite::Result<()> {
    let pages = (config.max_bytes / PAGE).clamp(1, u64::from(u32::MAX));
    connection.pragma_update_and_check(None, "max_page_count", pages as i64, |_| Ok(()))
}

/// How long a writer waits for a reader that holds a lock: readers of a log
/// hold none but while they open or close.
const BUSY: Duration = Duration::from_secs(2);

/// Whether the file is ours, of a format we know, and sound.
fn judge(connection: &Connection) -> Result<(), Fault> {
    match owner(connection)? {
        Owner::Nobody => return Ok(()),
        Owner::Other => return Err(Fault::NotOurs),
        Owner::Callbox => {}
    }
    let format = version(connection)?;
    if format > known() {
        return Err(Fault::Newer(format));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(Fault::Corrupt(verdict)),
    }
}

/// Whose database it is.
enum Owner {
    /// It is empty.
    Nobody,
    Callbox,
    Other,
}

fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    let id = application_id(connection)?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (id, tables) {
        (0, 0) => Owner::Nobody,
        (APPLICATION_ID, _) => Owner::Callbox,
        _ => Owner::Other,
    })
}

/// Runs the steps that `connection` has not seen, each in a transaction.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let done = version(connection)?;
    for (number, step) in (1..).zip(steps).filter(|(number, _)| *number > done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Writes what is already there: shows a full or read-only disk at the start,
/// not at the first call.
fn try_to_write(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", known())
}

fn known() -> u32 {
    MIGRATIONS.len() as u32
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn application_id(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Renames the file, and its log with it, to a name that says why and when.
fn set_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    let stamp = Stamp::system().for_file_name();
    let name = |number: u32| match number {
        1 => beside(path, &format!(".{why}-{stamp}")),
        _ => beside(path, &format!(".{why}-{stamp}-{number}")),
    };
    let free = (1..100).map(name).find(|aside| !aside.exists());
    let aside = free.ok_or_else(|| io::Error::other("no free name to set the file aside"))?;
    fs::rename(path, &aside)?;
    for part in ["-wal", "-shm"] {
        match fs::rename(beside(path, part), beside(&aside, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(folder(path))?;
    Ok(aside)
}

/// Removes the oldest damaged files, above [`CORRUPT_MAX`]. Their names carry
/// their age. What cannot be removed stays: it harms nothing but space.
fn forget_oldest(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let start = format!("{name}.corrupt-");
    let is_aside = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    let mut asides: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
    asides.sort();
    let surplus = asides.len().saturating_sub(CORRUPT_MAX);
    for aside in &asides[..surplus] {
        for part in ["", "-wal", "-shm"] {
            _ = fs::remove_file(beside(aside, part));
        }
    }
}

/// `path` with `end` behind its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_brought_up_to_date_step_by_step() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE a (x INTEGER) STRICT",
            "ALTER TABLE a ADD COLUMN y TEXT",
            "UPDATE a SET y = 'moved'",
        ];
        migrate(&mut connection, &steps[..1]).unwrap();
        connection.execute("INSERT INTO a VALUES (5)", []).unwrap();
        migrate(&mut connection, &steps).unwrap();
        migrate(&mut connection, &steps).unwrap();
        let row = connection.query_row("SELECT x, y FROM a", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        });
        assert_eq!(row.unwrap(), (5, "moved".into()));
        assert_eq!(version(&connection).unwrap(), 3);
        assert_eq!(application_id(&connection).unwrap(), APPLICATION_ID);
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE a (x INTEGER)",
            "DROP TABLE a; SELECT no_such_thing",
        ];
        assert!(migrate(&mut connection, &steps).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(connection.prepare("SELECT x FROM a").is_ok());
    }
}
