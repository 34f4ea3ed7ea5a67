//! The audio thread against a card of the kernel: snd-aloop, whose speaker
//! leads to its microphone.
//!
//! Run on a machine where nothing else uses it, as root:
//! `modprobe snd-aloop && cargo test --test alsa_loopback -- --ignored --test-threads=1`

mod alsa_tone;

use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use alsa_tone::{Bench, start};
use callbox::audio::engine::Format;
use callbox::edge::alsa::{self, Config, Fault, Side};
use callbox::edge::card::Direction;

const BOTH: [Direction; 2] = [Direction::Microphone, Direction::Speaker];

fn side(plugin: &str, device: u32, format: Option<Format>) -> Option<Side> {
    Some(Side {
        name: format!("{plugin}:CARD=Loopback,DEV={device},SUBDEV=0"),
        format,
    })
}

fn config(plugin: &str, format: Option<Format>) -> Config {
    Config {
        microphone: side(plugin, 1, format),
        speaker: side(plugin, 0, format),
        ..Config::default()
    }
}

fn start_loop(config: &Config) -> Bench {
    let card = alsa::open(config);
    let there = card.fits().count();
    assert_eq!(there, 2, "modprobe snd-aloop; {:?}", alsa::check(config));
    start(card)
}

#[test]
#[ignore = "needs snd-aloop"]
fn a_tone_passes_in_every_format() {
    for (plugin, rate, channels) in [
        ("hw", 48_000, 1),
        ("hw", 48_000, 2),
        ("hw", 16_000, 1),
        ("plughw", 16_000, 2),
    ] {
        let bench = start_loop(&config(plugin, Some(Format { rate, channels })));
        bench.wait_for_tone();
        let stats = &bench.running.stats;
        assert!(stats.speaker.delay() <= Duration::from_millis(30));
        assert!(stats.speaker.delay() > Duration::ZERO);
        assert_eq!(stats.microphone.losses() + stats.speaker.losses(), 0);
        assert!(bench.running.stop());
    }
}

#[test]
#[ignore = "needs snd-aloop"]
fn both_sides_start_again_after_an_xrun() {
    let bench = start_loop(&config("hw", None));
    bench.wait_for_tone();
    let stats = &bench.running.stats;
    let before = BOTH.map(|direction| stats.side(direction).xruns());
    bench.stuck.store(true, Relaxed);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.stuck.store(false, Relaxed);
    bench.wait_for_tone();
    for (direction, before) in BOTH.into_iter().zip(before) {
        assert!(stats.side(direction).xruns() > before, "{direction}");
        assert_eq!(stats.side(direction).losses(), 0, "{direction}");
    }
    assert!(bench.running.stop());
}

#[test]
#[ignore = "needs snd-aloop, and root to take it away"]
fn a_card_that_is_pulled_out_comes_back_by_name() {
    const DRIVER: &str = "/sys/bus/platform/drivers/snd_aloop";
    let mut bench = start_loop(&config("hw", None));
    bench.wait_for_tone();
    fs::write(format!("{DRIVER}/unbind"), "snd_aloop.0").unwrap();
    for _ in BOTH {
        bench.loss();
    }
    while bench.heard.try_recv().is_ok() {}
    for _ in 0..20 {
        assert!(bench.period().iter().all(|&sample| sample == 0));
    }
    fs::write(format!("{DRIVER}/bind"), "snd_aloop.0").unwrap();
    bench.wait_until_both_are_back();
    bench.wait_for_tone();
    for direction in BOTH {
        let side = bench.running.stats.side(direction);
        assert!(side.present(), "{direction}");
        assert_eq!((side.losses(), side.reopens()), (1, 1), "{direction}");
    }
    assert!(bench.running.stop());
}

#[test]
#[ignore = "needs snd-aloop"]
fn a_card_in_use_is_told_with_who_has_it() {
    let config = config("hw", None);
    let bench = start_loop(&config);
    for (direction, _, outcome) in alsa::check(&config) {
        let fault = outcome.unwrap_err();
        assert!(matches!(fault, Fault::Busy { .. }), "{direction}: {fault}");
        let us = format!("(process {})", std::process::id());
        assert!(fault.to_string().contains(&us), "{fault}");
    }
    assert!(bench.running.stop());
}

#[test]
#[ignore = "needs snd-aloop"]
fn the_list_has_stable_names_and_rates() {
    let list = alsa::list();
    let name = "plughw:CARD=Loopback,DEV=0";
    let device = list.iter().find(|device| device.name == name);
    let text = device.expect(name).to_string();
    assert!(
        text.contains("microphone: ") && text.contains("speaker: "),
        "{text}"
    );
    assert!(text.contains("16000") && text.contains("48000"), "{text}");
    let missing = Config {
        speaker: Some(Side {
            name: "plughw:CARD=Nope,DEV=0".into(),
            format: None,
        }),
        microphone: None,
        ..Config::default()
    };
    let fault = alsa::check(&missing).remove(0).2.unwrap_err();
    assert!(fault.to_string().contains(name), "{fault}");
}
