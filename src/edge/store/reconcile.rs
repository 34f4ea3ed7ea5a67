//! What the service's own record of a call adds to ours.
//!
//! Pure: a row and a call in, the facts to write out. The daemon asks the
//! service ([`Query::Unreconciled`](super::Query::Unreconciled) says for
//! what) and writes the answer with [`Update::record`](super::Update::record).
//!
//! Always true: the service's words are kept beside our own stamps and
//! reasons, never over them; a word we do not know is kept as it came; a row
//! is `Done` only when the service says that the call is over.

use super::row::Row;
use super::words::Reconciled;
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
        service_use_inkbox_tts: call.use_inkbox_tts,
        service_use_inkbox_stt: call.use_inkbox_stt,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::CallId;
    use serde_json::{Value, json};

    const URL: &str = "wss://door.example/media/0123456789abcdef0123456789abcdef";

    fn row(call_id: Option<&str>) -> Row {
        Row {
            call_id: call_id.map(|id| CallId::parse(id).unwrap()),
            client_websocket_url: Some(URL.into()),
            local_reason: Some("maximum time".into()),
            ..Row::new("0123456789abcdef0123456789abcdef")
        }
    }

    fn call(changes: Value) -> Call {
        let mut call = json!({
            "id": "call-1",
            "direction": "outbound",
            "status": "completed",
            "client_websocket_url": URL,
            "hangup_reason": "local",
            "started_at": "2026-11-22T14:49:08Z",
            "ended_at": "2026-11-22T14:50:40Z",
            "created_at": "2026-11-22T14:49:02Z",
        });
        let Value::Object(changes) = changes else {
            panic!("changes are an object");
        };
        call.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(call).unwrap()
    }

    #[test]
    fn the_services_words_come_beside_ours() {
        let patch = reconcile(&row(Some("call-1")), &call(json!({}))).unwrap();
        let want = Row {
            call_id: CallId::parse("call-1"),
            service_status: Some("completed".into()),
            service_hangup_reason: Some("local".into()),
            service_created_at: Some("2026-11-22T14:49:02Z".into()),
            service_started_at: Some("2026-11-22T14:49:08Z".into()),
            service_ended_at: Some("2026-11-22T14:50:40Z".into()),
            reconciled: Some(Reconciled::Done),
            ..Row::new("0123456789abcdef0123456789abcdef")
        };
        assert!(patch == want, "{patch:#?}");
    }

    #[test]
    fn a_call_without_an_id_is_known_by_its_stream_address() {
        let patch = reconcile(&row(None), &call(json!({}))).unwrap();
        assert_eq!(patch.call_id, CallId::parse("call-1"));
    }

    #[test]
    fn another_attempts_call_is_not_taken() {
        let other_url = json!({"client_websocket_url": "wss://door.example/media/other"});
        assert_eq!(reconcile(&row(None), &call(other_url)), None);
        assert_eq!(
            reconcile(&row(None), &call(json!({"client_websocket_url": null}))),
            None
        );
        assert_eq!(reconcile(&row(Some("call-2")), &call(json!({}))), None);
        let nowhere = Row::new("token");
        assert_eq!(
            reconcile(&nowhere, &call(json!({"client_websocket_url": null}))),
            None
        );
    }

    #[test]
    fn a_call_that_is_still_up_is_asked_for_again() {
        for status in ["initiated", "ringing", "answered", "on_hold"] {
            let up = json!({"status": status, "ended_at": null, "hangup_reason": null});
            let patch = reconcile(&row(Some("call-1")), &call(up)).unwrap();
            assert_eq!(patch.service_status.as_deref(), Some(status));
            assert_eq!(
                (patch.reconciled, patch.service_ended_at),
                (None, None),
                "{status}"
            );
        }
    }

    #[test]
    fn words_we_do_not_know_are_kept() {
        let odd = json!({"hangup_reason": "solar_flare", "ended_at": "late", "status": "faded"});
        let patch = reconcile(&row(Some("call-1")), &call(odd)).unwrap();
        assert_eq!(patch.service_hangup_reason.as_deref(), Some("solar_flare"));
        assert_eq!(patch.service_ended_at.as_deref(), Some("late"));
        assert_eq!(patch.reconciled, Some(Reconciled::Done));
    }

    #[test]
    fn a_call_the_service_does_not_know_is_not_asked_for_again() {
        let patch = absent(&row(Some("call-1")));
        assert_eq!(patch.reconciled, Some(Reconciled::Absent));
        assert_eq!(patch.call_id, None, "what is known stays");
    }
}
