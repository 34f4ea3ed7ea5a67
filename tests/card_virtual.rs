//! The virtual card paces a sound as a real one would, and keeps what it hears.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use callbox::audio::engine::Format;
use callbox::edge::card::{Running, Sound};
use callbox::edge::realtime::Wake;
use callbox::edge::virtual_card::{Broken, Config, ECHO_AFTER, Remote, start};

const MONO: Format = Format {
    rate: 16_000,
    channels: 1,
};
/// Samples in the card's default period.
const PERIOD: usize = 160;
/// No test takes so long unless something hangs.
const HANG: Duration = Duration::from_secs(20);

/// Reports each microphone period and plays a ramp.
struct Ramp {
    periods: SyncSender<Vec<i16>>,
    next: i16,
    hold: Option<Receiver<()>>,
}

impl Sound for Ramp {
    fn capture(&mut self, mic: &[i16]) -> usize {
        _ = self.periods.try_send(mic.to_vec());
        if let Some(hold) = self.hold.take() {
            _ = hold.recv();
        }
        1
    }

    fn render(&mut self, speaker: &mut [i16]) {
        for sample in speaker {
            *sample = self.next;
            self.next = self.next.wrapping_add(1);
        }
    }
}

struct Bench {
    running: Running,
    remote: Remote,
    periods: Receiver<Vec<i16>>,
}

fn bench(config: Config, hold: Option<Receiver<()>>) -> Bench {
    let (tell, periods) = sync_channel(10_000);
    let sound = Ramp {
        periods: tell,
        next: 1,
        hold,
    };
    let wake = Arc::new(Wake::new().unwrap());
    let (running, remote) = start(config, sound, wake).unwrap();
    Bench {
        running,
        remote,
        periods,
    }
}

fn mono(speech: Vec<i16>, keep: Duration) -> Config {
    Config {
        microphone: MONO,
        speaker: MONO,
        speech,
        keep,
        ..Config::default()
    }
}

/// Whether two samples are one, but for the microphone's hiss.
fn alike(a: &i16, b: &i16) -> bool {
    (a - b).abs() <= 2
}

#[test]
fn speech_comes_once_and_only_when_asked() {
    // Not a whole number of periods.
    let speech: Vec<i16> = (1000..1000 + PERIOD as i16 * 5 / 2).collect();
    let bench = bench(mono(speech.clone(), Duration::from_secs(1)), None);
    bench.remote.breaks(Some(Broken::Deaf));
    let first = bench.periods.recv_timeout(HANG).unwrap();
    assert!(first.iter().all(|s| alike(s, &0)));
    for _ in 0..2 {
        bench.remote.speak();
        let mut heard = Vec::new();
        while heard.len() < speech.len() + PERIOD {
            let period = bench.periods.recv_timeout(HANG).unwrap();
            if !heard.is_empty() || period[0] > 500 {
                heard.extend(period);
            }
        }
        let (said, rest) = heard.split_at(speech.len());
        assert!(
            said.iter()
                .zip(&speech)
                .all(|(heard, said)| alike(heard, said))
        );
        assert!(rest.iter().all(|s| alike(s, &0)));
        assert!(bench.remote.is_silent());
    }
    assert!(bench.running.stop());
}

#[test]
fn what_is_played_is_heard_again_softer() {
    let bench = bench(mono(Vec::new(), Duration::ZERO), None);
    for turn in 0..5 {
        let period = bench.periods.recv_timeout(HANG).unwrap();
        let played = (turn * PERIOD + 1) as i16 - (ECHO_AFTER * PERIOD) as i16;
        for (sample, played) in period.iter().zip(played..) {
            assert!(alike(sample, &(played.max(0) / 8)), "turn {turn}: {sample}");
        }
    }
    assert!(bench.running.stop());
}

#[test]
fn a_broken_microphone_gives_one_value_until_it_is_mended() {
    let bench = bench(mono(Vec::new(), Duration::ZERO), None);
    let until = |so: fn(&[i16]) -> bool| {
        while !so(&bench.periods.recv_timeout(HANG).unwrap()) {}
    };
    bench.remote.breaks(Some(Broken::Stuck(-7)));
    until(|period| period.iter().all(|sample| *sample == -7));
    bench.remote.breaks(Some(Broken::Square));
    until(|period| period.contains(&i16::MAX) && period.contains(&i16::MIN));
    bench.remote.breaks(None);
    until(|period| period.iter().any(|sample| *sample != period[0]));
    assert!(bench.running.stop());
}

#[test]
fn what_the_speaker_played_is_kept_up_to_the_bound() {
    let bench = bench(mono(Vec::new(), Duration::from_millis(25)), None);
    for _ in 0..5 {
        bench.periods.recv_timeout(HANG).unwrap();
    }
    let want: Vec<i16> = (1..=PERIOD as i16 * 5 / 2).collect();
    assert_eq!(bench.remote.heard(), want);
    assert!(bench.running.stop());
}

#[test]
fn a_held_up_card_counts_an_xrun_and_goes_on() {
    let (release, hold) = sync_channel(0);
    let bench = bench(mono(Vec::new(), Duration::ZERO), Some(hold));
    bench.periods.recv_timeout(HANG).unwrap();
    // The engine is stuck in `capture`; let ten periods pass.
    let held = Instant::now();
    while held.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    for _ in 0..3 {
        bench.periods.recv_timeout(HANG).unwrap();
    }
    assert!(bench.running.stats.microphone.xruns() >= 1);
    assert!(bench.running.stats.speaker.xruns() >= 1);
    assert!(bench.running.stats.speaker.worst_late() >= Duration::from_millis(30));
    assert!(bench.running.stop());
}

#[test]
fn a_fast_card_turns_more_often_than_a_slow_one() {
    let [slow, fast] = [-500_000, 1_000_000].map(|ppm| {
        let bench = bench(mono(Vec::new(), Duration::ZERO), None);
        bench.remote.set_skew_ppm(ppm);
        bench
    });
    // Half speed and double speed, side by side: one in four.
    for _ in 0..40 {
        fast.periods.recv_timeout(HANG).unwrap();
    }
    let slow_periods = slow.periods.try_iter().count();
    assert!((1..40).contains(&slow_periods), "{slow_periods} of 40");
    assert!(fast.running.stop());
    assert!(slow.running.stop());
}

#[test]
fn the_heart_beats_and_stops() {
    let bench = bench(mono(Vec::new(), Duration::ZERO), None);
    bench.periods.recv_timeout(HANG).unwrap();
    bench.periods.recv_timeout(HANG).unwrap();
    let stats = Arc::clone(&bench.running.stats);
    assert!(stats.beats() >= 1);
    assert!(stats.microphone.present());
    assert!(bench.running.stop());
    let beats = stats.beats();
    assert!(
        bench.periods.iter().count() < 10_000,
        "the thread has ended"
    );
    assert_eq!(stats.beats(), beats);
}
