//! Calls that go as they should, and those that nobody takes.

use std::time::{Duration, Instant};

use callbox::call::Phase;
use callbox::edge::store::Reconciled;
use callbox::simulator::{Reason, Status, What};

use crate::kit::{Device, Service, service_with, talks};
use crate::sound::{self, LINE_RATE};

#[test]
fn a_press_becomes_a_conversation_and_a_closed_record() {
    let chirp = sound::chirp(LINE_RATE);
    let service = Service::start(service_with(talks(1)));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Pressed);
    device.wait_for(Phase::Ringing);
    device.wait_for(Phase::Answered);
    let up = service.wait("media up", |e| matches!(e.what, What::MediaUp { .. }));
    let call = service.call();
    service.wait("first audio", |e| e.what == What::FirstAudio);

    // One after the other, since the device lets one side speak at a time.
    let at = device.hears(&chirp);
    let played = device.card_began + sound::length(at);
    let pause = Duration::from_secs_f64(sound::PAUSE);
    let spoken = service.began + up.at + pause;
    eprintln!("callee's mouth to speaker: {:?}", played - spoken);
    device.visitor.speak();
    let spoken = Instant::now() + pause;
    let at = service.hears(&call.id, &chirp);
    let answered = service.wait_status(Status::Answered).at;
    let heard = service.began + answered + sound::length(at);
    eprintln!("microphone to callee's ear: {:?}", heard - spoken);

    assert!(service.handle.hang_up(&call.id));
    device.wait_for(Phase::Ended);
    let record = device.record();
    assert_eq!(record.closed, Some(true));
    let record = device.reconciled(&record);
    assert_eq!(record.call_id.as_ref().unwrap().as_str(), call.id);
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    assert_eq!(record.service_status.as_deref(), Some("completed"));
    assert_eq!(record.service_hangup_reason.as_deref(), Some("remote"));
    assert_eq!(record.reconciled, Some(Reconciled::Done));
    assert_eq!((record.one_way, record.reconnects), (Some(false), Some(0)));
    assert_eq!(record.codec.as_deref(), Some("PCMU/8000"));
    let stamps = [
        record.pressed_at,
        record.sent_at,
        record.accepted_at,
        record.ringing_at,
        record.answered_at,
        record.ended_at,
    ];
    assert!(stamps.iter().all(Option::is_some), "{record:?}");
    assert!(stamps.is_sorted(), "{record:?}");
    assert!(record.stream_at.is_some() && record.delay_p50_ms.is_some());
    let service_started = service.call().started_at.unwrap();
    let said = record.service_started_at.unwrap();
    let said: jiff::Timestamp = said.parse().unwrap();
    assert!(said.duration_since(service_started).as_millis_f64().abs() < 1.0);
    assert_eq!(service.call().status, Status::Completed);
    assert_eq!(service.call().reason, Some(Reason::Remote));
    assert_eq!(service.posts(), 1);
}
