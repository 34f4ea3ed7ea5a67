//! Keeps what the speaker plays, and the noise of the place, out of what the
//! microphone sends.
//!
//! ```text
//!  far  ─▶ reference ─▶ emphasis ─┐
//!                                 ▼
//!  near ─▶ a hop ─────▶ emphasis ─▶ filter ─▶ suppressor ─▶ de-emphasis ─▶ near
//! ```
//!
//! A voice is 30 dB louder at 300 Hz than at 3 kHz, and a spectrum smears the
//! one over the other: what is worked on is its difference from one sample to
//! the next, which is nearly level. The filter learns four times as fast.
//!
//! [`Echo::far`] sees the bus exactly as it goes to the speaker,
//! [`Echo::near`] works on the microphone in place. Both run at 16 kHz, in
//! pieces of any length, on the audio thread.
//!
//! | file | what it does |
//! |---|---|
//! | [`mod@reference`] | keeps what was played until its echo comes |
//! | [`filter`] | learns the way of the echo, and takes it out |
//! | [`suppress`] | turns down what is left of it, and the noise |
//! | [`watch`] | measures what became of it |
//! | [`fft`] | spectra |
//!
//! What is known of room and noise outlives a call: the next one begins with
//! it.
//!
//! Real time: bounded work, no allocation.

pub mod fft;
pub mod filter;
pub mod reference;
pub mod suppress;
pub mod watch;

use super::BUS_CHUNK;
use super::lanes::dot;
use filter::Filter;
use reference::Reference;
use suppress::Suppressor;
use watch::{Hop, Watch};

/// Samples that are worked on in one go: 10 ms.
pub const HOP: usize = BUS_CHUNK;
/// How much of a sample is taken from the next one before it is worked on.
const EMPHASIS: f32 = 0.9;

/// By how much the microphone is delayed, in bus samples, when its pieces are
/// whole hops; otherwise by up to a hop more.
pub const DELAY: usize = suppress::DELAY;

/// What is done about echo and noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Takes the echo out. Default true; false for a handset, or where a sound
    /// card does it.
    pub cancel: bool,
    /// Turns down the noise of the place, by 15 dB. Default true; false for a
    /// microphone that does it.
    pub suppress_noise: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cancel: true,
            suppress_noise: true,
        }
    }
}

/// Whatever stands between speaker and microphone.
#[derive(Debug)]
pub struct Echo(Option<Box<Worker>>);

impl Echo {
    /// What `config` asks for. Allocates.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let idle = !config.cancel && !config.suppress_noise;
        Self((!idle).then(|| Box::new(Worker::new(config))))
    }

    /// What the microphone brings next does not follow what it brought last.
    pub fn interrupt(&mut self) {
        if let Some(worker) = &mut self.0 {
            worker.interrupt();
        }
    }

    /// Takes note of what the speaker is about to play.
    pub fn far(&mut self, played: &[f32]) {
        if let Some(worker) = &mut self.0 {
            worker.reference.write(played);
        }
    }

    /// When the next sample of the microphone was taken, so many bus samples of
    /// what the speaker was handed had not been played yet.
    pub fn unplayed(&mut self, samples: f32) {
        if let Some(worker) = &mut self.0 {
            worker.reference.tell(samples, worker.come);
        }
    }

    /// The microphone brought this many samples that nobody wants.
    pub fn skip(&mut self, length: usize) {
        if let Some(worker) = &mut self.0 {
            let before = std::mem::take(&mut worker.come);
            worker.reference.skip(before + length);
        }
    }

    /// Takes the echo out of what the microphone brought. Whether the visitor may
    /// be in what is left, for all that is known.
    pub fn near(&mut self, mic: &mut [f32]) -> bool {
        let Some(worker) = &mut self.0 else {
            return true;
        };
        worker.near(mic);
        !worker.suppressor.is_alone()
    }

    /// What was measured of the echo; `None` when it is not taken out.
    #[must_use]
    pub fn watch(&self) -> Option<&Watch> {
        let worker = self.0.as_deref().filter(|worker| worker.cancel);
        worker.map(|worker| &worker.watch)
    }
}

#[derive(Debug)]
struct Worker {
    cancel: bool,
    reference: Reference,
    filter: Filter,
    suppressor: Suppressor,
    watch: Watch,
    /// The last samples before emphasis, and after it was undone.
    last_played: f32,
    last_heard: f32,
    last_sent: f32,
    /// A hop of the microphone, so far.
    coming: [f32; HOP],
    come: usize,
    /// What is ready: `going[gone..]`.
    going: [f32; 2 * HOP],
    gone: usize,
}

impl Worker {
    fn new(config: &Config) -> Self {
        Self {
            cancel: config.cancel,
            reference: Reference::new(),
            filter: Filter::new(),
            suppressor: Suppressor::new(config.suppress_noise),
            watch: Watch::default(),
            last_played: 0.0,
            last_heard: 0.0,
            last_sent: 0.0,
            coming: [0.0; HOP],
            come: 0,
            going: [0.0; 2 * HOP],
            gone: 2 * HOP,
        }
    }

    fn interrupt(&mut self) {
        self.filter.interrupt();
        self.suppressor.interrupt();
        self.watch = Watch::default();
        (self.last_played, self.last_heard, self.last_sent) = (0.0, 0.0, 0.0);
        self.come = 0;
        self.gone = 2 * HOP;
    }

    fn near(&mut self, mic: &mut [f32]) {
        for piece in mic.chunks_mut(HOP) {
            let mut rest = &*piece;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(HOP - self.come));
                self.coming[self.come..][..now.len()].copy_from_slice(now);
                self.come += now.len();
                rest = later;
                if self.come == HOP {
                    self.come = 0;
                    self.work();
                }
            }
            let ready = 2 * HOP - self.gone;
            // Pieces that are no whole hops wait for the rest of one, once.
            let short = piece.len().saturating_sub(ready);
            let (nothing, sound) = piece.split_at_mut(short);
            nothing.fill(0.0);
            sound.copy_from_slice(&self.going[self.gone..][..sound.len()]);
            self.gone += sound.len();
        }
    }

    fn work(&mut self) {
        let mut heard = self.coming;
        emphasize(&mut heard, &mut self.last_heard);
        let mut played = [0.0; HOP];
        if self.cancel {
            if !self.reference.read(&mut played) {
                self.filter.interrupt();
            }
            emphasize(&mut played, &mut self.last_played);
            self.filter.process(&played, &heard);
        } else {
            self.filter.pass(&heard);
        }
        let mut sent = [0.0; HOP];
        self.suppressor.process(&mut self.filter, &mut sent);
        self.watch.follow(Hop {
            played: dot(&played, &played),
            heard: dot(&heard, &heard),
            loudest: self.coming.iter().fold(0.0, |most, s| s.abs().max(most)),
            estimate: dot(&self.filter.estimate, &self.filter.estimate),
            common: dot(&heard, &self.filter.estimate),
            sent: dot(&sent, &sent),
            alone: self.suppressor.is_alone(),
        });
        for sample in &mut sent {
            self.last_sent = *sample + EMPHASIS * self.last_sent;
            *sample = self.last_sent;
        }
        self.going.copy_within(self.gone.., self.gone - HOP);
        self.gone -= HOP;
        self.going[HOP..].copy_from_slice(&sent);
    }
}

fn emphasize(samples: &mut [f32; HOP], last: &mut f32) {
    for sample in samples {
        let now = *sample;
        *sample = now - EMPHASIS * *last;
        *last = now;
    }
}
