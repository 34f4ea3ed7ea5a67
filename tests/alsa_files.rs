//! The audio thread against alsa-lib's own `null` and `file` PCMs: every
//! sample arrives, formats are agreed, names are refused with a reason.

mod alsa_bench;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use alsa_bench::{HANG, config, isolated, write_asound};
use callbox::audio::engine::{Command, Engine, Format, Ports};
use callbox::audio::ring;
use callbox::edge::alsa::{self, Config, Fault, Side};
use callbox::edge::card::{Direction, Event, Running, Sound};
use callbox::edge::realtime::Wake;
use callbox::trace::Trace;
use callbox::units::Mode;

const SAMPLES: i16 = 4_800;

fn asound(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "pcm.mic {{ type file slave.pcm null file /dev/null infile {folder}/mic.raw format raw }}\n\
         pcm.spk {{ type file slave.pcm null file {folder}/spk.raw format raw }}\n\
         pcm.four {{ type multi slaves.a {{ pcm null channels 4 }}\n\
           bindings.0 {{ slave a channel 0 }} bindings.1 {{ slave a channel 1 }}\n\
           bindings.2 {{ slave a channel 2 }} bindings.3 {{ slave a channel 3 }} }}\n\
         pcm.plugfour {{ type plug slave.pcm four }}\n"
    )
}

/// Plays a ramp and hands over what comes in.
struct Ramp {
    next: i16,
    heard: SyncSender<Vec<i16>>,
}

impl Sound for Ramp {
    fn capture(&mut self, mic: &[i16]) -> usize {
        _ = self.heard.try_send(mic.to_vec());
        0
    }

    fn render(&mut self, speaker: &mut [i16]) {
        for sample in speaker {
            *sample = self.next;
            self.next = self.next.wrapping_add(1);
        }
    }
}

fn start(config: &Config) -> (Running, Receiver<Vec<i16>>) {
    let (heard, periods) = sync_channel(1000);
    let wake = Arc::new(Wake::new().unwrap());
    let trace = Arc::new(Trace::default());
    let running = alsa::open(config)
        .start(Ramp { next: 1, heard }, wake, trace)
        .unwrap();
    (running, periods)
}

fn raw(samples: impl IntoIterator<Item = i16>) -> Vec<u8> {
    samples.into_iter().flat_map(i16::to_le_bytes).collect()
}

fn samples(raw: &[u8]) -> Vec<i16> {
    let (samples, _) = raw.as_chunks();
    samples.iter().copied().map(i16::from_le_bytes).collect()
}

#[test]
fn every_sample_of_a_microphone_arrives_in_order() {
    let name = "every_sample_of_a_microphone_arrives_in_order";
    isolated(name, asound, |folder| {
        fs::write(folder.join("mic.raw"), raw(1..=SAMPLES)).unwrap();
        let (running, periods) = start(&config(Some("mic"), None));
        let mut heard = Vec::new();
        while heard.len() < SAMPLES as usize {
            heard.extend(periods.recv_timeout(HANG).unwrap());
        }
        assert!(running.stop());
        let want: Vec<i16> = (1..=SAMPLES).collect();
        assert_eq!(heard[..SAMPLES as usize], want);
    });
}

#[test]
fn every_sample_reaches_the_speaker_behind_the_silence_held() {
    let name = "every_sample_reaches_the_speaker_behind_the_silence_held";
    isolated(name, asound, |folder| {
        let config = config(Some("null"), Some("spk"));
        let card = alsa::open(&config);
        let held = card
            .fits()
            .find_map(|(direction, _, fit)| (direction == Direction::Speaker).then_some(fit.held))
            .unwrap();
        drop(card);
        let (running, _) = start(&config);
        let began = Instant::now();
        while running.stats.speaker.periods() < 10 {
            assert!(began.elapsed() < HANG);
            std::thread::yield_now();
        }
        assert!(running.stop());
        let played = samples(&fs::read(folder.join("spk.raw")).unwrap());
        let ramp = played.iter().position(|&sample| sample != 0).unwrap();
        assert_eq!(ramp, held, "silence before the first sample");
        let wrong = played[ramp..]
            .iter()
            .zip(1_i16..)
            .find(|(got, want)| *got != want);
        assert_eq!(wrong, None);
        assert!(played.len() >= ramp + 10 * 480);
    });
}

#[test]
fn a_card_that_is_always_ready_is_held_to_its_rate() {
    let name = "a_card_that_is_always_ready_is_held_to_its_rate";
    isolated(name, asound, |_| {
        let began = Instant::now();
        let (running, periods) = start(&config(Some("null"), Some("null")));
        for _ in 0..100 {
            periods.recv_timeout(HANG).unwrap();
        }
        // 1 s of sound, at most 10/9 as fast and up to two buffers ahead.
        assert!(began.elapsed() > Duration::from_millis(900 - 60));
        let stats = Arc::clone(&running.stats);
        assert!(stats.beats() < 1000, "{} rounds", stats.beats());
        assert!(running.stop());
    });
}

#[test]
fn formats_are_agreed_or_refused_with_advice() {
    let name = "formats_are_agreed_or_refused_with_advice";
    isolated(name, asound, |_| {
        let format = |rate, channels| Format { rate, channels };
        let check = |name: &str, format| {
            let config = Config {
                speaker: Some(Side {
                    name: name.into(),
                    format,
                }),
                microphone: None,
                ..Config::default()
            };
            let mut checks = alsa::check(&config);
            assert_eq!(checks.len(), 1);
            checks.remove(0).2
        };
        let fit = check("null", None).unwrap();
        assert_eq!(fit.format, format(48_000, 1));
        assert_eq!((fit.period, fit.buffer, fit.held), (480, 1440, 1440));
        assert_eq!(
            fit.to_string(),
            "48000 Hz mono, periods of 10.0 ms, 30.0 ms held of 30.0 ms"
        );
        for wanted in [format(16_000, 1), format(16_000, 2), format(48_000, 2)] {
            assert_eq!(check("null", Some(wanted)).unwrap().format, wanted);
        }
        let refused = check("four", None).unwrap_err();
        assert!(matches!(refused, Fault::Unfit { .. }), "{refused}");
        assert!(refused.to_string().contains("plughw:"), "{refused}");
        assert_eq!(check("plugfour", None).unwrap().format, format(48_000, 1));
        let missing = check("plughw:CARD=Nope,DEV=0", None).unwrap_err();
        assert!(matches!(missing, Fault::Missing { .. }), "{missing}");
        assert!(missing.to_string().contains("plughw:CARD=Nope,DEV=0"));
    });
}

#[test]
fn a_missing_side_is_silence_and_leaves_the_other_alone() {
    let name = "a_missing_side_is_silence_and_leaves_the_other_alone";
    isolated(name, asound, |folder| {
        let (mut running, periods) = start(&config(Some("late"), Some("spk")));
        let first = loop {
            if let Ok(event) = running.events.try_recv() {
                break event;
            }
            assert!(periods.recv_timeout(HANG).unwrap().iter().all(|&s| s == 0));
        };
        let lost = matches!(
            &first,
            Event::Lost {
                direction: Direction::Microphone,
                ..
            }
        );
        assert!(lost, "{first}");
        assert!(running.stats.speaker.present());

        // Now the name exists.
        fs::write(folder.join("mic.raw"), raw([7; 4_800])).unwrap();
        let late = asound(folder).replace("pcm.mic", "pcm.late");
        write_asound(folder, &late);
        while periods.recv_timeout(HANG).unwrap()[0] != 7 {}
        assert!(running.stats.microphone.present());
        assert!(running.stats.microphone.substitutes() > 0);
        assert_eq!(running.stats.microphone.reopens(), 1);
        assert_eq!(running.stats.speaker.losses(), 0);
        assert!(running.stop());
    });
}

#[test]
fn packets_of_the_engine_wake_the_media_runtime() {
    let name = "packets_of_the_engine_wake_the_media_runtime";
    isolated(name, asound, |_| {
        let card = alsa::open(&config(Some("null"), Some("null")));
        let (uplink, mut packets) = ring::uplink();
        let (mut ask, commands) = ring::commands();
        let ports = Ports {
            uplink,
            downlink: ring::downlink().1,
            commands,
            events: ring::events().0,
            stats: Arc::default(),
        };
        let settings = callbox::audio::Config::default();
        let engine = Engine::new(&settings, ports, card.microphone(), card.speaker());
        ask.push(Command::Connect {
            stream: 7,
            mode: Mode::default(),
            joined: true,
        });
        let wake = Arc::new(Wake::new().unwrap());
        let trace = Arc::new(Trace::default());
        let running = card.start(engine, Arc::clone(&wake), trace).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for seq in 0..5 {
                let packet = loop {
                    if let Some((packet, _)) = packets.pop() {
                        break packet;
                    }
                    tokio::time::timeout(HANG, wake.notified()).await.unwrap();
                };
                assert_eq!((packet.stream, packet.seq), (7, seq));
            }
        });
        assert!(running.stop());
    });
}

#[test]
fn an_engine_slower_than_the_card_leaves_time_for_others() {
    struct Slow;
    impl Slow {
        fn compute() {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(15) {}
        }
    }
    impl Sound for Slow {
        fn capture(&mut self, _: &[i16]) -> usize {
            Self::compute();
            0
        }
        fn render(&mut self, _: &mut [i16]) {
            Self::compute();
        }
    }
    let name = "an_engine_slower_than_the_card_leaves_time_for_others";
    isolated(name, asound, |_| {
        let card = alsa::open(&config(Some("null"), Some("null")));
        let wake = Arc::new(Wake::new().unwrap());
        let running = card.start(Slow, wake, Arc::new(Trace::default())).unwrap();
        let began = Instant::now();
        // Twice as long as the kernel lets a real-time thread go on.
        while running.stats.overloads() < 10 {
            assert!(began.elapsed() < HANG);
            std::thread::yield_now();
        }
        assert!(running.stop());
    });
}

#[test]
fn a_hung_audio_thread_is_left_behind() {
    struct Hung(Receiver<()>);
    impl Sound for Hung {
        fn capture(&mut self, _: &[i16]) -> usize {
            _ = self.0.recv();
            0
        }
        fn render(&mut self, _: &mut [i16]) {}
    }
    let (release, hold) = sync_channel(0);
    let wake = Arc::new(Wake::new().unwrap());
    let card = alsa::open(&config(None, None));
    let running = card
        .start(Hung(hold), wake, Arc::new(Trace::default()))
        .unwrap();
    assert!(!running.stop());
    drop(release);
}

#[test]
fn no_card_at_all_still_keeps_the_clock() {
    let (running, periods) = start(&config(None, None));
    for _ in 0..5 {
        assert_eq!(periods.recv_timeout(HANG).unwrap(), [0; 480]);
    }
    let beats = running.stats.beats();
    assert!(beats > 0);
    assert!(running.stop());
}
