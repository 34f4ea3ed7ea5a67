//! What a call is for: the door, the list, its end by a finger, and calls from
//! outside.

use callbox::panel::Show;
use callbox::simulator::{
    self, Answer, Callee, Carried, IncomingAction, Reason, Says, Status, What,
};

use crate::far_end::{CALLEE, INBOUND_TOKEN, SIGNING_KEY, ms, poll, says, service_with, talks};
use crate::kit::{Board, Device, Installed, RELAY};
use crate::sound::{self, LINE_RATE};

/// The second number of the list.
const NEXT: &str = "+15005550198";
const CALLER: &str = "+15005550177";

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn the_callees_keys_open_the_door() {
    let door = "[[door]]\nname = \"gate\"\nline = \"GPIO5\"\npulse_ms = 500\ncode = \"42#\"";
    for carried in [Carried::Frames, Carried::InBand, Carried::Both] {
        let board = Board::take();
        // A key beside a loud word is none: the callee says nothing.
        let mut callee = says(Says::Silence);
        callee = callee.pressing(ms(600), "41#").pressing(ms(2500), "42#");
        callee.keys.carried = carried;
        let far = board.service(service_with(callee));
        let mut device = Device::start(&board, &Installed::plain(&far).with(door));
        device.press();
        device.says("the door is opened");
        // What comes of the same keys by their other road comes within a second.
        let since = device.heard().len() + LINE_RATE as usize;
        poll(
            || (device.heard().len() > since).then_some(()),
            || "the sound stands still".to_owned(),
        );
        assert!(far.handle.hang_up(&far.call().id));
        let record = device.record(0);
        assert_eq!(
            (&record["digits"], &record["openings"]),
            (&6.into(), &1.into())
        );
        let pulses = device.pulses(RELAY);
        println!("{carried:?}: the relay was on for {pulses:?}");
        assert_eq!(pulses.len(), 1);
        assert!(pulses[0].abs_diff(ms(500)) < ms(50), "{pulses:?}");
    }
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_list_goes_on_until_somebody_confirms() {
    let board = Board::take();
    let far = board.service(service_with(Callee::absent(Answer::Rejects(ms(200)))));
    far.handle
        .set_callee_for(NEXT, talks(20).pressing(ms(1500), "1"));
    let button = format!("to = [\"{CALLEE}\", \"{NEXT}\"]\nconfirm = \"1\"");
    let mut device = Device::start(&board, &Installed::plain(&far).button(button));
    device.press();
    device.says("waiting for the callee to confirm");
    device.says("answered");
    device.hears_after(0);
    let call = far
        .handle
        .calls()
        .into_iter()
        .find(|call| call.remote == NEXT)
        .unwrap()
        .id;
    device.is_heard(&far, &call);
    device.ask("hangup");
    let (first, second) = (device.record(0), device.record(1));
    assert_eq!(
        (&first["outcome"], &first["position"]),
        (&"rejected".into(), &0.into())
    );
    assert_eq!(
        (&second["outcome"], &second["position"]),
        (&"answered".into(), &1.into())
    );
    assert_eq!(first["token"], second["press"]);
    assert!(second["joined_after_ms"].as_u64() >= second["confirmed_after_ms"].as_u64());
    assert_eq!(far.posts(), 2);
    far.assert_no_call_is_up();
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_long_press_ends_the_call() {
    let board = Board::take();
    let far = board.service(service_with(says(Says::Silence)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    device.press();
    device.says("answered");
    let before = device.heard().len();
    device.press();
    poll(
        || (sound::loudest_at(&device.heard()[before..], 425.0) > 1000.0).then_some(()),
        || "the second press is not acknowledged by a tone".to_owned(),
    );
    assert_eq!(device.counter("presses_in_call"), 1);
    assert_eq!(far.call().status, Status::Answered);
    device.press_for(ms(2300));
    far.wait_status(Status::Completed);
    assert_eq!(far.call().reason, Some(Reason::Local));
    assert_eq!(device.record(0)["local_reason"], "cancelled at the device");
    assert_eq!(far.posts(), 1);
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_call_from_outside_chimes_and_a_press_lets_it_in() {
    let board = Board::take();
    let mut config = service_with(talks(30));
    config.service.signing_key = Some(SIGNING_KEY.to_owned());
    config.numbers[0].incoming_call_action = IncomingAction::AutoAccept;
    let url = format!("{}/inbound/{INBOUND_TOKEN}", board.public_url());
    config.numbers[0].client_websocket_url = Some(url);
    let far = board.service(config);
    let mut device = Device::start(&board, &Installed::plain(&far).called(CALLER));
    let call_in = |from| far.handle.call_in(from, simulator::NUMBER).unwrap();
    let stranger = call_in(NEXT);
    poll(
        || far.handle.call(&stranger)?.status.is_over().then_some(()),
        || "a stranger is let in".to_owned(),
    );
    let call = call_in(CALLER);
    device.says("somebody calls");
    device.shows(Show::Chiming);
    device.press();
    device.says("answered");
    device.hears_after(device.heard().len());
    device.is_heard(&far, &call);
    assert!(far.handle.hang_up(&call));
    let record = device.record(0);
    assert_eq!(
        (&record["direction"], &record["from_number"]),
        (&"inbound".into(), &CALLER.into())
    );
    assert_eq!(record["outcome"], "answered");
    assert_eq!(far.posts(), 0);
    assert_eq!(far.count(|what| matches!(what, What::FirstAudio)), 1);
}
