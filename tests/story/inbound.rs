//! Somebody calls the device.

use callbox::call::Phase;
use callbox::edge::store::{Direction, Outcome};
use callbox::edge::virtual_panel::Thing;
use callbox::panel::LampRole;
use callbox::simulator::{self, Fault, IncomingAction, Route, Status, What};

use crate::kit::{
    Device, Folder, INBOUND_TOKEN, Installed, SIGNING_KEY, Service, address, is_heard, ms,
    service_with, talks,
};

const CALLER: &str = "+15005550177";
const STRANGER: &str = "+15005550166";

/// A service that knows where calls to the device go, and the device's file.
fn start(action: &str, rest: &str) -> (Service, Device) {
    let listen = address();
    let mut config = service_with(talks(30));
    config.service.signing_key = Some(SIGNING_KEY.to_owned());
    config.numbers[0].incoming_call_action = IncomingAction::AutoAccept;
    config.numbers[0].client_websocket_url = Some(format!("ws://{listen}/inbound/{INBOUND_TOKEN}"));
    let service = Service::start(config);
    let folder = Folder::new();
    let installed = Installed::plain(service.handle.base_url());
    let installed = installed
        .called(&folder, &listen, action, CALLER)
        .with(rest);
    let device = Device::start_as(&installed, folder.into(), |setup| {
        setup.call.chime_for = ms(800);
    });
    (service, device)
}

fn call_in(service: &Service, from: &str) -> String {
    service
        .handle
        .call_in(from, simulator::NUMBER)
        .expect("the number is known")
}

#[test]
fn a_call_to_the_device_chimes_and_then_the_two_talk() {
    let (service, mut device) = start("chime", "");
    let call = call_in(&service, CALLER);
    device.wait_for(Phase::Chiming);
    assert_eq!(device.times_on(Thing::Lamp(LampRole::Listen)), 0);
    device.wait_for(Phase::Answered);
    device.hears();
    is_heard(&device, &service, &call);
    assert!(service.handle.hang_up(&call));
    let record = device.record();
    let record = device.reconciled(&record);
    assert_eq!(record.service_hangup_reason.as_deref(), Some("remote"));
    assert_eq!(record.service_use_inkbox_stt, Some(false));
    assert_eq!(record.direction, Some(Direction::Inbound));
    assert_eq!(record.from_number.as_ref().unwrap().as_str(), CALLER);
    assert_eq!(record.button, None);
    assert!(record.joined_after_ms >= Some(800));
    assert_eq!(record.codec.as_deref(), Some("PCMU/8000"));
    assert!(record.delay_p50_ms.is_some() && record.xruns.is_some());
    let whole = device.reconciled(&record);
    assert_eq!(whole.service_hangup_reason.as_deref(), Some("remote"));
    let timeline = device.reader().timeline(&record.token).unwrap();
    assert!(timeline.is_some_and(|timeline| !timeline.columns.is_empty()));
}

#[test]
fn a_press_lets_the_caller_in_at_once() {
    let (service, mut device) = start("chime", "");
    call_in(&service, CALLER);
    device.wait_for(Phase::Chiming);
    device.press();
    device.wait_for(Phase::Answered);
    device.hang_up();
    let record = device.record();
    assert_eq!(record.outcome(), Outcome::Answered);
    assert_eq!(service.posts(), 0);
    service.wait_status(Status::Completed);
}

#[test]
fn a_call_that_is_answered_at_once_is_heard_at_once() {
    let (service, mut device) = start("answer", "");
    call_in(&service, CALLER);
    device.wait_for(Phase::Answered);
    device.hears();
}

#[test]
fn a_stranger_is_turned_away_and_hung_up() {
    let (service, mut device) = start("chime", "");
    call_in(&service, STRANGER);
    service.wait_status(Status::Completed);
    device.wait_until("it is counted", |d| d.counter("inbound_turned_away") == 1);
    assert!(device.shown.iter().all(|phase| *phase != Phase::Chiming));
    assert_eq!(device.records(), 0);
}

#[test]
fn quiet_hours_let_nobody_in() {
    let (service, mut device) = start("chime", "[hours]\nquiet = \"00:00-23:59, 23:59-00:00\"");
    device.wait_until("the clock is known", |device| {
        device.status()["quiet"] == true
    });
    call_in(&service, CALLER);
    service.wait_status(Status::Completed);
    assert_eq!(device.records(), 0);
}

#[test]
fn a_second_caller_finds_it_busy() {
    let (service, mut device) = start("answer", "");
    let first = call_in(&service, CALLER);
    device.wait_for(Phase::Answered);
    let second = call_in(&service, CALLER);
    let over = |id: &str| service.handle.call(id).unwrap().status.is_over();
    device.wait_until("the second is over", |_| over(&second));
    assert!(!over(&first));
    device.hears();
}

#[test]
fn a_call_to_a_device_that_refuses_finds_no_door() {
    let (service, mut device) = start("refuse", "");
    call_in(&service, CALLER);
    service.wait("refused", |event| {
        matches!(event.what, What::MediaRefused(_))
    });
    assert_eq!(device.records(), 0);
}

/// The first call goes on, and so does what is drawn of it.
#[test]
fn who_is_turned_away_leaves_no_mark_on_the_call_that_is_up() {
    let (service, mut device) = start("answer", "");
    let first = call_in(&service, CALLER);
    device.wait_for(Phase::Answered);
    device.hears();
    let second = call_in(&service, CALLER);
    let turned_away = device.record();
    assert_eq!(turned_away.outcome(), Outcome::Rejected);
    assert_eq!(turned_away.call_id.unwrap().as_str(), second);
    assert!(service.handle.hang_up(&first));
    let record = device.record();
    device.wait_until("its timeline is on record", |device| {
        device.reader().timeline(&record.token).unwrap().is_some()
    });
    let timeline = device.reader().timeline(&record.token).unwrap().unwrap();
    assert!(timeline.columns.len() > 1, "{timeline:?}");
    let told = |what: &str| timeline.events.iter().any(|(_, told)| told == what);
    assert!(told("answered"), "{timeline:?}");
    let other = device.reader().timeline(&turned_away.token).unwrap();
    assert!(other.is_none(), "{other:?}");
}

/// Whoever waits for the service's word when the device is stopped is sent
/// home, and does not wait for a device that is gone.
#[test]
fn a_caller_who_is_being_asked_about_is_sent_home_at_a_stop() {
    let (service, mut device) = start("chime", "");
    service.handle.fault(Route::Get, Fault::TimeOutBefore, 1);
    call_in(&service, CALLER);
    device.wait_until("it is met", |device| {
        device.status()["trace"]
            .to_string()
            .contains("inbound stream")
    });
    device.stop();
    service.wait("it is told", |event| event.what == What::Stopped);
    service.wait_status(Status::Completed);
}

/// What cut the stream may keep the service from answering, too: who was let
/// in is not asked for again.
#[test]
fn a_caller_whose_stream_comes_back_is_let_in_without_the_services_word() {
    let (service, mut device) = start("answer", "");
    let call = call_in(&service, CALLER);
    device.wait_for(Phase::Answered);
    service.wait("first audio", |event| event.what == What::FirstAudio);
    service.handle.fault(Route::Get, Fault::Status(500), 1000);
    assert!(service.handle.close_socket(&call, 4500));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    let from = device.heard().len();
    device.hears_after(from);
    assert_eq!(device.counter("inbound_turned_away"), 0);
    assert_eq!(service.handle.call(&call).unwrap().status, Status::Answered);
}
