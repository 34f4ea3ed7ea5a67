//! The vendor's own SDK, unchanged, against the simulator: what it takes for
//! the service is one.

use std::sync::Arc;
use std::time::Duration;

use callbox::simulator::{
    API_KEY, Answer, ApiKey, Call, Callee, Config, Direction, Handle, HangsUp, IDENTITY,
    IDENTITY_KEY, IncomingAction, NUMBER, NUMBER_ID, Number, Reason, Says, Simulator, Status, What,
};
use futures_util::{SinkExt, StreamExt};
use inkbox::Inkbox;
use inkbox::error::InkboxError;
use inkbox::filters::DateRangeFilter;
use inkbox::phone::{
    CallOrigin, CallPlacementOptions, IncomingCallAction, OnVoicemail, VoicemailDetection,
};
use jiff::{SignedDuration, Timestamp};
use tokio_tungstenite::tungstenite::Message;

const CALLEE: &str = "+15005550199";
const URL: &str = "wss://box.example/media/1";

/// Runs `test` against a simulator whose calls ring for a minute. The SDK
/// blocks, and its client must not be dropped on a runtime's thread.
async fn with_sdk<T: Send + 'static>(
    key: &'static str,
    test: impl FnOnce(Arc<Inkbox>, Handle) -> T + Send + 'static,
) -> T {
    let config = Config {
        callee: Callee::absent(Answer::RingsOut(Duration::from_secs(60))),
        ..Config::default()
    };
    with_service(config, key, test).await
}

async fn with_service<T: Send + 'static>(
    config: Config,
    key: &'static str,
    test: impl FnOnce(Arc<Inkbox>, Handle) -> T + Send + 'static,
) -> T {
    let simulator = Simulator::start(config).await.unwrap();
    let handle = simulator.handle.clone();
    let sdk = move || {
        let sdk = Inkbox::builder(key).base_url(handle.origin()).build();
        test(sdk.unwrap(), handle)
    };
    let result = tokio::task::spawn_blocking(sdk).await.unwrap();
    simulator.stop().await;
    result
}

fn place(sdk: &Inkbox, from: &str) -> Result<inkbox::phone::PhoneCallWithRateLimit, InkboxError> {
    let origin = CallOrigin::DedicatedNumber;
    sdk.calls()
        .place(CALLEE, origin, Some(from), None, Some(URL))
}

#[tokio::test]
async fn it_places_gets_and_lists_a_call() {
    with_sdk(API_KEY, |sdk, _| {
        let placed = place(&sdk, NUMBER).unwrap();
        assert_eq!(placed.call.status, "initiated");
        assert_eq!(placed.call.direction, "outbound");
        assert_eq!(placed.call.local_phone_number.as_deref(), Some(NUMBER));
        assert_eq!(placed.call.remote_phone_number, CALLEE);
        assert_eq!(placed.call.client_websocket_url.as_deref(), Some(URL));
        let limit = placed.rate_limit.unwrap();
        assert_eq!((limit.calls_used, limit.calls_remaining), (1, 99));
        assert_eq!(limit.minutes_limit, 100);

        let id = placed.call.id;
        let got = sdk.calls().get(&id.to_string()).unwrap();
        assert_eq!((got.id, got.created_at), (id, placed.call.created_at));
        let again = place(&sdk, NUMBER).unwrap().call.id;
        let ids = |limit, offset| -> Vec<_> {
            let listed = sdk.calls().list(Some(IDENTITY), limit, offset, None);
            listed.unwrap().iter().map(|call| call.id).collect()
        };
        assert_eq!(ids(50, 0), [again, id]);
        assert_eq!(ids(1, 1), [id]);
    })
    .await;
}

#[tokio::test]
async fn a_key_of_an_identity_lists_without_naming_it() {
    with_sdk(IDENTITY_KEY, |sdk, _| {
        let id = place(&sdk, NUMBER).unwrap().call.id;
        let listed = sdk.calls().list(None, 50, 0, Some(false)).unwrap();
        assert_eq!(listed[0].id, id);
        assert!(
            sdk.calls()
                .list(None, 50, 0, Some(true))
                .unwrap()
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn it_hangs_up() {
    let (id, handle) = with_sdk(API_KEY, |sdk, handle| {
        let id = place(&sdk, NUMBER).unwrap().call.id.to_string();
        let mut events = handle.events();
        let ringing = |what: &What| matches!(what, What::Status(Status::Ringing, _));
        let rings = events.find(|event| ringing(&event.what));
        let runtime = tokio::runtime::Handle::current();
        let guard = Duration::from_secs(30);
        let rings = async { tokio::time::timeout(guard, rings).await };
        runtime.block_on(rings).unwrap();
        assert_eq!(sdk.calls().hangup(&id).unwrap().status, "ringing");
        (id, handle)
    })
    .await;
    assert_eq!(handle.call(&id).unwrap().status, Status::Canceled);
}

#[tokio::test]
async fn refusals_are_what_it_expects() {
    with_sdk(API_KEY, |sdk, handle| {
        let status = |error: InkboxError| match error {
            InkboxError::Api { status_code, .. } => status_code,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(place(&sdk, "+15005550300").unwrap_err()), 403);
        let nobody = "99999999-9999-4999-8999-999999999999";
        assert_eq!(status(sdk.calls().get(nobody).unwrap_err()), 404);
        // An admin key has to name an identity.
        assert_eq!(
            status(sdk.calls().list(None, 50, 0, None).unwrap_err()),
            422
        );
        handle.set_limits(callbox::simulator::Limits {
            calls: 0,
            minutes: 100,
        });
        assert_eq!(status(place(&sdk, NUMBER).unwrap_err()), 429);
        let stranger = Inkbox::builder("wrong").base_url(handle.origin());
        let refused = place(&stranger.build().unwrap(), NUMBER).unwrap_err();
        assert_eq!(status(refused), 401);
    })
    .await;
}

/// A call that was made `minutes` ago and is over.
fn past(id: &str, minutes: i64, blocked: bool) -> Call {
    let then = Timestamp::now() - SignedDuration::from_mins(minutes);
    Call {
        id: id.into(),
        number_id: NUMBER_ID.into(),
        local: NUMBER.into(),
        remote: CALLEE.into(),
        direction: Direction::Inbound,
        status: Status::Completed,
        url: Some(URL.into()),
        use_inkbox_tts: Some(true),
        use_inkbox_stt: Some(false),
        reason: Some(Reason::Remote),
        started_at: Some(then),
        ended_at: Some(then),
        blocked,
        created_at: then,
        updated_at: then,
    }
}

const OLD: &str = "00000000-0000-4000-8000-000000000001";
const BLOCKED: &str = "00000000-0000-4000-8000-000000000002";

#[tokio::test]
async fn it_narrows_lists_by_time_and_by_what_was_blocked() {
    with_sdk(API_KEY, |sdk, handle| {
        handle.add_call(past(OLD, 3 * 24 * 60, false));
        handle.add_call(past(BLOCKED, 60, true));
        let id = place(&sdk, NUMBER).unwrap().call.id.to_string();
        let list = |blocked, start: Option<String>, end: Option<String>| -> Vec<String> {
            let filter = DateRangeFilter {
                tz: start.as_ref().or(end.as_ref()).map(|_| "UTC".to_owned()),
                start_datetime: start,
                end_datetime: end,
            };
            let calls = sdk.calls();
            let listed = calls.list_filtered(Some(IDENTITY), 200, 0, blocked, &filter);
            let ids = listed.unwrap().into_iter().map(|call| call.id.to_string());
            ids.collect()
        };
        let all = [&id[..], BLOCKED, OLD];
        assert_eq!(list(None, None, None), all);
        assert_eq!(list(Some(true), None, None), [BLOCKED]);
        assert_eq!(list(Some(false), None, None), [&id[..], OLD]);
        let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
        let stamp = yesterday.to_string();
        assert_eq!(list(None, Some(stamp.clone()), None), [&id[..], BLOCKED]);
        assert_eq!(list(None, None, Some(stamp)), [OLD]);
        let day = (yesterday - SignedDuration::from_hours(48)).to_string()[..10].to_owned();
        assert_eq!(list(None, Some(day.clone()), Some(day)), [OLD]);

        let old = sdk.calls().get(OLD).unwrap();
        assert_eq!(
            (old.use_inkbox_tts, old.use_inkbox_stt),
            (Some(true), Some(false))
        );
        assert_eq!(
            (&old.direction[..], old.hangup_reason.as_deref()),
            ("inbound", Some("remote"))
        );
        assert!(sdk.calls().get(BLOCKED).unwrap().is_blocked);
        let wrong = DateRangeFilter {
            start_datetime: Some("the day before".into()),
            ..DateRangeFilter::default()
        };
        let refused = sdk
            .calls()
            .list_filtered(Some(IDENTITY), 50, 0, None, &wrong);
        assert!(matches!(
            refused,
            Err(InkboxError::Api {
                status_code: 422,
                ..
            })
        ));
    })
    .await;
}

#[tokio::test]
async fn it_says_what_is_to_become_of_voicemail() {
    with_sdk(API_KEY, |sdk, _| {
        let with = |options: &CallPlacementOptions| {
            let origin = CallOrigin::DedicatedNumber;
            let calls = sdk.calls();
            calls.place_with_options(CALLEE, origin, Some(NUMBER), None, Some(URL), options)
        };
        for options in [
            CallPlacementOptions {
                voicemail_detection: Some(VoicemailDetection::Disabled),
                ..CallPlacementOptions::default()
            },
            CallPlacementOptions {
                on_voicemail: Some(OnVoicemail::Ignore),
                ..CallPlacementOptions::default()
            },
        ] {
            assert_eq!(with(&options).unwrap().call.status, "initiated");
        }
        // Only a call that is driven by an agent can leave a message.
        let message = CallPlacementOptions {
            on_voicemail: Some(OnVoicemail::LeaveMessage),
            ..CallPlacementOptions::default()
        };
        assert!(with(&message).is_err());
    })
    .await;
}

#[tokio::test]
async fn it_reads_and_sets_numbers() {
    with_sdk(API_KEY, |sdk, handle| {
        let numbers = sdk.phone_numbers().list().unwrap();
        assert_eq!(numbers.len(), 1);
        let number = sdk.phone_numbers().get(NUMBER_ID).unwrap();
        assert_eq!((number.id, &number.number[..]), (numbers[0].id, NUMBER));
        assert_eq!(number.incoming_call_action, "auto_reject");
        assert_eq!(number.agent_identity_id.unwrap().to_string(), IDENTITY);

        let accept = Some(Some("auto_accept"));
        let url = Some(Some(URL));
        let set = sdk.phone_numbers();
        let set = set.update(NUMBER_ID, accept, url, None, None).unwrap();
        assert_eq!(set.incoming_call_action, "auto_accept");
        assert_eq!(set.client_websocket_url.as_deref(), Some(URL));
        let now = handle.number(NUMBER_ID).unwrap();
        assert_eq!(now.incoming_call_action, IncomingAction::AutoAccept);

        // It accepts still, so it needs the URL; with the action it may go.
        let update = |action, url| {
            let numbers = sdk.phone_numbers();
            numbers.update(NUMBER_ID, action, url, None, None)
        };
        assert!(update(None, Some(None)).is_err());
        let cleared = update(Some(Some("auto_reject")), Some(None)).unwrap();
        assert_eq!(cleared.client_websocket_url, None);
        assert!(update(Some(Some("sing")), None).is_err());
    })
    .await;
}

#[tokio::test]
async fn it_reads_and_sets_what_becomes_of_calls_to_an_identity() {
    with_sdk(IDENTITY_KEY, |sdk, handle| {
        let action = sdk.incoming_call_action();
        let before = action.get(None).unwrap();
        assert_eq!(before.agent_identity_id.to_string(), IDENTITY);
        assert_eq!(before.incoming_call_action, IncomingCallAction::AutoReject);
        let accept = IncomingCallAction::AutoAccept;
        let set = action.set(accept, None, Some(URL), None).unwrap();
        assert_eq!(set.incoming_call_action, accept);
        assert_eq!(set.client_websocket_url.as_deref(), Some(URL));
        let number = handle.number(NUMBER_ID).unwrap();
        assert_eq!(number.incoming_call_action, IncomingAction::AutoAccept);
        assert_eq!(number.client_websocket_url.as_deref(), Some(URL));
        let reject = IncomingCallAction::AutoReject;
        action.set(reject, Some(IDENTITY), None, None).unwrap();
        assert_eq!(action.get(None).unwrap().incoming_call_action, reject);
        // What the simulator has no part of it does not pretend to do.
        assert!(
            action
                .set(IncomingCallAction::Forward, None, None, None)
                .is_err()
        );
    })
    .await;
}

/// The device's end of a stream whose pipeline is left to the service: says one
/// text, then waits for the end.
async fn speaks(listener: tokio::net::TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let text = r#"{"event":"text","delta":"Hi.","done":true}"#;
    socket.send(Message::text(text)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn it_reads_what_was_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/media", listener.local_addr().unwrap());
    let device = tokio::spawn(speaks(listener));
    let callee = Callee {
        answer: Answer::After(Duration::from_millis(1)),
        says: Says::Silence,
        hangs_up: HangsUp::After(Duration::from_millis(1500)),
        ..Callee::echoing()
    };
    let config = Config {
        callee: callee.saying(Duration::from_millis(600), "Who is it?"),
        ..Config::default()
    };
    with_service(config, API_KEY, move |sdk, handle| {
        let origin = CallOrigin::DedicatedNumber;
        let calls = sdk.calls();
        let placed = calls.place(CALLEE, origin, Some(NUMBER), None, Some(&url));
        let id = placed.unwrap().call.id;
        let mut events = handle.events();
        let over = |what: &What| matches!(what, What::Status(status, _) if status.is_over());
        let over = events.find(|event| over(&event.what));
        tokio::runtime::Handle::current().block_on(async {
            let guard = Duration::from_secs(30);
            tokio::time::timeout(guard, over).await.unwrap();
        });
        let said = calls.transcripts(&id.to_string()).unwrap();
        let said: Vec<_> = said
            .iter()
            .map(|s| (s.call_id, s.seq, &s.party[..], &s.text[..]))
            .collect();
        assert_eq!(
            said,
            [(id, 0, "local", "Hi."), (id, 1, "remote", "Who is it?")]
        );
        let call = calls.get(&id.to_string()).unwrap();
        assert_eq!(
            (call.use_inkbox_tts, call.use_inkbox_stt),
            (Some(true), Some(true))
        );
    })
    .await;
    device.await.unwrap();
}

/// What the SDK has no call for any more, asked as it asks: the older paths
/// answer with the same objects.
#[tokio::test]
async fn the_older_paths_give_what_it_reads() {
    let number = Number::default().id;
    with_sdk(API_KEY, move |sdk, handle| {
        _ = rustls::crypto::ring::default_provider().install_default();
        let id = place(&sdk, NUMBER).unwrap().call.id;
        let http = reqwest::Client::new();
        let ask = |path: String| {
            let url = format!("{}/numbers/{number}/calls{path}", handle.base_url());
            let request = http.get(url).header("x-api-key", API_KEY).send();
            tokio::runtime::Handle::current().block_on(async {
                let answered = request.await.unwrap().bytes().await.unwrap();
                serde_json::from_slice::<serde_json::Value>(&answered).unwrap()
            })
        };
        let listed: Vec<inkbox::phone::PhoneCall> =
            serde_json::from_value(ask(String::new())).unwrap();
        assert_eq!(listed[0].id, id);
        let call: inkbox::phone::PhoneCall = serde_json::from_value(ask(format!("/{id}"))).unwrap();
        assert_eq!((call.id, &call.direction[..]), (id, "outbound"));
        let said = ask(format!("/{id}/transcripts"));
        let said: Vec<inkbox::phone::PhoneTranscript> = serde_json::from_value(said).unwrap();
        assert!(said.is_empty());
    })
    .await;
}

#[tokio::test]
async fn another_s_numbers_are_refused() {
    let config = Config {
        keys: vec![ApiKey {
            secret: "another".into(),
            organization: "another".into(),
            identity: None,
        }],
        ..Config::default()
    };
    with_service(config, "another", |sdk, _| {
        let status = |error: InkboxError| match error {
            InkboxError::Api { status_code, .. } => status_code,
            other => panic!("{other:?}"),
        };
        let numbers = sdk.phone_numbers();
        assert!(numbers.list().unwrap().is_empty());
        assert_eq!(status(numbers.get(NUMBER_ID).unwrap_err()), 403);
        let url = Some(Some(URL));
        let set = numbers.update(NUMBER_ID, None, url, None, None);
        assert_eq!(status(set.unwrap_err()), 403);
        let nobody = "99999999-9999-4999-8999-999999999999";
        assert_eq!(status(numbers.get(nobody).unwrap_err()), 404);
        let action = sdk.incoming_call_action();
        assert_eq!(status(action.get(Some(IDENTITY)).unwrap_err()), 403);
        assert_eq!(status(action.get(None).unwrap_err()), 422);
        assert_eq!(status(sdk.calls().transcripts(nobody).unwrap_err()), 404);
    })
    .await;
}
