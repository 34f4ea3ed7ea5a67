//! Asks the service what it knows of calls in the record.
//!
//! For the daemon, which does so beside its loop when the line is there, and
//! for `callbox calls sync`. Nothing is written here: what is to be written is
//! handed back.
//!
//! ```text
//!  Query::Unreconciled ──rows──▶ look_up ────▶ rows to write
//!  Query::Untranscribed ─row───▶ transcript ─▶ lines, and a row that says so
//! ```

use super::Update;
use super::details::{LINES_MAX, Line};
use super::reconcile::{absent, reconcile};
use super::row::Row;
use super::words::{Party, Source, Transcribed};
use crate::edge::rest::Rest;
use crate::units::CallId;
use crate::wire::rest::{self, ApiError, Call, ListQuery, Next};

/// Pages of the list looked through for calls without an id. The service
/// lets an organization make 100 calls a day: these are ten days.
const PAGES: u32 = 5;
/// Calls on a page.
const PAGE: u32 = 200;

/// What the service said about rows.
#[derive(Debug, Default)]
pub struct LookedUp {
    /// What to write: the service's words on the calls it was asked for.
    pub changes: Vec<Row>,
    /// Rows it said nothing about.
    pub unanswered: usize,
    /// The last thing that went wrong.
    pub error: Option<ApiError>,
}

/// Asks the service about each of `rows`. Without a line or a valid key the
/// first failure is the last: no other row would do better.
pub async fn look_up(rest: &Rest, rows: &[Row]) -> LookedUp {
    let mut told = LookedUp::default();
    let mut list = Listed::default();
    for (asked, row) in rows.iter().enumerate() {
        let found = match &row.call_id {
            Some(id) => get(rest, id).await,
            None => list.find(rest, row).await,
        };
        match found {
            Ok(Some(call)) => told.changes.extend(reconcile(row, &call)),
            Ok(None) => told.changes.push(absent(row)),
            Err(error) => {
                tracing::debug!("a record waits for the service's word: {error}");
                let is_last = is_hopeless(&error);
                told.unanswered += if is_last { rows.len() - asked } else { 1 };
                told.error = Some(error);
                if is_last {
                    break;
                }
            }
        }
    }
    told
}

/// Whether the next request would fail as this one did.
#[must_use]
pub fn is_hopeless(error: &ApiError) -> bool {
    matches!(error, ApiError::Key(_) | ApiError::Limited(_)) || error.next() == Next::CheckNetwork
}

async fn get(rest: &Rest, id: &CallId) -> Result<Option<Call>, ApiError> {
    match rest.get(id).await {
        Ok(call) => Ok(Some(call)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service's list of calls, as far as it was read.
#[derive(Default)]
struct Listed {
    calls: Vec<Call>,
    pages: u32,
    ended: bool,
}

impl Listed {
    /// The call of `row`, by its stream address.
    async fn find(&mut self, rest: &Rest, row: &Row) -> Result<Option<Call>, ApiError> {
        let same = |call: &&Call| {
            call.client_websocket_url.is_some()
                && call.client_websocket_url == row.client_websocket_url
        };
        let mut seen = 0;
        loop {
            if let Some(call) = self.calls[seen..].iter().find(same) {
                return Ok(Some(call.clone()));
            }
            if self.ended || self.pages == PAGES {
                return Ok(None);
            }
            seen = self.calls.len();
            let query = ListQuery::new(PAGE, self.pages * PAGE, None).unwrap_or_default();
            let page = rest.list(&query).await?;
            self.pages += 1;
            self.ended = page.calls.len() + page.unreadable < PAGE as usize;
            self.calls.extend(page.calls);
        }
    }
}

/// What the service wrote down of a call.
#[derive(Debug)]
pub struct Transcript {
    /// Its lines.
    pub lines: usize,
    /// What to write: the lines, and that they were asked for.
    pub updates: Vec<Update>,
}

/// Asks for the transcript of the call of `row`. One that has no lines yet
/// although speech was turned into text is asked for again another time.
///
/// # Errors
/// Says what to do next; [`ApiError::Unsupported`] when the service has no
/// transcripts at all.
pub async fn transcript(rest: &Rest, row: &Row) -> Result<Transcript, ApiError> {
    let segments = match &row.call_id {
        None => Vec::new(),
        Some(id) => match rest.transcripts(id).await {
            Err(ApiError::NotFound(_)) => Vec::new(),
            other => other?,
        },
    };
    let lines = (0..LINES_MAX).zip(segments).map(|(n, segment)| Line {
        n,
        at_ms: u32::try_from(segment.at_ms.max(0)).unwrap_or(u32::MAX),
        party: match segment.party {
            rest::Party::Local => Party::Device,
            _ => Party::Far,
        },
        text: segment.text,
        source: Source::Service,
    });
    let mut updates: Vec<Update> = lines
        .filter_map(|line| Update::transcript(row.token.clone(), line))
        .collect();
    let lines = updates.len();
    let was_text = [
        row.use_inkbox_stt,
        row.use_inkbox_tts,
        row.service_use_inkbox_stt,
        row.service_use_inkbox_tts,
    ]
    .contains(&Some(true));
    let transcribed = match lines {
        0 if was_text => None,
        0 => Some(Transcribed::Absent),
        _ => Some(Transcribed::Done),
    };
    updates.push(Update::record(Row {
        transcribed,
        ..Row::new(row.token.clone())
    }));
    Ok(Transcript { lines, updates })
}
