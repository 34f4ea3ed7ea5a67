//! How late packets come, and so how long each has to wait for its turn.
//!
//! There is no clock: a packet's *transit* is the card's time when the audio
//! thread saw it, less the time its sound has in the stream. Its zero means
//! nothing; what counts is the difference to the quickest packet of late, the
//! packet's *lateness*:
//!
//! ```text
//!  transit ▲     ·            ·   late: somebody used the line
//!          │ · ·   · ·  · ·· ·  ·
//!          │·─·─·─·─·─·─·─·─·─·─·─  base: the quickest of the last 3 to 6 s
//!          └─────────────────────▶ packets
//! ```
//!
//! Sound is played [`target`](Arrivals::target) after the base. That is the
//! larger of
//! - the speaker's period, since packets are only looked at once a period;
//! - what a [share](super::playout::Config::in_time) of the packets need, by a
//!   histogram of the last 10 s or so.
//!
//! A stall is not jitter: TCP holds everything back and then delivers it at
//! once. Packets later than [`Config::longest_wait_ms`](super::playout::Config),
//! and the backlog behind them, teach nothing. Where the backlog comes in so
//! slowly that playout goes on in the midst of it, each packet is the quickest
//! so far for a while; that is no spread either.
//!
//! Units: bus samples, 16 kHz, of the card's time.
//!
//! Real time: bounded work, no allocation.

use super::BUS_RATE;

/// How long the quickest packet is remembered, at least: 3 s.
const MEMORY: i64 = 3 * BUS_RATE as i64;
/// Width of a bin of the histogram: 2.5 ms.
const BIN: i64 = BUS_RATE as i64 / 400;
/// Bins: 300 ms.
const BINS: usize = 120;
/// Packets that the histogram is an average of: 10 s of them. More, and the delay
/// of a rough minute stays for another.
const REMEMBERED: f32 = 500.0;
/// The share of packets that come as usual.
const USUAL: f32 = 0.98;
/// A line that gets quicker by more than this at once is another line: what was
/// learnt of the spread of its packets still holds. Below, it is the spread.
const QUICKER: i64 = 3 * BUS_RATE as i64 / 200;
/// Put on top of what was seen: 3 ms, what clocks 300 ppm apart can cost before
/// that is known.
const GUARD: i64 = 3 * BUS_RATE as i64 / 1000;
/// How late a packet after a stall may be to count again: 20 ms above target.
const CAUGHT_UP: i64 = BUS_RATE as i64 / 50;
/// For so long after the last packet that was quicker than all before, a backlog
/// may still be coming in: 1 s.
const DRAINING: i64 = BUS_RATE as i64;
/// See the [module page](self).
#[derive(Debug)]
pub struct Arrivals {
    in_time: f32,
    longest: i64,
    /// Quickest transit of this span and of the one before.
    quickest: [i64; 2],
    span_ends: i64,
    /// Weight of each lateness; they add up to 1.
    lateness: [f32; BINS],
    /// Packets in them, up to [`REMEMBERED`].
    learnt: f32,
    /// By how much the base has moved since the bins did.
    moved: i64,
    /// What drift has moved the base, less than a sample.
    gained: f32,
    period: f32,
    /// The newest packet: when it was seen, and its transit.
    seen: i64,
    last: i64,
    stalled: bool,
    /// Until when a backlog may be coming in that is played already.
    draining: i64,
    ranked: i64,
    usual: i64,
}

impl Arrivals {
    /// Knows nothing yet; the share `in_time` of the packets is to be waited for,
    /// but none longer than `longest` bus samples.
    #[must_use]
    pub fn new(in_time: f32, longest: i64) -> Self {
        let mut lateness = [0.0; BINS];
        lateness[0] = 1.0;
        Self {
            in_time,
            longest,
            quickest: [i64::MAX; 2],
            span_ends: 0,
            lateness,
            learnt: 1.0,
            moved: 0,
            gained: 0.0,
            period: 0.0,
            seen: 0,
            last: 0,
            stalled: false,
            draining: 0,
            ranked: 0,
            usual: 0,
        }
    }

    /// A stream begins: nothing is known of its transit, but the line may well
    /// be the same.
    pub fn restart(&mut self) {
        self.quickest = [i64::MAX; 2];
        self.stalled = false;
        self.draining = 0;
    }

    /// A packet was seen at `now`, having taken `transit`.
    pub fn seen(&mut self, now: i64, transit: i64) {
        (self.seen, self.last) = (now, transit);
        if now < self.draining && transit < self.base() {
            self.quickest[0] = transit;
            self.draining = now + DRAINING;
            return;
        }
        self.update_base(now, transit);
        let late = transit - self.base();
        self.stalled |= late > self.longest;
        if self.stalled {
            self.stalled = late > self.target() + CAUGHT_UP;
            return;
        }
        self.learnt = (self.learnt + 1.0).min(REMEMBERED);
        for weight in &mut self.lateness {
            *weight -= *weight / self.learnt;
        }
        let bin = (late + BIN / 2) / BIN;
        self.lateness[(bin as usize).min(BINS - 1)] += 1.0 / self.learnt;
        self.ranked = self.rank(self.in_time);
        self.usual = self.rank(USUAL);
    }

    /// The transit of the quickest packet of late.
    #[must_use]
    pub fn base(&self) -> i64 {
        self.quickest[0].min(self.quickest[1])
    }

    /// Whether the newest packet is from behind a stall.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// The line has changed for good: the newest packet is as quick as any.
    pub fn rebase(&mut self) {
        self.quickest = [self.last; 2];
        self.stalled = false;
        self.draining = self.seen + DRAINING;
    }

    /// `length` of a speaker's period has passed. A long period is remembered
    /// for a second. Meanwhile packets gain on the card by `drift`, as a share.
    pub fn pass(&mut self, period: usize, length: usize, drift: f32) {
        self.gained += drift * length as f32;
        let whole = self.gained.trunc();
        self.gained -= whole;
        for quickest in self.quickest.iter_mut().filter(|q| **q != i64::MAX) {
            *quickest -= whole as i64;
        }
        let shrunk = self.period * (1.0 - length as f32 / BUS_RATE as f32);
        self.period = shrunk.max(period as f32);
    }

    /// The longest that a packet is waited for.
    #[must_use]
    pub fn longest(&self) -> i64 {
        self.longest
    }

    /// How late packets usually are at most.
    #[must_use]
    pub fn usual(&self) -> i64 {
        self.usual
    }

    /// The speaker's period, the longest of late.
    #[must_use]
    pub fn period(&self) -> i64 {
        self.period as i64
    }

    /// How long after the base sound is to be played.
    #[must_use]
    pub fn target(&self) -> i64 {
        (self.ranked.max(self.period()) + GUARD).min(self.longest)
    }

    fn update_base(&mut self, now: i64, transit: i64) {
        let before = self.base();
        if now >= self.span_ends {
            self.span_ends = now + MEMORY;
            self.quickest = [i64::MAX, self.quickest[0]];
        }
        self.quickest[0] = self.quickest[0].min(transit);
        if before != i64::MAX {
            self.move_bins(self.base() - before);
        }
    }

    /// Lateness is counted from the base: when that moves, what was learnt
    /// moves the other way.
    fn move_bins(&mut self, by: i64) {
        if by < -QUICKER {
            return;
        }
        self.moved += by;
        let bins = self.moved / BIN;
        self.moved -= bins * BIN;
        let shift = (bins.unsigned_abs() as usize).min(BINS);
        if bins > 0 {
            let fallen: f32 = self.lateness[..shift].iter().sum();
            self.lateness.copy_within(shift.., 0);
            self.lateness[BINS - shift..].fill(0.0);
            self.lateness[0] += fallen;
        } else if bins < 0 {
            let fallen: f32 = self.lateness[BINS - shift..].iter().sum();
            self.lateness.copy_within(..BINS - shift, shift);
            self.lateness[..shift].fill(0.0);
            self.lateness[BINS - 1] += fallen;
        }
    }

    fn rank(&self, rank: f32) -> i64 {
        let mut share = 0.0;
        let enough = |weight: &f32| {
            share += weight;
            share >= rank
        };
        let bin = self.lateness.iter().position(enough).unwrap_or(BINS - 1);
        bin as i64 * BIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = BUS_RATE as i64 / 1000;
    const PERIOD: usize = 160;
    const LONGEST: i64 = 200 * MS;

    /// A line, one packet each 20 ms, on a card with periods of 10 ms.
    struct Line {
        arrivals: Arrivals,
        now: i64,
    }

    impl Line {
        fn new() -> Self {
            Self {
                arrivals: Arrivals::new(0.995, LONGEST),
                now: 0,
            }
        }

        /// `count` packets that take these times, over and over, in ms; the
        /// target after them, in ms.
        fn run(&mut self, count: usize, transits: &[i64]) -> i64 {
            for transit in transits.iter().cycle().take(count) {
                self.arrivals.seen(self.now, transit * MS);
                for _ in 0..2 {
                    self.arrivals.pass(PERIOD, PERIOD, 0.0);
                    self.now += PERIOD as i64;
                }
            }
            self.arrivals.target() / MS
        }
    }

    #[test]
    fn a_calm_line_needs_a_period_and_a_little() {
        assert_eq!(Line::new().run(500, &[5000]), 13);
    }

    #[test]
    fn three_late_packets_in_ten_seconds_make_room_and_are_forgotten() {
        let mut line = Line::new();
        line.run(500, &[0]);
        assert_eq!(line.run(2, &[60]), 13);
        let target = line.run(1, &[60]);
        assert!((60..70).contains(&target), "{target}");
        assert_eq!(line.run(500, &[0]), 13);
    }

    #[test]
    fn what_happens_often_is_not_forgotten() {
        let mut line = Line::new();
        let mut transits = [0; 20];
        transits[7] = 50;
        line.run(2000, &transits);
        let target = line.run(19, &transits);
        assert!(target >= 50, "{target}");
    }

    #[test]
    fn a_stall_and_its_backlog_teach_nothing() {
        let mut line = Line::new();
        let before = line.run(500, &[0]);
        for late in (0..1000).rev().step_by(20) {
            line.arrivals.seen(line.now, late * MS);
        }
        let after = line.run(1, &[0]);
        assert!(after <= before + 20, "{after} after {before}");
    }

    #[test]
    fn a_longer_way_is_not_taken_for_jitter_for_long() {
        let mut line = Line::new();
        line.run(500, &[0]);
        line.run(400, &[80]);
        assert_eq!(line.arrivals.base(), 80 * MS);
        assert_eq!(line.run(1, &[80]), 13);
    }

    #[test]
    fn a_line_that_gets_quicker_is_soon_waited_for_no_more() {
        let mut line = Line::new();
        line.run(5, &[150]);
        assert_eq!(line.run(1, &[0]), 13);
    }

    #[test]
    fn nothing_is_waited_for_longer_than_allowed() {
        let mut line = Line::new();
        assert_eq!(line.run(2000, &[0, 100, 190, 20, 150]), 193);
        line.arrivals.pass(1_000_000, 160, 0.0);
        assert_eq!(line.arrivals.target(), LONGEST);
    }
}
