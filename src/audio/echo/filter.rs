//! Learns the way from the speaker to the microphone, and takes out what came
//! along it.
//!
//! The way is an impulse response of 320 ms, cut into [`PARTITIONS`] whose
//! spectra are held (partitioned-block overlap-save). How sure each of their
//! bins is is held as well, as a variance: a Kalman filter whose state is the
//! way itself. It learns fast what it does not know, and hardly at all while
//! the visitor speaks, with nothing to detect either; and it tells how much
//! echo it must have left, which is what [`suppress`](super::suppress) needs.
//!
//! ```text
//!  played ─▶ spectra of the last 31 hops ─▶ × way, summed ─▶ estimate
//!                    │                                          │
//!                    └──▶ × gain ──▶ way += ◀── error ◀── mic ──┘
//! ```
//!
//! After G. Enzner and P. Vary, "Frequency-domain adaptive Kalman filter for
//! acoustic echo control in hands-free telephones", Signal Processing 86
//! (2006), and F. Kuech, E. Mabande, G. Enzner, "State-space architecture of
//! the partitioned-block-based acoustic echo controller", ICASSP 2014.
//!
//! Units: bus samples; a hop is 10 ms, a partition two hops. Powers are of a
//! frame's bins, unscaled.
//!
//! Real time: bounded work; only `new` allocates.

use wide::f32x4;

use super::HOP;
use super::fft::{BINS, Bins, Fft, N, QUADS, Spectrum, ZEROS, quad, set_quad};

/// Pieces of the way.
pub const PARTITIONS: usize = 16;
/// Hops that a piece is long, so that its end and a hop fit a frame.
const SPACING: usize = 2;
const LENGTH: usize = SPACING * HOP;
/// Spectra of the far end that the pieces see.
const HISTORY: usize = SPACING * (PARTITIONS - 1) + 1;

/// The part of a frame of which the error is known.
const KNOWN: f32 = HOP as f32 / N as f32;

/// What is left of the way from one hop to the next, squared: it is another one
/// after some 25 s. Less, and it follows faster and is never sure.
const KEPT: f32 = 0.9996;
/// How unsure the first piece is at first: the echo may be as loud as what is
/// played. More, and the visitor's first words are taken for echo.
const UNSURE: f32 = 1.0;
/// And when an echo comes another way: in one bin, 15 dB louder than it was in all.
const UNSURE_AGAIN: f32 = 30.0;
/// And each piece less than that before it, in dB: rooms fall silent.
const FADE_DB: f32 = 2.0;
/// No echo is louder than this, against what is played: 20 dB.
const UNSURE_MAX: f32 = 100.0;
/// How much of the last hop's error counts for the loudness of the near end.
const NEAR_KEPT: f32 = 0.5;
/// Keeps divisions from dividing by nothing: a hundredth of the last bit.
const TINY: f32 = 0.01;

/// Of each of four bins.
const ALL: f32x4 = f32x4::ONE;
const ALL_KNOWN: f32x4 = f32x4::new([KNOWN; 4]);
const ALL_KEPT: f32x4 = f32x4::new([KEPT; 4]);
const ALL_LOST: f32x4 = f32x4::new([1.0 - KEPT; 4]);
const ALL_UNSURE_MAX: f32x4 = f32x4::new([UNSURE_MAX; 4]);

/// By how much the error exceeds the microphone when the way has changed: a
/// right one adds no more than it takes.
const WORSE: f32 = 1.5;
/// Looked at over some 0.3 s: a room that falls silent is quieter than what the
/// filter leaves of it, for a while.
const WORSE_OVER: f32 = 0.03;

/// Hops between two looks at how the room falls silent.
const DECAY_EVERY: usize = 16;
/// Bins of the voice's range, in which it is looked at.
const DECAY_BINS: std::ops::Range<usize> = 4..200;
/// What is assumed of the room behind the filter's end, over what is seen:
/// 5 dB, since what is left of it comes from all sides.
const LATE: f32 = 3.0;

/// See the [module page](self).
#[derive(Debug)]
pub struct Filter {
    fft: Fft,
    played: [f32; N],
    /// The far end's spectra, the latest at `latest`, older ones after it.
    history: Box<[Spectrum; HISTORY]>,
    /// Their powers.
    powers: Box<[Bins; HISTORY]>,
    latest: usize,
    way: Box<[Spectrum; PARTITIONS]>,
    unsure: Box<[Bins; PARTITIONS]>,
    /// The piece that was constrained last: one in each hop, by turns.
    constrained: usize,
    /// The near end's power, by bin.
    near: Bins,
    late: Late,
    /// The microphone's power and the error's, of late.
    before: f32,
    after: f32,
    /// What [`process`](Self::process) found.
    pub estimate: [f32; HOP],
    /// The microphone less the estimate.
    pub error: [f32; HOP],
    /// The power of the echo that is left in the error, as far as is known: of
    /// a whole frame.
    pub left: Bins,
}

impl Filter {
    /// A filter that knows nothing of the room.
    #[must_use]
    pub fn new() -> Self {
        let mut filter = Self {
            fft: Fft::new(),
            played: [0.0; N],
            history: boxed(Spectrum::ZERO),
            powers: boxed(ZEROS),
            latest: 0,
            way: boxed(Spectrum::ZERO),
            unsure: boxed(ZEROS),
            constrained: 0,
            near: ZEROS,
            late: Late::new(),
            before: 0.0,
            after: 0.0,
            estimate: [0.0; HOP],
            error: [0.0; HOP],
            left: ZEROS,
        };
        filter.forget();
        filter
    }

    /// How loud an echo is expected to be, against what is played.
    fn gain(&self) -> f32 {
        let power = |way: &Spectrum| (0..BINS).map(|k| way.power(k)).sum::<f32>();
        self.way.iter().map(power).sum::<f32>() / BINS as f32
    }

    /// The room is another one, of which nothing is known.
    fn forget(&mut self) {
        let unsure = (UNSURE_AGAIN * self.gain()).clamp(UNSURE, UNSURE_MAX);
        for (piece, doubts) in self.unsure.iter_mut().enumerate() {
            doubts.fill(unsure * 10f32.powf(-FADE_DB * piece as f32 / 10.0));
        }
        self.way.iter_mut().for_each(|way| *way = Spectrum::ZERO);
    }

    /// What was played is not followed by what will be; the way stays known.
    pub fn interrupt(&mut self) {
        self.played.fill(0.0);
        self.history.fill(Spectrum::ZERO);
        self.powers.fill(ZEROS);
        self.near.fill(0.0);
        self.late.clear();
        (self.before, self.after) = (0.0, 0.0);
    }

    /// Takes the echo of `played` out of `mic`: leaves [`estimate`](Self::estimate),
    /// [`error`](Self::error) and [`left`](Self::left).
    pub fn process(&mut self, played: &[f32; HOP], mic: &[f32; HOP]) {
        self.take(played);
        self.subtract(mic);
        if self.is_wrong(mic) {
            self.forget();
            self.error = *mic;
            self.estimate.fill(0.0);
        }
        let error = self.error_spectrum();
        self.judge(&error);
        self.learn(&error);
    }

    /// Leaves the microphone as it is.
    pub fn pass(&mut self, mic: &[f32; HOP]) {
        self.error = *mic;
    }

    fn take(&mut self, played: &[f32; HOP]) {
        self.played.copy_within(HOP.., 0);
        self.played[N - HOP..].copy_from_slice(played);
        self.latest = (self.latest + HISTORY - 1) % HISTORY;
        let spectrum = &mut self.history[self.latest];
        self.fft.forward(&self.played, spectrum);
        self.powers[self.latest] = spectrum.powers();
    }

    /// Where in the history is what a piece sees.
    fn seen(&self, piece: usize) -> usize {
        (self.latest + SPACING * piece) % HISTORY
    }

    fn subtract(&mut self, mic: &[f32; HOP]) {
        let mut sum = Spectrum::ZERO;
        for (piece, way) in self.way.iter().enumerate() {
            let far = &self.history[self.seen(piece)];
            for v in 0..QUADS {
                sum.set_quad(v, sum.quad(v) + far.quad(v) * way.quad(v));
            }
        }
        let mut frame = [0.0; N];
        self.fft.inverse(&sum, &mut frame);
        // The rest of the frame has the end of what was played at its start.
        self.estimate.copy_from_slice(&frame[N - HOP..]);
        for ((error, mic), echo) in self.error.iter_mut().zip(mic).zip(&self.estimate) {
            *error = mic - echo;
        }
    }

    /// Whether the estimate makes things worse: the way has changed.
    fn is_wrong(&mut self, mic: &[f32; HOP]) -> bool {
        let power = |samples: &[f32; HOP]| samples.iter().map(|s| s * s).sum::<f32>();
        self.before += WORSE_OVER * (power(mic) - self.before);
        self.after += WORSE_OVER * (power(&self.error) - self.after);
        let wrong = self.after > WORSE * self.before;
        if wrong {
            self.after = self.before;
        }
        wrong
    }

    fn error_spectrum(&mut self) -> Spectrum {
        let mut frame = [0.0; N];
        frame[N - HOP..].copy_from_slice(&self.error);
        let mut error = Spectrum::ZERO;
        self.fft.forward(&frame, &mut error);
        error
    }

    /// How much of the error is echo that is not known yet, and how much the
    /// near end.
    fn judge(&mut self, error: &Spectrum) {
        self.left.fill(0.0);
        for (piece, unsure) in self.unsure.iter().enumerate() {
            let far = &self.powers[self.seen(piece)];
            for v in 0..QUADS {
                let left = quad(far, v).mul_add(quad(unsure, v), quad(&self.left, v));
                set_quad(&mut self.left, v, left);
            }
        }
        for (near, error) in self.near.iter_mut().zip(error.powers()) {
            *near += (error - *near) * (1.0 - NEAR_KEPT);
        }
    }

    fn learn(&mut self, error: &Spectrum) {
        let mut rate = ZEROS;
        for ((rate, near), left) in rate.iter_mut().zip(&self.near).zip(&self.left) {
            *rate = 1.0 / (KNOWN * left + near + TINY);
        }
        for piece in 0..PARTITIONS {
            let seen = self.seen(piece);
            let (far, power) = (&self.history[seen], &self.powers[seen]);
            let (way, unsure) = (&mut self.way[piece], &mut self.unsure[piece]);
            for v in 0..QUADS {
                let doubt = quad(unsure, v);
                let gain = ALL_KNOWN * doubt * quad(&rate, v);
                let learnt = way.quad(v) + far.quad(v).conj_mul(error.quad(v)).scale(gain);
                way.set_quad(v, learnt);
                let known = ALL - ALL_KNOWN * gain * quad(power, v);
                let kept = ALL_KEPT * doubt * known.fast_max(f32x4::ZERO);
                let doubt = ALL_LOST.mul_add(learnt.power(), kept);
                set_quad(unsure, v, doubt.fast_min(ALL_UNSURE_MAX));
            }
        }
        self.constrained = (self.constrained + 1) % PARTITIONS;
        self.constrain(self.constrained);
        let oldest = &self.powers[(self.latest + HISTORY - 1) % HISTORY];
        self.late.follow(&self.way, oldest, &mut self.left);
    }

    /// A piece is no longer than it is: what lies behind it is another's.
    fn constrain(&mut self, piece: usize) {
        let mut frame = [0.0; N];
        self.fft.inverse(&self.way[piece], &mut frame);
        frame[LENGTH..].fill(0.0);
        self.fft.forward(&frame, &mut self.way[piece]);
    }

    /// Less is known of the bins `from..to` than was thought: of the echo,
    /// `share` is still heard.
    pub fn doubt(&mut self, from: usize, to: usize, share: f32) {
        for (way, unsure) in self.way.iter().zip(&mut *self.unsure) {
            let sum: f32 = (from..to).map(|k| way.power(k)).sum();
            let more = sum / (to - from) as f32 * share;
            for unsure in &mut unsure[from..to] {
                *unsure = (*unsure + more).min(UNSURE_MAX);
            }
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

fn power(way: &Spectrum) -> f32 {
    DECAY_BINS.map(|k| way.power(k)).sum()
}

/// Large arrays are made where they stay: a thread's stack may be small.
fn boxed<T: Clone, const LENGTH: usize>(item: T) -> Box<[T; LENGTH]> {
    let items = vec![item; LENGTH].into_boxed_slice();
    items
        .try_into()
        .unwrap_or_else(|_| unreachable!("it is as long as it was made"))
}

/// The room behind the filter's end: it falls silent as it does before it.
#[derive(Debug)]
struct Late {
    /// What is left of the echo's power after a piece's length.
    decay: f32,
    /// The power of the late echo, of the even hops and the odd ones.
    power: [Bins; SPACING],
    hop: usize,
}

impl Late {
    fn new() -> Self {
        Self {
            decay: 0.5,
            power: [ZEROS; SPACING],
            hop: 0,
        }
    }

    fn clear(&mut self) {
        self.power = [ZEROS; SPACING];
    }

    fn follow(&mut self, way: &[Spectrum; PARTITIONS], oldest: &Bins, left: &mut Bins) {
        self.hop += 1;
        if self.hop.is_multiple_of(DECAY_EVERY) {
            self.decay += 0.1 * (decay(way) - self.decay);
        }
        let [.., before, last] = way;
        let power = &mut self.power[self.hop % SPACING];
        for k in 0..BINS {
            let late = self.decay * power[k];
            let around = k.saturating_sub(2)..(k + 3).min(BINS);
            let bins = around.len() as f32;
            let end: f32 = around
                .map(|k| last.power(k) + self.decay * before.power(k))
                .sum();
            power[k] = end / (2.0 * bins) * oldest[k] + late;
            left[k] += LATE * late;
        }
    }
}

/// What is left of the power after a piece's length, by the slope of a straight
/// line through the loudness of the latter half of the pieces.
fn decay(way: &[Spectrum; PARTITIONS]) -> f32 {
    let half = &way[PARTITIONS / 2..];
    let middle = (half.len() - 1) as f32 / 2.0;
    let (mut rise, mut run) = (0.0, 0.0);
    for (piece, way) in half.iter().enumerate() {
        let x = piece as f32 - middle;
        rise += x * (power(way) + f32::MIN_POSITIVE).ln();
        run += x * x;
    }
    (rise / run).exp().clamp(0.05, 0.95)
}
