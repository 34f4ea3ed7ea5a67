//! The vendor's own SDK, unchanged, against the simulator: what it takes for
//! the service is one.

use std::sync::Arc;
use std::time::Duration;

use callbox::simulator::{
    API_KEY, Answer, Callee, Config, Handle, IDENTITY, IDENTITY_KEY, NUMBER, Simulator, Status,
    What,
};
use inkbox::Inkbox;
use inkbox::error::InkboxError;
use inkbox::phone::CallOrigin;

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
