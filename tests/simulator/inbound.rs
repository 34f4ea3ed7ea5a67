//! Calls to the device's number.

use callbox::simulator::{
    Config, Direction, HangsUp, IDENTITY_KEY, IncomingAction, NUMBER, NUMBER_ID, Reason, Says,
    Status, What,
};
use serde_json::{Value, json};

use crate::common::*;

const CALLER: &str = "+15005550177";

/// A service whose number accepts calls and streams them to `url`.
fn accepting(url: &str) -> Config {
    let mut config = answering(Says::Silence, HangsUp::Never);
    let number = &mut config.numbers[0];
    number.incoming_call_action = IncomingAction::AutoAccept;
    number.client_websocket_url = Some(url.into());
    config
}

#[tokio::test]
async fn an_accepted_call_opens_a_signed_stream_to_the_number_s_url() {
    let device = Device::listen().await;
    let mut config = accepting(&device.url());
    config.service.signing_key = Some("secret".into());
    let simulator = start(config).await;
    let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    let mut media = device.accept().await;
    assert_eq!(media.request.uri().path(), "/media/token");
    let headers = media.request.headers();
    assert!(headers.contains_key("x-inkbox-signature"));
    let context = headers["x-call-context"].to_str().unwrap();
    let context: Value = serde_json::from_str(context).unwrap();
    assert_eq!(context["id"], id);
    assert_eq!(context["direction"], "inbound");
    assert_eq!(context["remote_phone_number"], CALLER);
    assert_eq!(context["local_phone_number"], NUMBER);
    assert_eq!(context["status"], "answered");
    let start = media.frame_of("start").await;
    assert_eq!(start["start"]["call_control_id"], id);
    media.frame_of("media").await;

    let client = Client::new(&simulator);
    let call = client.get(&format!("/calls/{id}")).await.body;
    assert_eq!(
        (&call["direction"], &call["status"]),
        (&json!("inbound"), &json!("answered"))
    );
    assert_eq!(call["client_websocket_url"], device.url());
    let listed = client
        .get(&format!("/numbers/{NUMBER_ID}/calls"))
        .await
        .body;
    assert_eq!(listed[0]["id"], call["id"]);
    // The daily limit is for calls that are placed.
    let placed = client.place("wss://box.example/m").await.body;
    assert_eq!(placed["rate_limit"]["calls_used"], 1);

    media.send(json!({"event": "stop"})).await;
    let call = over(&simulator.handle, &id).await;
    assert_eq!(
        (call.status, call.reason),
        (Status::Completed, Some(Reason::Local))
    );
    assert_eq!(call.direction, Direction::Inbound);
}

#[tokio::test]
async fn a_caller_does_what_callees_do() {
    let device = Device::listen().await;
    let mut config = accepting(&device.url());
    config.callee = config.callee.pressing(ms(0), "42").saying(ms(0), "Hello");
    config.callee.hangs_up = HangsUp::After(ms(1000));
    let simulator = start(config).await;
    let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    let both = &[];
    let mut media = device.accept_with(both).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event| event != "stop") {
        events.push(media.frame().await["event"].clone());
    }
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!(
        (count("dtmf"), count("transcript"), count("media")),
        (2, 1, 0)
    );
    assert_eq!(
        over(&simulator.handle, &id).await.reason,
        Some(Reason::Remote)
    );
}

#[tokio::test]
async fn who_is_not_let_in_is_on_record() {
    let actions = [IncomingAction::AutoReject, IncomingAction::Webhook];
    for action in actions {
        let mut config = accepting("wss://box.example/in");
        config.numbers[0].incoming_call_action = action;
        let simulator = start(config).await;
        let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
        let call = simulator.handle.call(&id).unwrap();
        assert_eq!(
            (call.status, call.reason),
            (Status::Canceled, Some(Reason::Rejected))
        );
        assert_eq!((call.url, call.blocked), (None, false));
        let mut events = simulator.handle.events();
        let all = std::iter::from_fn(|| events.try_next());
        assert!(!all.into_iter().any(|event| event.what == What::Dialing));
    }
}

#[tokio::test]
async fn a_blocked_caller_is_for_admin_keys_only() {
    let mut config = accepting("wss://box.example/in");
    config.numbers[0].blocked_callers = vec![CALLER.into()];
    let simulator = start(config).await;
    let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    let mut client = Client::new(&simulator);
    let path = format!("/calls/{id}");
    let shown = client.get(&path).await.body;
    assert_eq!(
        (&shown["is_blocked"], &shown["status"]),
        (&json!(true), &json!("canceled"))
    );
    let list = format!("/numbers/{NUMBER_ID}/calls?is_blocked=true");
    assert_eq!(client.get(&list).await.body.as_array().unwrap().len(), 1);
    client.key = IDENTITY_KEY;
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.get(&format!("{path}/transcripts")).await.status, 404);
    assert_eq!(client.get(&list).await.body, json!([]));
}

#[tokio::test]
async fn a_call_the_device_refuses_does_not_linger() {
    // Nobody listens there.
    let url = Device::listen().await.url();
    let simulator = start(accepting(&url)).await;
    let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    let call = over(&simulator.handle, &id).await;
    assert_eq!(
        (call.status, call.reason),
        (Status::Completed, Some(Reason::Local))
    );
    assert_eq!(call.use_inkbox_tts, None);
    event(&simulator.handle, &id, |what| {
        matches!(what, What::MediaRefused(_))
    })
    .await;
}

#[tokio::test]
async fn what_was_set_over_rest_is_followed() {
    let device = Device::listen().await;
    let simulator = start(patient()).await;
    let client = Client::new(&simulator);
    let rejected = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    assert_eq!(
        over(&simulator.handle, &rejected).await.status,
        Status::Canceled
    );
    let set = json!({"incoming_call_action": "auto_accept", "client_websocket_url": device.url()});
    let path = format!("/numbers/{NUMBER_ID}");
    assert_eq!(client.ask("PATCH", &path, &set).await.status, 200);
    let id = simulator.handle.call_in(CALLER, NUMBER).unwrap();
    device.accept().await.frame_of("start").await;
    reached(&simulator.handle, &id, Status::Answered).await;
}

#[tokio::test]
async fn nobody_can_call_where_there_is_no_number() {
    let simulator = start(accepting("wss://box.example/in")).await;
    let handle = simulator.handle.clone();
    assert_eq!(handle.call_in(CALLER, "+15005550999"), None);
    assert!(handle.set_active(NUMBER_ID, false));
    assert_eq!(handle.call_in(CALLER, NUMBER), None);
    assert!(handle.set_active(NUMBER_ID, true));
    guarded(simulator.stop()).await;
    assert_eq!(handle.call_in(CALLER, NUMBER), None);
    assert!(handle.calls().is_empty());
}
