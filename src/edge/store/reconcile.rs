//! What the service's own record of a call adds to ours.
//!
//! Pure: a row and a call in, the facts to write out. The daemon asks the
//! service ([`Query::Unreconciled`](super::Query::Unreconciled) says for
//! what) and writes the answer with [`Update::record`](super::Update::record).
//!
//! Always true: the service's words are kept beside our own stamps and
//! reasons, never over them; a word we do not know is kept as it came; a row
//! is `Done` only by a status that is final.

use super::row::{Reconciled, Row};
use crate::wire::rest::{Call, Stamp};

/// The facts `call` adds to `row`, or `None` when it is another attempt's
/// call: neither its id nor its stream address is the row's.
#[must_use]
pub fn reconcile(row: &Row, call: &Call) -> Option<Row> {
    let same_id = row.call_id.as_ref() == Some(&call.id);
    let same_stream =
        row.client_websocket_url.is_some() && row.client_websocket_url == call.client_websocket_url;
    let is_this = same_id || (row.call_id.is_none() && same_stream);
    is_this.then(|| Row {
        call_id: Some(call.id.clone()),
        service_status: Some(call.status.as_str().to_owned()),
        service_hangup_reason: call.hangup_reason.as_ref().map(ToString::to_string),
        service_created_at: words(call.created_at.as_ref()),
        service_started_at: words(call.started_at.as_ref()),
        service_ended_at: words(call.ended_at.as_ref()),
        reconciled: call.is_over().then_some(Reconciled::Done),
        ..Row::new(row.token.clone())
    })
}

/// What to write when the service was asked and knows no such call: a 404, or
/// a whole list without it.
#[must_use]
pub fn absent(row: &Row) -> Row {
    Row {
        reconciled: Some(Reconciled::Absent),
        ..Row::new(row.token.clone())
    }
}

fn words(stamp: Option<&Stamp>) -> Option<String> {
    stamp.map(|stamp| stamp.as_str().to_owned())
}
