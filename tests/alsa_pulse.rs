//! The audio thread against real cards of a sort: null sinks of a PulseAudio
//! daemon that each test starts for itself, through alsa-lib's `pulse` PCM.
//! They are paced in real time and can be taken away.

mod alsa_bench;

use std::f64::consts::TAU;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use alsa_bench::{HANG, config, isolated};
use callbox::edge::alsa::{self, Card, Config};
use callbox::edge::card::{Direction, Event, Running, Sound};
use callbox::edge::realtime::Wake;
use callbox::trace::Trace;

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
    let fits: Vec<_> = card.fits().map(|(direction, _)| direction).collect();
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

/// Plays a tone of 1 kHz, and hands over what the microphone gives.
struct Tone {
    played: u64,
    rate: u32,
    channels: u16,
    heard: SyncSender<Vec<i16>>,
    stuck: Arc<AtomicBool>,
}

impl Sound for Tone {
    fn capture(&mut self, mic: &[i16]) -> usize {
        _ = self.heard.try_send(mic.to_vec());
        1
    }

    fn render(&mut self, speaker: &mut [i16]) {
        while self.stuck.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        for frame in speaker.chunks_exact_mut(self.channels.into()) {
            let angle = TAU * 1000.0 * self.played as f64 / f64::from(self.rate);
            frame.fill((angle.sin() * 8000.0) as i16);
            self.played += 1;
        }
    }
}

/// A card at work with a [`Tone`].
struct Bench {
    running: Running,
    /// Periods the microphone gave.
    heard: Receiver<Vec<i16>>,
    /// While set, the audio thread hangs in `render`.
    stuck: Arc<AtomicBool>,
    rate: f64,
}

fn start(card: Card) -> Bench {
    let (heard, periods) = sync_channel(1000);
    let stuck = Arc::new(AtomicBool::new(false));
    let rate = f64::from(card.microphone().rate) * f64::from(card.microphone().channels);
    let tone = Tone {
        played: 0,
        rate: card.speaker().rate,
        channels: card.speaker().channels,
        heard,
        stuck: Arc::clone(&stuck),
    };
    let wake = Arc::new(Wake::new().unwrap());
    let running = card.start(tone, wake, Arc::new(Trace::default())).unwrap();
    Bench {
        running,
        heard: periods,
        stuck,
        rate,
    }
}

impl Bench {
    /// The next period of the microphone.
    fn period(&self) -> Vec<i16> {
        self.heard
            .recv_timeout(HANG)
            .expect("the microphone goes on")
    }

    /// Waits until 100 ms of the tone, and nothing else, came in.
    fn wait_for_tone(&self) {
        while self.heard.try_recv().is_ok() {}
        let began = Instant::now();
        let (mut window, mut purest) = (Vec::new(), 0.0);
        while began.elapsed() < HANG {
            window.extend(self.period());
            if window.len() as f64 >= self.rate / 10.0 {
                purest = share(&window, 1000.0 / self.rate).max(purest);
                if purest > 0.98 {
                    return;
                }
                window.clear();
            }
        }
        panic!("no tone came in; at best {purest:.3} of the sound was it");
    }

    /// Waits for two sides to come back; until then, opening may fail in
    /// whatever way a daemon that is just starting makes it fail.
    fn wait_until_both_are_back(&mut self) {
        let mut back = 0;
        while back < 2 {
            back += usize::from(matches!(self.event(), Event::Back { .. }));
        }
    }

    /// The next loss that is told.
    fn loss(&mut self) -> Event {
        loop {
            let event = self.event();
            if matches!(event, Event::Lost { .. }) {
                return event;
            }
        }
    }

    /// The next event.
    fn event(&mut self) -> Event {
        let began = Instant::now();
        while began.elapsed() < HANG {
            if let Ok(event) = self.running.events.try_recv() {
                return event;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no event came");
    }
}

/// How much of the energy lies at `frequency`, in cycles per sample.
fn share(samples: &[i16], frequency: f64) -> f64 {
    let (mut sine, mut cosine, mut all) = (0.0, 0.0, 1e-9);
    for (n, &sample) in samples.iter().enumerate() {
        let (sample, angle) = (f64::from(sample), TAU * frequency * n as f64);
        sine += sample * angle.sin();
        cosine += sample * angle.cos();
        all += sample * sample;
    }
    2.0 * (sine * sine + cosine * cosine) / (samples.len() as f64 * all)
}
