//! What goes wrong in a call: the card, the program, the network.

use callbox::panel::{Show, Trouble};
use callbox::simulator::{Reason, Says, Status, What};

use crate::far_end::{Service, ms, poll, says, service_with, talks};
use crate::kit::{Board, Device, Far, Installed, RELAY};

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_card_that_is_pulled_out_comes_back_in_the_call() {
    let board = Board::take();
    let far = board.service(service_with(talks(60)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    let call = in_a_call(&mut device, &far);
    device.hears_after(0);
    board.must("card out");
    device.says("the microphone is away");
    device.says("the sound of the call is bad: the microphone is away");
    device.shows(Show::Trouble(Trouble::Sound));
    assert_eq!(far.call().status, Status::Answered);
    board.must("card in");
    device.says("is back");
    device.listen();
    device.says("the sound is well again");
    device.hears_after(0);
    device.is_heard(&far, &call);
    let status = device.status();
    for side in ["microphone", "speaker"] {
        let side = &status[side];
        assert_eq!(
            (&side["present"], &side["losses"]),
            (&true.into(), &1.into()),
            "{status}"
        );
    }
    assert!(far.handle.hang_up(&call));
    assert_eq!(device.record(0)["one_way"], true);
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_stop_in_mid_call_ends_it_and_the_next_start_is_clean() {
    let board = Board::take();
    let far = board.service(service_with(talks(60)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    in_a_call(&mut device, &far);
    println!("stopped {:?} after being asked", device.stop());
    assert_eq!(far.call().status, Status::Completed);
    assert_eq!(far.call().reason, Some(Reason::Local));
    device.run();
    assert_eq!(device.record(0)["local_reason"], "callbox was stopped");
    device.press();
    device.says("answered");
    far.wait_nth("sound of the second call", 2, |what| {
        *what == What::FirstAudio
    });
    device.hears_after(device.heard().len());
    assert_eq!(far.posts(), 2);
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_call_left_up_by_a_kill_is_ended_by_the_next_start() {
    let board = Board::take();
    let mut config = service_with(says(Says::Silence));
    // Nothing but the device ends it.
    config.service.ends_without_audio = None;
    let far = board.service(config);
    let door = "[[door]]\nname = \"gate\"\nline = \"GPIO5\"\npulse_ms = 30000\ncode = \"42#\"";
    let mut device = Device::start(&board, &Installed::plain(&far).with(door));
    let call = in_a_call(&mut device, &far);
    for digit in ['4', '2', '#'] {
        assert!(far.handle.digit(&call, digit));
    }
    device.says("the door is opened");
    let opened = device.turns(RELAY, true, ms(0));
    device.kill();
    // The pull that the line was asked for takes the relay back.
    device.turns(RELAY, false, opened);
    assert_eq!(far.call().status, Status::Answered);
    device.run();
    far.wait_status(Status::Completed);
    assert_eq!(far.call().reason, Some(Reason::Local));
    let record = device.record(0);
    assert_eq!(
        record["local_reason"],
        "left up by an earlier run, and ended"
    );
    assert_eq!(device.counter("orphans_ended"), 1);
    assert_eq!(device.pulses(RELAY).len(), 1);
    assert_eq!(device.records().len(), 1);
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_network_that_goes_for_a_moment_leaves_the_call_up() {
    let board = Board::take();
    let far = board.service(service_with(talks(60)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    let call = in_a_call(&mut device, &far);
    device.hears_after(0);
    board.set_link(false);
    device.says("nothing is heard from the far end");
    board.set_link(true);
    device.says("answered");
    let since = device.heard().len();
    device.hears_after(since);
    device.is_heard(&far, &call);
    assert_eq!(far.call().status, Status::Answered);
    let status = device.status();
    println!("playout after it: {}", status["playout"]);
    let delay = status["playout"]["delay_ms"].as_f64().unwrap();
    assert!(delay < 400.0, "the delay stays: {delay} ms");
    assert!(far.handle.hang_up(&call));
    assert_eq!(device.record(0)["local_reason"], "the far end hung up");
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_press_without_a_network_is_placed_once_or_not_at_all() {
    let board = Board::take();
    let far = board.service(service_with(talks(20)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    board.set_link(false);
    device.press();
    device.says("it is not known whether the call was placed");
    board.set_link(true);
    // The request may have waited in the kernel, and reach the service yet.
    let is_up = || device.log().contains(" answered");
    let is_over = || device.records()[0]["closed"] == true;
    poll(
        || (is_up() || is_over()).then_some(()),
        || format!("nothing comes of it: {}", device.log()),
    );
    if is_up() {
        device.ask("hangup");
        device.says("the call is over");
    }
    // After a failure a press is refused for two seconds.
    device.says("ready");
    println!(
        "the press without a network: {}",
        device.record(0)["outcome"]
    );
    let placed = far.posts();
    assert!(placed <= 1, "{}", far.journal());
    far.assert_no_call_is_up();
    device.press();
    device.says("answered");
    device.hears_after(device.heard().len());
    assert_eq!(far.posts(), placed + 1);
}

/// A press, an answer and first sound; the call.
fn in_a_call(device: &mut Device<'_>, far: &Far) -> String {
    device.press();
    device.says("answered");
    let far: &Service = far;
    far.wait("first audio", |event| event.what == What::FirstAudio);
    far.call().id
}
