//! Finds the keys of a telephone in the sound of the far end.
//!
//! [`Detector::feed`] takes what was decoded, in pieces of any length, and
//! names each key once, about 45 ms after it was pressed.
//!
//! ```text
//!  samples ─▶ window of 24 ms ─▶ 8 Goertzel filters ─▶ strongest of each group
//!             every 4 ms                                     │
//!                                                            ▼
//!   Digit ◀─ as long as a key ◀─ levels, share, ◀─ exact frequency and level
//!                                harmonics, twist
//! ```
//!
//! A window is a *hit* when it holds the two tones of a key and next to
//! nothing else. That last test does most of the work against speech and
//! music, which have such pairs now and then, but among many others. A few hits
//! in a row with steady pitch are a key; a few windows without are a pause.
//!
//! | what | taken for a key | not taken | source |
//! |---|---|---|---|
//! | frequency | ±1.5 % and 2 Hz | beyond ±3.5 % | ITU-T Q.24 Annex A |
//! | level of each tone | 0 to -25 dBm0 | below -36 dBm0 | Q.24 Annex A |
//! | high group against low | +4 to -8 dB | +8, -12 dB | Q.24 Annex A |
//! | length | 40 ms and more | 20 ms and less | ETSI ES 201 235-3 §4.2 |
//! | pause that parts two presses | 40 ms and more | 20 ms and less | Q.24 Annex A has 10 ms |
//! | everything else in the band | 15 dB below the pair | as loud as the pair | Bellcore TR-TSY-000181 |
//!
//! What lies between the two columns may go either way; the limits used are the
//! constants below. The minus side of the twist, the high tone weaker, is what
//! long lines do, and what Bellcore calls normal.
//!
//! Units: Hz; levels in dBm0, where a sine at full scale is +3.14 (ITU-T G.711
//! §4); the unit of time is the hop, 4 ms.
//!
//! Always true: a key is named once however long it is held; what comes out
//! depends on the samples alone, not on how they are cut.
//!
//! Real time: bounded work, no allocation, in `new` neither.

use std::f32::consts::{PI, TAU};

use wide::f32x8;

use super::lanes::all;
use crate::units::Digit;

/// Frequencies of the rows of the keypad, in Hz (ITU-T Q.23 §2).
pub const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// Frequencies of the columns, in Hz.
pub const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// What is printed on the keys.
pub const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// Milliseconds looked at together.
///
/// Shorter, and the two groups run into one another; longer, and a tone of
/// 40 ms hardly fills one.
const WINDOW_MS: u32 = 24;
/// Milliseconds from one window to the next.
const HOP_MS: u32 = 4;
/// Samples of a window at the highest rate.
const WINDOW_MAX: usize = 16 * WINDOW_MS as usize;

/// Hits in a row that make a key: a tone of 35 ms gives as many, one of 25 ms
/// never. In two hours of recorded speech, the longest run was of 2.
const CONFIRM: u32 = 5;
/// Windows without a hit that end a key: a pause of 30 ms does, a lost packet
/// of 20 ms does not.
const RELEASE: u32 = 10;
/// For so many windows after its end, a key that is heard again but weaker by
/// [`ECHO`] is its own echo.
const ECHO_WINDOWS: u32 = 50;
/// How much weaker an echo is, as a power: 9 dB.
const ECHO: f32 = 0.126;

/// The power of 0 dBm0.
const DBM0: f32 = 32_768.0 * 32_768.0 / 2.0 * 0.4853;
/// The weakest tone, as a power: -31 dBm0.
const WEAKEST: f32 = DBM0 * 7.94e-4;
/// How far a tone may be off in one window, as a part of its frequency.
const OFF_PITCH: f32 = 0.026;
/// How far it may be off on average: what must be taken and 2 Hz for noise.
/// Wider, up to 3.5 %, more of what an orchestra plays is a key.
const OFF_MEAN: f32 = 0.015;
const OFF_HERTZ: f32 = 4.0;
/// How far a tone may stray while it lasts, in Hz.
const STRAY: f32 = 15.0;
/// How much its power may change from the first window on: 2 dB.
const SWELL: f32 = 1.6;
/// The most that the high tone is stronger than the low one: 6 dB.
const HIGH_STRONGER: f32 = 3.98;
/// The most that it is weaker: 10 dB.
const HIGH_WEAKER: f32 = 10.0;
/// The part of a window's power the two tones have at least; a window that
/// the key fills by three quarters has as much.
const SHARE: f32 = 0.85;
/// The part they have in the clearest window of a key: all but 12.6 dB below.
/// Two harmonics of a high voice in the resonances of a vowel come to 0.935.
const CLEAR: f32 = 0.945;
/// The same before their frequencies are known exactly. A tone 2.6 % off, in
/// the slope of its filter, shows half its power.
const ROUGH_SHARE: f32 = 0.4;
/// The most that a second harmonic has of its tone's power: -12 dB.
const HARMONIC: f32 = 0.063;

/// Finds keys in a stream of samples. See the [module page](self).
#[derive(Debug, Clone)]
pub struct Detector {
    rate: f32,
    /// Samples of a window, and from one to the next.
    window: usize,
    hop: usize,
    /// The last `window` samples, the oldest first.
    past: [f32; WINDOW_MAX],
    /// How many of the present hop are there.
    filled: usize,
    /// The shape of the window, Hann's, and how steep it is.
    shape: [f32; WINDOW_MAX],
    slope: [f32; WINDOW_MAX],
    /// 2 cos ω of each filter, low group first.
    turns: [f32; 8],
    /// Hits in a row that are not a key yet.
    run: Option<Run>,
    /// The key that was named last, and for how many windows it is gone.
    held: Option<(Hit, u32)>,
}

/// Hits in a row that belong together.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: Hit,
    hits: u32,
    /// Sums of how far the two tones were off, in Hz.
    low: f32,
    high: f32,
    /// The largest share of any.
    clearest: f32,
}

/// A window that holds the two tones of a key.
#[derive(Debug, Clone, Copy)]
struct Hit {
    row: usize,
    column: usize,
    low: Sine,
    high: Sine,
    /// The part of the window's power that is theirs.
    share: f32,
}

/// A sine that was found in a window.
#[derive(Debug, Clone, Copy)]
struct Sine {
    hertz: f32,
    /// The mean of its square.
    power: f32,
}

impl Detector {
    /// A detector for a stream of `rate` samples a second, 8000 or 16 000.
    ///
    /// # Panics
    /// In debug builds, if `rate` is neither; else it counts as 16 000.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        debug_assert!(matches!(rate, 8_000 | 16_000), "no detector for {rate} Hz");
        let rate = if rate == 8_000 { 8_000 } else { 16_000 };
        let window = (rate / 1000 * WINDOW_MS) as usize;
        let (mut shape, mut slope) = ([0.0; WINDOW_MAX], [0.0; WINDOW_MAX]);
        for n in 0..window {
            let (sin, cos) = ((n as f32 + 0.5) * TAU / window as f32).sin_cos();
            shape[n] = (1.0 - cos) / 2.0;
            slope[n] = sin * PI / window as f32;
        }
        let mut turns = [0.0; 8];
        for (turn, hertz) in turns.iter_mut().zip(LOW.into_iter().chain(HIGH)) {
            *turn = 2.0 * (TAU * hertz / rate as f32).cos();
        }
        Self {
            rate: rate as f32,
            window,
            hop: (rate / 1000 * HOP_MS) as usize,
            past: [0.0; WINDOW_MAX],
            filled: 0,
            shape,
            slope,
            turns,
            run: None,
            held: None,
        }
    }

    /// Takes in `samples` and hands each key they complete to `out`.
    pub fn feed(&mut self, samples: &[i16], mut out: impl FnMut(Digit)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.hop - self.filled));
            let at = self.window - self.hop + self.filled;
            for (place, &sample) in self.past[at..].iter_mut().zip(now) {
                *place = f32::from(sample);
            }
            self.filled += now.len();
            rest = later;
            if self.filled == self.hop {
                let hit = self.examine();
                if let Some(key) = self.follow(hit) {
                    out(key);
                }
                self.past.copy_within(self.hop..self.window, 0);
                self.filled = 0;
            }
        }
    }

    /// Whether the present window is a hit.
    fn examine(&self) -> Option<Hit> {
        let mut shaped = [0.0; WINDOW_MAX];
        let mut power = 0.0;
        let window = self.past.iter().zip(&self.shape).take(self.window);
        for (place, (sample, shape)) in shaped.iter_mut().zip(window) {
            *place = sample * shape;
            power += *place * *place;
        }
        // The mean of the square of Hann's window is 3/8.
        let power = power / (0.375 * self.window as f32);
        if power < 2.0 * WEAKEST {
            return None;
        }
        let found = self.filter(&shaped[..self.window]);
        let (row, column) = (strongest(&found[..4]), strongest(&found[4..]));
        if found[row] + found[4 + column] < ROUGH_SHARE * power {
            return None;
        }
        let low = self.refine(LOW[row], &shaped)?;
        let high = self.refine(HIGH[column], &shaped)?;
        let share = (low.power + high.power) / power;
        let is_key = low.power.min(high.power) > WEAKEST
            && share > SHARE
            && high.power < HIGH_STRONGER * low.power
            && low.power < HIGH_WEAKER * high.power
            && self.is_pure(low, high, &shaped)
            && self.is_pure(high, low, &shaped);
        is_key.then_some(Hit {
            row,
            column,
            low,
            high,
            share,
        })
    }

    /// The power about each of the eight frequencies (Goertzel's filters, side
    /// by side in one vector).
    fn filter(&self, shaped: &[f32]) -> [f32; 8] {
        let turns = f32x8::new(self.turns);
        let (mut last, mut before) = (f32x8::ZERO, f32x8::ZERO);
        for &sample in shaped {
            let next = turns.mul_add(last, all(sample) - before);
            (before, last) = (last, next);
        }
        let (last, before) = (last.to_array(), before.to_array());
        std::array::from_fn(|k| {
            let square =
                last[k] * last[k] + before[k] * before[k] - self.turns[k] * last[k] * before[k];
            self.sine_power(square)
        })
    }

    /// The exact sine about `nominal`, if it is near enough.
    fn refine(&self, nominal: f32, shaped: &[f32]) -> Option<Sine> {
        let limit = OFF_PITCH * nominal;
        let rough = self.sine(nominal, shaped);
        let near = nominal - 2.0 * limit..nominal + 2.0 * limit;
        if !near.contains(&rough.hertz) {
            return None;
        }
        let exact = self.sine(rough.hertz, shaped);
        ((exact.hertz - nominal).abs() < limit).then_some(exact)
    }

    /// The sine about `hertz`: its power as seen there, and where it really is.
    ///
    /// With a window w and its derivative w', a sine that is ν away gives
    /// X' = jν X: the ratio of the two is the distance (F. Auger, P. Flandrin,
    /// "Improving the readability of time-frequency representations by the
    /// reassignment method", 1995, eq. 3.12). One window says it all, where the
    /// phase between two would need 4 ms more of the tone.
    fn sine(&self, hertz: f32, shaped: &[f32]) -> Sine {
        let (sin, cos) = (TAU * hertz / self.rate).sin_cos();
        let (mut x, mut y) = (1.0, 0.0);
        let (mut re, mut im, mut slope_re, mut slope_im) = (0.0, 0.0, 0.0, 0.0);
        let window = self.past.iter().zip(&self.slope).take(self.window);
        for (shaped, (sample, slope)) in shaped.iter().zip(window) {
            let sloped = sample * slope;
            re += shaped * x;
            im -= shaped * y;
            slope_re += sloped * x;
            slope_im -= sloped * y;
            (x, y) = (x * cos - y * sin, x * sin + y * cos);
        }
        let square: f32 = re * re + im * im;
        let away = (slope_im * re - slope_re * im) / square.max(f32::MIN_POSITIVE);
        Sine {
            hertz: hertz - away * self.rate / TAU,
            power: self.sine_power(square),
        }
    }

    /// The power of a sine whose sum over the window has this square.
    fn sine_power(&self, square: f32) -> f32 {
        // The sum of Hann's window is half its length, and half a sine's power
        // is at the negative frequency.
        8.0 * square / (self.window * self.window) as f32
    }

    /// Whether `sine` has no second harmonic to speak of, as voices do. Where
    /// the other tone of the key is near it, there is no telling.
    fn is_pure(&self, sine: Sine, other: Sine, shaped: &[f32]) -> bool {
        let octave = 2.0 * sine.hertz;
        let lobe = 2000.0 / WINDOW_MS as f32;
        (octave - other.hertz).abs() < lobe
            || self.sine(octave, shaped).power < HARMONIC * sine.power
    }

    /// Goes on by a window; returns the key that is certain with it.
    fn follow(&mut self, hit: Option<Hit>) -> Option<Digit> {
        let Some(hit) = self.without_held(hit) else {
            self.run = None;
            return None;
        };
        let run = match self.run {
            Some(run) if run.first.goes_on_as(&hit) => run.and(&hit),
            _ => Run::of(hit),
        };
        self.run = Some(run);
        if !run.is_key() {
            return None;
        }
        self.run = None;
        self.held = Some((hit, 0));
        Digit::parse(KEYS[hit.row][hit.column])
    }

    /// Takes away what is no new press: the key that was named last, as long
    /// as it is held, and its echo.
    fn without_held(&mut self, hit: Option<Hit>) -> Option<Hit> {
        let Some((held, gone)) = &mut self.held else {
            return hit;
        };
        *gone += 1;
        match hit {
            Some(same) if same.is_key_of(held) && *gone <= ECHO_WINDOWS => {
                let direct = same.power() > ECHO * held.power();
                if direct && *gone > RELEASE {
                    return hit;
                }
                if direct {
                    *gone = 0;
                }
                None
            }
            _ => {
                if *gone > ECHO_WINDOWS {
                    self.held = None;
                }
                hit
            }
        }
    }
}

impl Run {
    fn of(first: Hit) -> Self {
        let none = Self {
            first,
            hits: 0,
            low: 0.0,
            high: 0.0,
            clearest: 0.0,
        };
        none.and(&first)
    }

    fn and(self, hit: &Hit) -> Self {
        Self {
            first: self.first,
            hits: self.hits + 1,
            low: self.low + hit.low.hertz - LOW[hit.row],
            high: self.high + hit.high.hertz - HIGH[hit.column],
            clearest: self.clearest.max(hit.share),
        }
    }

    /// Whether it is long enough, and on the whole on pitch and clear.
    fn is_key(&self) -> bool {
        let near = |off: f32, nominal: f32| {
            (off / self.hits as f32).abs() < OFF_MEAN * nominal + OFF_HERTZ
        };
        self.hits >= CONFIRM
            && self.clearest > CLEAR
            && near(self.low, LOW[self.first.row])
            && near(self.high, HIGH[self.first.column])
    }
}

impl Hit {
    fn is_key_of(&self, other: &Self) -> bool {
        (self.row, self.column) == (other.row, other.column)
    }

    fn power(&self) -> f32 {
        self.low.power + self.high.power
    }

    /// Whether `later` is the same pair of tones, no other in pitch or level.
    fn goes_on_as(&self, later: &Self) -> bool {
        self.is_key_of(later) && self.low.goes_on_as(later.low) && self.high.goes_on_as(later.high)
    }
}

impl Sine {
    fn goes_on_as(self, later: Self) -> bool {
        (self.hertz - later.hertz).abs() < STRAY
            && later.power < SWELL * self.power
            && self.power < SWELL * later.power
    }
}

fn strongest(powers: &[f32]) -> usize {
    (1..powers.len()).fold(0, |best, k| if powers[k] > powers[best] { k } else { best })
}
