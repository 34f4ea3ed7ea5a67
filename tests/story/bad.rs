//! Nonsense and malice on every way in: refused or lived with, said or
//! counted, and no call left up.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callbox::call::Phase;
use callbox::edge::store::{Outcome, Party, Row};
use callbox::edge::virtual_panel::Thing;
use callbox::simulator::{
    self, Answer, Callee, Direction, Encoding, Fault, IncomingAction, Route, Says, Status, What,
};
use ring::hmac;
use serde_json::json;

use crate::kit::{
    CALLEE, Device, Folder, INBOUND_TOKEN, Installed, SIGNING_KEY, Service, address, is_heard, ms,
    poll, says, service_with, talks,
};
use crate::sound;

/// The code is of the keys that the floods here press, too.
const DOOR: &str = "[[door]]\n\
                    name = \"gate\"\n\
                    line = \"GPIO22\"\n\
                    pulse_ms = 100\n\
                    code = \"42#\"\n\
                    words = [\"open the gate\"]\n";
/// What speaks for a button that announces, and listens.
const ALARM: &str =
    "kind = \"announce\"\nsay = \"Water in the cellar.\"\nrepeat = 1\ninkbox_stt = true";

fn start(service: &Service, button: &str, rest: &str) -> Device {
    let installed = Installed::plain(service.handle.base_url());
    let button = format!("to = \"{CALLEE}\"\n{button}");
    let installed = installed.button(button).with(rest);
    Device::start_as(&installed, Folder::new().into(), |_| {})
}

/// Sends the device this frame in the call there is; waits while its queue is full.
#[track_caller]
fn send(service: &Service, frame: &str) {
    let call = service.call().id;
    poll(
        || service.handle.send_frame(&call, frame).then_some(()),
        || "the call is not up".to_owned(),
    );
}

/// Both are still heard, and the call ends as calls do; its record.
#[track_caller]
fn goes_on(service: &Service, mut device: Device) -> (Row, Device) {
    let from = device.heard().len();
    device.hears_after(from);
    is_heard(&device, service, &service.call().id);
    device.hang_up();
    let record = device.record();
    assert_eq!(record.outcome(), Outcome::Answered, "{}", service.journal());
    service.assert_no_call_is_up();
    (record, device)
}

fn key(key: char) -> String {
    json!({"event": "dtmf", "dtmf": {"digit": key.to_string()}}).to_string()
}

fn media(sound: &[u8]) -> String {
    let payload = STANDARD.encode(sound);
    json!({"event": "media", "media": {"track": "inbound", "payload": payload}}).to_string()
}

fn transcript(text: &str) -> String {
    json!({"event": "transcript", "text": text, "is_final": true}).to_string()
}

// Keys.

#[test]
fn a_flood_of_keys_opens_no_door_and_the_call_goes_on() {
    let service = Service::start(service_with(talks(30)));
    let mut device = start(&service, "", DOOR);
    device.press();
    device.wait_for(Phase::Answered);
    for n in 0..2000 {
        send(&service, &key(char::from(b"0123456789"[n % 10])));
    }
    device.wait_until("it is counted", |d| d.counter("digits_flooded") > 1900);
    // Not keys at all.
    for odd in ["", "42#", "E", "\u{0}", "٤"] {
        let digit = json!({"event": "dtmf", "dtmf": {"digit": odd}});
        send(&service, &digit.to_string());
    }
    device.wait_until("those too", |d| d.counter("media_malformed") >= 5);
    let (record, device) = goes_on(&service, device);
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
    assert_eq!(record.openings, Some(0));
    assert!(record.digits < Some(100), "{:?}", record.digits);
}

/// Tones as fast as they are valid, for as long as it takes to try a code: who
/// guesses is not listened to any more, also when the guess is right at last.
#[test]
fn tones_without_end_lock_the_door() {
    const SEVEN: [f64; 2] = [852.0, 1209.0];
    let rate = f64::from(sound::LINE_RATE);
    let tone = |n: u32| {
        let on = n % 800 < 400;
        let sine = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / rate).sin();
        let loud = 6000.0 * SEVEN.map(sine).iter().sum::<f64>();
        if on { loud as i16 } else { 0 }
    };
    let tones: Vec<i16> = (0..8000).map(tone).collect();
    let service = Service::start(service_with(says(Says::Forever(tones.into()))));
    let mut device = start(&service, "", DOOR);
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_until("the door is deaf", |d| d.counter("keys_ignored") > 0);
    for code in "42#42#".chars() {
        send(&service, &key(code));
    }
    let heard = device.counter("keys_ignored");
    device.wait_until("they are passed over", |d| {
        d.counter("keys_ignored") > heard + 6
    });
    device.hang_up();
    let record = device.record();
    assert!(record.digits > Some(32), "{:?}", record.digits);
    assert_eq!(record.openings, Some(0));
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
    service.assert_no_call_is_up();
}

// Words.

/// Where the service listens: what is odd is cleaned, clipped or refused.
#[test]
fn odd_words_are_kept_harmless_or_not_at_all() {
    let service = Service::start(service_with(talks(1)));
    let mut device = start(&service, "inkbox_stt = true", DOOR);
    device.press();
    device.wait_for(Phase::Answered);
    let far = "ü".repeat(100_000);
    send(
        &service,
        &transcript("\u{1b}[2J\u{202e}good\r\n\u{0}\u{7}evening"),
    );
    send(&service, &transcript("\u{0}\u{1b}\n\t "));
    send(&service, &transcript(""));
    send(&service, &transcript(&far));
    for odd in [
        json!({"event": "transcript", "is_final": true}),
        json!({"event": "transcript", "text": {"a": [1]}, "is_final": true}),
        json!({"event": "transcript", "text": "open the gate", "is_final": "perhaps"}),
        json!({"event": "transcript"}),
    ] {
        send(&service, &odd.to_string());
    }
    send(&service, &transcript("the end"));
    is_heard(&device, &service, &service.call().id);
    device.hang_up();
    let record = device.record();
    device.wait_until("the words are on record", |device| {
        let lines = device.transcript(&record.token);
        lines.last().is_some_and(|(_, text)| text == "the end")
    });
    let lines = device.transcript(&record.token);
    assert!(lines.iter().all(|(party, _)| *party == Party::Far));
    let lines: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(lines[0], "[2Jgood evening");
    assert_eq!(lines[1], "ü".repeat(1024));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
    service.assert_no_call_is_up();
}

#[test]
fn thousands_of_words_fill_no_disk() {
    let service = Service::start(service_with(talks(1)));
    let mut device = start(&service, "inkbox_stt = true", "");
    device.press();
    device.wait_for(Phase::Answered);
    let mut sent = 0;
    // Until more than there is room for was taken in; a busy device may have
    // had to drop some before that.
    while device.counter("lines_dropped") == 0 {
        for _ in 0..200 {
            send(&service, &transcript(&format!("word {sent}")));
            sent += 1;
        }
        assert!(sent < 50_000, "{sent} lines, and room for more");
    }
    is_heard(&device, &service, &service.call().id);
    device.hang_up();
    let record = device.record();
    device.wait_until("what there is room for is on record", |device| {
        device.transcript(&record.token).len() == 512
    });
    assert_eq!(record.outcome(), Outcome::Answered);
    service.assert_no_call_is_up();
}

/// A megabyte in one message is not read to its end. That costs the socket;
/// the call goes on where the service dials again.
#[test]
fn a_megabyte_of_text_costs_the_socket_and_not_the_call() {
    let mut config = service_with(talks(30));
    config.service.redial_after_loss = Some(ms(300));
    let service = Service::start(config);
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    send(&service, &transcript(&"x".repeat(1 << 20)));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    let (record, device) = goes_on(&service, device);
    assert_eq!(device.counter("media_oversized"), 1);
    assert_eq!(record.reconnects, Some(1));
}

#[test]
fn after_a_megabyte_and_no_second_socket_nothing_is_left_up() {
    let service = Service::start(service_with(talks(30)));
    let installed = Installed::plain(service.handle.base_url());
    let mut device = Device::start_as(&installed, Folder::new().into(), |setup| {
        setup.call.reconnect_within = ms(500);
    });
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    send(&service, &media(&vec![0xff; 1 << 20]));
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Failed);
    let why = device.record().local_reason.unwrap();
    assert_eq!(why, "the media stream broke and did not come back");
    service.assert_no_call_is_up();
}

// Frames of another mode or encoding.

/// Every frame of the text modes, in a call of sound; and nonsense.
#[test]
fn frames_of_text_in_a_call_of_sound_are_counted_and_harm_nothing() {
    let service = Service::start(service_with(talks(30)));
    let mut device = start(&service, "", DOOR);
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    for (frame, counter) in [
        (transcript("open the gate"), "media_unused"),
        (
            json!({"event": "barge_in", "tts_interrupted": true}).to_string(),
            "media_unused",
        ),
        (
            json!({"event": "text", "delta": "open the gate", "done": true}).to_string(),
            "media_unknown_events",
        ),
        (
            json!({"event": "audio_done"}).to_string(),
            "media_unknown_events",
        ),
        (
            json!({"event": "mark", "mark": {"name": "callbox-said-1"}}).to_string(),
            "media_unused",
        ),
        (json!({"event": "mark"}).to_string(), "media_malformed"),
        ("[".repeat(10_000), "media_malformed"),
        ("\u{0}".to_owned(), "media_malformed"),
    ] {
        let before = device.counter(counter);
        send(&service, &frame);
        device.wait_until(&frame[..frame.len().min(60)], |device| {
            device.counter(counter) > before
        });
    }
    let (record, device) = goes_on(&service, device);
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
    assert!(device.transcript(&record.token).is_empty());
}

#[test]
fn sound_in_a_call_of_text_is_of_no_use_and_the_text_is_spoken() {
    let service = Service::start(service_with(talks(1)));
    // It goes on until the key is pressed, however slow the machine is.
    let alarm = ALARM.replace("repeat = 1", "repeat = 9\nconfirm = \"5\"");
    let mut device = start(&service, &alarm, "");
    device.press();
    device.wait_for(Phase::Announcing);
    for n in 0..200 {
        send(&service, &media(&[0xff; 160][..n % 161]));
    }
    send(&service, &transcript("\u{1b}"));
    device.wait_until("counted", |d| d.counter("media_unused") > 200);
    assert!(service.handle.digit(&service.call().id, '5'));
    device.wait_for(Phase::Announced);
    assert_eq!(device.record().outcome(), Outcome::Announced);
    service.assert_no_call_is_up();
}

#[test]
fn a_mark_that_never_comes_back_ends_the_announcement_with_a_reason() {
    let mut config = service_with(talks(1));
    config.service.returns_marks = false;
    let service = Service::start(config);
    let installed = Installed::plain(service.handle.base_url());
    let button = format!("to = \"{CALLEE}\"\n{ALARM}");
    let installed = installed.button(button);
    let mut device = Device::start_as(&installed, Folder::new().into(), |setup| {
        setup.call.say_within = ms(3000);
    });
    device.press();
    device.wait_for(Phase::Announcing);
    // Somebody else's do not count.
    let mark = json!({"event": "mark", "mark": {"name": "callbox-said-7"}});
    send(&service, &mark.to_string());
    let record = device.record();
    let why = "the service did not say that the announcement was played";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_ne!(record.outcome(), Outcome::Announced);
    assert_eq!(device.counter("announcements_unheard"), 1);
    service.assert_no_call_is_up();
}

/// A voice that is cut off each time has not said it, whatever the service
/// makes of that: nobody is told that the alarm got through.
#[test]
fn an_announcement_that_is_spoken_over_again_and_again_is_not_claimed() {
    let service = Service::start(service_with(talks(1)));
    let mut device = start(&service, ALARM, "");
    device.press();
    device.wait_for(Phase::Announcing);
    let barge_in = json!({"event": "barge_in", "tts_interrupted": true, "text": "\u{1b}hey"});
    service.wait("the text", |e| matches!(e.what, What::Text(_)));
    let call = service.call().id;
    for _ in 0..50 {
        // The first may end the call.
        _ = service.handle.send_frame(&call, &barge_in.to_string());
    }
    device.wait_for(Phase::Failed);
    let record = device.record();
    assert_eq!(record.outcome(), Outcome::Failed);
    assert_eq!(record.spoken, Some(0));
    service.assert_no_call_is_up();
}

#[test]
fn a_talk_whose_marks_never_come_back_goes_on() {
    let mut config = service_with(talks(30));
    config.service.returns_marks = false;
    let service = Service::start(config);
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    goes_on(&service, device);
}

fn declares(encoding: &str, rate: u32) -> String {
    let format = json!({"encoding": encoding, "sample_rate": rate, "channels": 1});
    json!({"event": "start", "start": {"media_format": format}}).to_string()
}

/// The service changes its mind twice in mid-call, to something it does not
/// even do in between.
#[test]
fn a_second_and_a_third_start_are_followed() {
    let service = Service::start(service_with(talks(30)));
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let encoding = |device: &Device| {
        let trace = device.status()["trace"].to_string();
        trace.matches("started: ").count()
    };
    for (n, (name, rate)) in [("OPUS", 48_000), ("L16", 24_000), ("PCMU", 8_000)]
        .into_iter()
        .enumerate()
    {
        send(&service, &declares(name, rate));
        device.wait_until(name, |device| encoding(device) == n + 2);
    }
    // What was said of it last is on record.
    let (record, _device) = goes_on(&service, device);
    assert_eq!(record.codec.as_deref(), Some("PCMU/8000"));
}

#[test]
fn a_second_start_of_another_kind_ends_the_call_with_a_reason() {
    let service = Service::start(service_with(talks(30)));
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    send(&service, &declares("G722", 8_000));
    device.wait_for(Phase::Failed);
    let why = device.record().local_reason.unwrap();
    assert!(why.contains("a kind of sound"), "{why}");
    service.assert_no_call_is_up();
}

/// A call of `encoding` in the middle of which `nonsense` comes, counted in
/// `counter`.
#[track_caller]
fn lives_with(encoding: Encoding, nonsense: &[Vec<u8>], counter: &str) {
    let mut config = service_with(talks(30));
    config.service.encoding = encoding;
    let service = Service::start(config);
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    for sound in nonsense {
        send(&service, &media(sound));
    }
    device.wait_until(counter, |device| device.counter(counter) > 0);
    goes_on(&service, device);
}

#[test]
fn garbage_for_opus_is_lived_with() {
    // Every first byte there is: every mode, length and count of frames.
    let mut nonsense: Vec<_> = (0..=255)
        .map(|toc| {
            let bytes = (0..200_u32).map(|n| (n * 167 + u32::from(toc) * 31) as u8);
            std::iter::once(toc).chain(bytes).collect()
        })
        .collect();
    nonsense.extend([vec![], vec![3], vec![0xff], vec![0x03; 2000]]);
    lives_with(
        Encoding::Opus { rate: 48_000 },
        &nonsense,
        "media_oversized",
    );
}

#[test]
fn half_a_sample_is_lived_with() {
    let encoding = Encoding::L16 {
        rate: 16_000,
        order: simulator::ByteOrder::Big,
    };
    let nonsense: Vec<_> = [1, 639, 641, 3, 0, 9999]
        .map(|length| vec![0x7f; length])
        .into();
    lives_with(encoding, &nonsense, "media_malformed");
}

// The service's answers.

#[test]
fn answers_about_another_call_are_not_taken() {
    let service = Service::start(service_with(talks(30)));
    service.handle.fault(Route::Get, Fault::AnotherOne, 3);
    service.handle.fault(Route::HangUp, Fault::AnotherOne, 1);
    let mut device = start(&service, "", "");
    device.press();
    device.wait_for(Phase::Answered);
    let (record, device) = goes_on(&service, device);
    assert_eq!(record.call_id.unwrap().as_str(), service.call().id);
    assert!(device.counter("rest_malformed") >= 3);
}

/// The stream then names a call that nobody asked for: it is hung up, and so
/// is the attempt.
#[test]
fn a_call_placed_under_another_name_is_not_left_up() {
    let service = Service::start(service_with(talks(30)));
    service.handle.fault(Route::Place, Fault::AnotherOne, 1);
    let installed = Installed::plain(service.handle.base_url());
    // Of the call it knows nobody can say anything: until nobody would answer.
    let installed = installed.button(format!("to = \"{CALLEE}\"\nring_for_s = 10"));
    let mut device = Device::start_as(&installed, Folder::new().into(), |setup| {
        setup.call.give_up_after = ms(1000);
    });
    device.press();
    device.record();
    device.wait_until("nothing is up", |_| service.call().status.is_over());
    assert_eq!(service.posts(), 1);
    assert_eq!(device.counter("handshakes_other_call"), 1);
    assert_eq!(device.records(), 1);
}

#[test]
fn a_list_of_numbers_without_ours_is_a_refusal_that_names_it() {
    let mut config = service_with(talks(1));
    let stranger = "+15005550111";
    config.numbers[0].number = stranger.to_owned();
    let service = Service::start(config);
    let folder = Folder::new();
    let installed = Installed::plain(service.handle.base_url());
    let mut device = Device::start_as(&installed, folder.into(), |setup| {
        setup.rest.phone_number_id = None;
    });
    device.press();
    device.wait_for(Phase::Failed);
    let record = device.record();
    assert_eq!(record.outcome(), Outcome::Refused);
    assert!(record.local_reason.is_some());
    assert_eq!(service.handle.calls().len(), 0);
    assert_eq!(device.counter("unknown_outcomes"), 0);
}

// The clock.

/// Without it nobody knows which of the two numbers is to be called: both are.
#[test]
fn without_a_clock_every_number_of_the_list_is_tried() {
    const NIGHT: &str = "+15005550198";
    let mut config = service_with(Callee::absent(Answer::Rejects(ms(100))));
    config.service.tells_time = false;
    let service = Service::start(config);
    service.handle.set_callee_for(NIGHT, talks(20));
    let button = format!(
        "[[button.target]]\nnumber = \"{CALLEE}\"\nwhen = \"day\"\n\
         [[button.target]]\nnumber = \"{NIGHT}\"\nwhen = \"night\""
    );
    let installed = Installed::plain(service.handle.base_url());
    let hours = "[hours]\nnight = \"22:00-07:00\"\nquiet = \"00:00-23:59, 23:59-00:00\"";
    let installed = installed.button(button).with(hours);
    let mut device = Device::start_as(&installed, Folder::new().into(), |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    let status = device.status();
    assert_eq!(status["quiet"], false);
    let clock = status["clock"].as_str().unwrap();
    assert!(clock.ends_with("(not confirmed)"), "{clock}");
    device.hang_up();
    let (first, second) = (device.record(), device.record());
    assert_eq!(first.outcome(), Outcome::Rejected);
    assert_eq!(second.to_number.unwrap().as_str(), NIGHT);
    assert_eq!(second.clock_trusted, Some(false));
    service.assert_no_call_is_up();
}

// Calls to the device.

const CALLER: &str = "+15005550177";
const OTHER_NUMBER: &str = "+15005550144";

/// A service two of whose numbers lead to the device, which has one of them.
struct Inbound {
    service: Service,
    device: Device,
    listen: String,
}

impl Inbound {
    fn start(change: impl FnOnce(&mut simulator::Config)) -> Self {
        let listen = address();
        let mut config = service_with(talks(30));
        config.service.signing_key = Some(SIGNING_KEY.to_owned());
        config.numbers[0].incoming_call_action = IncomingAction::AutoAccept;
        config.numbers[0].client_websocket_url =
            Some(format!("ws://{listen}/inbound/{INBOUND_TOKEN}"));
        let other = simulator::Number {
            id: "8d7f2a9c-41a6-4f0b-b1de-6f0c4b7a9e03".to_owned(),
            number: OTHER_NUMBER.to_owned(),
            ..config.numbers[0].clone()
        };
        config.numbers.push(other);
        change(&mut config);
        let service = Service::start(config);
        let folder = Folder::new();
        let installed = Installed::plain(service.handle.base_url());
        let installed = installed.called(&folder, &listen, "answer", CALLER);
        let device = Device::start_as(&installed, folder.into(), |setup| {
            setup.rest.timeouts.look_up = ms(1000);
        });
        Self {
            service,
            device,
            listen,
        }
    }

    fn call_in(&self, to: &str) -> String {
        self.service.handle.call_in(CALLER, to).unwrap()
    }

    /// What a stranger gets who asks for the inbound stream with `headers`.
    fn knock(&self, headers: &str) -> String {
        let mut socket = TcpStream::connect(&self.listen).unwrap();
        let request = format!(
            "GET /inbound/{INBOUND_TOKEN} HTTP/1.1\r\nHost: door.example\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        // One who is let in hears a `stop` and the end; the others a reason.
        let mut said = Vec::new();
        _ = socket.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    fn no_call_came_in(mut self) {
        self.service.assert_no_call_is_up();
        let shown = &self.device.shown;
        assert!(!shown.contains(&Phase::Answered), "{shown:?}");
        assert_eq!(self.device.records(), 0);
    }
}

fn signed(key: &str, request: &str, context: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let key = hmac::Key::new(
        hmac::HMAC_SHA256,
        key.trim_start_matches("whsec_").as_bytes(),
    );
    let digest = hmac::sign(&key, format!("{request}.{now}.{context}").as_bytes());
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "X-Call-Context: {context}\r\nX-Inkbox-Request-ID: {request}\r\n\
         X-Inkbox-Timestamp: {now}\r\nX-Inkbox-Signature: sha256={hex}\r\n"
    )
}

/// The service's own answers to the question whose call it is: none of them
/// lets anybody in, and the caller is not left on the line.
#[test]
fn a_call_the_service_does_not_confirm_is_turned_away_and_hung_up() {
    for fault in [
        Fault::Status(404),
        Fault::Status(500),
        Fault::AnotherOne,
        Fault::CaptivePortal,
        Fault::Truncated,
        Fault::TimeOutBefore,
    ] {
        let told = format!("{fault:?}");
        let bench = Inbound::start(|_| {});
        bench.service.handle.fault(Route::Get, fault, 1);
        let call = bench.call_in(simulator::NUMBER);
        let over = |_: &Device| bench.service.handle.call(&call).unwrap().status.is_over();
        bench.device.wait_until(&told, over);
        bench
            .device
            .wait_until(&told, |d| d.counter("inbound_turned_away") == 1);
        bench.no_call_came_in();
    }
}

#[test]
fn a_call_to_another_number_is_not_this_devices() {
    let bench = Inbound::start(|_| {});
    let call = bench.call_in(OTHER_NUMBER);
    bench.device.wait_until("the caller is told", |_| {
        bench.service.handle.call(&call).unwrap().status.is_over()
    });
    assert_eq!(bench.device.counter("inbound_turned_away"), 1);
    bench.no_call_came_in();
}

/// Whoever has the key but not the call: one of the device's own, one that is
/// over, one nobody knows.
#[test]
fn a_signed_stream_is_only_what_the_service_says_of_its_call() {
    let bench = Inbound::start(|_| {});
    let now = jiff::Timestamp::now();
    let past = |n: u8, direction, status| simulator::Call {
        id: format!("0b0d1e5c-0000-4000-8000-00000000000{n}"),
        number_id: simulator::NUMBER_ID.to_owned(),
        local: simulator::NUMBER.to_owned(),
        remote: CALLER.to_owned(),
        direction,
        status,
        url: None,
        use_inkbox_tts: None,
        use_inkbox_stt: None,
        reason: None,
        started_at: None,
        ended_at: None,
        blocked: false,
        created_at: now,
        updated_at: now,
    };
    let over = past(1, Direction::Inbound, Status::Completed);
    let ours = past(2, Direction::Outbound, Status::Completed);
    let unknown = past(3, Direction::Inbound, Status::Answered);
    bench.service.handle.add_call(over.clone());
    bench.service.handle.add_call(ours.clone());
    for (n, call) in [over, ours, unknown].into_iter().enumerate() {
        let context = json!({"id": call.id, "direction": "inbound", "status": "answered",
            "remote_phone_number": CALLER})
        .to_string();
        let said = bench.knock(&signed(SIGNING_KEY, &format!("req-{n}"), &context));
        assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
        assert!(said.contains(r#""event":"stop""#), "{said}");
        let turned = bench.device.counter("inbound_turned_away");
        assert_eq!(turned, n as u64 + 1);
    }
    bench.no_call_came_in();
}

#[test]
fn forged_replayed_and_nameless_streams_are_refused_with_a_reason() {
    let bench = Inbound::start(|_| {});
    let context = format!(
        r#"{{"id":"0b0d1e5c-0000-4000-8000-000000000001","direction":"inbound",
        "remote_phone_number":"{CALLER}"}}"#
    )
    .replace("\n        ", "");
    let good = signed(SIGNING_KEY, "req-1", &context);
    assert!(bench.knock(&good).starts_with("HTTP/1.1 101 "));
    let outbound = context.replace("inbound", "outbound");
    let unsigned = format!("X-Call-Context: {context}\r\n");
    let cases = [
        (good.clone(), 401, "the request was made before"),
        (
            signed("whsec_guess", "req-2", &context),
            401,
            "the signature is missing or wrong",
        ),
        (
            good.replace("req-1", "req-3"),
            401,
            "the signature is missing or wrong",
        ),
        (
            good.replace(CALLER, OTHER_NUMBER),
            401,
            "the signature is missing or wrong",
        ),
        (unsigned, 401, "the signature is missing or wrong"),
        (
            signed(SIGNING_KEY, "req-4", &outbound),
            403,
            "only inbound calls come in by this path",
        ),
        (
            signed(SIGNING_KEY, "req-5", "{}"),
            403,
            "only inbound calls come in by this path",
        ),
    ];
    for (headers, status, words) in cases {
        let said = bench.knock(&headers);
        let line = format!("HTTP/1.1 {status} ");
        assert!(said.starts_with(&line), "{headers}: {said}");
        assert!(said.ends_with(&format!("\r\n\r\n{words}\n")), "{said}");
    }
    assert_eq!(bench.device.counter("handshakes_forged"), 5);
    // And a good caller still gets in.
    let mut bench = bench;
    bench.call_in(simulator::NUMBER);
    bench.device.wait_for(Phase::Answered);
    bench.device.hears();
    bench.device.hang_up();
    assert_eq!(bench.device.record().outcome(), Outcome::Answered);
    bench.service.assert_no_call_is_up();
}
