//! What the device itself says to the visitor or the callee, made from sines.
//!
//! ```text
//!  Cue ─┬▶ pattern: segments of 0 to 2 frequencies ─▶ oscillators ─┬▶ envelope ─▶ bus
//!       └▶ the installer's recording, if there is one ─────────────┘
//! ```
//!
//! Telephone tones are those of the visitor's country, since they are known
//! without being learnt: frequencies and cadences of ITU-T E.180/Q.35 and its
//! list of tones in use (supplement 2), meanings of E.182. What no network has
//! a tone for is our own, two short notes at most: rising is good, falling is
//! the end.
//!
//! | tone | Europe | North America | source |
//! |---|---|---|---|
//! | `Pressed` | 880 Hz 80 ms | same | own |
//! | `Dialing` | 425 Hz 60 ms, every 1.5 s | 440 Hz | own, quiet |
//! | `Ringing` | 425 Hz 1 s, pause 4 s | 440+480 Hz 2 s, pause 4 s | E.180 ringing tone |
//! | `Answered` | 660, 880 Hz 70 ms each | same | own |
//! | `Busy` | 425 Hz 200 ms, twice | 480+620 Hz | E.180 busy tone, shortened |
//! | `Reconnecting` | 425 Hz 150 ms, twice every 2 s | 440 Hz | own |
//! | `Failed` | 425 Hz 250/250 ms, 5 times | 480+620 Hz | E.180 congestion tone |
//! | `Offline` | 950, 1400, 1800 Hz 330 ms each | same | E.180 special information tone |
//! | `Limited` | 425 Hz 500/500 ms, 4 times | 480+620 Hz | E.180 busy tone |
//! | `Warning` | 1400 Hz 150 ms, twice | same | E.182 warning tone |
//! | `Trouble` | 425 Hz 80/80 ms, 3 times | 440 Hz | own |
//! | `Ended` | 660, 440 Hz 120 ms each | same | own |
//! | `Chime` | 659 Hz 500 ms, 523 Hz 700 ms, every 3 s | same | own: a door bell |
//! | `Opened` | 523, 659, 784 Hz 90 ms each | same | own |
//! | to the callee: `Confirm` | 880 Hz 120 ms, twice every 3 s | same | own |
//! | to the callee: `RingBack` | as `Ringing` | | E.180 ringing tone |
//! | to the callee: `DoorOpened` | as `Opened` | | own |
//!
//! Always true: the level is -20 dBFS rms at most, so a speaker set for speech
//! does not frighten, but a recording keeps its own; each segment and each change of tone goes through a ramp
//! of [`RAMP_MS`], so nothing clicks.
//!
//! Real time: bounded work, no allocation.

use std::f32::consts::{SQRT_2, TAU};
use std::sync::Arc;

use super::prompt::{Cue, FarPrompt, PAUSE_MS, Prompts};
use super::{BUS_RATE, FULL_SCALE};

/// How long a tone takes from nothing to its level, and back.
pub const RAMP_MS: u32 = 8;
/// The rms of a tone, in dBFS. Speech on a telephone line averages about -20.
pub const LEVEL_DBFS: f32 = -20.0;

/// What the visitor hears from the device itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing; ends a tone that repeats.
    Silence,
    /// The press counted.
    Pressed,
    /// The call is being placed.
    Dialing,
    /// The far end rings (ring-back).
    Ringing,
    /// Somebody answered.
    Answered,
    /// A press during a call: heard, nothing changes. Mixed over the speech.
    Busy,
    /// The line dropped and is expected back.
    Reconnecting,
    /// The call could not be made, or broke.
    Failed,
    /// No network, or the service does not answer.
    Offline,
    /// A limit says no.
    Limited,
    /// The maximum time is near. Mixed over the speech.
    Warning,
    /// The sound of the call is bad. Mixed over the speech.
    Trouble,
    /// The call ended as it should.
    Ended,
    /// Somebody calls the station, until it answers.
    Chime,
    /// The door was opened. Mixed over the speech.
    Opened,
}

impl Tone {
    /// All that sound.
    pub const ALL: [Self; 14] = [
        Self::Pressed,
        Self::Dialing,
        Self::Ringing,
        Self::Answered,
        Self::Busy,
        Self::Reconnecting,
        Self::Failed,
        Self::Offline,
        Self::Limited,
        Self::Warning,
        Self::Trouble,
        Self::Ended,
        Self::Chime,
        Self::Opened,
    ];

    /// The name of its recording, without the ending of the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Pressed => "pressed",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::Reconnecting => "reconnecting",
            Self::Failed => "failed",
            Self::Offline => "offline",
            Self::Limited => "limited",
            Self::Warning => "warning",
            Self::Trouble => "trouble",
            Self::Ended => "ended",
            Self::Chime => "chime",
            Self::Opened => "opened",
        }
    }

    /// Whether it is left out in quiet hours: it says what the lamp says too, and
    /// to whoever sleeps near by.
    #[must_use]
    pub fn is_hushed(self) -> bool {
        matches!(self, Self::Pressed | Self::Chime)
    }
}

/// Whose telephone tones are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// 425 Hz, as in most of Europe; ring-back 1 s, pause 4 s.
    #[default]
    Europe,
    /// Two frequencies, as in the USA and Canada; ring-back 2 s, pause 4 s.
    NorthAmerica,
}

/// A stretch of sound: frequencies in Hz (0 is none) and its length in ms.
type Segment = (&'static [f32], u32);

/// How a tone goes.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    segments: &'static [Segment],
    /// How often the segments are played; 0 is until another tone comes.
    times: u32,
    /// Heard over the speech, not instead of it.
    mixed: bool,
    /// Against [`LEVEL_DBFS`], as a factor.
    level: f32,
}

impl Pattern {
    const fn once(segments: &'static [Segment]) -> Self {
        Self {
            segments,
            times: 1,
            mixed: false,
            level: 1.0,
        }
    }

    const fn repeated(segments: &'static [Segment], times: u32) -> Self {
        let once = Self::once(segments);
        Self { times, ..once }
    }
}

fn pattern(cue: Cue, style: Style) -> Pattern {
    match cue {
        Cue::Tone(tone) => tone_pattern(tone, style),
        Cue::Far(FarPrompt::Confirm) => Pattern::repeated(
            &[(&[880.0], 120), (&[], 120), (&[880.0], 120), (&[], 2640)],
            0,
        ),
        Cue::Far(FarPrompt::RingBack) => tone_pattern(Tone::Ringing, style),
        Cue::Far(FarPrompt::DoorOpened) => tone_pattern(Tone::Opened, style),
    }
}

fn tone_pattern(tone: Tone, style: Style) -> Pattern {
    use Style::{Europe, NorthAmerica};
    match (tone, style) {
        (Tone::Silence, _) => Pattern::once(&[]),
        (Tone::Pressed, _) => Pattern::once(&[(&[880.0], 80)]),
        (Tone::Dialing, Europe) => Pattern {
            level: 0.5,
            ..Pattern::repeated(&[(&[425.0], 60), (&[], 1440)], 0)
        },
        (Tone::Dialing, NorthAmerica) => Pattern {
            level: 0.5,
            ..Pattern::repeated(&[(&[440.0], 60), (&[], 1440)], 0)
        },
        (Tone::Ringing, Europe) => Pattern::repeated(&[(&[425.0], 1000), (&[], 4000)], 0),
        (Tone::Ringing, NorthAmerica) => {
            Pattern::repeated(&[(&[440.0, 480.0], 2000), (&[], 4000)], 0)
        }
        (Tone::Answered, _) => Pattern::once(&[(&[660.0], 70), (&[880.0], 70)]),
        (Tone::Busy, Europe) => Pattern {
            mixed: true,
            ..Pattern::repeated(&[(&[425.0], 200), (&[], 200)], 2)
        },
        (Tone::Busy, NorthAmerica) => Pattern {
            mixed: true,
            ..Pattern::repeated(&[(&[480.0, 620.0], 200), (&[], 200)], 2)
        },
        (Tone::Reconnecting, Europe) => Pattern::repeated(
            &[(&[425.0], 150), (&[], 150), (&[425.0], 150), (&[], 1550)],
            0,
        ),
        (Tone::Reconnecting, NorthAmerica) => Pattern::repeated(
            &[(&[440.0], 150), (&[], 150), (&[440.0], 150), (&[], 1550)],
            0,
        ),
        (Tone::Failed, Europe) => Pattern::repeated(&[(&[425.0], 250), (&[], 250)], 5),
        (Tone::Failed, NorthAmerica) => Pattern::repeated(&[(&[480.0, 620.0], 250), (&[], 250)], 5),
        (Tone::Offline, _) => Pattern::once(&[(&[950.0], 330), (&[1400.0], 330), (&[1800.0], 330)]),
        (Tone::Limited, Europe) => Pattern::repeated(&[(&[425.0], 500), (&[], 500)], 4),
        (Tone::Limited, NorthAmerica) => {
            Pattern::repeated(&[(&[480.0, 620.0], 500), (&[], 500)], 4)
        }
        (Tone::Warning, _) => Pattern {
            mixed: true,
            ..Pattern::repeated(&[(&[1400.0], 150), (&[], 100)], 2)
        },
        (Tone::Trouble, Europe) => Pattern {
            mixed: true,
            ..Pattern::repeated(&[(&[425.0], 80), (&[], 80)], 3)
        },
        (Tone::Trouble, NorthAmerica) => Pattern {
            mixed: true,
            ..Pattern::repeated(&[(&[440.0], 80), (&[], 80)], 3)
        },
        (Tone::Ended, _) => Pattern::once(&[(&[660.0], 120), (&[440.0], 120)]),
        (Tone::Chime, _) => Pattern::repeated(&[(&[659.0], 500), (&[523.0], 700), (&[], 1800)], 0),
        (Tone::Opened, _) => Pattern {
            mixed: true,
            ..Pattern::once(&[(&[523.0], 90), (&[659.0], 90), (&[784.0], 90)])
        },
    }
}

/// A sine made by turning a vector, which costs four products a sample.
#[derive(Debug, Clone, Copy)]
struct Oscillator {
    at: (f32, f32),
    turn: (f32, f32),
}

impl Oscillator {
    fn new(frequency: f32) -> Self {
        let (sin, cos) = (TAU * frequency / BUS_RATE as f32).sin_cos();
        Self {
            at: (1.0, 0.0),
            turn: (cos, sin),
        }
    }

    fn next(&mut self) -> f32 {
        let ((x, y), (cos, sin)) = (self.at, self.turn);
        self.at = (x * cos - y * sin, x * sin + y * cos);
        self.at.1
    }
}

/// What is played: a pattern, or a recording with its meaning.
#[derive(Debug, Clone)]
struct Piece {
    cue: Cue,
    pattern: Pattern,
    recording: Option<Arc<[i16]>>,
}

impl Piece {
    /// Goes on until another is played.
    fn is_endless(&self) -> bool {
        self.pattern.times == 0
    }

    /// How often its segments are played; 0 is for ever.
    fn times(&self) -> u32 {
        match self.recording {
            // Said once, words need not be repeated.
            Some(_) => self.pattern.times.min(1),
            None => self.pattern.times,
        }
    }

    /// The length of a segment in samples; `None` behind the last.
    fn length(&self, segment: usize) -> Option<u32> {
        let samples = |ms: u32| ms * BUS_RATE / 1000;
        match (&self.recording, segment) {
            (Some(recording), 0) => Some(recording.len() as u32),
            (Some(_), 1) if self.is_endless() => Some(samples(PAUSE_MS)),
            (Some(_), _) => None,
            (None, _) => {
                let (_, ms) = self.pattern.segments.get(segment)?;
                Some(samples(*ms))
            }
        }
    }

    /// The notes of a segment.
    fn oscillators(&self, segment: usize) -> [Option<Oscillator>; 2] {
        let notes = match self.recording {
            Some(_) => &[],
            None => self.pattern.segments.get(segment).map_or(&[][..], |s| s.0),
        };
        [0, 1].map(|n| notes.get(n).copied().map(Oscillator::new))
    }
}

/// Plays sounds into the bus. See the [module page](self).
#[derive(Debug)]
pub struct Player {
    style: Style,
    prompts: Prompts,
    /// What was begun last.
    piece: Piece,
    /// What waits for the ramp of the present one.
    pending: Option<Cue>,
    /// What goes on after a mixed one.
    interrupted: Option<Cue>,
    /// The present segment; past the last one when nothing plays.
    segment: usize,
    round: u32,
    /// Samples left of the present segment.
    left: u32,
    oscillators: [Option<Oscillator>; 2],
    /// Where the ramp is, 0 to 1.
    ramp: f32,
    speech: Fade,
    /// Whether a round has come to its end.
    over: bool,
}

impl Player {
    /// A player that is silent.
    #[must_use]
    pub fn new(style: Style, prompts: Prompts) -> Self {
        let cue = Cue::Tone(Tone::Silence);
        Self {
            style,
            prompts,
            piece: Piece {
                cue,
                pattern: pattern(cue, style),
                recording: None,
            },
            pending: None,
            interrupted: None,
            segment: 0,
            round: 0,
            left: 0,
            oscillators: [None; 2],
            ramp: 0.0,
            speech: Fade::open(),
            over: false,
        }
    }

    /// Plays `cue` in place of the present one. An endless one goes on after
    /// one that is mixed: a press while it rings does not end the ring-back.
    pub fn play(&mut self, cue: impl Into<Cue>) {
        let cue = cue.into();
        let present = self.present();
        if !pattern(cue, self.style).mixed {
            self.interrupted = None;
        } else if pattern(present, self.style).times == 0 {
            self.interrupted = Some(present);
        }
        self.pending = Some(cue);
    }

    /// Falls silent at once: whoever listened is gone.
    pub fn reset(&mut self) {
        self.pending = None;
        self.interrupted = None;
        self.begin(Cue::Tone(Tone::Silence));
        self.speech = Fade::open();
        self.over = false;
    }

    /// What was asked for last.
    #[must_use]
    pub fn present(&self) -> Cue {
        self.pending.unwrap_or(self.piece.cue)
    }

    /// Whether there is nothing to add to the speech and nothing to take away.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_none() && !self.sounding() && self.speech.is_open()
    }

    /// Whether a cue was played to its end, its pause included, since this was
    /// last asked.
    pub fn take_over(&mut self) -> bool {
        std::mem::take(&mut self.over)
    }

    /// Puts the sound over, or in place of, the speech in `bus`.
    pub fn mix(&mut self, bus: &mut [f32]) {
        if self.is_idle() {
            return;
        }
        let mut rest = bus;
        while !rest.is_empty() {
            self.turn_over();
            let length = self.stretch().min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            self.add(now);
            rest = later;
        }
    }

    fn sounding(&self) -> bool {
        self.piece.length(self.segment).is_some()
    }

    /// Goes on to the next segment or cue, if it is time.
    fn turn_over(&mut self) {
        if let Some(cue) = self
            .pending
            .filter(|_| self.ramp == 0.0 || !self.sounding())
        {
            self.pending = None;
            self.begin(cue);
        }
        while self.sounding() && self.left == 0 {
            self.enter(self.segment + 1);
        }
        let over = !self.sounding() && self.pending.is_none();
        if let Some(cue) = self.interrupted.take_if(|_| over) {
            self.begin(cue);
        }
    }

    fn begin(&mut self, cue: Cue) {
        self.piece = Piece {
            cue,
            pattern: pattern(cue, self.style),
            recording: self.prompts.of(cue).cloned(),
        };
        self.round = 0;
        self.enter(0);
    }

    fn enter(&mut self, segment: usize) {
        self.segment = segment;
        if segment > 0 && self.piece.length(segment).is_none() {
            self.round += 1;
            self.over = true;
            if self.piece.times() != 0 && self.round == self.piece.times() {
                return;
            }
            self.segment = 0;
        }
        self.left = self.piece.length(self.segment).unwrap_or(0);
        self.ramp = 0.0;
        self.oscillators = self.piece.oscillators(self.segment);
    }

    /// For how many samples nothing changes but the ramp.
    fn stretch(&self) -> usize {
        match (self.sounding(), self.pending) {
            // A tone that is being replaced ends when its ramp is down.
            (true, Some(_)) => ((self.ramp / STEP).ceil() as usize).clamp(1, self.left as usize),
            (true, None) => self.left as usize,
            (false, _) => usize::MAX,
        }
    }

    fn add(&mut self, bus: &mut [f32]) {
        let replaces = self.sounding() && !self.piece.pattern.mixed;
        self.speech.apply(bus, if replaces { 0.0 } else { 1.0 });
        if !self.sounding() {
            return;
        }
        match self.piece.recording.clone().filter(|_| self.segment == 0) {
            Some(samples) => {
                let from = samples.len() - self.left as usize;
                let mut rest = samples[from..].iter();
                self.shape(bus, |_| rest.next().map_or(0.0, |&s| f32::from(s)));
            }
            None => {
                let voices = self.oscillators.iter().flatten().count().max(1) as f32;
                let rms = FULL_SCALE * super::amplitude(LEVEL_DBFS) * self.piece.pattern.level;
                let amplitude = rms * SQRT_2 / voices.sqrt();
                self.shape(bus, |oscillators| {
                    let notes = oscillators.iter_mut().flatten();
                    amplitude * notes.map(Oscillator::next).sum::<f32>()
                });
            }
        }
    }

    /// Adds a sound to the bus through the ramp.
    fn shape(
        &mut self,
        bus: &mut [f32],
        mut next: impl FnMut(&mut [Option<Oscillator>; 2]) -> f32,
    ) {
        for sample in bus {
            let down = self.pending.is_some() || self.left as f32 <= self.ramp / STEP;
            self.ramp = (self.ramp + if down { -STEP } else { STEP }).clamp(0.0, 1.0);
            // Smooth at both ends: its slope is 0 there.
            let gain = self.ramp * self.ramp * (3.0 - 2.0 * self.ramp);
            *sample += next(&mut self.oscillators) * gain;
            self.left -= 1;
        }
    }
}

/// How far a ramp goes per sample.
const STEP: f32 = 1000.0 / (RAMP_MS * BUS_RATE) as f32;

/// A factor that moves to where it is wanted without a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fade(f32);

impl Fade {
    /// Lets everything through.
    pub(super) fn open() -> Self {
        Self(1.0)
    }

    /// Is where it is wanted at once: nothing sounds just now.
    pub(super) fn set(&mut self, open: bool) {
        self.0 = if open { 1.0 } else { 0.0 };
    }

    /// Whether it has let everything through.
    pub(super) fn is_open(self) -> bool {
        self.0 == 1.0
    }

    /// Moves to `wanted`, and what passes with it.
    pub(super) fn apply(&mut self, samples: &mut [f32], wanted: f32) {
        if self.0 == wanted && wanted == 1.0 {
            return;
        }
        for sample in samples {
            self.0 += (wanted - self.0).clamp(-STEP, STEP);
            *sample *= self.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: usize) -> usize {
        ms * BUS_RATE as usize / 1000
    }

    /// What the player adds to silence, in pieces of odd lengths.
    fn sound(player: &mut Player, length: usize) -> Vec<f32> {
        let mut bus = vec![0.0; length];
        let mut rest = &mut bus[..];
        for piece in (1..160).step_by(13).cycle() {
            let (now, later) = rest.split_at_mut(piece.min(rest.len()));
            player.mix(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        bus
    }

    fn played(tone: Tone, style: Style, length: usize) -> Vec<f32> {
        let mut player = Player::new(style, Prompts::default());
        player.play(tone);
        sound(&mut player, length)
    }

    /// The amplitude of a frequency in a stretch, seen through a Hann window.
    fn amplitude_of(frequency: f32, stretch: &[f32]) -> f32 {
        let length = stretch.len() as f32;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in stretch.iter().enumerate() {
            let window = 1.0 - (TAU * n as f32 / length).cos();
            let (sin, cos) = (TAU * frequency * n as f32 / BUS_RATE as f32).sin_cos();
            re += sample * window * cos;
            im += sample * window * sin;
        }
        2.0 * re.hypot(im) / length
    }

    fn rms(stretch: &[f32]) -> f32 {
        (stretch.iter().map(|s| s * s).sum::<f32>() / stretch.len() as f32).sqrt()
    }

    #[test]
    fn a_press_in_the_ringing_does_not_end_the_ring_back() {
        let mut player = Player::new(Style::Europe, Prompts::default());
        player.play(Tone::Ringing);
        sound(&mut player, ms(500));
        player.play(Tone::Busy);
        player.play(Tone::Busy);
        sound(&mut player, ms(1000));
        let ring = sound(&mut player, ms(500));
        assert!(rms(&ring) > 0.0, "the ring-back is heard again");
        player.play(Tone::Busy);
        player.play(Tone::Answered);
        sound(&mut player, ms(1000));
        assert!(player.is_idle(), "nothing comes back after the answer");
    }

    #[test]
    fn no_tone_frightens() {
        let most = FULL_SCALE * crate::audio::amplitude(LEVEL_DBFS);
        for style in [Style::Europe, Style::NorthAmerica] {
            for tone in Tone::ALL {
                let heard = played(tone, style, ms(3000));
                let loudest = heard.chunks(ms(50)).map(rms).fold(0.0, f32::max);
                assert!(loudest < most * 1.1, "{tone:?} {style:?}: {loudest}");
                assert!(loudest > most * 0.35, "{tone:?} {style:?}: {loudest}");
            }
        }
    }

    #[test]
    fn no_tone_clicks_wherever_another_takes_its_place() {
        for style in [Style::Europe, Style::NorthAmerica] {
            for (n, tone) in Tone::ALL.into_iter().enumerate() {
                let mut player = Player::new(style, Prompts::default());
                player.play(tone);
                let mut heard = sound(&mut player, ms(35) + 37 * n);
                player.play(Tone::ALL[(n + 3) % Tone::ALL.len()]);
                heard.extend(sound(&mut player, ms(40) + 41 * n));
                player.play(Tone::Silence);
                heard.extend(sound(&mut player, ms(30)));
                for (at, window) in heard.windows(64).enumerate().step_by(8) {
                    // A tone of 3300 that began or broke off would leave 100 here.
                    let click = amplitude_of(7000.0, window);
                    assert!(click < 15.0, "{tone:?} {style:?} at {at}: {click}");
                }
                assert_eq!(rms(&heard[heard.len() - ms(10)..]), 0.0, "{tone:?}");
            }
        }
    }

    #[test]
    fn ring_back_has_the_cadence_and_frequencies_of_the_country() {
        for (style, on, frequencies) in [
            (Style::Europe, 1000, &[425.0][..]),
            (Style::NorthAmerica, 2000, &[440.0, 480.0]),
        ] {
            let heard = played(Tone::Ringing, style, ms(2 * (on + 4000)));
            for round in [0, ms(on + 4000)] {
                let sounding = &heard[round + ms(20)..round + ms(on - 20)];
                let mut left = rms(sounding).powi(2);
                for &frequency in frequencies {
                    left -= amplitude_of(frequency, sounding).powi(2) / 2.0;
                }
                assert!(
                    left.abs() < rms(sounding).powi(2) * 0.02,
                    "{style:?}: {left}"
                );
                let pause = &heard[round + ms(on)..round + ms(on + 4000)];
                assert_eq!(rms(pause), 0.0, "{style:?}");
            }
        }
    }

    #[test]
    fn the_busy_tone_leaves_the_speech_and_the_failed_tone_replaces_it() {
        for (tone, share) in [(Tone::Busy, 1.0), (Tone::Warning, 1.0), (Tone::Failed, 0.0)] {
            let mut player = Player::new(Style::Europe, Prompts::default());
            player.play(tone);
            let speech = |n: usize| 5000.0 * (TAU * 2500.0 * n as f32 / BUS_RATE as f32).sin();
            let mut bus: Vec<f32> = (0..ms(6000)).map(speech).collect();
            player.mix(&mut bus);
            let during = amplitude_of(2500.0, &bus[ms(20)..ms(140)]);
            assert!((during - share * 5000.0).abs() < 50.0, "{tone:?}: {during}");
            assert!(player.is_idle());
            assert_eq!(
                bus[ms(5000)..],
                (0..ms(6000)).map(speech).collect::<Vec<_>>()[ms(5000)..]
            );
        }
    }
}
