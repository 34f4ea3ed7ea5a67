//! Presses that make no call: the service, the network or a limit says no.

use std::net::TcpListener;
use std::sync::Arc;

use callbox::call::Phase;
use callbox::edge::store::{Outcome, Reconciled, Row};
use callbox::simulator::{self, Answer, Callee, Fault, Limits, Route};

use crate::kit::{Device, Folder, Installed, Service, ms, service_with, talks};

/// One press that is refused, shown as `phase`; its record.
#[track_caller]
fn refused(service: &Service, phase: Phase) -> Row {
    let mut device = Device::start(service, |_| {});
    device.press();
    device.wait_for(phase);
    let record = device.record();
    assert_eq!(service.posts(), 1, "{}", service.journal());
    service.assert_no_call_is_up();
    assert_eq!(device.records(), 1);
    record
}

#[track_caller]
fn says(record: &Row, status: u16, reason: &str) {
    assert_eq!(record.http_status, Some(status));
    assert_eq!(record.outcome(), Outcome::Refused);
    assert_eq!(record.local_reason.as_deref(), Some(reason));
    assert!(record.http_error.is_some());
    assert_eq!((record.accepted_at, record.answered_at), (None, None));
}

#[test]
fn a_carrier_that_does_not_dial_is_a_failed_call() {
    let service = Service::start(service_with(Callee::absent(Answer::DialFails)));
    let record = refused(&service, Phase::Failed);
    says(&record, 502, "the carrier did not dial");
}

#[test]
fn a_key_that_is_not_accepted_is_told_as_that() {
    let mut config = service_with(talks(1));
    config.keys.clear();
    let record = refused(&Service::start(config), Phase::Failed);
    says(&record, 401, "the API key was not accepted");
}

#[test]
fn a_number_of_somebody_else_is_told_as_that() {
    let mut config = service_with(talks(1));
    config.numbers[0].organization = "somebody else".into();
    let record = refused(&Service::start(config), Phase::Failed);
    says(&record, 403, "from_number is another organization's");
}

#[test]
fn a_number_that_is_switched_off_is_told_as_that() {
    let service = Service::start(service_with(talks(1)));
    assert!(service.handle.set_active(simulator::NUMBER_ID, false));
    let record = refused(&service, Phase::Failed);
    says(&record, 400, "from_number is not active");
}

#[test]
fn a_used_up_day_is_kept_to_over_a_restart() {
    let mut config = service_with(talks(1));
    config.limits = Limits {
        calls: 0,
        minutes: 100,
    };
    let service = Service::start(config);
    let installed = Installed::plain(service.handle.base_url());
    let folder = Arc::new(Folder::new());
    let mut device = Device::start_as(&installed, Arc::clone(&folder), |_| {});
    device.press();
    device.wait_for(Phase::Limited);
    let record = device.record();
    says(
        &record,
        429,
        "the organization's calls or minutes are used up",
    );
    device.wait_for(Phase::Idle);
    device.press();
    device.wait_for(Phase::Limited);
    asked_to_wait(&device.record());
    device.stop();

    let mut device = Device::start_as(&installed, folder, |_| {});
    device.press();
    device.wait_for(Phase::Limited);
    asked_to_wait(&device.record());
    assert_eq!(service.posts(), 1, "{}", service.journal());
    assert_eq!(device.records(), 3);
}

#[track_caller]
fn asked_to_wait(record: &Row) {
    let why = "not placed: the service asked to wait";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!((record.sent_at, record.http_status), (None, None));
    assert_eq!(record.reconciled, Some(Reconciled::NotSent));
}

#[test]
fn a_service_out_of_reach_is_shown_before_and_after_a_press() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let installed = Installed::plain(format!("http://{nobody}/api/v1/phone"));
    let mut device = Device::start_as(&installed, Arc::new(Folder::new()), |_| {});
    device.wait_for(Phase::Offline);
    assert_eq!(device.status()["service"], "not reached");
    device.press();
    device.wait_for(Phase::Pressed);
    device.wait_for(Phase::Offline);
    let record = device.record();
    let why = "the service was not reached";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!(record.http_status, None);
}

#[test]
fn a_service_that_comes_back_takes_the_next_press() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let installed = Installed::plain(format!("http://{address}/api/v1/phone"));
    let mut device = Device::start_as(&installed, Arc::new(Folder::new()), |setup| {
        setup.call.show_for = ms(100);
    });
    device.wait_for(Phase::Offline);
    let mut config = service_with(talks(1));
    config.listen = address;
    let service = Service::start(config);
    // The finger's first edge looks whether the service is there.
    device.press();
    device.wait_for(Phase::Answered);
    assert_eq!(device.status()["service"], "reached");
    assert!(service.handle.hang_up(&service.call().id));
    device.record();
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Service::start(service_with(talks(1)));
    let service = Service::start(service_with(talks(1)));
    let to = format!("{}/place-call", elsewhere.handle.base_url());
    service.handle.fault(Route::Place, Fault::Redirect(to), 1);
    let record = refused(&service, Phase::Failed);
    assert_eq!(record.http_status, Some(302));
    assert_eq!(elsewhere.posts(), 0);
}
