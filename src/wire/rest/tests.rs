//! The API document, line by line, and what happens when nobody keeps to it.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::fit_for_a_log;
use super::*;
use crate::units::{CallId, E164};

const CALL: &str = r#"{
    "id": "6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11",
    "local_phone_number": "+4930123456",
    "remote_phone_number": "+4989654321",
    "direction": "outbound",
    "status": "completed",
    "client_websocket_url": "wss://door.example/a/1f3b",
    "use_inkbox_tts": false,
    "use_inkbox_stt": null,
    "hangup_reason": "remote",
    "started_at": "2026-06-01T00:00:01.25+00:00",
    "ended_at": "2026-06-01T00:01:00Z",
    "is_blocked": false,
    "created_at": "2026-06-01T00:00:00+00:00",
    "updated_at": "2026-06-01T00:01:01+00:00",
    "origin": "dedicated_number",
    "mode": {"new": ["shape", 1]}
}"#;

const QUOTA: &str = r#"{"calls_used": 3, "calls_remaining": 97, "calls_limit": 100,
    "minutes_used": 1.5, "minutes_remaining": 98.5, "minutes_limit": 100}"#;

fn answer(status: u16, body: &str) -> Answer<'_> {
    let headers = Headers::default();
    Answer {
        status,
        headers,
        body: Body::Whole(body.as_bytes()),
    }
}

/// The id of [`CALL`].
fn id() -> CallId {
    CallId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").unwrap()
}

fn number(text: &str) -> E164 {
    E164::parse(text).unwrap()
}

fn placed_body() -> String {
    let mut value: Value = serde_json::from_str(CALL).unwrap();
    value["rate_limit"] = serde_json::from_str(QUOTA).unwrap();
    value.to_string()
}

#[test]
fn place_body_holds_the_documented_fields() {
    let mut request = PlaceRequest {
        from: number("+4930123456"),
        to: number("+4989654321"),
        client_websocket_url: Some(WsUrl::parse("wss://door.example/a/1f3b").unwrap()),
    };
    let body: Value = serde_json::from_slice(&request.to_body()).unwrap();
    let want = json!({
        "from_number": "+4930123456",
        "to_number": "+4989654321",
        "client_websocket_url": "wss://door.example/a/1f3b",
    });
    assert_eq!(body, want);

    request.client_websocket_url = None;
    let body: Value = serde_json::from_slice(&request.to_body()).unwrap();
    assert_eq!(
        body,
        json!({"from_number": "+4930123456", "to_number": "+4989654321"})
    );
}

#[test]
fn stream_addresses_are_secure_or_local() {
    let long = format!("wss://door.example/{}", "x".repeat(1024));
    let cases = [
        ("wss://door.example/a/1", Ok(())),
        ("wss://door.example:8443/a?b=c", Ok(())),
        ("ws://127.0.0.1:8080/a", Ok(())),
        ("ws://localhost/a", Ok(())),
        ("ws://[::1]:9/a", Ok(())),
        ("ws://door.example/a", Err(BadUrl::PlainWs)),
        ("ws://127.0.0.1.evil.example/a", Err(BadUrl::PlainWs)),
        ("ws://192.168.0.7/a", Err(BadUrl::PlainWs)),
        ("https://door.example/a", Err(BadUrl::NotWss)),
        ("wss://user:word@door.example/a", Err(BadUrl::Credentials)),
        ("ws://localhost@evil.example/a", Err(BadUrl::Credentials)),
        ("wss://door.example/a#b", Err(BadUrl::Fragment)),
        ("wss:///a", Err(BadUrl::Malformed)),
        ("wss://door.example:/a", Err(BadUrl::Malformed)),
        ("wss://door.example:99999/a", Err(BadUrl::Malformed)),
        ("wss://door example/a", Err(BadUrl::Malformed)),
        ("door.example/a", Err(BadUrl::Malformed)),
        ("/a", Err(BadUrl::Malformed)),
        ("", Err(BadUrl::Malformed)),
        (&long, Err(BadUrl::Length)),
    ];
    for (text, want) in cases {
        assert_eq!(WsUrl::parse(text).map(|_| ()), want, "{text}");
    }
}

#[test]
fn base_urls_are_secure_or_local() {
    let cases = [
        (BaseUrl::SERVICE, Ok(BaseUrl::SERVICE)),
        ("https://inkbox.ai/api/v1/phone//", Ok(BaseUrl::SERVICE)),
        ("http://127.0.0.1:9/v1", Ok("http://127.0.0.1:9/v1")),
        ("http://inkbox.ai/api", Err(BadUrl::PlainHttp)),
        ("ftp://inkbox.ai", Err(BadUrl::NotHttps)),
        ("https://inkbox.ai/?a=b", Err(BadUrl::Query)),
        ("https://key@inkbox.ai/", Err(BadUrl::Credentials)),
        ("inkbox.ai", Err(BadUrl::Malformed)),
    ];
    for (text, want) in cases {
        let got = BaseUrl::parse(text);
        assert_eq!(
            got.as_ref().map(BaseUrl::as_str).map_err(|e| *e),
            want,
            "{text}"
        );
    }
}

#[test]
fn stream_addresses_are_shown_without_their_secret() {
    let url = WsUrl::parse("wss://door.example:8443/a/1f3b?x=1").unwrap();
    assert_eq!(url.to_string(), "wss://door.example:8443/…");
    assert_eq!(format!("{url:?}"), "wss://door.example:8443/…");
}

#[test]
fn phone_number_ids_are_uuids() {
    let id = PhoneNumberId::parse(" 6F2C9F0E-7d1b-4a53-9a8e-2f6a3c1d0b11\n").unwrap();
    assert_eq!(id.as_str(), "6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11");
    for bad in [
        "",
        "+4930123456",
        "6f2c9f0e7d1b4a539a8e2f6a3c1d0b11",
        &"é".repeat(18),
    ] {
        assert_eq!(PhoneNumberId::parse(bad), Err(BadId), "{bad}");
    }
}

#[test]
fn list_limits_are_checked_before_sending() {
    for limit in [1, 50, 200] {
        assert!(ListQuery::new(limit, 0, None).is_ok(), "{limit}");
    }
    for limit in [0, 201, 256, u32::MAX] {
        assert_eq!(ListQuery::new(limit, 0, None), Err(BadQuery { limit }));
    }
    let message = BadQuery { limit: 500 }.to_string();
    assert_eq!(
        message,
        "limit is 500, and must be 1 to 200; page with offset to see more"
    );
}

#[test]
fn paths_are_the_documents() {
    let id = PhoneNumberId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").unwrap();
    let call = CallId::parse("c1").unwrap();
    let calls = "/numbers/6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11/calls";
    let list = |query| list_path(&id, &query);
    assert_eq!(
        list(ListQuery::default()),
        format!("{calls}?limit=50&offset=0")
    );
    assert_eq!(
        list(ListQuery::new(200, 400, Some(false)).unwrap()),
        format!("{calls}?limit=200&offset=400&is_blocked=false"),
    );
    assert_eq!(call_path(&id, &call), format!("{calls}/c1"));
    assert_eq!(hang_up_path(&call), "/calls/c1/hangup");
    assert_eq!(PLACE_PATH, "/place-call");
}

#[test]
fn every_field_of_a_call_is_read() {
    let call = read_call(&answer(200, CALL), &id()).unwrap();
    assert_eq!(call.id.as_str(), "6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11");
    assert_eq!(call.local_phone_number.as_deref(), Some("+4930123456"));
    assert_eq!(call.remote_phone_number.as_deref(), Some("+4989654321"));
    assert_eq!(call.direction, Direction::Outbound);
    assert_eq!(call.status, CallStatus::Completed);
    assert_eq!(
        call.client_websocket_url.as_deref(),
        Some("wss://door.example/a/1f3b")
    );
    assert_eq!(
        (call.use_inkbox_tts, call.use_inkbox_stt),
        (Some(false), None)
    );
    assert_eq!(call.hangup_reason, Some(HangupReason::Remote));
    assert!(!call.is_blocked);
    let millis = |stamp: &Option<Stamp>| stamp.as_ref()?.at().map(|at| at.as_millisecond());
    assert_eq!(millis(&call.created_at), Some(1_780_272_000_000));
    assert_eq!(millis(&call.started_at), Some(1_780_272_001_250));
    assert_eq!(millis(&call.ended_at), Some(1_780_272_060_000));
    assert_eq!(millis(&call.updated_at), Some(1_780_272_061_000));
    assert!(call.is_over());
}

#[test]
fn calls_survive_a_round_trip_with_new_fields_and_values() {
    let mut value: Value = serde_json::from_str(CALL).unwrap();
    value["status"] = "on_hold".into();
    value["direction"] = "sideways".into();
    value["hangup_reason"] = "meteor".into();
    value["created_at"] = "yesterday".into();
    let call = read_call(&answer(200, &value.to_string()), &id()).unwrap();
    assert_eq!(call.status, CallStatus::Other("on_hold".to_owned()));
    assert!(
        !call.status.is_terminal(),
        "an unknown status is not an end"
    );
    assert_eq!(call.created_at.as_ref().and_then(Stamp::at), None);
    assert_eq!(serde_json::to_value(&call).unwrap(), value);
}

#[test]
fn every_documented_text_has_a_value_of_its_own() {
    for text in [
        "initiated",
        "ringing",
        "answered",
        "completed",
        "canceled",
        "failed",
    ] {
        let status = CallStatus::from(text);
        assert!(!matches!(status, CallStatus::Other(_)), "{text}");
        assert_eq!(status.as_str(), text);
        let ends = matches!(text, "completed" | "canceled" | "failed");
        assert_eq!(status.is_terminal(), ends, "{text}");
    }
    for text in ["local", "remote", "max_duration", "voicemail", "rejected"] {
        assert!(
            !matches!(HangupReason::from(text), HangupReason::Other(_)),
            "{text}"
        );
    }
    for text in ["outbound", "inbound"] {
        assert!(
            !matches!(Direction::from(text), Direction::Other(_)),
            "{text}"
        );
    }
}

#[test]
fn a_call_of_three_fields_is_a_call() {
    let body = r#"{"id":"c1","direction":"outbound","status":"ringing"}"#;
    let call = read_call(&answer(200, body), &CallId::parse("c1").unwrap()).unwrap();
    assert_eq!((call.local_phone_number, call.created_at), (None, None));
}

#[test]
fn an_unsafe_id_is_refused() {
    let body = r#"{"id":"../../place-call","direction":"outbound","status":"ringing"}"#;
    let error = read_call(&answer(200, body), &id()).unwrap_err();
    assert!(matches!(error, ApiError::Unreadable(_)), "{error:?}");
}

#[test]
fn stamps_without_an_offset_are_utc() {
    let at = |text| Stamp::parse(text).at().map(|at| at.as_second());
    assert_eq!(at("2026-06-01T02:00:00+02:00"), Some(1_780_272_000));
    assert_eq!(at("2026-06-01T00:00:00"), Some(1_780_272_000));
    assert_eq!(at("2026-06-01 00:00:00.000001"), Some(1_780_272_000));
    assert_eq!(at("1.6.2026"), None);
}

#[test]
fn the_placed_call_comes_with_the_quota_inside() {
    let placed = read_placed(&answer(200, &placed_body())).unwrap();
    let quota = placed.rate_limit.unwrap();
    assert_eq!(
        (quota.calls_used, quota.calls_remaining, quota.calls_limit),
        (3, 97, 100)
    );
    assert_eq!((quota.minutes_used, quota.minutes_remaining), (1.5, 98.5));
    assert!((quota.minutes_limit - 100.0).abs() < f64::EPSILON);
    assert!(!placed.call.more.contains_key("rate_limit"));
}

#[test]
fn a_call_without_a_readable_quota_is_placed_all_the_same() {
    for quota in [json!(null), json!("soon"), json!({"calls_used": -1})] {
        let mut value: Value = serde_json::from_str(CALL).unwrap();
        value["rate_limit"] = quota;
        let placed = read_placed(&answer(200, &value.to_string())).unwrap();
        assert_eq!(placed.rate_limit, None);
    }
    assert_eq!(read_placed(&answer(201, CALL)).unwrap().rate_limit, None);
}

#[test]
fn lists_are_read_bare_or_wrapped() {
    let bare = format!("[{CALL}, {CALL}]");
    let wrapped = ["calls", "items", "data"].map(|key| format!("{{\"{key}\": {bare}, \"n\": 2}}"));
    for body in [&bare, &wrapped[0], &wrapped[1], &wrapped[2]] {
        let page = read_page(&answer(200, body)).unwrap();
        assert_eq!((page.calls.len(), page.unreadable), (2, 0), "{body}");
    }
    assert_eq!(read_page(&answer(200, "[]")).unwrap(), CallPage::default());
    for body in ["{}", r#"{"calls": 3}"#] {
        let error = read_page(&answer(200, body)).unwrap_err();
        assert!(
            matches!(error, ApiError::Unreadable(_)),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn one_unreadable_call_does_not_hide_the_others() {
    let page = read_page(&answer(200, &format!("[1, {CALL}, {{\"id\": null}}]"))).unwrap();
    assert_eq!((page.calls.len(), page.unreadable), (1, 2));
}

#[test]
fn the_fingerprint_is_the_whole_address() {
    let call = read_call(&answer(200, CALL), &id()).unwrap();
    let streams_to = |text| call.streams_to(&WsUrl::parse(text).unwrap());
    assert!(streams_to("wss://door.example/a/1f3b"));
    assert!(!streams_to("wss://door.example/a/1f3"));
    assert!(!streams_to("wss://door.example/a/1f3b/"));
}

#[test]
fn a_wrong_number_pair_is_found() {
    let call = read_call(&answer(200, CALL), &id()).unwrap();
    let nameless = Call {
        local_phone_number: None,
        ..call.clone()
    };
    let page = |calls: &[&Call]| CallPage {
        calls: calls.iter().copied().cloned().collect(),
        unreadable: 0,
    };
    let ours = number("+4930123456");
    let other = number("+4930999999");
    assert_eq!(page(&[&call]).judge_pair(&ours), Pair::Right);
    assert_eq!(page(&[&nameless, &call]).judge_pair(&ours), Pair::Right);
    assert_eq!(
        page(&[&call]).judge_pair(&other),
        Pair::Wrong {
            listed: ours.clone()
        }
    );
    assert_eq!(page(&[&nameless]).judge_pair(&ours), Pair::Unproven);
    assert_eq!(page(&[]).judge_pair(&ours), Pair::Unproven);
}

/// Every answer the document or the service's habits know, the message a
/// person sees, what to do next, and whether place-call surely made no call.
#[test]
fn every_documented_error_says_what_to_do() {
    let wait = Next::Wait(None);
    let cases = [
        (
            400,
            r#"{"detail": "from_number is not active"}"#,
            "the service refused the request: from_number is not active. Check that from_number \
             is an active number of your organization",
            Next::FixSetup,
            true,
        ),
        (
            401,
            r#"{"detail": "Invalid API key"}"#,
            "the service does not accept the API key: Invalid API key. Put a valid key in the key \
             file",
            Next::FixSetup,
            true,
        ),
        (
            403,
            r#"{"detail": {"error": "not_yours", "message": "no access"}}"#,
            "the number or call belongs to another organization: no access. Check from_number, \
             phone_number_id and which organization the API key is from",
            Next::FixSetup,
            true,
        ),
        (
            404,
            r#"{"detail": "Call not found"}"#,
            "the service does not know it: Call not found. Check phone_number_id and the base \
             URL; a call may also have been removed",
            Next::FixSetup,
            true,
        ),
        (
            409,
            r#"{"detail": "call already ended"}"#,
            "not possible in the call's present state: call already ended. Look the call up, then \
             try again",
            Next::LookUp,
            true,
        ),
        (
            422,
            r#"{"detail": [{"loc": ["body", "to_number"], "msg": "not E.164", "type": "v"},
                           {"loc": ["query", "limit"], "msg": "too large", "type": "v"}]}"#,
            "the service rejects what was sent: to_number: not E.164; limit: too large. If the \
             configuration looks right, update callbox",
            Next::FixSetup,
            true,
        ),
        (
            429,
            r#"{"detail": "limit exceeded"}"#,
            "the organization's calls or minutes of the last 24 hours are used up: limit \
             exceeded. Try again later",
            wait,
            true,
        ),
        (
            429,
            "<html>slow down</html>",
            "the organization's calls or minutes of the last 24 hours are used up. Try again later",
            wait,
            true,
        ),
        (
            502,
            r#"{"detail": "carrier dial failed"}"#,
            "the carrier did not dial: carrier dial failed. Check the number called, then press \
             again",
            Next::TryLater,
            true,
        ),
        (
            502,
            "<html><h1>502 Bad Gateway</h1></html>",
            "status 502 came with a web page where the service sends JSON. The service or a proxy \
             before it has a fault: try again in a minute",
            Next::TryLater,
            false,
        ),
        (
            500,
            r#"{"detail": "Internal Server Error"}"#,
            "the service has a fault (status 500): Internal Server Error. Try again in a minute",
            Next::TryLater,
            false,
        ),
        (
            503,
            "",
            "status 503 came with nothing where the service sends JSON. The service or a proxy \
             before it has a fault: try again in a minute",
            Next::TryLater,
            false,
        ),
        (
            504,
            r#"{"message": "upstream"}"#,
            "status 504 came with JSON of somebody else where the service sends JSON. The service \
             or a proxy before it has a fault: try again in a minute",
            Next::TryLater,
            false,
        ),
        (
            403,
            "<!DOCTYPE html><title>Blocked</title>",
            "status 403 came with a web page where the service sends JSON. Check the base URL, and \
             that no guest network or filter answers in the service's place",
            Next::CheckNetwork,
            false,
        ),
        (
            413,
            r#"{"detail": "too large"}"#,
            "the service refused the request with status 413: too large. Update callbox",
            Next::FixSetup,
            true,
        ),
        (
            408,
            r#"{"detail": "timeout"}"#,
            "the service refused the request with status 408: timeout. Update callbox",
            Next::FixSetup,
            false,
        ),
        (
            302,
            "",
            "the answer sends us to another address, and redirects are not followed. Check the \
             base URL; a guest network's login page does this too",
            Next::CheckNetwork,
            true,
        ),
        (
            200,
            "<html>Welcome to our guest network</html>",
            "a good status came with a web page where the service sends JSON. Check the base URL, \
             and that no guest network's login page or filter answers in the service's place",
            Next::CheckNetwork,
            false,
        ),
        (
            200,
            "",
            "a good status came with nothing where the service sends JSON. Check the base URL, \
             and that no guest network's login page or filter answers in the service's place",
            Next::CheckNetwork,
            false,
        ),
        (
            200,
            r#"{"id": "c1", "direc"#,
            "the answer broke off. Check the network, then try again",
            Next::CheckNetwork,
            false,
        ),
        (
            200,
            r#"{"hello": "world"}"#,
            "the answer is JSON, but not what was asked for: missing field `id`. Update callbox",
            Next::FixSetup,
            false,
        ),
    ];
    for (status, body, message, next, certain) in cases {
        let error = read_placed(&answer(status, body)).unwrap_err();
        assert_eq!(error.to_string(), message, "{status} {body}");
        assert_eq!(error.next(), next, "{status} {body}");
        let want = match certain {
            true => PlaceOutcome::Refused(error.clone()),
            false => PlaceOutcome::Unknown(error.clone()),
        };
        assert_eq!(place_outcome(Err(error)), want, "{status} {body}");
    }
}

#[test]
fn the_transport_decides_by_what_was_sent() {
    let after = Duration::from_secs(15);
    let text = || "reset".to_owned();
    let cases = [
        (ApiError::Unreachable(ConnectFault::Name), true),
        (ApiError::Unreachable(ConnectFault::TimedOut(after)), true),
        (
            ApiError::Unreachable(ConnectFault::Certificate(text())),
            true,
        ),
        (ApiError::TimedOut { after, sent: false }, true),
        (ApiError::TimedOut { after, sent: true }, false),
        (
            ApiError::Lost {
                sent: false,
                text: text(),
            },
            true,
        ),
        (
            ApiError::Lost {
                sent: true,
                text: text(),
            },
            false,
        ),
        (ApiError::Oversized { limit: CALL_LIMIT }, false),
    ];
    for (error, certain) in cases {
        assert_eq!(
            error.next() == Next::FixSetup,
            matches!(error, ApiError::Oversized { .. })
        );
        let outcome = place_outcome(Err(error.clone()));
        assert_eq!(
            matches!(outcome, PlaceOutcome::Refused(_)),
            certain,
            "{error:?}"
        );
        assert_eq!(
            matches!(outcome, PlaceOutcome::Unknown(_)),
            !certain,
            "{error:?}"
        );
    }
    let placed = read_placed(&answer(200, &placed_body())).unwrap();
    assert_eq!(
        place_outcome(Ok(placed.clone())),
        PlaceOutcome::Placed(Box::new(placed))
    );
}

#[test]
fn a_limit_says_when_to_come_back() {
    let headers = Headers {
        retry_after: Some("3600"),
        limit: Some("100"),
        remaining: Some("0"),
        reset: Some("1780272000"),
        location: None,
    };
    let body = Body::Whole(br#"{"detail": "too many calls"}"#);
    let error = read_placed(&Answer {
        status: 429,
        headers,
        body,
    })
    .unwrap_err();
    assert_eq!(error.next(), Next::Wait(Some(Duration::from_secs(3600))));
    assert_eq!(
        error.to_string(),
        "the organization's calls or minutes of the last 24 hours are used up: too many calls \
         (limit 100, 0 left). Try again in 60 min"
    );
    let ApiError::Limited(limited) = error else {
        panic!("{error:?}")
    };
    assert_eq!(limited.reset, Some(1_780_272_000));

    let headers = Headers {
        retry_after: Some("-1"),
        limit: Some("many"),
        ..headers
    };
    let error = read_placed(&Answer {
        status: 429,
        headers,
        body,
    })
    .unwrap_err();
    let ApiError::Limited(limited) = error else {
        panic!("{error:?}")
    };
    assert_eq!((limited.retry_after, limited.limit), (None, None));
}

#[test]
fn a_redirect_names_the_host_it_goes_to() {
    let to = |location| {
        let headers = Headers {
            location: Some(location),
            ..Headers::default()
        };
        let body = Body::Whole(b"");
        match read_placed(&Answer {
            status: 307,
            headers,
            body,
        }) {
            Err(ApiError::Redirected { status: 307, to }) => to,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        to("http://192.168.100.100:8080/login?x").as_deref(),
        Some("192.168.100.100:8080")
    );
    assert_eq!(
        to("https://user:word@portal.example").as_deref(),
        Some("portal.example")
    );
    assert_eq!(to("/place-call/"), None);
}

#[test]
fn a_service_without_the_hang_up_route_is_told_from_an_unknown_call() {
    let hang_up = |status, body| read_hang_up(&answer(status, body), &id());
    assert_eq!(
        hang_up(404, r#"{"detail": "Not Found"}"#),
        Err(ApiError::Unsupported)
    );
    assert_eq!(
        hang_up(405, r#"{"detail": "Method Not Allowed"}"#),
        Err(ApiError::Unsupported)
    );
    assert_eq!(hang_up(404, "nothing here"), Err(ApiError::Unsupported));
    let unknown = hang_up(404, r#"{"detail": "Call not found"}"#);
    assert!(matches!(unknown, Err(ApiError::NotFound(_))), "{unknown:?}");
    let ended = hang_up(409, r#"{"detail": "Call already ended"}"#);
    assert!(matches!(ended, Err(ApiError::Conflict(_))), "{ended:?}");
    assert!(hang_up(200, CALL).is_ok());
}

#[test]
fn details_are_fit_for_a_log() {
    let cases = [
        (
            "number +4930123456 is not active",
            "number +…456 is not active",
        ),
        (r#"{"input":"+4930123456"}"#, r#"{"input":"+…456"}"#),
        (
            "url wss://door.example/a/1f3b refused",
            "url wss://door.example/… refused",
        ),
        ("two\nlines\tand \u{1b}[31mred", "two lines and ?[31mred"),
        ("limit 100 of 100", "limit 100 of 100"),
        ("", "no reason given"),
    ];
    for (text, want) in cases {
        assert_eq!(fit_for_a_log(text), want);
    }
    let long = fit_for_a_log(&"é ".repeat(5000));
    assert_eq!(long.chars().count(), 201);
    assert!(long.ends_with('…'));
}

#[test]
fn a_shown_call_has_no_numbers_and_no_address() {
    let placed = read_placed(&answer(200, &placed_body())).unwrap();
    let shown = format!("{placed:?}");
    for secret in ["4930123456", "4989654321", "1f3b"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_date_of_an_answer_is_read() {
    let read = |text| read_date(text).map(|at| at.as_second());
    assert_eq!(read("Mon, 01 Jun 2026 00:00:00 GMT"), Some(1_780_272_000));
    for bad in [
        "",
        "Mon, 32 Jun 2026 00:00:00 GMT",
        "2026-06-01",
        "Mon, 01 Jun",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

fn read_everything(status: u16, body: &[u8]) -> [bool; 4] {
    let answer = Answer {
        status,
        headers: Headers::default(),
        body: Body::Whole(body),
    };
    let placed = read_placed(&answer).map_err(|error| error.to_string());
    let page = read_page(&answer).map_err(|error| error.to_string());
    let call = read_call(&answer, &id()).map_err(|error| error.to_string());
    let hung_up = read_hang_up(&answer, &id()).map_err(|error| error.to_string());
    [placed.is_ok(), page.is_ok(), call.is_ok(), hung_up.is_ok()]
}

#[test]
fn no_cut_answer_is_taken_for_a_whole_one() {
    let body = placed_body();
    for end in 0..body.len() {
        assert_eq!(
            read_everything(200, &body.as_bytes()[..end]),
            [false; 4],
            "cut at {end}"
        );
    }
}

#[test]
fn no_bytes_panic_a_reader() {
    let errors =
        r#"{"detail": [{"loc": ["body", "to_number"], "msg": "wss://a/b +4930123456 é"}]}"#;
    let list = format!("{{\"calls\": [{CALL}]}}");
    let seeds = [
        placed_body(),
        list,
        errors.to_owned(),
        "<html>é</html>".to_owned(),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        let mut body = seeds[random.below(seeds.len())].clone().into_bytes();
        for _ in 0..=random.below(4) {
            random.damage(&mut body);
        }
        let status = [200, 204, 302, 400, 404, 422, 429, 500, 502, 0, 999][round % 11];
        read_everything(status, &body);
    }
}

/// Xorshift, so that a failure comes back.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn damage(&mut self, body: &mut Vec<u8>) {
        let at = self.below(body.len() + 1).min(body.len().saturating_sub(1));
        match self.below(5) {
            0 => body.truncate(at),
            1 if !body.is_empty() => body[at] ^= 1 << self.below(8),
            2 => body.insert(at, b"{}[]\",:0-\\e<\0\xff"[self.below(14)]),
            3 if !body.is_empty() => _ = body.remove(at),
            _ => {
                let part = body[at..].to_vec();
                body.extend_from_slice(&part);
            }
        }
    }
}

const NUMBER: &str = r#"{
    "id": "6F2C9F0E-7D1B-4A53-9A8E-2F6A3C1D0B11",
    "number": "+4930123456",
    "status": "active",
    "incoming_call_action": "auto_accept",
    "client_websocket_url": "wss://door.example/inbound/secret",
    "filter_mode": {"new": "shape"}
}"#;

fn number_id() -> PhoneNumberId {
    PhoneNumberId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").unwrap()
}

#[test]
fn a_number_is_read_and_its_streams_path_is_not_shown() {
    let number = read_number(&answer(200, NUMBER), &number_id()).unwrap();
    assert_eq!(number.number.as_str(), "+4930123456");
    assert_eq!(
        number.incoming_call_action,
        Some(IncomingAction::AutoAccept)
    );
    let url = number.client_websocket_url.clone().unwrap();
    assert!(url.is(&WsUrl::parse("wss://door.example/inbound/secret").unwrap()));
    assert!(!url.is(&WsUrl::parse("wss://door.example/inbound/other").unwrap()));
    let shown = format!("{number:?} {url}");
    assert!(shown.contains("wss://door.example/…"), "{shown}");
    assert!(
        !shown.contains("secret") && !shown.contains("0123456"),
        "{shown}"
    );
}

#[test]
fn what_a_number_may_lack_or_have_anew_is_no_fault() {
    let cases = [
        r#"{"id": "ID", "number": "+4930123456"}"#,
        r#"{"id": "ID", "number": "+4930123456", "client_websocket_url": null,
            "incoming_call_action": null, "status": null}"#,
        r#"{"id": "ID", "number": "+4930123456", "incoming_call_action": "teleport",
            "client_websocket_url": "\u001b[2J javascript:alert(1)"}"#,
    ];
    for body in cases {
        let body = body.replace("ID", number_id().as_str());
        let number = read_number(&answer(200, &body), &number_id());
        let number = number.unwrap_or_else(|error| panic!("{error}: {body}"));
        if let Some(url) = number.client_websocket_url {
            assert_eq!(url.to_string(), "(not an address of a stream)");
        }
    }
}

#[test]
fn a_list_in_which_no_number_can_be_read_is_not_an_empty_account() {
    let read = |body: &str| read_numbers(&answer(200, body)).map(|all| all.len());
    assert_eq!(read("[]"), Ok(0));
    assert_eq!(read(&format!("[{NUMBER}, {{}}]")), Ok(1));
    assert_eq!(read(&format!(r#"{{"phone_numbers": [{NUMBER}]}}"#)), Ok(1));
    assert!(matches!(read("[{}]"), Err(ApiError::Unreadable(_))));
    assert!(matches!(read("{}"), Err(ApiError::Unreadable(_))));
}

#[test]
fn an_update_is_done_when_the_number_is_as_wanted() {
    let is = read_number(&answer(200, NUMBER), &number_id()).unwrap();
    let to = |url| NumberUpdate::for_inbound(Some(WsUrl::parse(url).unwrap()));
    assert!(to("wss://door.example/inbound/secret").is_done(&is));
    assert!(!to("wss://door.example/inbound/other").is_done(&is));
    assert!(!NumberUpdate::for_inbound(None).is_done(&is));
}

#[test]
fn a_transcript_is_in_order_bounded_and_safe_to_show() {
    let long = r"ä\u0007".repeat(150_000);
    let body = format!(
        r#"[{{"seq": 2, "party": "visitor", "text": "b"}},
            {{"seq": 1, "ts_ms": -5, "party": "local", "text": "{long}"}},
            {{"seq": 1.5}}, null]"#
    );
    let segments = read_transcript(&answer(200, &body), &id()).unwrap();
    let [first, second] = &segments[..] else {
        panic!("{segments:?}")
    };
    assert_eq!((first.seq, second.seq), (1, 2));
    assert!(first.text.len() <= 2048 && first.text.len() > 2040);
    assert!(!first.text.contains(char::is_control));
    assert_eq!(second.party, Party::Other("visitor".into()));
    assert!(!format!("{segments:?}").contains('ä'));
}

#[test]
fn one_segment_of_another_call_makes_a_transcript_somebody_elses() {
    let mine = format!(
        r#"{{"call_id": "{}", "seq": 0, "party": "remote", "text": "a"}}"#,
        id()
    );
    let theirs = mine.replace("6f2c", "ffff");
    let read = |body: String| read_transcript(&answer(200, &body), &id()).map(|s| s.len());
    assert_eq!(read(format!("[{mine}]")), Ok(1));
    assert_eq!(
        read(format!("[{mine},{theirs}]")),
        Err(ApiError::OtherThan("call"))
    );
}
