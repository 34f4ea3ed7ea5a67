//! What belongs to an attempt beside its row: openings of a door, lines of a
//! transcript, the timeline of its sound.
//!
//! They are written under the attempt's token, as the row is, and go when the
//! row goes. Each has a key of its own, so that writing one again changes
//! nothing: what was moved to memory and back is there once.
//!
//! Always true: an attempt has at most [`OPENINGS_MAX`] openings,
//! [`LINES_MAX`] lines from each source, and one timeline; where room is short,
//! the oldest attempts lose lines and timeline, and keep their row.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::row::start_of;
use super::words::{OpenedBy, Party, Source};
use crate::edge::clock::Stamp;
use crate::units::E164;

/// Openings an attempt keeps; the row has the count of all.
pub const OPENINGS_MAX: u32 = 64;

/// Lines an attempt keeps, of each source.
pub const LINES_MAX: u16 = 512;

/// Bytes of a line; the rest is cut.
pub const LINE_TEXT_MAX: usize = 2048;

/// A door was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// When.
    pub at: Stamp,
    /// From the press.
    pub after_ms: u32,
    /// Which door, by its place in the configuration, from 0.
    pub door: u8,
    /// What opened it.
    pub by: OpenedBy,
    /// The number that did, as far as it is known.
    pub number: Option<E164>,
}

/// A line of a transcript.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place among the lines of its source, from 0.
    pub n: u16,
    /// When it was said: from the press for the stream's lines, from the
    /// answer for the service's.
    pub at_ms: u32,
    /// Who said it.
    pub party: Party,
    /// What was said.
    pub text: String,
    /// Where it is from.
    pub source: Source,
}

/// Without the words: logs travel.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, at_ms, .. } = self;
        let (party, source) = (self.party.as_str(), self.source.as_str());
        write!(
            f,
            "Line({source} {n}, {party} at {at_ms} ms, {} bytes)",
            self.text.len()
        )
    }
}

impl Line {
    pub(super) fn clip(&mut self) {
        self.text
            .truncate(start_of(&self.text, LINE_TEXT_MAX).len());
    }
}

/// Something of the attempt beside its row.
#[derive(Debug)]
pub(super) enum Detail {
    Opening(Opening),
    Line(Line),
    Timeline(Vec<u8>),
}

/// Writes `detail` of the attempt, whose row is begun if it is not there.
pub(super) fn write(
    transaction: &Transaction<'_>,
    token: &str,
    detail: &Detail,
) -> rusqlite::Result<()> {
    let begin = "INSERT INTO attempts (token) VALUES (?1) ON CONFLICT (token) DO NOTHING";
    transaction.prepare_cached(begin)?.execute([token])?;
    match detail {
        Detail::Opening(opening) => write_opening(transaction, token, opening),
        Detail::Line(line) => write_line(transaction, token, line),
        Detail::Timeline(blob) => write_timeline(transaction, token, blob),
    }
}

fn write_opening(
    transaction: &Transaction<'_>,
    token: &str,
    opening: &Opening,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO openings (attempt, after_ms, door, at, by, number)
               SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM attempts WHERE token = ?1
               AND (SELECT count(*) FROM openings WHERE attempt = seq) < ?7
               ON CONFLICT DO NOTHING";
    let Opening {
        at,
        after_ms,
        door,
        by,
        number,
    } = opening;
    let values = params![token, after_ms, door, at, by, number, OPENINGS_MAX];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn write_line(transaction: &Transaction<'_>, token: &str, line: &Line) -> rusqlite::Result<()> {
    let sql = "INSERT INTO transcripts (attempt, source, n, at_ms, party, text)
               SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM attempts WHERE token = ?1
               ON CONFLICT DO UPDATE SET
               at_ms = excluded.at_ms, party = excluded.party, text = excluded.text";
    let Line {
        n,
        at_ms,
        party,
        text,
        source,
    } = line;
    let values = params![token, source, n, at_ms, party, text];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn write_timeline(transaction: &Transaction<'_>, token: &str, blob: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO timelines (attempt, data)
               SELECT seq, ?2 FROM attempts WHERE token = ?1
               ON CONFLICT DO UPDATE SET data = excluded.data";
    transaction
        .prepare_cached(sql)?
        .execute(params![token, blob])?;
    Ok(())
}

/// Writes everything beside the rows of `from` to `to`.
pub(super) fn copy(from: &Connection, to: &Transaction<'_>) -> rusqlite::Result<()> {
    let all = "SELECT token, after_ms, door, at, by, openings.number
               FROM openings JOIN attempts ON attempt = seq";
    let mut statement = from.prepare(all)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        write_opening(to, &row.get::<_, String>("token")?, &read_opening(row)?)?;
    }
    let all = "SELECT token, source, n, at_ms, party, text
               FROM transcripts JOIN attempts ON attempt = seq";
    let mut statement = from.prepare(all)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        write_line(to, &row.get::<_, String>("token")?, &read_line(row)?)?;
    }
    let all = "SELECT token, data FROM timelines JOIN attempts ON attempt = seq";
    let mut statement = from.prepare(all)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (token, data): (String, Vec<u8>) = (row.get("token")?, row.get("data")?);
        write_timeline(to, &token, &data)?;
    }
    Ok(())
}

/// The openings of the attempt, in the order they happened.
pub(super) fn openings(connection: &Connection, token: &str) -> rusqlite::Result<Vec<Opening>> {
    let sql = "SELECT after_ms, door, at, by, openings.number
               FROM openings JOIN attempts ON attempt = seq
               WHERE token = ?1 ORDER BY after_ms, door";
    connection
        .prepare(sql)?
        .query_map([token], read_opening)?
        .collect()
}

/// The lines of the attempt: the stream's, then the service's.
pub(super) fn transcript(connection: &Connection, token: &str) -> rusqlite::Result<Vec<Line>> {
    let sql = "SELECT source, n, at_ms, party, text
               FROM transcripts JOIN attempts ON attempt = seq
               WHERE token = ?1 ORDER BY source DESC, n";
    connection
        .prepare(sql)?
        .query_map([token], read_line)?
        .collect()
}

/// The blob of the attempt's timeline.
pub(super) fn timeline(connection: &Connection, token: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT data FROM timelines JOIN attempts ON attempt = seq WHERE token = ?1";
    connection
        .query_row(sql, [token], |row| row.get(0))
        .optional()
}

fn read_opening(row: &rusqlite::Row<'_>) -> rusqlite::Result<Opening> {
    Ok(Opening {
        at: row.get("at")?,
        after_ms: row.get("after_ms")?,
        door: row.get("door")?,
        by: row.get("by")?,
        number: row.get("number")?,
    })
}

fn read_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        n: row.get("n")?,
        at_ms: row.get("at_ms")?,
        party: row.get("party")?,
        text: row.get("text")?,
        source: row.get("source")?,
    })
}

/// Attempts that lose lines and timeline in one write when room is short: a
/// write adds fewer, and takes no longer for it.
const GIVE_WAY: u32 = 8;

/// Makes room when three quarters of it are used: lines and timelines of the
/// oldest attempts that have some go, so that rows always find a place.
pub(super) fn make_room(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let pages = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = pages("page_count")? - pages("freelist_count")?;
    let full = used > pages("max_page_count")? / 4 * 3;
    for _ in 0..if full { GIVE_WAY } else { 0 } {
        let oldest = "SELECT min(attempt) FROM (SELECT min(attempt) AS attempt FROM transcripts
                      UNION ALL SELECT min(attempt) FROM timelines)";
        let oldest = transaction
            .prepare_cached(oldest)?
            .query_row([], |row| row.get(0))?;
        let Some(oldest) = oldest else { break };
        let oldest: i64 = oldest;
        for table in ["transcripts", "timelines"] {
            let sql = format!("DELETE FROM {table} WHERE attempt = ?1");
            transaction.prepare_cached(&sql)?.execute([oldest])?;
        }
    }
    Ok(())
}

/// Lines and timelines of all but the newest `attempts` attempts go. Says how
/// many went.
pub(super) fn keep_newest(transaction: &Transaction<'_>, attempts: u32) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for table in ["transcripts", "timelines"] {
        let sql =
            format!("DELETE FROM {table} WHERE attempt <= (SELECT max(seq) FROM attempts) - ?1");
        gone += transaction.prepare_cached(&sql)?.execute([attempts])?;
    }
    Ok(gone)
}
