//! What visitor and callee hear before they are joined, and what the installer,
//! the visitor and the night may change.

mod audio_line;
#[path = "audio_line/far.rs"]
mod far;

use audio_line::Rig;
use callbox::audio::codec::pcmu;
use callbox::audio::engine::{Command, EngineEvent, Format};
use callbox::audio::prompt::{FarPrompt, Prompts};
use callbox::audio::tone::Tone;
use callbox::audio::{Config, echo};
use callbox::units::Mode;
use far::{Far, listen};

const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};
const PERIOD: usize = 160;

fn config() -> Config {
    Config {
        automatic_level: false,
        echo: echo::Config {
            cancel: false,
            suppress_noise: false,
        },
        ..Config::default()
    }
}

fn apart() -> Command {
    Command::Connect {
        stream: 1,
        mode: Mode::default(),
        joined: false,
    }
}

fn with(config: &Config, commands: &[Command]) -> Rig {
    let mut rig = Rig::new(config, CARD, CARD);
    for command in commands {
        assert!(rig.commands.push(*command));
    }
    rig
}

/// A voice: 200 Hz with overtones.
fn voice(n: u64) -> f32 {
    let angle = n as f32 % 40.0 / 40.0 * std::f32::consts::TAU;
    6000.0 * (angle.sin() + 0.5 * (2.0 * angle).sin())
}

/// The visitor speaks for `ms`; what the callee hears.
fn speak(rig: &mut Rig, ms: usize) -> Vec<i16> {
    let mut heard = vec![];
    for period in 0..ms / 10 {
        let first = (period * PERIOD / 2) as u64;
        let mic: Vec<i16> = (0..PERIOD as u64)
            .map(|n| voice(first + n / 2) as i16)
            .collect();
        rig.engine.capture(&mic);
        while let Some((packet, _)) = rig.uplink.pop() {
            heard.extend(packet.payload.iter().map(|&code| pcmu::decode(code)));
        }
    }
    heard
}

/// What the visitor hears for `ms` of a callee who speaks.
fn hear(rig: &mut Rig, far: &mut Far, ms: f64) -> Vec<i16> {
    let mut heard = vec![];
    listen(rig, far, CARD, PERIOD, ms, |_, out| {
        heard.extend_from_slice(out)
    });
    heard
}

fn rms(sound: &[i16]) -> f64 {
    let squares = sound.iter().map(|&s| f64::from(s).powi(2));
    (squares.sum::<f64>() / sound.len() as f64).sqrt()
}

/// Whether all is as good as silent; the negative zero of G.711 is -8 at most.
fn is_silent(sound: &[i16]) -> bool {
    !sound.is_empty() && sound.iter().all(|s| s.abs() <= 8)
}

/// Length and level of each stretch of sound between silences of 20 ms, in ms.
fn stretches(sound: &[i16], rate: usize) -> Vec<usize> {
    let mut stretches = vec![];
    let mut length = 0;
    for window in sound.chunks(rate / 100) {
        if rms(window) > 100.0 {
            length += 10;
        } else if length > 0 {
            stretches.push(length);
            length = 0;
        }
    }
    stretches.extend((length > 0).then_some(length));
    stretches
}

#[test]
fn nothing_of_one_is_heard_by_the_other_until_they_are_joined() {
    let mut rig = with(&config(), &[apart()]);
    let mut far = Far::new(voice);
    assert!(is_silent(&speak(&mut rig, 500)));
    assert!(hear(&mut rig, &mut far, 1000.0).iter().all(|s| *s == 0));
    rig.commands.push(Command::Join);
    let heard = hear(&mut rig, &mut far, 500.0);
    assert!(rms(&heard[160..]) > 3000.0, "from the first 10 ms on");
    assert!(rms(&speak(&mut rig, 500)[400..]) > 3000.0);
    // The next callee has not confirmed anything.
    rig.commands.push(Command::Disconnect);
    rig.commands.push(apart());
    assert!(is_silent(&speak(&mut rig, 500)));
    assert!(
        hear(&mut rig, &mut Far::new(voice), 500.0)[160..]
            .iter()
            .all(|s| *s == 0)
    );
}

#[test]
fn a_stream_that_ends_before_it_is_joined_leaks_nothing() {
    let mut rig = with(&config(), &[apart()]);
    hear(&mut rig, &mut Far::new(voice), 500.0);
    rig.commands.push(Command::Disconnect);
    let mut out = [1; 1600];
    rig.engine.render(&mut out);
    assert!(out.iter().all(|s| *s == 0));
}

#[test]
fn the_callee_hears_the_prompt_and_the_visitor_the_tone() {
    let mut rig = with(
        &config(),
        &[
            apart(),
            Command::Prompt(Some(FarPrompt::Confirm)),
            Command::Tone(Tone::Ringing),
        ],
    );
    let heard = speak(&mut rig, 6500);
    assert_eq!(stretches(&heard, 8000).len(), 6, "twice each 3 s");
    let visitor = hear(&mut rig, &mut Far::new(voice), 6000.0);
    assert_eq!(stretches(&visitor, 16_000), [1000, 1000]);
    rig.commands.push(Command::Prompt(None));
    assert!(is_silent(&speak(&mut rig, 1000)[800..]));
    rig.commands.push(Command::Join);
    assert!(rms(&speak(&mut rig, 500)[400..]) > 3000.0);
}

#[test]
fn a_new_stream_does_not_begin_in_the_prompt_of_the_last() {
    let mut rig = with(
        &config(),
        &[apart(), Command::Prompt(Some(FarPrompt::RingBack))],
    );
    assert!(rms(&speak(&mut rig, 500)) > 1000.0);
    rig.commands.push(apart());
    assert!(is_silent(&speak(&mut rig, 500)));
}

#[test]
fn the_end_of_a_prompt_is_told_each_time() {
    let mut rig = with(
        &config(),
        &[apart(), Command::Prompt(Some(FarPrompt::Confirm))],
    );
    let told = |rig: &mut Rig| std::iter::from_fn(|| rig.events.pop()).count();
    speak(&mut rig, 2900);
    assert_eq!(told(&mut rig), 0);
    speak(&mut rig, 200);
    assert_eq!(
        rig.events.pop(),
        Some(EngineEvent::PromptOver { stream: 1 })
    );
    assert_eq!(told(&mut rig), 0);
    speak(&mut rig, 9000);
    assert_eq!(told(&mut rig), 3);
    rig.commands
        .push(Command::Prompt(Some(FarPrompt::DoorOpened)));
    speak(&mut rig, 1000);
    assert_eq!(told(&mut rig), 1);
}

#[test]
fn the_door_is_heard_over_the_visitor() {
    let mut rig = with(&config(), &[]);
    speak(&mut rig, 500);
    let before = rms(&speak(&mut rig, 200));
    rig.commands
        .push(Command::Prompt(Some(FarPrompt::DoorOpened)));
    rig.commands.push(Command::Tone(Tone::Opened));
    let during = rms(&speak(&mut rig, 200));
    assert!(during > before * 1.02, "{during} after {before}");
    let mut out = [0; 3200];
    rig.engine.render(&mut out);
    assert!(rms(&out) > 1000.0);
}

#[test]
fn with_the_services_voice_no_packet_is_made_of_the_microphone() {
    let mode = Mode {
        tts: true,
        stt: false,
    };
    let spoken = Command::Connect {
        stream: 1,
        mode,
        joined: true,
    };
    let mut rig = with(&config(), &[spoken]);
    assert!(speak(&mut rig, 1000).is_empty());
    assert!(
        rig.stats.snapshot().mic.rms > 0.0,
        "it is still looked after"
    );
    assert!(rms(&hear(&mut rig, &mut Far::new(voice), 1000.0)) > 3000.0);
}

#[test]
fn a_recording_takes_the_place_of_a_tone_and_of_a_prompt() {
    let mut config = config();
    let mut prompts = Prompts::default();
    // 300 ms of a saw that no tone of ours has.
    let saw: Vec<i16> = (0..4800).map(|n| (n % 37) * 300 - 5400).collect();
    prompts.set(Tone::Failed, &saw);
    prompts.set(FarPrompt::Confirm, &saw);
    config.prompts = prompts;
    let mut rig = with(
        &config,
        &[
            apart(),
            Command::Tone(Tone::Failed),
            Command::Prompt(Some(FarPrompt::Confirm)),
        ],
    );
    let visitor = hear(&mut rig, &mut Far::new(voice), 3000.0);
    assert_eq!(stretches(&visitor, 16_000), [300], "once, not five times");
    assert_eq!(visitor[1000..3000], saw[1000..3000], "as it is");
    let mut rig = with(
        &config,
        &[apart(), Command::Prompt(Some(FarPrompt::Confirm))],
    );
    let callee = stretches(&speak(&mut rig, 5000), 8000);
    assert_eq!(callee.len(), 3, "every 2.3 s: {callee:?}");
}

#[test]
fn the_volume_pair_moves_what_is_configured_within_its_range() {
    let level = |config: &Config, db: i8| {
        let mut rig = with(
            config,
            &[Command::Volume { db }, Command::Tone(Tone::Ringing)],
        );
        let mut out = [0; 3200];
        rig.engine.render(&mut out);
        20.0 * rms(&out[1600..]).log10()
    };
    let mut config = config();
    let usual = level(&config, 0);
    for (db, want) in [(-6, -6.0), (6, 6.0), (-40, -40.0), (-128, -40.0)] {
        let got = level(&config, db) - usual;
        assert!((got - want).abs() < 0.2, "{db}: {got}");
    }
    config.speaker_volume_db = -10.0;
    let got = level(&config, 6) - usual;
    assert!((got + 4.0).abs() < 0.2, "{got}");
}

#[test]
fn a_change_of_volume_does_not_click() {
    let mut rig = with(&config(), &[Command::Tone(Tone::Ringing)]);
    let mut heard = vec![];
    for period in 0..80 {
        if period % 10 == 5 {
            rig.commands.push(Command::Volume {
                db: -(period as i8) / 4,
            });
        }
        let mut out = [0; PERIOD];
        rig.engine.render(&mut out);
        heard.extend(out.map(f64::from));
    }
    // A tone of 425 Hz obeys this; a click does not.
    let turn = 2.0 * (std::f64::consts::TAU * 425.0 / 16e3).cos();
    for w in heard.windows(3) {
        let click = (w[0] + w[2] - turn * w[1]).abs();
        assert!(click < 0.02 * w[1].abs() + 150.0, "{click} at {}", w[1]);
    }
}

#[test]
fn in_quiet_hours_the_chime_and_the_press_are_not_heard_and_all_else_is() {
    let heard = |rig: &mut Rig, tone: Tone| {
        rig.commands.push(Command::Tone(tone));
        let mut out = [0; 3200];
        rig.engine.render(&mut out);
        rms(&out) > 100.0
    };
    let mut rig = with(&config(), &[]);
    assert!(heard(&mut rig, Tone::Chime));
    // Night falls while it chimes.
    rig.commands.push(Command::Quiet(true));
    let mut out = [0; 3200];
    rig.engine.render(&mut out);
    assert!(out[320..].iter().all(|s| *s == 0));
    for tone in Tone::ALL {
        assert_eq!(heard(&mut rig, tone), !tone.is_hushed(), "{tone:?}");
        heard(&mut rig, Tone::Silence);
    }
    rig.commands.push(Command::Quiet(false));
    assert!(heard(&mut rig, Tone::Chime));
}
