//! The panel on real lines: what the lamps show, and what is a press.

use callbox::panel::Show;
use callbox::simulator::{Answer, Callee, Says, Status};

use crate::far_end::{ms, poll, says, service_with};
use crate::kit::{Board, Device, IN_PROGRESS, Installed, LISTEN, STATUS};
use crate::waveforms::{MS, Named, noise, one_press};

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn the_lamps_tell_how_a_call_goes() {
    let board = Board::take();
    let callee = Callee {
        answer: Answer::After(ms(6000)),
        ..says(Says::Silence)
    };
    let far = board.service(service_with(callee));
    let mut device = Device::start(&board, &Installed::plain(&far));
    let pressed = device.press();
    let lit = device.turns(STATUS, true, pressed);
    let in_progress = device.turns(IN_PROGRESS, true, pressed);
    device.shows(Show::Ringing);
    assert!(device.pulses(LISTEN).is_empty());
    device.shows(Show::Answered);
    let listen = device.turns(LISTEN, true, pressed);
    assert!(lit <= in_progress && in_progress < listen);
    assert!(far.handle.hang_up(&far.call().id));
    let over = device.turns(LISTEN, false, listen);
    device.turns(IN_PROGRESS, false, listen);
    device.turns(STATUS, false, over - ms(200));
    device.record(0);

    far.handle
        .set_callee(Callee::absent(Answer::Fails(ms(100))));
    device.press();
    device.shows(Show::Failed);
    let record = device.record(1);
    assert_eq!(record["local_reason"], "the service could not connect it");
}

#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn a_button_that_stays_down_is_reported_and_works_again() {
    let board = Board::take();
    let far = board.service(service_with(Callee::absent(Answer::Rejects(ms(100)))));
    let installed = Installed::plain(&far).with("[panel]\nlong_press_ms = 500\nstuck_s = 5");
    let mut device = Device::start(&board, &installed);
    device.press_for(ms(15_000));
    device.says("a button is stuck");
    device.says("the button works again");
    device.shows(Show::Stuck);
    assert_eq!(device.counter("stuck_buttons"), 1);
    // What the finger began is over, and it began nothing else.
    assert_eq!(device.record(0)["outcome"], "rejected");
    assert_eq!(far.posts(), 1);
    device.press();
    device.record(1);
    assert_eq!(far.posts(), 2);
}

/// The first waveform places the call; in the call each press is counted and
/// does nothing, so that many fit in a minute.
#[test]
#[ignore = "wants the emulated board: board/emulator/run"]
fn bounce_is_one_press_and_noise_is_none() {
    let board = Board::take();
    let far = board.service(service_with(says(Says::Silence)));
    let mut device = Device::start(&board, &Installed::plain(&far));
    let (worst, rest): (Vec<Named>, Vec<Named>) = one_press()
        .into_iter()
        .partition(|(name, _)| name.starts_with("160 ms, slow"));
    let (name, wave) = &worst[0];
    play(&device, name, wave);
    device.says("answered");
    for (nth, (name, wave)) in rest
        .iter()
        .filter(|(_, wave)| can_be_played(wave))
        .enumerate()
    {
        play(&device, name, wave);
        poll(
            || (device.counter("presses_in_call") > nth as u64).then_some(()),
            || format!("{name} is no press"),
        );
        assert_eq!(device.counter("presses_in_call"), nth as u64 + 1, "{name}");
    }
    let presses = device.counter("presses_in_call");
    for (name, wave) in noise().iter().filter(|(_, wave)| can_be_played(wave)) {
        let before = device.counter("noise_bursts");
        play(&device, name, wave);
        poll(
            || (device.counter("noise_bursts") > before).then_some(()),
            || format!("{name} was not noticed"),
        );
        assert_eq!(device.counter("presses_in_call"), presses, "{name}");
    }
    assert_eq!(device.counter("presses"), 1);
    assert_eq!(far.posts(), 1);
    assert_eq!(far.call().status, Status::Answered);
}

/// Whether the guest can move a line so fast and so exactly, and the story has
/// the time.
fn can_be_played(wave: &[u64]) -> bool {
    let shortest = wave.iter().min().expect("a waveform");
    let is_close_call = (19 * MS..21 * MS).contains(shortest);
    *shortest >= 200 && !is_close_call && wave.iter().sum::<u64>() < 5000 * MS
}

/// Plays a waveform and leaves the line at rest for as long as the button needs.
fn play(device: &Device<'_>, name: &str, wave: &[u64]) {
    let mut wave = wave.to_vec();
    if wave.len() % 2 == 1 {
        wave.push(0);
    }
    *wave.last_mut().expect("a waveform") += 300 * MS;
    let (first, last) = device.play(&wave);
    let planned = ms(wave.iter().sum::<u64>() / MS);
    println!("{name}: {planned:?} played in {:?}", last - first);
}
