//! Brings rows of ended calls up to the service's own record of them.
//!
//! Runs beside the loop when the line is there: a call that ended while the
//! network was away says only what the device saw, until the service is asked.

use tokio::sync::oneshot;

use super::service::Answered;
use crate::edge::rest::Rest;
use crate::edge::store::{Query, Row, absent, reconcile};
use crate::wire::rest::{ApiError, Call, ListQuery, Next};

/// Rows looked after in one go: gentle with the service after a long night.
pub(super) const QUESTION: Query = Query::Unreconciled { limit: 8 };

/// Pages of the list looked through for a call without an id. The service
/// lets an organization make 100 calls a day: these are ten days.
const PAGES: u32 = 5;
/// Calls on a page.
const PAGE: u32 = 200;

/// Asks the service about each of `rows`.
pub(super) async fn run(rest: Rest, rows: oneshot::Receiver<Vec<Row>>) -> Answered {
    let mut changes = Vec::new();
    for row in rows.await.unwrap_or_default() {
        match find(&rest, &row).await {
            Ok(Some(call)) => changes.extend(reconcile(&row, &call)),
            Ok(None) => changes.push(absent(&row)),
            Err(error) => {
                tracing::debug!("a record waits for the service's word: {error}");
                if error.next() == Next::CheckNetwork {
                    break;
                }
            }
        }
    }
    Answered::Reconciled(changes)
}

async fn find(rest: &Rest, row: &Row) -> Result<Option<Call>, ApiError> {
    if let Some(id) = &row.call_id {
        return match rest.get(id).await {
            Ok(call) => Ok(Some(call)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
    }
    for page in 0..PAGES {
        let query = ListQuery::new(PAGE, page * PAGE, None).unwrap_or_default();
        let calls = rest.list(&query).await?.calls;
        let last = calls.len() < PAGE as usize;
        let same = |call: &Call| call.client_websocket_url == row.client_websocket_url;
        if let Some(call) = calls.into_iter().find(same) {
            return Ok(Some(call));
        }
        if last {
            break;
        }
    }
    Ok(None)
}
