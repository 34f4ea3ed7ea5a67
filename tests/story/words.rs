//! Calls in which the service speaks, or listens, or both.

use callbox::call::Phase;
use callbox::edge::store::{Outcome, Party};
use callbox::simulator::{Answer, Callee, What};

use crate::kit::{CALLEE, Device, Folder, Installed, Service, is_heard, ms, service_with, talks};

const ALARM: &str = "kind = \"announce\"\nsay = \"Water in the cellar of {place}.\"\nrepeat = 2";

fn start(service: &Service, button: &str) -> Device {
    let installed = Installed::plain(service.handle.base_url());
    let button = format!("to = \"{CALLEE}\"\n{button}");
    let installed = installed
        .button(button)
        .with("[place]\nname = \"Mill Lane 3\"");
    Device::start_as(&installed, Folder::new().into(), |_| {})
}

#[test]
fn an_announcement_is_spoken_repeated_and_over() {
    let service = Service::start(service_with(talks(1)));
    let mut device = start(&service, ALARM);
    device.press();
    device.wait_for(Phase::Announcing);
    device.wait_for(Phase::Announced);
    let record = device.record();
    let said = "Water in the cellar of Mill Lane 3.";
    let spoken = service.count(|what| matches!(what, What::Spoken(text) if text == said));
    assert_eq!(spoken, 2, "{}", service.journal());
    assert_eq!(record.outcome(), Outcome::Announced);
    assert_eq!(
        (record.said.as_deref(), record.spoken),
        (Some(said), Some(2))
    );
    assert_eq!(record.use_inkbox_tts, Some(true));
    let call = service.call();
    assert_eq!(call.use_inkbox_tts, Some(true));
    service.assert_no_call_is_up();
}

#[test]
fn an_announcement_that_is_confirmed_is_not_repeated() {
    let service = Service::start(service_with(talks(1).pressing(ms(800), "5")));
    let mut device = start(&service, &format!("{ALARM}\nconfirm = \"5\""));
    device.press();
    device.wait_for(Phase::Announced);
    let record = device.record();
    assert_eq!(record.outcome(), Outcome::Announced);
    assert!(record.confirmed_after_ms.is_some());
}

#[test]
fn an_announcement_nobody_answers_is_no_announcement() {
    let service = Service::start(service_with(Callee::absent(Answer::Rejects(ms(100)))));
    let mut device = start(&service, ALARM);
    device.press();
    device.wait_for(Phase::Failed);
    assert_eq!(device.record().outcome(), Outcome::Rejected);
}

/// The visitor is heard as ever; of the callee there are words only.
#[test]
fn what_the_service_hears_is_kept_with_the_record() {
    let callee = talks(1)
        .saying(ms(300), "who is there?")
        .saying(ms(1500), "I am coming down.");
    let service = Service::start(service_with(callee));
    let mut device = start(&service, "inkbox_stt = true");
    device.press();
    device.wait_for(Phase::Answered);
    is_heard(&device, &service, &service.call().id);
    let words = |text: &str| (Party::Far, text.to_owned());
    let said = [words("who is there?"), words("I am coming down.")];
    device.wait_until("nothing is missed one way", |device| {
        device.shown.iter().all(|phase| *phase != Phase::OneWay)
    });
    // What is still on its way when the call ends is lost.
    device.wait_until("the words are on record", |device| {
        device.transcript(&device.latest().token) == said
    });
    device.hang_up();
    let record = device.record();
    assert_eq!(record.use_inkbox_stt, Some(true));
    assert_eq!(record.one_way, Some(false));
    assert_eq!(service.call().use_inkbox_stt, Some(true));
}

/// Both: an alarm is told, and what the callee answers is written down.
#[test]
fn an_announcement_with_ears_keeps_both_sides() {
    let service = Service::start(service_with(talks(1).saying(ms(5500), "understood")));
    let mut device = start(&service, &format!("{ALARM}\ninkbox_stt = true"));
    device.press();
    device.wait_for(Phase::Announced);
    let record = device.record();
    device.wait_until("the words are on record", |device| {
        let lines = device.transcript(&record.token);
        lines.iter().any(|(party, _)| *party == Party::Device)
    });
    let call = service.call();
    assert_eq!(
        (call.use_inkbox_tts, call.use_inkbox_stt),
        (Some(true), Some(true))
    );
}

#[test]
fn an_announcement_that_is_spoken_over_is_said_again() {
    // The callee speaks while the first round is on.
    let service = Service::start(service_with(talks(1).saying(ms(400), "hello? hello?")));
    let mut device = start(&service, &format!("{ALARM}\ninkbox_stt = true"));
    device.press();
    device.wait_for(Phase::Announced);
    let interrupted = |what: &What| matches!(what, What::BargeIn { interrupted: true });
    assert_eq!(service.count(interrupted), 1, "{}", service.journal());
    let whole = |what: &What| matches!(what, What::Spoken(text) if text.ends_with("Mill Lane 3."));
    assert!(service.count(whole) >= 1, "{}", service.journal());
    assert_eq!(device.record().outcome(), Outcome::Announced);
}
