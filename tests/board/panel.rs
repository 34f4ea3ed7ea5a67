//! The panel on real lines: what the lamps show, and what is a press.

use std::time::Duration;

use callbox::panel::Show;
use callbox::simulator::{Answer, Callee, Says, Status};

use crate::far_end::{ms, poll, says, service_with};
use crate::kit::{Board, Device, IN_PROGRESS, Installed, LISTEN, STATUS};
use crate::waveforms::{MS, Named, noise, one_press};

/// An edge that comes so late makes another waveform of it.
const EXACT: Duration = ms(4);
/// How often a waveform is played until it was exact.
const TRIES: usize = 9;

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
    let installed = Installed::plain(&far).with("[panel]\nlong_press_ms = 1000\nstuck_s = 5");
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
    play(&device, &worst[0].1);
    device.says("answered");
    for (name, wave) in rest.iter().filter(|(_, wave)| can_be_played(wave)) {
        is_judged(&device, name, wave, 1);
    }
    let noise = noise();
    let noise = noise.iter().filter(|(_, wave)| !is_even(wave));
    for (name, wave) in noise.filter(|(_, wave)| can_be_played(wave)) {
        is_judged(&device, name, &start(wave), 0);
    }
    assert_eq!(device.counter("presses"), 1);
    assert_eq!(far.posts(), 1);
    assert_eq!(far.call().status, Status::Answered);
}

/// Whether the guest can move a line so fast and so exactly.
fn can_be_played(wave: &[u64]) -> bool {
    let shortest = wave.iter().min().expect("a waveform");
    let is_close_call = (19 * MS..21 * MS).contains(shortest);
    *shortest >= 200 && !is_close_call
}

/// Whether it is active for half of the time, where each edge that is a little
/// late weighs on the same side, and one day it is a press.
fn is_even(wave: &[u64]) -> bool {
    let active: u64 = wave.iter().step_by(2).sum();
    wave.len() > 2 && active * 9 > wave.iter().sum::<u64>() * 4
}

/// The first seconds of a waveform: noise of ten seconds is noise all along.
fn start(wave: &[u64]) -> Vec<u64> {
    let mut lasts = 0;
    let pairs = wave.chunks(2).take_while(|pair| {
        lasts += pair.iter().sum::<u64>();
        lasts <= 2000 * MS
    });
    pairs.flatten().copied().collect()
}

/// Plays a waveform and holds what the panel made of it against `presses`. What
/// is wrong counts if it was played as it is written; else it is played again.
#[track_caller]
fn is_judged(device: &Device<'_>, name: &str, wave: &[u64], presses: u64) {
    let counted = || {
        let counters = &device.status()["counters"];
        ["presses_in_call", "noise_bursts"].map(|name| counters[name].as_u64().unwrap_or(0))
    };
    for _ in 0..TRIES {
        let before = counted();
        let late = play(device, wave);
        let [heard, noise] = poll(
            || Some(counted()).filter(|now| *now != before),
            || format!("{name} was not noticed"),
        );
        let (heard, noise) = (heard - before[0], noise - before[1]);
        println!("{name}: {heard} presses, {noise} bursts, edges late by {late:?} at most");
        if heard == presses {
            return;
        }
        assert!(late >= EXACT, "{name}: {heard} presses");
    }
    panic!("{name}: the emulator is held up again and again");
}

/// Plays a waveform and leaves the line at rest for as long as the button needs;
/// how late the latest edge was.
fn play(device: &Device<'_>, wave: &[u64]) -> Duration {
    let mut wave = wave.to_vec();
    if wave.len() % 2 == 1 {
        wave.push(0);
    }
    *wave.last_mut().expect("a waveform") += 300 * MS;
    device.play(&wave).latest
}
