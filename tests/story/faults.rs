//! Bad sound in a call is told to the visitor, and recorded.

use callbox::call::Phase;
use callbox::edge::virtual_card::Broken;
use callbox::simulator::{Says, speech};
use callbox::units::tenths;

use crate::kit::{Device, Service, says, service_with};

/// The record's words on the sound of a call in which the microphone fails, and
/// whether it went one way only.
fn call_with(broken: Broken) -> (Option<String>, Option<bool>) {
    let service = Service::start(service_with(says(Says::Forever(speech::callee().into()))));
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_until("the callee's echo", |device| {
        device.status()["microphone"]["echo_loss_db"].is_number()
    });
    device.visitor.breaks(Some(broken));
    device.wait_until("bad sound", |device| tells(device, "bad sound: "));
    device.visitor.breaks(None);
    device.wait_until("good sound", |device| tells(device, "well again"));
    let call = service.call();
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert!(
        record
            .echo_loss_db
            .is_some_and(|db| db > 20.0 && db == tenths(db)),
        "{record:?}"
    );
    (record.bad_sound, record.one_way)
}

fn tells(device: &Device, words: &str) -> bool {
    let status = device.status();
    let events = status["trace"].as_array().unwrap();
    events
        .iter()
        .any(|event| event.as_str().unwrap().contains(words))
}

#[test]
fn a_microphone_that_fails_in_a_call_is_told_and_recorded() {
    let cases = [
        (
            Broken::Stuck(0),
            "the microphone gives nothing but zeros",
            true,
        ),
        (
            Broken::Stuck(-77),
            "the microphone gives nothing but one value",
            true,
        ),
        (Broken::Square, "the microphone is too loud", false),
        (
            Broken::Deaf,
            "the microphone does not hear the speaker",
            true,
        ),
    ];
    let calls = cases.map(|(broken, words, one_way)| {
        std::thread::spawn(move || {
            let told = call_with(broken);
            assert_eq!(told, (Some(words.to_owned()), Some(one_way)), "{broken:?}");
        })
    });
    for call in calls {
        call.join().unwrap();
    }
}
