//! Brings rows of ended calls up to the service's own record of them.
//!
//! Runs beside the loop when the line is there: a call that ended while the
//! network was away says only what the device saw, until the service is asked.

use tokio::sync::oneshot;

use super::service::Answered;
use crate::edge::rest::Rest;
use crate::edge::store::{Query, Row, absent, reconcile};
use crate::wire::rest::{ApiError, Call, ListQuery};

/// Rows looked after in one go: gentle with the service after a long night.
pub(super) const QUESTION: Query = Query::Unreconciled { limit: 8 };

/// Asks the service about each of `rows`.
pub(super) async fn run(rest: Rest, rows: oneshot::Receiver<Vec<Row>>) -> Answered {
    let mut changes = Vec::new();
    for row in rows.await.unwrap_or_default() {
        match find(&rest, &row).await {
            Ok(Some(call)) => changes.extend(reconcile(&row, &call)),
            Ok(None) => changes.push(absent(&row)),
            Err(error) => {
                tracing::debug!("a record waits for the service's word: {error}");
                break;
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
    let query = ListQuery::new(200, 0, None).unwrap_or_default();
    let calls = rest.list(&query).await?.calls;
    let same = |call: &Call| call.client_websocket_url == row.client_websocket_url;
    Ok(calls.into_iter().find(same))
}
