//! Place-call answers that do not come, or come late: rule 2.

use callbox::call::Phase;
use callbox::daemon::Setup;
use callbox::edge::store::Reconciled;
use callbox::simulator::{Answer, Callee, Fault, Route, Status, What};

use crate::kit::{Device, GUARD, Service, is_heard, ms, service_with, talks};

fn impatient(setup: &mut Setup) {
    setup.rest.timeouts.place = ms(400);
}

#[test]
fn a_call_whose_answer_was_lost_is_found_and_goes_on() {
    let callee = Callee {
        answer: Answer::After(ms(2500)),
        ..talks(3)
    };
    let service = Service::start(service_with(callee));
    service.handle.fault(Route::Place, Fault::TimeOutAfter, 1);
    let mut device = Device::start(&service, impatient);
    device.press();
    device.wait_for(Phase::Dialing);
    device.wait_for(Phase::Ringing);
    device.wait_for(Phase::Answered);
    let placed = service.wait_status(Status::Initiated).at;
    let answered = service.wait_status(Status::Answered).at;
    let listed = service.wait("the list is asked", |e| {
        let list = matches!(&e.what, What::Request { line, .. } if line.ends_with("/calls"));
        list && e.at > placed
    });
    assert!(
        listed.at < answered,
        "found by its stream: {}",
        service.journal()
    );
    device.hears();
    let call = service.call();
    is_heard(&device, &service, &call.id);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    let record = device.reconciled(&record);
    assert_eq!(record.call_id.as_ref().unwrap().as_str(), call.id);
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    assert_eq!(record.reconciled, Some(Reconciled::Done));
    assert!(record.http_error.is_some());
    assert_eq!(service.posts(), 1);
    assert_eq!(device.records(), 1);
}

#[test]
fn a_call_whose_answer_was_lost_is_found_by_its_stream() {
    let service = Service::start(service_with(talks(3)));
    service.handle.fault(Route::Place, Fault::DropAfter, 1);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.call_id.unwrap().as_str(), call.id);
    assert_eq!(service.posts(), 1);
}

#[test]
fn a_stream_before_the_answer_of_place_call_is_the_call() {
    let service = Service::start(service_with(talks(3)));
    service.handle.fault(Route::Place, Fault::Slow(ms(2500)), 1);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let answer = service.wait(
        "place-call is answered",
        |e| matches!(&e.what, What::Request { line, .. } if line.contains("/place-call")),
    );
    let stream = service.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    assert!(stream.at < answer.at, "{}", service.journal());
    let call = service.call();
    assert_eq!(call.status, Status::Answered);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    let record = device.reconciled(&record);
    assert_eq!(record.call_id.unwrap().as_str(), call.id);
    assert_eq!(record.http_status, Some(200));
    assert_eq!(device.records(), 1);
}

#[test]
fn a_press_that_is_cancelled_while_nothing_is_known_leaves_no_call() {
    let callee = Callee::absent(Answer::RingsOut(ms(30_000)));
    let service = Service::start(service_with(callee));
    service.handle.fault(Route::Place, Fault::TimeOutAfter, 1);
    let mut device = Device::start(&service, impatient);
    device.press();
    device.wait_for(Phase::Dialing);
    device.hang_up();
    let record = device.record();
    assert_eq!(
        record.local_reason.as_deref(),
        Some("cancelled at the device")
    );
    assert_eq!(service.call().status, Status::Canceled);
}

/// Its record was begun before its request was.
#[test]
fn a_press_that_waited_for_orphans_is_looked_up_like_any_other() {
    let callee = Callee {
        answer: Answer::After(ms(3000)),
        ..talks(1)
    };
    let service = Service::start(service_with(callee));
    service.handle.fault(Route::List, Fault::Slow(ms(500)), 2);
    service.handle.fault(Route::Place, Fault::TimeOutAfter, 1);
    let mut device = Device::start(&service, impatient);
    device.press();
    device.wait_for(Phase::Ringing);
    assert!(
        service.call().status != Status::Answered,
        "found by its stream"
    );
    device.hang_up();
    let record = device.record();
    let call = service.call();
    assert_eq!(record.call_id.unwrap().as_str(), call.id);
    assert_eq!(record.client_websocket_url, call.url);
    assert!(record.to_number.is_some() && record.from_number.is_some());
    assert_eq!(call.status, Status::Canceled);
    assert_eq!(device.records(), 1);
}

/// The device looks for calls of an earlier run while it places one of its own.
#[test]
fn a_call_that_is_being_placed_is_no_orphan() {
    let callee = Callee {
        answer: Answer::After(ms(2000)),
        ..talks(3)
    };
    let service = Service::start(service_with(callee));
    // No search succeeds before the call is there.
    service.handle.fault(Route::List, Fault::Status(503), 1000);
    service.handle.fault(Route::Place, Fault::Slow(ms(3500)), 1);
    let mut device = Device::start(&service, |_| {});
    device.press();
    let placed = service.wait_status(Status::Initiated).at;
    service.handle.clear_faults();
    service.wait("the search for orphans", |e| {
        let list = matches!(&e.what, What::Request { line, status: Some(200) } if line.ends_with("/calls"));
        list && e.at > placed
    });
    device.wait_for(Phase::Answered);
    device.hears();
    assert_eq!(device.counter("orphans_ended"), 0);
    assert!(service.handle.hang_up(&service.call().id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
}

#[test]
fn an_answer_that_breaks_off_is_looked_up() {
    found_all_the_same(Fault::Truncated);
}

#[test]
fn an_answer_without_end_is_looked_up() {
    found_all_the_same(Fault::Oversized(10 << 20));
}

/// The call was made; its answer is of no use.
#[track_caller]
fn found_all_the_same(fault: Fault) {
    let callee = Callee::absent(Answer::RingsOut(GUARD));
    let service = Service::start(service_with(callee));
    service.handle.fault(Route::Place, fault, 1);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Ringing);
    device.hang_up();
    let record = device.record();
    assert_eq!(record.call_id.unwrap().as_str(), service.call().id);
    assert!(record.http_error.is_some());
    assert_eq!(service.call().status, Status::Canceled);
    assert_eq!(service.posts(), 1);
}

/// All three are looked for as long as a call could come up: side by side.
#[test]
fn a_press_without_an_answer_or_a_call_fails_and_is_not_repeated() {
    let faults = [
        (Fault::TimeOutBefore, None, "no answer within"),
        // It may have struck after the carrier was asked.
        (Fault::Status(500), Some(500), "500"),
        (Fault::CaptivePortal, None, "web page"),
    ];
    std::thread::scope(|stories| {
        for (fault, status, said) in faults {
            stories.spawn(move || never_made(fault, status, said));
        }
    });
}

fn never_made(fault: Fault, status: Option<u16>, said: &str) {
    let service = Service::start(service_with(talks(1)));
    service.handle.fault(Route::Place, fault, 1);
    let mut device = Device::start(&service, impatient);
    device.press();
    device.wait_for(Phase::Dialing);
    device.wait_for(Phase::Failed);
    let record = device.record();
    let why = "no answer to place-call, and no call was found";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!((record.http_status, &record.call_id), (status, &None));
    let error = record.http_error.as_deref().unwrap();
    assert!(error.contains(said), "{error}");
    let record = device.reconciled(&record);
    assert_eq!(record.reconciled, Some(Reconciled::Absent));
    assert_eq!(device.counter("unknown_outcomes"), 1);
    assert_eq!(service.posts(), 1);
    assert!(service.handle.calls().is_empty());
}
