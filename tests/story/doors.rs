//! The door is opened by the callee's keys or words, in an answered call, once
//! for each time it is asked for, and it is written down who did.

use callbox::call::Phase;
use callbox::edge::store::OpenedBy;
use callbox::edge::virtual_panel::Thing;
use callbox::simulator::{Callee, Carried, What};

use crate::kit::{CALLEE, Device, Folder, Installed, Service, ms, service_with, talks};

const DOOR: &str = "[[door]]\n\
                    name = \"gate\"\n\
                    line = \"GPIO22\"\n\
                    pulse_ms = 100\n\
                    code = \"42#\"\n\
                    words = [\"open the gate\"]\n";

fn start(service: &Service, button: &str) -> Device {
    let installed = Installed::plain(service.handle.base_url());
    let button = format!("to = \"{CALLEE}\"\n{button}");
    let installed = installed.button(button).with(DOOR);
    Device::start_as(&installed, Folder::new().into(), |_| {})
}

fn types(digits: &str, carried: Carried) -> Callee {
    let mut callee = talks(30).pressing(ms(400), digits);
    callee.keys.carried = carried;
    callee
}

fn is_opened_once(carried: Carried) {
    let service = Service::start(service_with(types("42#", carried)));
    let mut device = start(&service, "");
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_until("the door opens", |device| {
        device.times_on(Thing::Relay(0)) == 1
    });
    // The keys' echo the other way must have come, too.
    device.hears();
    device.hang_up();
    let record = device.record();
    device.wait_until("the opening is on record", |device| {
        !device.openings(&record.token).is_empty()
    });
    assert_eq!(device.times_on(Thing::Relay(0)), 1);
    let openings = device.openings(&record.token);
    assert_eq!(openings.len(), 1);
    assert_eq!((openings[0].door, openings[0].by), (0, OpenedBy::Code));
    assert_eq!(openings[0].number.as_ref().unwrap().as_str(), CALLEE);
    assert_eq!((record.digits, record.openings), (Some(3), Some(1)));
}

#[test]
fn a_code_in_frames_opens_the_door() {
    is_opened_once(Carried::Frames);
}

#[test]
fn a_code_in_tones_opens_the_door() {
    is_opened_once(Carried::InBand);
}

#[test]
fn a_code_that_comes_both_ways_opens_the_door_once() {
    is_opened_once(Carried::Both);
}

#[test]
fn a_wrong_code_opens_nothing() {
    let service = Service::start(service_with(types("41#4", Carried::Frames)));
    let mut device = start(&service, "");
    device.press();
    device.wait_for(Phase::Answered);
    service.wait_nth("all keys", 4, |what| matches!(what, What::Key(_)));
    device.hears();
    device.hang_up();
    assert_eq!(device.record().openings, Some(0));
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
}

/// The code is typed while the callee is asked to confirm.
#[test]
fn a_code_before_the_two_are_joined_opens_nothing() {
    let service = Service::start(service_with(types("42#", Carried::Frames)));
    let mut device = start(&service, "confirm = \"1\"");
    device.press();
    device.wait_for(Phase::Confirming);
    service.wait_nth("all keys", 3, |what| matches!(what, What::Key(_)));
    assert!(service.handle.digit(&service.call().id, '1'));
    device.wait_for(Phase::Answered);
    device.hears();
    device.hang_up();
    assert_eq!(device.record().openings, Some(0));
    assert_eq!(device.times_on(Thing::Relay(0)), 0);
}

#[test]
fn a_word_opens_the_door_where_the_service_listens() {
    let callee = talks(1).saying(ms(500), "yes, please open the gate now");
    let service = Service::start(service_with(callee));
    let mut device = start(&service, "inkbox_stt = true");
    device.press();
    device.wait_for(Phase::Answered);
    device.wait_until("the door opens", |device| {
        device.times_on(Thing::Relay(0)) == 1
    });
    device.hang_up();
    let record = device.record();
    device.wait_until("the opening is on record", |device| {
        !device.openings(&record.token).is_empty()
    });
    assert_eq!(device.openings(&record.token)[0].by, OpenedBy::Word);
}
