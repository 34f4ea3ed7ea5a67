//! Plays something to the speaker once, and keeps what the microphone brings
//! meanwhile: for tests of the sound, and for recordings.
//!
//! ```text
//!  any thread:    Take ── begin, stop, state ──┐         ┌── heard, clipped ──▶
//!                                              ▼         │
//!  audio thread:  Probe::render ─▶ speaker …  room … microphone ─▶ Probe::capture
//! ```
//!
//! What is played is added to what the speaker is given anyway; what is kept is
//! the microphone as the card brought it, before gains and filters. The first
//! sample kept belongs to the first that is played, as they are handed to and
//! fro: what lies between two that belong together is the delay, to a period.
//!
//! Units: samples of 16 bit at [`BUS_RATE`](super::BUS_RATE).
//!
//! Always true: a [`Take`] is begun again only when it is over; one that is
//! stopped is silent within 10 ms; what was played and heard has the length
//! that was asked for, and no more.
//!
//! Real time: [`Probe`] does bounded work, without locks or calls; it and
//! [`Take`] allocate when they are made. The two share atomics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI16, AtomicU8, AtomicUsize};

use super::engine::{Format, fold};
use super::resample::{INPUT_MAX, Raiser, Resampler};
use super::sweep::measure::is_full;
use super::{BUS_CHUNK, MicChannel, round};

/// Bus samples in which a sound that is stopped falls silent: 10 ms.
const FADE: usize = BUS_CHUNK;
/// By how much the steps between card and bus delay, there and back, in ms.
const CONVERTED_MS: f32 = 1.479;

/// Where a [`Take`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It was never begun.
    Idle,
    /// It will begin with the next period of the speaker.
    Asked,
    /// It plays, or hears.
    Running,
    /// It was stopped, and falls silent.
    Stopping,
    /// It was stopped.
    Stopped,
    /// All was played, and heard.
    Over,
}

const STATES: [State; 6] = [
    State::Idle,
    State::Asked,
    State::Running,
    State::Stopping,
    State::Stopped,
    State::Over,
];

/// What is to be played and what was heard. See the [module page](self).
pub struct Take {
    play: Box<[i16]>,
    heard: Box<[AtomicI16]>,
    state: AtomicU8,
    /// Samples of `heard` that are there.
    kept: AtomicUsize,
    /// The card's own samples, and those of them at full scale.
    taken: AtomicUsize,
    full: AtomicUsize,
    /// How often the card's rate was not the bus's: on the way out, and back.
    conversions: AtomicUsize,
}

impl Take {
    /// Plays `play`, and hears `keep` samples. Allocates.
    #[must_use]
    pub fn new(play: &[i16], keep: usize) -> Arc<Self> {
        Arc::new(Self {
            play: play.into(),
            heard: std::iter::repeat_with(AtomicI16::default)
                .take(keep)
                .collect(),
            state: AtomicU8::new(State::Idle as u8),
            kept: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            full: AtomicUsize::new(0),
            conversions: AtomicUsize::new(0),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        // Only states are stored.
        STATES[usize::from(self.state.load(Acquire))]
    }

    /// Begins it with the next period; `false` when it is not over yet.
    pub fn begin(&self) -> bool {
        [State::Idle, State::Stopped, State::Over]
            .into_iter()
            .any(|state| self.turn(state, State::Asked))
    }

    /// Ends it. What was heard until then is kept.
    pub fn stop(&self) {
        // The audio thread may move it on in between.
        while !(self.turn(State::Asked, State::Stopped)
            || self.turn(State::Running, State::Stopping))
        {
            if !matches!(self.state(), State::Asked | State::Running) {
                return;
            }
        }
    }

    /// Samples that were heard so far.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.load(Acquire)
    }

    /// What was heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        let kept = self.heard[..self.kept()].iter();
        kept.map(|sample| sample.load(Relaxed)).collect()
    }

    /// How many of the card's samples were at full scale, for each thousand.
    #[must_use]
    pub fn clipped(&self) -> f32 {
        let taken = self.taken.load(Relaxed).max(1);
        1000.0 * self.full.load(Relaxed) as f32 / taken as f32
    }

    /// How much later a sound comes by the steps between card and bus, in ms.
    #[must_use]
    pub fn converted_ms(&self) -> f32 {
        CONVERTED_MS * 0.5 * self.conversions.load(Relaxed) as f32
    }

    fn turn(&self, from: State, to: State) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.state
            .compare_exchange(from, to, AcqRel, Acquire)
            .is_ok()
    }
}

/// One is itself and no other.
impl PartialEq for Take {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Take")
            .field("play", &self.play.len())
            .field("keep", &self.heard.len())
            .field("state", &self.state())
            .finish()
    }
}

/// The audio thread's end of a [`Take`].
#[derive(Debug)]
pub struct Probe {
    take: Arc<Take>,
    channel: MicChannel,
    mic: Format,
    speaker: Format,
    to_bus: Option<Resampler>,
    to_card: Option<Raiser>,
    /// Bus samples that were made since it began.
    played: usize,
    /// Card samples that were handed out since.
    handed: usize,
    /// Those of them after it was stopped.
    fading: usize,
    /// Whether the microphone's first sample is there.
    hears: bool,
    /// Samples at card rate, of which those from `ready` on are to be played.
    card: [f32; INPUT_MAX],
    ready: usize,
    made: usize,
}

impl Probe {
    /// One for a card of these formats. Allocates.
    ///
    /// # Panics
    /// If a format is not 16 or 48 kHz, mono or stereo.
    #[must_use]
    pub fn new(take: Arc<Take>, channel: MicChannel, mic: Format, speaker: Format) -> Self {
        let converts = |format: Format| format.per_bus() == Raiser::FACTOR;
        let conversions = usize::from(converts(mic)) + usize::from(converts(speaker));
        take.conversions.store(conversions, Relaxed);
        Self {
            take,
            channel,
            mic,
            speaker,
            to_bus: converts(mic).then(Resampler::from_48_to_16),
            to_card: converts(speaker).then(Raiser::by_3),
            played: 0,
            handed: 0,
            fading: 0,
            hears: false,
            card: [0.0; INPUT_MAX],
            ready: 0,
            made: 0,
        }
    }

    /// Takes in a period of the microphone, interleaved and of any length.
    pub fn capture(&mut self, mic: &[i16]) {
        if self.take.state() != State::Running || self.handed == 0 {
            return;
        }
        let channels = usize::from(self.mic.channels);
        let full = mic.iter().filter(|sample| is_full(**sample)).count();
        self.take.taken.fetch_add(mic.len(), Relaxed);
        self.take.full.fetch_add(full, Relaxed);
        if !std::mem::replace(&mut self.hears, true) {
            // It was played meanwhile.
            let missed = self.handed / self.speaker.per_bus();
            let missed = missed.min(self.take.heard.len());
            self.take.kept.store(missed, Release);
        }
        for card in mic.chunks(INPUT_MAX * channels) {
            let mut mono = [0.0; INPUT_MAX];
            let mono = &mut mono[..card.len() / channels];
            fold(card, channels, self.channel, mono);
            let mut bus = [0.0; INPUT_MAX];
            let length = match &mut self.to_bus {
                Some(resampler) => resampler.process(mono, &mut bus),
                None => {
                    bus[..mono.len()].copy_from_slice(mono);
                    mono.len()
                }
            };
            self.keep(&bus[..length]);
        }
        self.look_for_the_end();
    }

    fn keep(&self, bus: &[f32]) {
        let kept = self.take.kept.load(Relaxed);
        let room = &self.take.heard[kept..];
        for (place, &sample) in room.iter().zip(bus) {
            place.store(round(sample), Relaxed);
        }
        let kept = kept + room.len().min(bus.len());
        self.take.kept.store(kept, Release);
    }

    /// Adds to a period for the speaker, interleaved and of any length.
    pub fn render(&mut self, speaker: &mut [i16]) {
        if self.take.turn(State::Asked, State::Running) {
            self.start();
        }
        if !matches!(self.take.state(), State::Running | State::Stopping) {
            return;
        }
        let channels = usize::from(self.speaker.channels);
        for frame in speaker.chunks_mut(channels) {
            if self.ready == self.made {
                self.make();
            }
            let added = self.card[self.ready];
            self.ready += 1;
            self.handed += 1;
            for sample in frame {
                *sample = round(f32::from(*sample) + added);
            }
        }
        self.look_for_the_end();
    }

    fn start(&mut self) {
        for count in [&self.take.kept, &self.take.taken, &self.take.full] {
            count.store(0, Relaxed);
        }
        for place in &self.take.heard {
            place.store(0, Relaxed);
        }
        self.to_bus.iter_mut().for_each(Resampler::clear);
        (self.played, self.handed, self.fading) = (0, 0, 0);
        self.hears = false;
        (self.ready, self.made) = (0, 0);
    }

    /// Makes the next samples at card rate.
    fn make(&mut self) {
        let stopping = self.take.state() == State::Stopping;
        let mut bus = [0.0; BUS_CHUNK];
        for sample in &mut bus {
            let played = self.take.play.get(self.played).copied();
            let fade = 1.0 - self.fading.min(FADE) as f32 / FADE as f32;
            *sample = f32::from(played.unwrap_or(0)) * fade;
            self.played += 1;
            self.fading += usize::from(stopping);
        }
        let per_bus = self.speaker.per_bus();
        (self.ready, self.made) = (0, BUS_CHUNK * per_bus);
        let card = &mut self.card[..self.made];
        match &mut self.to_card {
            Some(raiser) => raiser.process(&bus, card),
            None => card.copy_from_slice(&bus),
        }
    }

    fn look_for_the_end(&self) {
        let heard = self.take.kept.load(Relaxed) == self.take.heard.len();
        if heard && self.played >= self.take.play.len() + FADE {
            self.take.turn(State::Running, State::Over);
        }
        if self.fading > FADE {
            self.take.turn(State::Stopping, State::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::sweep::{Heard, Sweep, judge, measure};
    use crate::audio::{BUS_RATE, FULL_SCALE};

    /// A card whose microphone hears its speaker some periods later.
    struct Card {
        mic: Format,
        speaker: Format,
        period_ms: usize,
        periods: usize,
        gain: f32,
    }

    const CARD: Card = Card {
        mic: format(48_000, 1),
        speaker: format(48_000, 1),
        period_ms: 10,
        periods: 2,
        gain: 0.125,
    };

    const fn format(rate: u32, channels: u16) -> Format {
        Format { rate, channels }
    }

    impl Card {
        /// Turns until the take is over; what the speaker played.
        fn turn(&self, take: &Arc<Take>, mut each: impl FnMut(usize)) -> Vec<i16> {
            let mut probe = Probe::new(Arc::clone(take), MicChannel::Both, self.mic, self.speaker);
            let frames = |format: Format| format.rate as usize * self.period_ms / 1000;
            let (mic, speaker) = (frames(self.mic), frames(self.speaker));
            let mut played = vec![0; self.periods * speaker * usize::from(self.speaker.channels)];
            let mut turn = 0;
            while !matches!(take.state(), State::Over | State::Stopped) {
                each(turn);
                let from = turn * speaker * usize::from(self.speaker.channels);
                let echo = &played[from..];
                let mut period = Vec::new();
                for n in 0..mic {
                    let at = n * speaker / mic * usize::from(self.speaker.channels);
                    let sample = f32::from(echo[at]) * self.gain;
                    // A bit of noise, or a microphone of no sound is dead.
                    let sample = round(sample) + (n % 3) as i16 - 1;
                    period.extend(std::iter::repeat_n(sample, self.mic.channels.into()));
                }
                probe.capture(&period);
                let mut period = vec![0; speaker * usize::from(self.speaker.channels)];
                probe.render(&mut period);
                played.extend(period);
                turn += 1;
                assert!(turn < 10_000, "it does not end: {take:?}");
            }
            played
        }
    }

    fn sweep_take() -> (Sweep, Arc<Take>) {
        let sweep = Sweep::new(BUS_RATE);
        let take = Take::new(sweep.samples(), sweep.listen());
        assert!(take.begin());
        (sweep, take)
    }

    #[test]
    fn every_format_of_card_is_measured_alike() {
        for mic in [format(16_000, 1), format(48_000, 2)] {
            for speaker in [format(16_000, 2), format(48_000, 1)] {
                for period_ms in [4, 10, 25] {
                    let card = Card {
                        mic,
                        speaker,
                        period_ms,
                        ..CARD
                    };
                    let (sweep, take) = sweep_take();
                    card.turn(&take, |_| {});
                    let samples = take.heard();
                    let heard = Heard {
                        samples: &samples,
                        clipped: take.clipped(),
                        converted_ms: take.converted_ms(),
                    };
                    let measured = measure(&sweep, &heard);
                    let way = measured.way.clone().unwrap();
                    let truth = (2 * period_ms) as f32;
                    let cards = format!("{mic:?} {speaker:?} {period_ms} ms");
                    // To a sample; where rates differ the card above is rough.
                    let off = (way.delay_ms - truth).abs();
                    assert!(off < 0.1, "{cards}: {} ms", way.delay_ms);
                    let off = (way.loss_db - 18.06).abs();
                    assert!(off < 0.7, "{cards}: {} dB", way.loss_db);
                    assert_eq!(judge(&measured), [], "{cards}");
                }
            }
        }
    }

    #[test]
    fn what_is_stopped_falls_silent_at_once_and_without_a_click() {
        let (_, take) = sweep_take();
        let played = CARD.turn(&take, |turn| {
            if turn == 150 {
                take.stop();
            }
        });
        assert_eq!(take.state(), State::Stopped);
        let end = played.iter().rposition(|sample| *sample != 0).unwrap();
        let periods = end / 480 - 2;
        assert!((150..=153).contains(&periods), "{periods}");
        let (before, after) = played[end - 960..].split_at(480);
        let step = |part: &[i16]| part.windows(2).map(|w| (w[1] - w[0]).abs()).max();
        assert!(step(after) <= step(before), "it ends softer than it was");
        // It begins anew, from the start.
        assert!(take.begin());
        assert!(!take.begin(), "it is under way");
        CARD.turn(&take, |_| {});
        assert_eq!(take.state(), State::Over);
    }

    #[test]
    fn what_is_not_begun_plays_and_hears_nothing() {
        let take = Take::new(&[1000; 100], 100);
        let mut probe = Probe::new(Arc::clone(&take), MicChannel::Both, CARD.mic, CARD.speaker);
        let mut period = [7; 480];
        probe.render(&mut period);
        probe.capture(&[500; 480]);
        assert_eq!(period, [7; 480]);
        assert_eq!((take.state(), take.kept()), (State::Idle, 0));
        take.stop();
        assert_eq!(take.state(), State::Idle);
        take.begin();
        take.stop();
        assert_eq!(take.state(), State::Stopped);
    }

    #[test]
    fn what_is_played_is_added_to_what_is_there() {
        let take = Take::new(&[1000; 320], 0);
        take.begin();
        let format = format(16_000, 1);
        let mut probe = Probe::new(Arc::clone(&take), MicChannel::Both, format, format);
        let mut period = [100; 160];
        probe.render(&mut period);
        assert_eq!(period, [1100; 160]);
        let mut period = [i16::MAX; 160];
        probe.render(&mut period);
        assert_eq!(period, [i16::MAX; 160]);
    }

    #[test]
    fn full_scale_is_counted_before_it_is_filtered() {
        let take = Take::new(&[], 1600);
        take.begin();
        let mut probe = Probe::new(Arc::clone(&take), MicChannel::Left, CARD.mic, CARD.speaker);
        probe.render(&mut [0; 480]);
        let mut period = [0; 480];
        period[..120].fill(i16::MAX);
        while take.state() == State::Running {
            probe.capture(&period);
        }
        assert!((take.clipped() - 250.0).abs() < 1.0, "{}", take.clipped());
        assert!(
            take.heard()
                .iter()
                .any(|s| f32::from(*s) > 0.9 * FULL_SCALE)
        );
    }
}
