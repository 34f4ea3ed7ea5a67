//! What an earlier run left behind: calls that are up, and records that are
//! not closed.
//!
//! ```text
//!  list calls ──▶ Leftovers::sort ─▶ up at the service: ended by the call
//!                                 └▶ over, or never made: the record is closed,
//!                                    and reconciled like any other
//! ```
//!
//! Always true: a call of this run is never taken for an orphan, even when the
//! list shows it before place-call is answered.

use super::service::Answered;
use crate::call::Input;
use crate::edge::rest::Rest;
use crate::edge::store::Row;
use crate::units::CallId;
use crate::wire::rest::{Call, CallPage, WsUrl};

/// The end of a record whose process was gone before the call was.
const CUT_OFF: &str = "callbox was killed or lost its power before it was over";

/// Has the newest calls listed.
pub(super) async fn list(rest: Rest) -> Answered {
    match rest.list(&super::service::newest_calls()).await {
        Ok(page) => Answered::Listed(page),
        Err(error) => {
            // It is asked again and again; why it fails is told by the press line.
            tracing::debug!("calls left up earlier could not be looked for: {error}");
            Answered::Call(Input::OrphansFailed)
        }
    }
}

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Records that are not closed.
    rows: Vec<Row>,
    /// What every stream URL of this device begins with, once that is known.
    prefix: Option<String>,
}

impl Leftovers {
    pub(super) fn new(rows: Vec<Row>, public_url: Option<&WsUrl>) -> Self {
        let prefix = public_url.map(prefix);
        Self { rows, prefix }
    }

    /// This device is reached at `public_url`.
    pub(super) fn reached_at(&mut self, public_url: &WsUrl) {
        self.prefix = Some(prefix(public_url));
    }

    /// The records of calls that are still to be ended.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Tells the calls that are up, and what to write on the records of the
    /// others. `is_present` knows the URLs of this run.
    pub(super) fn sort(
        &mut self,
        page: &CallPage,
        is_present: impl Fn(&str) -> bool,
    ) -> (Vec<CallId>, Vec<Row>) {
        let ours = |call: &&Call| {
            let url = call.client_websocket_url.as_deref().unwrap_or_default();
            let here = self.prefix.as_ref().is_some_and(|p| url.starts_with(p));
            let left = here && !is_present(url);
            left || self.rows.iter().any(|row| is_of(row, call))
        };
        let up: Vec<&Call> = page
            .calls
            .iter()
            .filter(ours)
            .filter(|call| !call.is_over())
            .collect();
        let ids = up.iter().map(|call| call.id.clone()).collect();
        let mut closed = Vec::new();
        self.rows.retain_mut(|row| {
            let call = up.iter().find(|call| is_of(row, call));
            match call {
                Some(call) => row.call_id = Some(call.id.clone()),
                // One of those that cannot be read may be this one.
                None if page.unreadable > 0 => return true,
                None => closed.push(close(row)),
            }
            call.is_some()
        });
        (ids, closed)
    }
}

fn prefix(public_url: &WsUrl) -> String {
    format!("{}/media/", public_url.as_str())
}

fn is_of(row: &Row, call: &Call) -> bool {
    let same_url =
        row.client_websocket_url.is_some() && row.client_websocket_url == call.client_websocket_url;
    row.call_id.as_ref() == Some(&call.id) || same_url
}

fn close(row: &Row) -> Row {
    Row {
        local_reason: row.local_reason.is_none().then(|| CUT_OFF.to_owned()),
        closed: Some(true),
        ..Row::new(row.token.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PREFIX: &str = "wss://door.example/media/";

    fn here() -> WsUrl {
        WsUrl::parse("wss://door.example").unwrap()
    }

    fn call(id: &str, token: &str, status: &str) -> Call {
        let url = format!("{PREFIX}{token}");
        let call = json!({
            "id": id, "status": status, "direction": "outbound",
            "local_phone_number": "+15005550100", "remote_phone_number": "+15005550199",
            "client_websocket_url": url,
        });
        serde_json::from_value(call).unwrap()
    }

    fn row(token: &str, call: Option<&str>) -> Row {
        Row {
            call_id: call.and_then(CallId::parse),
            client_websocket_url: Some(format!("{PREFIX}{token}")),
            ..Row::new(token)
        }
    }

    fn sorted(rows: Vec<Row>, calls: &[Call]) -> (Vec<String>, Vec<Row>, Leftovers) {
        let page = CallPage {
            calls: calls.to_vec(),
            unreadable: 0,
        };
        let mut left = Leftovers::new(rows, Some(&here()));
        let (up, closed) = left.sort(&page, |url| url.ends_with("/present"));
        let up = up.iter().map(|id| id.as_str().to_owned()).collect();
        (up, closed, left)
    }

    #[test]
    fn a_call_that_is_up_is_an_orphan_and_gives_its_record_a_name() {
        let calls = [call("c1", "t1", "ringing")];
        let (up, closed, left) = sorted(vec![row("t1", None)], &calls);
        assert_eq!((up, closed), (vec!["c1".to_owned()], vec![]));
        let named = left.rows().next().unwrap().call_id.clone();
        assert_eq!(named.unwrap().as_str(), "c1");
    }

    #[test]
    fn a_record_whose_call_is_over_or_was_never_made_is_closed() {
        let calls = [call("c1", "t1", "completed")];
        let rows = vec![row("t1", Some("c1")), row("t2", None)];
        let (up, closed, left) = sorted(rows, &calls);
        assert!(up.is_empty());
        assert_eq!(left.rows().count(), 0);
        let tokens: Vec<&str> = closed.iter().map(|row| row.token.as_str()).collect();
        assert_eq!(tokens, ["t1", "t2"]);
        assert!(closed.iter().all(|row| row.closed == Some(true)));
    }

    #[test]
    fn calls_that_cannot_be_read_close_no_record() {
        let page = CallPage {
            calls: vec![],
            unreadable: 1,
        };
        let mut left = Leftovers::new(vec![row("t1", None)], Some(&here()));
        let (up, closed) = left.sort(&page, |_| false);
        assert_eq!((up.len(), closed.len(), left.rows().count()), (0, 0, 1));
    }

    #[test]
    fn a_call_of_this_run_is_no_orphan_and_one_without_a_record_is() {
        let calls = [
            call("c2", "present", "ringing"),
            call("c1", "t1", "answered"),
        ];
        let (up, closed, _) = sorted(vec![], &calls);
        assert_eq!((up, closed), (vec!["c1".to_owned()], vec![]));
    }

    #[test]
    fn before_the_address_is_known_only_records_tell_whose_a_call_is() {
        let page = CallPage {
            calls: vec![
                call("c1", "t1", "ringing"),
                call("c2", "unknown", "ringing"),
            ],
            unreadable: 0,
        };
        let mut left = Leftovers::new(vec![row("t1", None)], None);
        assert_eq!(left.sort(&page, |_| false).0.len(), 1);
        left.reached_at(&here());
        assert_eq!(left.sort(&page, |_| false).0.len(), 2);
    }
}
