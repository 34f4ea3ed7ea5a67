//! Calls that go as they should, and those that nobody takes.

use callbox::call::Phase;
use callbox::edge::store::{Reconciled, Row};
use callbox::simulator::{Answer, Callee, Fault, Reason, Route, Says, Status, What};

use crate::kit::{
    CALLEE, Device, Folder, GUARD, Installed, Service, is_heard, ms, says, service_with, talks,
};
use crate::sound::{self, LINE_RATE};

#[test]
fn a_press_becomes_a_conversation_and_a_closed_record() {
    let service = Service::start(service_with(talks(3)));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Pressed);
    device.wait_for(Phase::Ringing);
    device.wait_for(Phase::Answered);
    let call = service.call();
    service.wait("first audio", |e| e.what == What::FirstAudio);

    // One after the other, since the device lets one side speak at a time.
    device.hears();
    is_heard(&device, &service, &call.id);

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
    assert_eq!(record.calls_remaining, Some(99));
    assert_eq!(record.minutes_remaining, Some(100.0));
    let negotiated = (record.use_inkbox_tts, record.use_inkbox_stt);
    assert_eq!(negotiated, (Some(false), Some(false)));
    let agreed = (record.service_use_inkbox_tts, record.service_use_inkbox_stt);
    assert_eq!(agreed, negotiated);
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

#[test]
fn a_call_nobody_answers_is_hung_up_and_leaves_no_orphan() {
    let away = Callee::absent(Answer::RingsOut(GUARD));
    let service = Service::start(service_with(away));
    let mut device = Device::start(&service, |setup| setup.buttons[0].ring_for = ms(900));
    device.press();
    device.wait_for(Phase::Ringing);
    device.wait_for(Phase::Failed);
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("nobody answered"));
    let record = device.reconciled(&record);
    assert_eq!(record.service_status.as_deref(), Some("canceled"));
    assert_eq!(record.service_hangup_reason.as_deref(), Some("local"));
    assert!(record.ringing_at.is_some() && record.answered_at.is_none());
    assert_eq!((record.stream_at, record.talk_ms), (None, None));
    let call = service.call();
    assert_eq!(
        (call.status, call.reason),
        (Status::Canceled, Some(Reason::Local))
    );
    let hung_up = |what: &What| matches!(what, What::Request { line, status: Some(200) } if line.ends_with("/hangup"));
    assert_eq!(service.count(hung_up), 1, "{}", service.journal());
}

#[test]
fn a_callee_who_declines_is_told_as_rejected() {
    let (service, record) = not_taken(Answer::Rejects(ms(300)));
    assert_eq!(record.local_reason.as_deref(), Some("rejected"));
    assert_eq!(record.service_status.as_deref(), Some("canceled"));
    assert_eq!(record.service_hangup_reason.as_deref(), Some("rejected"));
    assert_eq!(service.call().status, Status::Canceled);
}

#[test]
fn a_machine_that_answers_is_told_as_voicemail() {
    let (service, record) = not_taken(Answer::Voicemail(ms(300)));
    assert_eq!(record.local_reason.as_deref(), Some("a machine answered"));
    assert_eq!(record.service_hangup_reason.as_deref(), Some("voicemail"));
    assert_eq!(service.call().reason, Some(Reason::Voicemail));
}

#[test]
fn a_call_the_carrier_cannot_connect_is_told_as_failed() {
    let (service, record) = not_taken(Answer::Fails(ms(300)));
    let why = "the service could not connect it";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!(record.service_status.as_deref(), Some("failed"));
    assert_eq!(service.call().status, Status::Failed);
}

/// One press to a callee who does not talk; the service, and the record when
/// all is over.
fn not_taken(answer: Answer) -> (Service, Row) {
    let mut config = service_with(Callee::absent(answer));
    config.service.voicemail_detected_after = ms(600);
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Ringing);
    device.wait_for(Phase::Idle);
    let record = device.record();
    let record = device.reconciled(&record);
    service.assert_no_call_is_up();
    assert_eq!(service.posts(), 1);
    assert_eq!(device.records(), 1);
    (service, record)
}

#[test]
fn a_press_in_a_call_is_acknowledged_and_a_later_long_one_cancels() {
    let service = Service::start(service_with(says(Says::Silence)));
    let mut device = Device::start(&service, |setup| setup.panel.long_press = ms(700));
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("first audio", |e| e.what == What::FirstAudio);
    let before = device.heard().len();
    device.press();
    device.wait_until("the busy tone", |device| {
        let heard = device.heard();
        sound::loudest_at(&heard[before..], 425.0) > 1000.0
    });
    assert_eq!(device.counter("presses_in_call"), 1);
    assert_eq!(device.counter("presses"), 1);
    assert_eq!(service.call().status, Status::Answered);

    device.press_for(ms(1000));
    let record = device.record();
    assert_eq!(
        record.local_reason.as_deref(),
        Some("cancelled at the device")
    );
    let record = device.reconciled(&record);
    assert_eq!(record.service_hangup_reason.as_deref(), Some("local"));
    assert_eq!(service.call().status, Status::Completed);
    assert_eq!(service.posts(), 1);
    assert_eq!(device.records(), 1);
}

#[test]
fn a_finger_that_stays_on_the_button_does_not_cancel_its_own_call() {
    let service = Service::start(service_with(talks(3)));
    let mut device = Device::start(&service, |setup| setup.panel.long_press = ms(500));
    device.press_for(ms(1500));
    device.wait_for(Phase::Answered);
    device.hears();
    device.wait_until("the finger is off", |device| {
        device.card_began.elapsed() > ms(3000) || device.heard().len() > 24_000
    });
    let call = service.call();
    assert_eq!(call.status, Status::Answered);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
}

/// What began a call is forgotten with the finger: the next long press is
/// another call.
#[test]
fn a_button_that_calls_when_held_calls_each_time() {
    let service = Service::start(service_with(Callee::absent(Answer::Rejects(ms(100)))));
    let installed = Installed::plain(service.handle.base_url());
    let held = format!("to = \"{CALLEE}\"\npress = \"none\"\nlong_press = \"call\"");
    let installed = installed.button(held);
    let mut device = Device::start_as(&installed, Folder::new().into(), |setup| {
        setup.panel.long_press = ms(300);
    });
    for call in 1..=2 {
        device.press_for(ms(600));
        device.record();
        device.wait_for(Phase::Idle);
        assert_eq!(service.posts(), call);
    }
}

#[test]
fn a_call_the_service_ends_for_its_length_is_told_as_that() {
    let mut config = service_with(talks(5));
    config.service.max_duration = ms(1500);
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Ended);
    let record = device.record();
    let record = device.reconciled(&record);
    let why = "the service's maximum time was over";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!(
        record.service_hangup_reason.as_deref(),
        Some("max_duration")
    );
}

#[test]
fn silence_of_the_far_end_is_shown_and_recorded_as_one_way() {
    let words = sound::words(sound::PAUSE, LINE_RATE);
    let service = Service::start(service_with(says(Says::SpeechThenNoMedia(
        words.clone().into(),
    ))));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    let up = service.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    device.wait_for(Phase::OneWay);
    let last_word = service.began + up.at + sound::length(words.len());
    eprintln!(
        "one way is shown {:?} after the last packet",
        last_word.elapsed()
    );
    assert_eq!(device.counter("one_way_audio"), 1);
    let call = service.call();
    assert_eq!(
        call.status,
        Status::Answered,
        "the visitor may still be heard"
    );
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    let record = device.reconciled(&record);
    assert_eq!(record.one_way, Some(true));
}

#[test]
fn the_longest_call_is_warned_of_and_ended() {
    let service = Service::start(service_with(says(Says::Silence)));
    let mut device = Device::start(&service, |setup| {
        setup.call.max_call = ms(2500);
        setup.call.warn_before = ms(1500);
    });
    device.press();
    device.wait_for(Phase::Answered);
    let record = device.record();
    let why = "the device's maximum time was over";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!(record.service_status.as_deref(), Some("completed"));
    let heard = device.heard();
    assert!(sound::loudest_at(&heard, 1400.0) > 1000.0, "no warning");
    assert_eq!(service.call().reason, Some(Reason::Local));
}

/// The service cannot hang up a call that has no leg yet: it says 409.
#[test]
fn a_call_cancelled_before_it_rings_is_hung_up_until_it_is_gone() {
    let mut config = service_with(Callee::absent(Answer::RingsOut(GUARD)));
    config.service.ring_after = ms(1000);
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Dialing);
    device.hang_up();
    let record = device.record();
    assert_eq!(
        record.local_reason.as_deref(),
        Some("cancelled at the device")
    );
    assert_eq!(record.service_status.as_deref(), Some("canceled"));
    let refused = |what: &What| matches!(what, What::Request { line, status: Some(409) } if line.ends_with("/hangup"));
    assert!(service.count(refused) > 0, "{}", service.journal());
    assert_eq!(service.call().status, Status::Canceled);
}

#[test]
fn a_hang_up_that_does_not_get_through_is_repeated() {
    let service = Service::start(service_with(Callee::absent(Answer::RingsOut(GUARD))));
    service.handle.fault(Route::HangUp, Fault::Status(503), 2);
    service.handle.fault(Route::HangUp, Fault::DropBefore, 1);
    let mut device = Device::start(&service, |setup| setup.buttons[0].ring_for = ms(500));
    device.press();
    device.wait_for(Phase::Ringing);
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("nobody answered"));
    assert_eq!(service.call().status, Status::Canceled);
}

/// All that is known is the `stop` on the stream; the rest is asked for later.
#[test]
fn a_call_that_ends_while_the_service_does_not_answer_is_closed() {
    let service = Service::start(service_with(talks(3)));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    service.handle.fault(Route::Get, Fault::Status(503), 50);
    service.handle.fault(Route::HangUp, Fault::Status(503), 50);
    assert!(service.handle.hang_up(&service.call().id));
    device.wait_for(Phase::Ended);
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    // The next press is not held up by it.
    service.handle.clear_faults();
    device.press();
    device.wait_for(Phase::Answered);
    let calls = service.handle.calls();
    assert_eq!(calls.len(), 2);
    assert!(service.handle.hang_up(&calls[1].id));
    device.record();
}
