//! A tone of 1 kHz sent through a card that leads back to itself.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use callbox::edge::alsa::Card;
use callbox::edge::card::{Event, Running, Sound};
use callbox::edge::realtime::Wake;
use callbox::trace::Trace;

/// No test takes so long unless something hangs.
const HANG: Duration = Duration::from_secs(30);

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
pub(crate) struct Bench {
    pub(crate) running: Running,
    /// Periods the microphone gave.
    pub(crate) heard: Receiver<Vec<i16>>,
    /// While set, the audio thread hangs in `render`.
    pub(crate) stuck: Arc<AtomicBool>,
    rate: f64,
}

pub(crate) fn start(card: Card) -> Bench {
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
    pub(crate) fn period(&self) -> Vec<i16> {
        self.heard
            .recv_timeout(HANG)
            .expect("the microphone goes on")
    }

    /// Waits until 100 ms of the tone, and nothing else, came in.
    pub(crate) fn wait_for_tone(&self) {
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
    pub(crate) fn wait_until_both_are_back(&mut self) {
        let mut back = 0;
        while back < 2 {
            back += usize::from(matches!(self.event(), Event::Back { .. }));
        }
    }

    /// The next loss that is told.
    pub(crate) fn loss(&mut self) -> Event {
        loop {
            let event = self.event();
            if matches!(event, Event::Lost { .. }) {
                return event;
            }
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Event {
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
