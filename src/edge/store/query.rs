//! What can be asked of the record, and reading it beside a running daemon.
//!
//! Rows have the order they were begun in (`seq`), whatever the wall clock
//! did meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, Params, params};

use super::details::{self, Line, Opening};
use super::file;
use super::filter::Filter;
use super::row::{COLUMNS, Row};
use super::timeline::{BadTimeline, Timeline};

/// Rows [`Query::Find`] answers at most: two are already too many.
const FOUND_MAX: u32 = 10;

/// Rows [`Query::Unfinished`] answers at most. One device has one call up at
/// a time; a power cut leaves the attempts of one press behind.
const UNFINISHED_MAX: u32 = 100;

/// A question to the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Attempts, the newest first.
    Latest {
        /// Rows to answer at most.
        limit: u32,
        /// Rows to leave out first.
        offset: u32,
    },
    /// Attempts whose token or call id begins with this; at most ten, the
    /// newest first.
    Find(String),
    /// Attempts that are not over, oldest first; at most a hundred.
    Unfinished,
    /// Attempts that are over and wait for the service's word, the newest
    /// first: one that the service never settles keeps no later one waiting.
    Unreconciled {
        /// Rows to answer at most.
        limit: u32,
    },
    /// Answered attempts that are over and whose transcript the service was
    /// not asked for, the newest first.
    Untranscribed {
        /// Rows to answer at most.
        limit: u32,
    },
}

impl Query {
    pub(super) fn rows(&self, connection: &Connection) -> rusqlite::Result<Vec<Row>> {
        match self {
            Self::Latest { limit, offset } => select(
                connection,
                "ORDER BY seq DESC LIMIT ?1 OFFSET ?2",
                params![limit, offset],
            ),
            Self::Find(start) => select(
                connection,
                "WHERE substr(token, 1, length(?1)) = ?1
                 OR substr(call_id, 1, length(?1)) = ?1
                 ORDER BY seq DESC LIMIT ?2",
                params![start, FOUND_MAX],
            ),
            Self::Unfinished => select(
                connection,
                "WHERE closed IS NOT 1 ORDER BY seq LIMIT ?1",
                params![UNFINISHED_MAX],
            ),
            Self::Unreconciled { limit } => select(
                connection,
                "WHERE closed = 1 AND coalesce(reconciled, 'pending') = 'pending'
                 ORDER BY seq DESC LIMIT ?1",
                params![limit],
            ),
            Self::Untranscribed { limit } => select(
                connection,
                "WHERE closed = 1 AND transcribed IS NULL AND call_id IS NOT NULL
                 AND answered_after_ms IS NOT NULL ORDER BY seq DESC LIMIT ?1",
                params![limit],
            ),
        }
    }
}

fn select(connection: &Connection, rest: &str, params: impl Params) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(&format!("{} {rest}", select_all()))?;
    statement.query_map(params, Row::read)?.collect()
}

/// Every column of every row: what [`Row::read`] reads.
pub(super) fn select_all() -> String {
    format!("SELECT token, {} FROM attempts", COLUMNS.join(", "))
}

/// All values that were kept, by name.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut statement = connection.prepare("SELECT key, value FROM kept")?;
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Reads the record from another process, while the daemon writes or while it
/// does not run. Never writes to it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the record at `path`.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let connection = file::open_to_read(path)?;
        let path = path.to_path_buf();
        Ok(Self { connection, path })
    }

    /// The answer to `query`.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn rows(&self, query: &Query) -> Result<Vec<Row>, ReadError> {
        query
            .rows(&self.connection)
            .map_err(|error| ReadError::of(&self.path, error))
    }

    /// Attempts that `filter` takes, the newest first: `limit` at most, after
    /// `offset` that are left out.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn matching(
        &self,
        filter: &Filter,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Row>, ReadError> {
        let rows = || -> rusqlite::Result<Vec<Row>> {
            let sql = format!("{} ORDER BY seq DESC", select_all());
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([], Row::read)?;
            let taken = rows.filter(|row| row.as_ref().map_or(true, |row| filter.takes(row)));
            taken.skip(offset as usize).take(limit as usize).collect()
        };
        rows().map_err(|error| ReadError::of(&self.path, error))
    }

    /// When doors were opened in the attempt, in order.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn openings(&self, token: &str) -> Result<Vec<Opening>, ReadError> {
        details::openings(&self.connection, token).map_err(|error| ReadError::of(&self.path, error))
    }

    /// What was said in the attempt: the lines of the stream, then those of
    /// the service.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn transcript(&self, token: &str) -> Result<Vec<Line>, ReadError> {
        details::transcript(&self.connection, token)
            .map_err(|error| ReadError::of(&self.path, error))
    }

    /// How the attempt sounded over time; `None` when that was not kept.
    ///
    /// # Errors
    /// The file is damaged, or the timeline is.
    pub fn timeline(&self, token: &str) -> Result<Option<Timeline>, ReadError> {
        let blob = details::timeline(&self.connection, token)
            .map_err(|error| ReadError::of(&self.path, error))?;
        Ok(blob.map(|blob| Timeline::decode(&blob)).transpose()?)
    }

    /// A number that is another one after another program changed the record.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn version(&self) -> Result<i64, ReadError> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(|error| ReadError::of(&self.path, error))
    }

    /// Hands every row to `take`, oldest first, as the record was at the
    /// start, however long it takes. Ends early when `take` fails, and answers
    /// with what it said.
    ///
    /// # Errors
    /// The file is damaged, or the disk is.
    pub fn each<E>(
        &self,
        mut take: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Result<(), E>, ReadError> {
        let failed = |error| ReadError::of(&self.path, error);
        let sql = format!("{} ORDER BY seq", select_all());
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([], Row::read).map_err(failed)?;
        for row in rows {
            if let Err(said) = take(row.map_err(failed)?) {
                return Ok(Err(said));
            }
        }
        Ok(Ok(()))
    }
}

/// Why the record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error(
        "no call records at {}: the daemon makes the file at its first start; \
         check that this is the store of the configuration the daemon runs with",
        .0.display()
    )]
    Missing(PathBuf),
    /// This user may not.
    #[error(
        "call records at {} cannot be opened by this user, or not to be changed: use sudo, or \
         join the group that owns the file",
        .0.display()
    )]
    Forbidden(PathBuf),
    /// A newer version wrote it.
    #[error(
        "call records at {} are in format {found}, and this callbox knows formats up to \
         {known}: use the callbox the daemon runs",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// An older version wrote it, and the daemon has not run since.
    #[error(
        "call records at {} are from an older callbox: start the daemon once, it brings \
         them up to date",
        .0.display()
    )]
    Older(PathBuf),
    /// It is a database of something else, or no database at all.
    #[error("{} does not hold call records: check the path", .0.display())]
    NotOurs(PathBuf),
    /// The timeline of a call.
    #[error(transparent)]
    Timeline(#[from] BadTimeline),
    /// Damage, or an error of the disk.
    #[error(
        "call records at {} cannot be read: {error}; if that stays, restart the daemon, \
         which sets a damaged file aside and begins a new one",
        .path.display()
    )]
    Failed {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        error: rusqlite::Error,
    },
}

impl ReadError {
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let file = path.metadata();
        let path = path.to_path_buf();
        match (error.sqlite_error_code(), file) {
            (Some(ErrorCode::NotADatabase), _) => Self::NotOurs(path),
            (Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied), _) => Self::Forbidden(path),
            (Some(ErrorCode::CannotOpen), Ok(file)) if file.is_file() => Self::Forbidden(path),
            (Some(ErrorCode::CannotOpen), Ok(_)) => Self::NotOurs(path),
            (Some(ErrorCode::CannotOpen), Err(why)) => match why.kind() {
                io::ErrorKind::PermissionDenied => Self::Forbidden(path),
                _ => Self::Missing(path),
            },
            _ => Self::Failed { path, error },
        }
    }
}
