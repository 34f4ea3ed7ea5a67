//! Media sockets that break, move, stall and mangle: what is heard, and that
//! the call at the service is never forgotten.

use std::time::Duration;

use callbox::call::Phase;
use callbox::simulator::{Announce, ContextShape, Line, Reason, Says, Stall, Status, What};

use crate::kit::{Device, Service, is_heard, ms, says, service_with, talks};
use crate::sound::{self, LINE_RATE, chirp};

fn media_up(what: &What) -> bool {
    matches!(what, What::MediaUp { .. })
}

/// After a second socket: the same call goes on, both are heard, one record.
#[track_caller]
fn goes_on(service: &Service, mut device: Device) {
    service.wait_nth("a second socket", 2, media_up);
    let call = service.call();
    let from = device.heard().len();
    device.hears_after(from);
    is_heard(&device, service, &call.id);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    let record = device.reconciled(&record);
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    assert_eq!(record.reconnects, Some(1), "{}", service.journal());
    assert_eq!(device.records(), 1);
    assert_eq!(service.posts(), 1);
}

#[test]
fn a_socket_that_is_lost_and_dialed_again_carries_the_same_call() {
    let mut config = service_with(talks(12));
    config.service.redial_after_loss = Some(ms(500));
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("first audio", |e| e.what == What::FirstAudio);
    assert!(service.handle.drop_socket(&service.call().id));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    assert_eq!(device.counter("sockets_dropped"), 1);
    goes_on(&service, device);
}

#[test]
fn a_socket_closed_with_4500_comes_back_to_the_same_call() {
    let service = Service::start(service_with(talks(12)));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("first audio", |e| e.what == What::FirstAudio);
    assert!(service.handle.close_socket(&service.call().id, 4500));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    goes_on(&service, device);
}

#[test]
fn a_second_socket_takes_the_call_over() {
    let service = Service::start(service_with(talks(12)));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("first audio", |e| e.what == What::FirstAudio);
    assert!(service.handle.redial(&service.call().id));
    service.wait_nth("a second socket", 2, media_up);
    service.wait_nth("audio on it", 2, |what| *what == What::FirstAudio);
    device.wait_until("the first socket is given up", |device| {
        device.counter("sockets_taken_over") == 1
    });
    assert!(!device.shown.contains(&Phase::Reconnecting));
    goes_on(&service, device);
}

#[test]
fn a_socket_that_does_not_come_back_ends_the_call_at_the_service() {
    let service = Service::start(service_with(talks(12)));
    let mut device = Device::start(&service, |setup| setup.call.reconnect_within = ms(800));
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("first audio", |e| e.what == What::FirstAudio);
    assert!(service.handle.drop_socket(&service.call().id));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Failed);
    let record = device.record();
    let why = "the media stream broke and did not come back";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    let call = service.call();
    assert_eq!(
        (call.status, call.reason),
        (Status::Completed, Some(Reason::Local))
    );
}

/// The service hangs up on a device whose sound stops: silence is sent, too.
#[test]
fn a_visitor_who_says_nothing_keeps_the_call() {
    let mut config = service_with(talks(4));
    config.service.ends_without_audio = Some(ms(700));
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    let at = device.hears();
    device.hears_after(at + LINE_RATE as usize);
    assert_eq!(service.call().status, Status::Answered);
}

#[test]
fn a_call_that_is_answered_and_brings_no_stream_is_hung_up() {
    let service = Service::start(service_with(talks(1)));
    let mut device = Device::start(&service, |setup| {
        setup.call.stream_within = ms(800);
        // Where the service is told to dial, nobody listens.
        setup.public_url = callbox::wire::rest::WsUrl::parse("ws://127.0.0.1:1").ok();
    });
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_for(Phase::Failed);
    let record = device.record();
    let why = "answered, but no media stream came";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!((record.stream_at, record.codec), (None, None));
    assert_eq!(service.call().status, Status::Completed);
}

#[test]
fn what_a_stall_held_back_is_not_replayed() {
    is_back_in_time_after(ms(1000));
}

#[test]
fn what_a_stall_of_more_than_the_downlink_holds_held_back_is_not_replayed() {
    is_back_in_time_after(ms(1300));
}

/// After a stall the sound is back in time within two seconds, and what came
/// late is not played after it.
#[track_caller]
fn is_back_in_time_after(lasts: Duration) {
    // The stall is no multiple of the time from word to word, or a delay that
    // stays would look like none.
    let pause = 0.7;
    let every = pause + sound::CHIRP;
    let (stall, back) = (2.2, lasts.as_secs_f64() + 2.0);
    let words = sound::words(pause, LINE_RATE).repeat(40);
    let mut config = service_with(says(Says::Speech(words.into())));
    config.line = Line {
        stall: Some(Stall {
            at: ms(2200),
            lasts,
            every: None,
        }),
        ..Line::default()
    };
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    let first = device.hears();
    let up = service.wait("the socket", |e| media_up(&e.what)).at;
    let up = (up - service.wait_status(Status::Answered).at).as_secs_f64();
    // On a busy machine the card may run dry in the middle of a word: until
    // one is whole.
    let since_first = stall + back - up - pause;
    let from = first + (since_first * f64::from(LINE_RATE)) as usize;
    device.hears_after(from);
    let delay = device.status()["playout"]["delay_ms"].as_f64().unwrap();
    assert!(delay < 300.0, "playout is {delay} ms behind");
    let call = service.call();
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();

    let heard = device.heard();
    let chirps = sound::find_all(&heard[first..], &chirp(LINE_RATE));
    // How late each is against the first, in seconds, by its place in the row.
    let late = |at: f64| at - (at / every).round() * every;
    let mut places: Vec<i64> = Vec::new();
    for at in chirps {
        let at = at as f64 / f64::from(LINE_RATE);
        let place = (at / every).round() as i64;
        let since_answer = up + pause + at;
        eprintln!(
            "words {place} at {since_answer:.2} s, late by {:+.3} s",
            late(at)
        );
        assert!(
            places.last().is_none_or(|before| *before < place),
            "played twice"
        );
        places.push(place);
        if since_answer > stall + back {
            assert!(late(at) < 0.1, "words {place} are {:.3} s late", late(at));
        }
    }
    assert!(record.skipped_ms.unwrap() > 0 || record.concealed_ms.unwrap() > 0);
}

#[test]
fn a_line_that_mangles_is_lived_with_and_counted() {
    let mut config = service_with(talks(12));
    config.line = Line {
        seed: 7,
        jitter: ms(15),
        reorder: 0.05,
        duplicate: 0.05,
        garbage: 0.05,
        ..Line::default()
    };
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    is_heard(&device, &service, &call.id);
    device.wait_until("nonsense counted", |device| {
        device.counter("media_malformed") > 0
    });
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    assert_eq!((record.one_way, record.reconnects), (Some(false), Some(0)));
}

#[test]
fn a_socket_that_opens_when_the_call_is_over_is_not_the_next_calls() {
    let service = Service::start(service_with(says(Says::Silence)));
    let mut device = Device::start(&service, |_| {});
    for calls in 1..=2 {
        device.press();
        device.wait_for(Phase::Answered);
        let call = service.handle.calls().last().unwrap().id.clone();
        service.wait_nth("its audio", calls, |what| *what == What::FirstAudio);
        assert!(service.handle.hang_up(&call));
        let record = device.record();
        assert_eq!(record.call_id.unwrap().as_str(), call);
        assert_eq!(record.reconnects, Some(0));
        device.wait_for(Phase::Idle);
    }
    assert_eq!(device.records(), 2);
    assert_eq!(service.count(media_up), 2);
}

/// The other shape of every message that has two.
#[test]
fn an_older_service_is_understood() {
    let mut config = service_with(talks(6));
    config.service.context = ContextShape::Older;
    config.service.announce = Announce::Nothing;
    config.service.connected_frame = false;
    config.service.numbers_as_text = true;
    config.service.hangup_by_rest = false;
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    is_heard(&device, &service, &call.id);
    // Without hang-up over REST, `stop` on the stream ends it.
    device.hang_up();
    let record = device.record();
    assert_eq!(
        record.local_reason.as_deref(),
        Some("cancelled at the device")
    );
    assert_eq!(record.service_status.as_deref(), Some("completed"));
    assert_eq!(service.call().status, Status::Completed);
    assert_eq!(service.count(|what| *what == What::Stopped), 1);
}

#[test]
fn a_stream_of_another_encoding_ends_the_call_with_a_reason() {
    let mut config = service_with(talks(1));
    config.service.announce = Announce::Other {
        encoding: "G722".into(),
        sample_rate: 8_000,
    };
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_for(Phase::Failed);
    let record = device.record();
    let why = record.local_reason.unwrap();
    assert!(why.contains("a kind of sound"), "{why}");
    assert_eq!(service.call().status, Status::Completed);
}
