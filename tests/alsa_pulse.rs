//! The audio thread against real cards of a sort: null sinks of a PulseAudio
//! daemon that each test starts for itself, through alsa-lib's `pulse` PCM.
//! They are paced in real time and can be taken away.

mod alsa_bench;
mod alsa_tone;

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use alsa_bench::{HANG, config, isolated};
use alsa_tone::{Bench, start};
use callbox::edge::alsa::{self, Config};
use callbox::edge::card::{Direction, Event};

const MISSING: &str = "these tests need PulseAudio and its ALSA plug-in: \
    apt-get install pulseaudio libasound2-plugins";

/// The daemon, with one null sink named `line` of 48 kHz mono.
struct Pulse {
    daemon: Child,
}

impl Pulse {
    fn start(folder: &Path) -> Self {
        _ = std::fs::remove_file(socket(folder));
        let native = format!(
            "module-native-protocol-unix socket={} auth-anonymous=1",
            socket(folder).display()
        );
        let daemon = Command::new("pulseaudio")
            .args(["--daemonize=no", "-n", "--exit-idle-time=20"])
            .args(["--realtime=no", "--high-priority=no", "--use-pid-file=no"])
            .args(["--disable-shm", "--log-level=error"])
            .args([
                "-L",
                "module-null-sink sink_name=line rate=48000 channels=1",
            ])
            .args(["-L", &native])
            .env("XDG_RUNTIME_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| match error.kind() {
                ErrorKind::NotFound => panic!("{MISSING}"),
                _ => panic!("pulseaudio does not start: {error}"),
            });
        let mut pulse = Self { daemon };
        let began = Instant::now();
        while UnixStream::connect(socket(folder)).is_err() {
            pulse.assert_alive(began);
            std::thread::sleep(Duration::from_millis(10));
        }
        pulse
    }

    fn assert_alive(&mut self, began: Instant) {
        let ended = self.daemon.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > HANG {
            _ = self.daemon.kill();
            let mut words = String::new();
            _ = self
                .daemon
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut words);
            panic!("pulseaudio does not come up: {words}");
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        _ = self.daemon.kill();
        _ = self.daemon.wait();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("native")
}

fn asound(folder: &Path) -> String {
    let server = format!("server \"unix:{}\"", socket(folder).display());
    format!(
        "pcm.mic {{ type pulse {server} device line.monitor }}\n\
         pcm.spk {{ type pulse {server} device line handle_underrun 1 }}\n"
    )
}

/// Ten periods, since the daemon wakes us in bunches.
fn line() -> Config {
    Config {
        periods: 10,
        ..config(Some("mic"), Some("spk"))
    }
}

fn start_line() -> Bench {
    let card = alsa::open(&line());
    let fits: Vec<_> = card.fits().map(|(direction, _, _)| direction).collect();
    assert_eq!(
        fits,
        [Direction::Microphone, Direction::Speaker],
        "{MISSING}; {:?}",
        alsa::check(&line())
    );
    start(card)
}

#[test]
fn a_tone_passes_from_the_speaker_to_the_microphone() {
    let name = "a_tone_passes_from_the_speaker_to_the_microphone";
    isolated(name, asound, |folder| {
        let _pulse = Pulse::start(folder);
        let bench = start_line();
        bench.wait_for_tone();
        let stats = &bench.running.stats;
        for side in [&stats.microphone, &stats.speaker] {
            assert!(side.present());
            assert!(side.periods() >= 10);
            assert_eq!(side.substitutes(), 0);
            assert_eq!(side.losses(), 0);
        }
        assert!(stats.speaker.delay() > Duration::ZERO);
        assert!(bench.running.stop());
    });
}

#[test]
fn a_speaker_that_ran_dry_is_started_again() {
    let name = "a_speaker_that_ran_dry_is_started_again";
    isolated(name, asound, |folder| {
        let _pulse = Pulse::start(folder);
        let bench = start_line();
        bench.wait_for_tone();
        // Nothing is written for many times the buffer's 100 ms.
        let before = bench.running.stats.speaker.xruns();
        bench.stuck.store(true, Relaxed);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(10));
        }
        bench.stuck.store(false, Relaxed);
        bench.wait_for_tone();
        assert!(bench.running.stats.speaker.xruns() > before);
        assert!(bench.running.stats.speaker.present());
        assert!(bench.running.stop());
    });
}

#[test]
fn cards_that_vanish_are_replaced_by_silence_until_they_are_back() {
    let name = "cards_that_vanish_are_replaced_by_silence_until_they_are_back";
    isolated(name, asound, |folder| {
        let pulse = Pulse::start(folder);
        let mut bench = start_line();
        bench.wait_for_tone();

        drop(pulse);
        let lost = [bench.loss(), bench.loss()];
        for direction in [Direction::Microphone, Direction::Speaker] {
            let told = |event: &Event| matches!(event, Event::Lost { direction: d, .. } if *d == direction);
            assert!(lost.iter().any(told), "{direction}: {lost:?}");
            let side = bench.running.stats.side(direction);
            assert!(!side.present());
            assert_eq!(side.losses(), 1);
        }
        while bench.heard.try_recv().is_ok() {}
        for _ in 0..20 {
            assert!(bench.period().iter().all(|&sample| sample == 0));
        }
        assert!(bench.running.stats.speaker.substitutes() > 0);

        let _pulse = Pulse::start(folder);
        bench.wait_until_both_are_back();
        bench.wait_for_tone();
        for side in [Direction::Microphone, Direction::Speaker] {
            let side = bench.running.stats.side(side);
            assert!(side.present());
            assert_eq!(side.reopens(), 1);
        }
        assert!(bench.running.stop());
    });
}

#[test]
fn cards_that_come_late_are_taken_up() {
    isolated("cards_that_come_late_are_taken_up", asound, |folder| {
        let mut bench = start(alsa::open(&line()));
        bench.loss();
        bench.loss();
        assert!(bench.period().iter().all(|&sample| sample == 0));
        let _pulse = Pulse::start(folder);
        bench.wait_until_both_are_back();
        bench.wait_for_tone();
        assert!(bench.running.stop());
    });
}
