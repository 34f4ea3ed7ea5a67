//! The simulator's API, asked by a plain HTTP client.

use callbox::simulator::{
    Answer, ApiKey, Call, Direction, Fault, IDENTITY, IDENTITY_KEY, Limits, NUMBER, NUMBER_ID,
    Number, Reason, Route, Status,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::*;

/// A media URL nobody needs: these calls are never answered.
const URL: &str = "wss://box.example/media/1";
const FOREIGN_ID: &str = "11111111-1111-4111-8111-111111111111";
const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

fn ringing() -> callbox::simulator::Config {
    quick(Answer::RingsOut(ms(60_000)))
}

#[tokio::test]
async fn a_placed_call_is_the_documents_call_object() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let answered = client.place(URL).await;
    assert_eq!(answered.status, 200);
    let call = &answered.body;
    let stamp = call["created_at"].as_str().unwrap();
    let want = json!({
        "id": call["id"],
        "local_phone_number": NUMBER,
        "remote_phone_number": CALLEE,
        "direction": "outbound",
        "status": "initiated",
        "client_websocket_url": URL,
        "use_inkbox_tts": null,
        "use_inkbox_stt": null,
        "hangup_reason": null,
        "started_at": null,
        "ended_at": null,
        "is_blocked": false,
        "created_at": stamp,
        "updated_at": stamp,
        "origin": "dedicated_number",
        "mode": "client_websocket",
        "rate_limit": {
            "calls_used": 1, "calls_remaining": 99, "calls_limit": 100,
            "minutes_used": 0.0, "minutes_remaining": 100.0, "minutes_limit": 100,
        },
    });
    assert_eq!(*call, want);
    let age = Timestamp::now().duration_since(stamp.parse().unwrap());
    assert!(age.abs() < SignedDuration::from_mins(1), "{stamp}");
    assert!(answered.header("date").is_some());
}

#[tokio::test]
async fn each_refusal_is_the_documents() {
    let mut config = ringing();
    config.numbers.push(Number {
        id: FOREIGN_ID.into(),
        number: "+15005550300".into(),
        organization: "somebody else".into(),
        ..Number::default()
    });
    let simulator = start(config).await;
    let mut client = Client::new(&simulator);

    let foreign = json!({"from_number": "+15005550300", "to_number": CALLEE});
    let answered = client.post("/place-call", &foreign).await.unwrap();
    assert_eq!(answered.status, 403);
    assert_eq!(
        answered.body["detail"],
        "from_number does not belong to your organization"
    );
    let list = client.get(&format!("/numbers/{FOREIGN_ID}/calls")).await;
    assert_eq!(list.status, 403);

    assert!(simulator.handle.set_active(NUMBER_ID, false));
    let answered = client.place(URL).await;
    assert_eq!(answered.status, 400);
    assert_eq!(answered.body["detail"], "from_number is not active");
    assert!(simulator.handle.set_active(NUMBER_ID, true));

    let none = client
        .get(&format!("/numbers/{NUMBER_ID}/calls/{NOBODY}"))
        .await;
    assert_eq!(
        (none.status, &none.body["detail"]),
        (404, &json!("Call not found"))
    );
    assert_eq!(client.get(&format!("/calls/{NOBODY}")).await.status, 404);
    assert_eq!(
        client.get(&format!("/numbers/{NOBODY}/calls")).await.status,
        404
    );
    assert_eq!(client.get("/nonsense").await.status, 404);

    let wrong_method = client.get("/place-call").await;
    assert_eq!(wrong_method.status, 405);
    assert_eq!(wrong_method.header("allow"), Some("POST"));

    client.key = "wrong";
    assert_eq!(client.place(URL).await.status, 401);
    assert!(simulator.handle.calls().is_empty());
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_where() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let good = placement(URL);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let cases = [
        (json!({}), "from_number"),
        (json!([]), "body"),
        (with("to_number", json!("030 123456")), "to_number"),
        (with("to_number", json!(49)), "to_number"),
        (with("from_number", Value::Null), "from_number"),
        (
            with("client_websocket_url", json!("https://x.example/")),
            "client_websocket_url",
        ),
        (
            with("client_websocket_url", json!("ws://x.example/")),
            "client_websocket_url",
        ),
        // The number has no URL of its own to fall back to.
        (
            with("client_websocket_url", Value::Null),
            "client_websocket_url",
        ),
    ];
    for (body, place) in cases {
        let answered = client.post("/place-call", &body).await.unwrap();
        assert_eq!(answered.status, 422, "{body}");
        let first = &answered.body["detail"][0];
        let last = first["loc"].as_array().unwrap().last().unwrap();
        assert_eq!(last, place, "{body}");
        assert!(first["msg"].is_string() && first["type"].is_string());
    }
    let plain = client
        .http
        .post(format!("{}/place-call", client.base))
        .header("x-api-key", client.key);
    let not_json = read(plain.header("content-type", "application/json").body("{"));
    assert_eq!(not_json.await.unwrap().status, 422);
    let large = json!({"padding": "x".repeat(100_000)});
    assert_eq!(
        client.post("/place-call", &large).await.unwrap().status,
        413
    );
    assert!(simulator.handle.calls().is_empty());
}

#[tokio::test]
async fn the_number_s_own_url_is_the_fallback() {
    let mut config = ringing();
    config.numbers[0].client_websocket_url = Some(URL.into());
    let simulator = start(config).await;
    let client = Client::new(&simulator);
    let body = json!({"from_number": NUMBER, "to_number": CALLEE});
    let answered = client.post("/place-call", &body).await.unwrap();
    assert_eq!(answered.body["client_websocket_url"], URL);
}

#[tokio::test]
async fn the_limit_says_when_to_come_back() {
    let mut config = ringing();
    config.limits.calls = 2;
    let simulator = start(config).await;
    let client = Client::new(&simulator);
    // A call of 23 h ago counts for one hour more.
    let then = Timestamp::now() - SignedDuration::from_hours(23);
    simulator.handle.add_call(past(1, then, false));
    assert_eq!(
        client.place(URL).await.body["rate_limit"]["calls_remaining"],
        0
    );
    let limited = client.place(URL).await;
    assert_eq!(limited.status, 429);
    let seconds: i64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&seconds), "{seconds}");
    assert_eq!(limited.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(limited.header("x-ratelimit-remaining"), Some("0"));
    let reset: i64 = limited
        .header("x-ratelimit-reset")
        .unwrap()
        .parse()
        .unwrap();
    assert!((reset - Timestamp::now().as_second() - 3600).abs() <= 10);
    assert!(limited.body["detail"].is_object());
    assert_eq!(simulator.handle.calls().len(), 2);
}

#[tokio::test]
async fn used_up_minutes_are_a_limit_too() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
    simulator.handle.add_call(Call {
        started_at: Some(hour_ago),
        ended_at: Some(Timestamp::now()),
        ..past(1, hour_ago, false)
    });
    let minutes = 30;
    simulator.handle.set_limits(Limits {
        calls: 100,
        minutes,
    });
    assert_eq!(client.place(URL).await.status, 429);
}

#[tokio::test]
async fn calls_end_as_the_callee_has_it() {
    let cases = [
        (Answer::RingsOut(ms(1)), Status::Canceled, None),
        (
            Answer::Rejects(ms(1)),
            Status::Canceled,
            Some(Reason::Rejected),
        ),
        (Answer::Fails(ms(1)), Status::Failed, None),
    ];
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    for (answer, status, reason) in cases {
        let callee = callbox::simulator::Callee::absent(answer);
        simulator.handle.set_callee_for(CALLEE, callee);
        let id = client.placed(URL).await;
        reached(&simulator.handle, &id, Status::Ringing).await;
        let call = over(&simulator.handle, &id).await;
        assert_eq!((call.status, call.reason), (status, reason), "{answer:?}");
        assert_eq!(call.started_at, None);
        assert_eq!(call.ended_at, Some(call.updated_at));
        assert!(call.updated_at > call.created_at);
        let shown = client
            .get(&format!("/numbers/{NUMBER_ID}/calls/{id}"))
            .await
            .body;
        assert_eq!(shown["status"], status.as_str());
        assert_eq!(shown["hangup_reason"], json!(reason.map(Reason::as_str)));
        assert_eq!(shown["ended_at"], call.ended_at.unwrap().to_string());
    }
}

#[tokio::test]
async fn a_carrier_that_cannot_dial_is_a_502_and_on_record() {
    let simulator = start(quick(Answer::DialFails)).await;
    let client = Client::new(&simulator);
    let answered = client.place(URL).await;
    assert_eq!(
        (answered.status, &answered.body["detail"]),
        (502, &json!("Carrier dial failed"))
    );
    assert_eq!(simulator.handle.calls()[0].status, Status::Failed);
}

#[tokio::test]
async fn hang_up_needs_a_leg_and_a_call_that_is_up() {
    let mut config = ringing();
    config.service.ring_after = ms(60_000);
    let early = start(config).await;
    let client = Client::new(&early);
    let id = client.placed(URL).await;
    let hang_up = format!("/calls/{id}/hangup");
    let answered = client.post(&hang_up, &Value::Null).await.unwrap();
    assert_eq!(
        (answered.status, &answered.body["detail"]["error"]),
        (409, &json!("call_not_live"))
    );

    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let id = client.placed(URL).await;
    reached(&simulator.handle, &id, Status::Ringing).await;
    let hang_up = format!("/calls/{id}/hangup");
    let answered = client.post(&hang_up, &Value::Null).await.unwrap();
    assert_eq!((answered.status, &answered.body["id"]), (200, &json!(id)));
    let call = over(&simulator.handle, &id).await;
    assert_eq!(
        (call.status, call.reason),
        (Status::Canceled, Some(Reason::Local))
    );
    let again = client.post(&hang_up, &Value::Null).await.unwrap();
    assert_eq!(
        (again.status, &again.body["detail"]["error"]),
        (409, &json!("call_already_ended"))
    );
}

#[tokio::test]
async fn an_older_service_has_no_hang_up() {
    let mut config = ringing();
    config.service.hangup_by_rest = false;
    let simulator = start(config).await;
    let client = Client::new(&simulator);
    let id = client.placed(URL).await;
    let answered = client
        .post(&format!("/calls/{id}/hangup"), &Value::Null)
        .await;
    assert_eq!(answered.unwrap().status, 404);
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_hide_what_is_blocked() {
    let simulator = start(ringing()).await;
    let mut client = Client::new(&simulator);
    let now = Timestamp::now();
    for n in 0..60 {
        let then = now - SignedDuration::from_mins(60 - n);
        simulator.handle.add_call(past(n, then, n % 10 == 0));
    }
    let list = format!("/numbers/{NUMBER_ID}/calls");
    let ids = |answered: Answered| -> Vec<i64> {
        assert_eq!(answered.status, 200, "{answered:?}");
        let calls = answered.body.as_array().unwrap().clone();
        let id = |call: &Value| call["id"].as_str().unwrap()[24..].parse().unwrap();
        calls.iter().map(id).collect()
    };
    let newest: Vec<_> = (10..60).rev().collect();
    assert_eq!(ids(client.get(&list).await), newest);
    assert_eq!(
        ids(client.get(&format!("{list}?limit=3&offset=2")).await),
        [57, 56, 55]
    );
    assert_eq!(
        ids(client.get(&format!("{list}?limit=200")).await).len(),
        60
    );
    assert_eq!(
        ids(client.get(&format!("{list}?offset=60")).await),
        [0i64; 0]
    );
    let blocked = ids(client.get(&format!("{list}?is_blocked=true")).await);
    assert_eq!(blocked, [50, 40, 30, 20, 10, 0]);
    let free = client
        .get(&format!("{list}?is_blocked=false&limit=200"))
        .await;
    assert_eq!(ids(free).len(), 54);

    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "offset=-1",
        "is_blocked=perhaps",
    ] {
        let answered = client.get(&format!("{list}?{wrong}")).await;
        assert_eq!(answered.status, 422, "{wrong}");
        let name = wrong.split('=').next().unwrap();
        assert_eq!(answered.body["detail"][0]["loc"], json!(["query", name]));
    }
    assert_eq!(client.get("/numbers/x/calls").await.status, 422);

    // The newer form: an admin key names the identity.
    assert_eq!(client.get("/calls").await.status, 422);
    let named = format!("/calls?agent_identity_id={IDENTITY}&limit=1");
    assert_eq!(ids(client.get(&named).await), [59]);

    client.key = IDENTITY_KEY;
    assert_eq!(
        ids(client.get(&format!("{list}?limit=200")).await).len(),
        54
    );
    assert_eq!(
        ids(client.get(&format!("{list}?is_blocked=true")).await),
        [0i64; 0]
    );
    assert_eq!(ids(client.get("/calls?limit=2").await), [59, 58]);
    let hidden = format!("{list}/{}", past(0, now, true).id);
    assert_eq!(client.get(&hidden).await.status, 404);
}

#[tokio::test]
async fn an_identity_sees_its_own_numbers_only() {
    let mut config = ringing();
    config.keys.push(ApiKey {
        secret: "another".into(),
        organization: callbox::simulator::ORGANIZATION.into(),
        identity: Some(NOBODY.into()),
    });
    let simulator = start(config).await;
    let mut client = Client::new(&simulator);
    let id = client.placed(URL).await;
    client.key = "another";
    assert_eq!(client.get(&format!("/calls/{id}")).await.status, 403);
    assert_eq!(client.place(URL).await.status, 403);
}

#[tokio::test]
async fn a_time_out_comes_before_or_after_the_call_was_made() {
    let simulator = start(ringing()).await;
    let mut client = Client::new(&simulator);
    let impatient = reqwest::Client::builder().timeout(ms(1000)).build();
    client.http = impatient.unwrap();
    for (fault, made) in [(Fault::TimeOutBefore, 0), (Fault::TimeOutAfter, 1)] {
        simulator.handle.fault(Route::Place, fault, 1);
        let error = client
            .post("/place-call", &placement(URL))
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(simulator.handle.calls().len(), made);
    }
    assert_eq!(client.place(URL).await.status, 200);
}

#[tokio::test]
async fn a_connection_drops_before_or_after_the_call_was_made() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let faults = [
        (Fault::DropBefore, 0),
        (Fault::DropAfter, 1),
        (Fault::Truncated, 2),
    ];
    for (fault, made) in faults {
        simulator.handle.fault(Route::Any, fault.clone(), 1);
        let failed = client.post("/place-call", &placement(URL)).await;
        assert!(failed.is_err(), "{fault:?}");
        assert_eq!(simulator.handle.calls().len(), made, "{fault:?}");
    }
}

#[tokio::test]
async fn other_faults_are_answers_of_their_own_kind() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    let elsewhere = "http://portal.example/".to_owned();
    let cases = [
        (Fault::Status(500), 500, "application/json", 0),
        (Fault::NotJson(502), 502, "text/html", 0),
        (Fault::CaptivePortal, 200, "text/html", 0),
        (Fault::Redirect(elsewhere.clone()), 302, "text/html", 0),
        (Fault::Oversized(10_000_000), 200, "application/json", 1),
        (Fault::Slow(ms(1)), 200, "application/json", 2),
    ];
    for (fault, status, kind, made) in cases {
        simulator.handle.fault(Route::Place, fault.clone(), 1);
        let answered = client.place(URL).await;
        assert_eq!(answered.status, status, "{fault:?}");
        let content = answered.header("content-type").unwrap();
        assert!(content.starts_with(kind), "{fault:?}: {content}");
        if status == 302 {
            assert_eq!(answered.header("location"), Some(&elsewhere[..]));
        }
        assert_eq!(simulator.handle.calls().len(), made, "{fault:?}");
    }
}

#[tokio::test]
async fn faults_wait_for_their_route() {
    let simulator = start(ringing()).await;
    let client = Client::new(&simulator);
    simulator.handle.fault(Route::List, Fault::Status(503), 2);
    assert_eq!(client.place(URL).await.status, 200);
    let list = format!("/numbers/{NUMBER_ID}/calls");
    assert_eq!(client.get(&list).await.status, 503);
    simulator.handle.clear_faults();
    assert_eq!(client.get(&list).await.status, 200);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let simulator = start(ringing()).await;
    let address = simulator.handle.origin().strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let request = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = guarded(stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("\r\ndate: "), "{answer}");
    }
}

#[tokio::test]
async fn several_run_side_by_side_and_stop() {
    let (one, two) = (start(ringing()).await, start(ringing()).await);
    assert_ne!(one.base_url, two.base_url);
    let client = Client::new(&one);
    let id = client.placed(URL).await;
    assert!(two.handle.calls().is_empty());

    let handle = one.handle.clone();
    guarded(one.stop()).await;
    assert_eq!(handle.call(&id).unwrap().status, Status::Canceled);
    assert!(client.post("/place-call", &placement(URL)).await.is_err());
    assert_eq!(Client::new(&two).place(URL).await.status, 200);
}

/// A call that is over, number `n`.
fn past(n: i64, created_at: Timestamp, blocked: bool) -> Call {
    Call {
        id: format!("00000000-0000-4000-8000-{n:012}"),
        number_id: NUMBER_ID.into(),
        local: NUMBER.into(),
        remote: CALLEE.into(),
        direction: Direction::Outbound,
        status: Status::Canceled,
        url: None,
        use_inkbox_tts: None,
        use_inkbox_stt: None,
        reason: None,
        started_at: None,
        ended_at: Some(created_at),
        blocked,
        created_at,
        updated_at: created_at,
    }
}
