//! Brings rows of ended calls up to the service's own record of them.
//!
//! Runs beside the loop when the line is there: a call that ended while the
//! network was away says only what the device saw, until the service is asked.

use tokio::sync::oneshot;

use super::service::Answered;
use crate::edge::rest::Rest;
use crate::edge::store::{Query, Row, look_up};

/// Rows looked after in one go: gentle with the service after a long night.
pub(super) const QUESTION: Query = Query::Unreconciled { limit: 8 };

/// Asks the service about each of `rows`.
pub(super) async fn run(rest: Rest, rows: oneshot::Receiver<Vec<Row>>) -> Answered {
    let rows = rows.await.unwrap_or_default();
    Answered::Reconciled(look_up(&rest, &rows).await.changes)
}
