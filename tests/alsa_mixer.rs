//! A mixer that is shut is open once the card is opened. On the kernel's
//! loop-back card, with controls put on it: `modprobe snd-aloop && cargo test
//! --test alsa_mixer -- --ignored`, as root.

use std::process::Command;
use std::sync::Arc;

use callbox::audio::engine::Format;
use callbox::edge::alsa::{self, AUTO, Kind, Setting, SettingLevel, Side, look};
use callbox::edge::card::Direction::{self, Microphone, Speaker};

const CARD: &str = "hw:CARD=Loopback";

fn setting(controls: &[&str], direction: Direction, common: bool, on: bool) -> Setting {
    Setting {
        controls: controls.iter().map(|c| (*c).to_owned()).collect(),
        direction,
        on: Some(on),
        level: on.then_some(SettingLevel::Percent(80)),
        common,
        optional: false,
    }
}

#[test]
#[ignore = "wants root and the kernel's loop-back card: modprobe snd-aloop"]
fn what_is_shut_is_opened_and_the_rest_left_alone() {
    let state = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/alsa_mixer/controls.state"
    );
    // It complains of missing files of its own, and restores all the same.
    _ = Command::new("alsactl")
        .args(["restore", "-f", state, "Loopback"])
        .output()
        .unwrap();
    let settings = vec![
        setting(&["PCM", "Speaker"], Speaker, false, true),
        setting(&["Mic"], Speaker, false, false),
        setting(&["Mic"], Microphone, false, true),
        setting(&["Mic 2"], Microphone, true, true),
        setting(&["Left Boost Mixer LINPUT1"], Microphone, true, true),
    ];
    let before = look(CARD, &settings).unwrap();
    assert!(
        before.iter().all(|r| r.differs.is_some() && !r.missing),
        "{before:#?}"
    );
    let muted = before.iter().filter(|r| r.muted);
    assert_eq!(muted.count(), 4, "{before:#?}");

    let side = Some(Side {
        name: AUTO.into(),
        format: Some(Format {
            rate: 48_000,
            channels: 1,
        }),
    });
    let kind = Kind {
        name: "loop-back".into(),
        ids: vec!["Loopback".into()],
        settings: settings.clone(),
        ..Kind::default()
    };
    let mut config = alsa::Config {
        microphone: side.clone(),
        speaker: side,
        kinds: Arc::new([kind]),
        ..alsa::Config::default()
    };
    assert_eq!(alsa::open(&config).fits().count(), 2);
    assert_eq!(
        look(CARD, &settings).unwrap(),
        before,
        "left alone unless asked"
    );

    config.set_mixer = true;
    let names: Vec<String> = (alsa::open(&config).fits())
        .map(|(_, name, _)| name.to_owned())
        .collect();
    assert_eq!(names, ["plughw:CARD=Loopback,DEV=0"; 2]);
    let after = look(CARD, &settings).unwrap();
    assert!(after.iter().all(|r| r.differs.is_none()), "{after:#?}");
    let none = look(CARD, &[setting(&["Treble"], Speaker, false, true)]).unwrap();
    assert!(none[0].missing, "{none:#?}");
}
