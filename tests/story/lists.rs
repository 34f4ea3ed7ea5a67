//! Calls through a list of numbers: each in turn, a person asked to confirm,
//! machines left behind.

use callbox::call::Phase;
use callbox::edge::store::Outcome;
use callbox::edge::virtual_panel::Thing;
use callbox::panel::LampRole;
use callbox::simulator::{Answer, Callee, Carried, HangsUp, Says, Status, What};

use crate::kit::{
    CALLEE, Device, Folder, GUARD, Installed, Service, is_heard, ms, service_with, talks,
};
use crate::sound;

/// The second number of the lists here.
const NEXT: &str = "+15005550198";

fn start(service: &Service, button: &str) -> Device {
    let installed = Installed::plain(service.handle.base_url());
    let button = format!("to = [\"{CALLEE}\", \"{NEXT}\"]\n{button}");
    Device::start_as(&installed.button(button), Folder::new().into(), |_| {})
}

/// A machine that nobody detects: it picks up, and talks without end.
fn machine() -> Callee {
    let words = sound::words(sound::PAUSE, sound::LINE_RATE);
    Callee {
        says: Says::Forever(words.into()),
        ..talks(1)
    }
}

#[test]
fn the_next_number_is_dialed_when_the_first_declines() {
    let service = Service::start(service_with(Callee::absent(Answer::Rejects(ms(200)))));
    service.handle.set_callee_for(NEXT, talks(20));
    let mut device = start(&service, "");
    device.press();
    let first = device.record();
    device.wait_for(Phase::Answered);
    device.hears();
    assert_eq!(service.posts(), 2);
    device.hang_up();
    let second = device.record();
    assert_eq!(first.outcome(), Outcome::Rejected);
    assert_eq!(second.outcome(), Outcome::Answered);
    assert_eq!(second.press.as_deref(), Some(first.token.as_str()));
    assert_eq!((first.position, second.position), (Some(0), Some(1)));
    assert_eq!(second.to_number.unwrap().as_str(), NEXT);
    service.assert_no_call_is_up();
}

/// Tells how long it takes from the end of one to the request of the next.
#[test]
fn the_next_number_waits_until_the_first_is_off_the_line() {
    let service = Service::start(service_with(Callee::absent(Answer::RingsOut(GUARD))));
    service.handle.set_callee_for(NEXT, talks(20));
    let mut device = start(&service, "");
    device.press();
    device.wait_for(Phase::Ringing);
    // The list goes on by itself only at ring_for; here the carrier gives up.
    assert!(service.handle.hang_up(&service.call().id));
    device.wait_for(Phase::Answered);
    let over = service.wait(
        "the first is over",
        |event| matches!(event.what, What::Status(status, _) if status.is_over()),
    );
    let next = service.wait_nth(
        "the second request",
        2,
        |what| matches!(what, What::Request { line, .. } if line.contains("/place-call")),
    );
    assert!(over.at <= next.at, "{}", service.journal());
    println!(
        "from the first number's end to the second number's request: {} ms, get-call every {} ms",
        (next.at - over.at).as_millis(),
        100
    );
}

#[test]
fn a_machine_does_not_confirm_and_the_list_goes_on() {
    let service = Service::start(service_with(machine()));
    let person = talks(20).pressing(ms(600), "1");
    service.handle.set_callee_for(NEXT, person);
    let mut device = {
        let installed = Installed::plain(service.handle.base_url());
        let button = format!("to = [\"{CALLEE}\", \"{NEXT}\"]\nconfirm = \"1\"");
        Device::start_as(&installed.button(button), Folder::new().into(), |setup| {
            setup.call.confirm_within = ms(1500);
        })
    };
    device.press();
    device.wait_for(Phase::Confirming);
    assert_eq!(device.times_on(Thing::Lamp(LampRole::Listen)), 0);
    let machine = device.record();
    device.wait_for(Phase::Answered);
    device.hears();
    assert_ne!(device.times_on(Thing::Lamp(LampRole::Listen)), 0);
    let calls = service.handle.calls();
    let call = calls.iter().find(|call| call.remote == NEXT).unwrap();
    is_heard(&device, &service, &call.id);
    device.hang_up();
    let person = device.record();
    assert_eq!(machine.outcome(), Outcome::Unconfirmed);
    assert_eq!(machine.joined_after_ms, None);
    assert_eq!(person.outcome(), Outcome::Answered);
    assert!(person.confirmed_after_ms.is_some());
    assert!(person.joined_after_ms >= person.confirmed_after_ms);
}

/// Until the key is pressed neither hears the other; the callee hears a prompt.
#[test]
fn nobody_is_heard_before_the_key_is_pressed() {
    let mut callee = talks(20).pressing(ms(2500), "1");
    callee.keys.carried = Carried::InBand;
    let service = Service::start(service_with(callee));
    let mut device = start(&service, "confirm = \"1\"");
    device.press();
    device.wait_for(Phase::Confirming);
    device.visitor.speak();
    device.wait_for(Phase::Answered);
    let call = service.call().id;
    let heard = service.handle.heard(&call).unwrap();
    let words = sound::chirp(sound::LINE_RATE);
    let (_, likeness) = sound::find(&heard, &words);
    assert!(likeness < sound::LIKE, "the visitor was heard: {likeness}");
    assert!(
        heard.iter().any(|sample| sample.abs() > 1000),
        "the callee heard no prompt"
    );
    is_heard(&device, &service, &call);
    device.hears();
}

#[test]
fn a_list_of_wrong_numbers_fails_once_through() {
    let service = Service::start(service_with(Callee::absent(Answer::Fails(ms(50)))));
    let mut device = start(&service, "cycles = 2");
    device.press();
    device.wait_for(Phase::Failed);
    let outcomes: Vec<Outcome> = (0..4).map(|_| device.record().outcome()).collect();
    assert_eq!(outcomes, [Outcome::Failed; 4]);
    assert_eq!(service.posts(), 4);
    assert_eq!(device.records(), 4);
}

#[test]
fn a_cancelled_press_ends_the_list() {
    let service = Service::start(service_with(Callee::absent(Answer::RingsOut(GUARD))));
    let mut device = start(&service, "cycles = 9");
    device.press();
    device.wait_for(Phase::Ringing);
    device.hang_up();
    assert_eq!(device.record().outcome(), Outcome::Cancelled);
    device.wait_for(Phase::Idle);
    assert_eq!(service.posts(), 1);
    assert_eq!(service.call().status, Status::Canceled);
}

/// A callee who hangs up at the prompt is no answer.
#[test]
fn a_callee_who_hangs_up_at_the_prompt_is_not_the_last() {
    let callee = Callee {
        hangs_up: HangsUp::After(ms(500)),
        ..talks(1)
    };
    let service = Service::start(service_with(callee));
    service
        .handle
        .set_callee_for(NEXT, talks(20).pressing(ms(400), "1"));
    let mut device = start(&service, "confirm = \"1\"");
    device.press();
    device.wait_for(Phase::Answered);
    assert_eq!(device.record().outcome(), Outcome::Unconfirmed);
    assert_eq!(service.posts(), 2);
}
