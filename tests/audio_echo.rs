//! A speaker and a microphone in one room: the callee does not hear himself,
//! and hears the visitor whether he speaks at the same time or not.
//!
//! The rooms are linear ones and the echo is as loud as the visitor; harder
//! ones are in a table (`tests/figures/echo`). The marks are DESIGN.md's.

#[path = "rooms/mod.rs"]
mod rooms;

use std::collections::VecDeque;

use callbox::audio::echo::{Config, DELAY, Echo, HOP};
use callbox::audio::{BUS_RATE, FULL_SCALE};
use rooms::{Call, HALL, LIFT, STAIRS, Scene, Trouble, convolve};

const CALL: Call = Call {
    seconds: 36,
    both: 21..31,
};

#[test]
fn linear_rooms_fall_silent_and_the_visitor_is_heard() {
    let mut missed = vec![];
    for (name, room) in [("lift", LIFT), ("hall", HALL), ("stairs", STAIRS)] {
        let scene = Scene::new(&room, Trouble::None, &CALL);
        let out = scene.cleaned(&Config::default());
        for seconds in [15..21, 32..36] {
            let loss = scene.echo_loss(&out, &seconds);
            println!("{name}, {seconds:?} s: echo {loss:.1} dB down");
            if loss < 46.0 {
                missed.push(format!("{name}, {seconds:?} s: echo {loss:.1} dB down"));
            }
        }
        let loss = scene.near_loss(&out, DELAY, &CALL.both);
        println!("{name}: the visitor {loss:.1} dB down while both speak");
        if loss > 3.0 {
            missed.push(format!("{name}: the visitor {loss:.1} dB down"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn an_echo_is_learnt_whatever_its_delay_and_loudness() {
    let call = Call {
        seconds: 21,
        both: 21..21,
    };
    let mut missed = vec![];
    for level in [-10.0, 0.0, 10.0] {
        for later in [0, HOP / 4, HOP / 2, 3 * HOP / 4] {
            let mut scene = Scene::new(&LIFT, Trouble::Louder(level), &call);
            scene.microphone.splice(..0, vec![0.0; later]);
            let out = scene.cleaned(&Config::default());
            let loss = scene.echo_loss(&out, &(15..21));
            println!("{level} dB, {later} samples later: echo {loss:.1} dB down");
            if loss < 40.0 {
                missed.push(format!("{level} dB, {later} samples later: {loss:.1} dB"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn without_echo_the_visitor_is_as_loud_as_he_was() {
    let mut scene = Scene::new(&LIFT, Trouble::None, &CALL);
    scene.far.fill(0.0);
    scene.microphone.clone_from(&scene.visitor);
    let out = scene.cleaned(&Config::default());
    let loss = scene.near_loss(&out, DELAY, &CALL.both);
    assert!(loss < 1.0, "{loss:.1} dB down");
}

/// How loud it gets when the callee's end echoes too, and everything goes round
/// for 30 s.
fn goes_round(config: &Config) -> f32 {
    let (response, mut hiss) = (LIFT.response(), rooms::noise(1, 30.0));
    let factor = 1.0 / response.iter().map(|tap| tap * tap).sum::<f32>().sqrt();
    let mut echo = Echo::new(config);
    let mut played = VecDeque::from(vec![0.0; response.len()]);
    // What the far end sends back is as loud as what it got, and 150 ms late.
    let mut far_end = VecDeque::from(vec![0.0; HOP * 15]);
    let mut loudest = 0f32;
    for hop in 0..3000 {
        let now: Vec<f32> = far_end.drain(..HOP).collect();
        echo.far(&now);
        let mut heard = [0.0; HOP];
        for (heard, sample) in heard.iter_mut().zip(now) {
            played.pop_back();
            played.push_front(sample);
            let echo: f32 = played.iter().zip(&response).map(|(p, r)| p * r).sum();
            *heard = (factor * echo + hiss()).clamp(-FULL_SCALE, FULL_SCALE);
        }
        echo.near(&mut heard);
        far_end.extend(heard);
        if hop > 500 {
            loudest = heard.iter().fold(loudest, |most, s| most.max(s.abs()));
        }
    }
    loudest
}

#[test]
fn two_ends_that_echo_do_not_howl() {
    let off = Config {
        cancel: false,
        suppress_noise: false,
    };
    assert!(goes_round(&off) > 30_000.0, "it would howl");
    let loudest = goes_round(&Config::default());
    assert!(loudest < 300.0, "{loudest}");
}

/// After how much of the callee's speech, in hops, the speaker is taken for one
/// that the microphone does not hear; `level` is that of its echo, in dB.
fn unheard_after(noise: f32, level: Option<f32>) -> Option<usize> {
    let mut far = rooms::callee(12);
    let begins = far.iter().position(|s| s.abs() > 300.0).unwrap_or(0);
    far.drain(..begins);
    let echo = convolve(&far, &LIFT.response());
    let factor = level.map_or(0.0, |db| 10f32.powf(db / 20.0));
    let factor = factor * rooms::active(&far) / rooms::active(&echo);
    let heard = echo.iter().map(|s| factor * s).collect();
    is_unheard_after(&far, heard, noise)
}

fn is_unheard_after(far: &[f32], mut heard: Vec<f32>, noise: f32) -> Option<usize> {
    let mut hiss = rooms::noise(3, FULL_SCALE * 10f32.powf(noise / 20.0));
    heard.iter_mut().for_each(|s| *s += hiss());
    let mut echo = Echo::new(&Config::default());
    far.chunks(HOP)
        .zip(heard.chunks_mut(HOP))
        .position(|(played, heard)| {
            echo.far(played);
            echo.near(heard);
            echo.watch().is_some_and(|watch| watch.is_unheard())
        })
}

#[test]
fn a_speaker_that_is_not_heard_is_noticed_where_it_can_be() {
    for noise in [-70.0, -66.0] {
        let hops = unheard_after(noise, None);
        assert!(
            hops.is_some_and(|hops| hops < 300),
            "{noise} dBFS: {hops:?}"
        );
        assert_eq!(unheard_after(noise, Some(-25.0)), None, "{noise} dBFS");
    }
    // What would be heard is below the noise.
    assert_eq!(unheard_after(-45.0, None), None);
}

/// A sweep from 500 to 2500 Hz in the last tenth of each second: an echo canceller
/// has no time to learn.
fn short_words() -> Vec<f32> {
    let rate = BUS_RATE as usize;
    let sample = |n| {
        let t = (n % rate) as f32 / rate as f32 - 0.9;
        let phase = std::f32::consts::TAU * (500.0 * t + 10_000.0 * t * t);
        let fade = (t.min(0.1 - t) / 0.01).clamp(0.0, 1.0);
        6000.0 * fade * phase.sin()
    };
    (0..14 * rate).map(sample).collect()
}

/// As behind a card that stumbles and tells nobody.
#[test]
fn an_echo_that_jumps_is_heard() {
    let far = short_words();
    let mut random = 1u32;
    for every in [30, 70, 100, 130] {
        for turn in 0..10 {
            let mut later = 0;
            let mut jumps = |at: usize| {
                if at.is_multiple_of(every * HOP) {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    later = 10 * HOP * (random >> 16) as usize / 65_536;
                }
                0.2 * far[at.saturating_sub(later)]
            };
            let heard = (0..far.len()).map(&mut jumps).collect();
            let hops = is_unheard_after(&far, heard, -78.0);
            assert_eq!(hops, None, "every {every} hops, turn {turn}");
        }
    }
}
