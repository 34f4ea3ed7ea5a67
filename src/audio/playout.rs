//! Puts packets back in order and decides when each is heard.
//!
//! [`put`](Playout::put) for each block off the line, then
//! [`render`](Playout::render) for each piece of a speaker's period. Time is
//! what was rendered; a test turns it by rendering.
//!
//! ```text
//!  put(seq) ──▶ [ block | block |   gap   | block | … ]     1.28 s, by seq
//!                    ▲ cursor                      ▲ end
//!                    │
//!      conceal ─┬────┴─▶ cross-fade ─▶ Stretcher ─▶ bus
//!  skip, resume ┘
//! ```
//!
//! The *delay* is how far the cursor runs behind the quickest packet; it is
//! held at the *target* of [`arrivals`](super::arrivals):
//! - up to 15 ms off: the [`Servo`] plays a little faster or slower;
//! - further above: pitch periods are left out, one at a time, where the voice
//!   is alike on both sides, and in pauses anywhere;
//! - further below, or when the next packet is later than usual: they are
//!   played twice, so that what is held lasts longer;
//! - above by more than [`Config::longest_wait_ms`]: the rest is skipped.
//!
//! Wherever the cursor jumps, the two sides are cross-faded.
//!
//! Concealment that a decoder has made for a packet that is missing is put like
//! any other block, but says nothing about the line.
//!
//! When the block at the cursor is missing, sound is made up. If later blocks
//! are there it counts as lost and the cursor moves on; if there are none, the
//! line is dry and the cursor waits, which is how the delay grows. After a long
//! wait the backlog comes in a burst: it is skipped, and sound resumes at the
//! target delay. How long the burst is does not matter: of a very long one the
//! downlink refuses the end. So a late packet says what the line is like now
//! only when the one 20 ms after it is as late. A number far from its turn
//! means a new sender, unless as much time has passed: start over.
//!
//! Units: bus samples, 16 kHz.
//!
//! Always true: blocks to be heard lie in `cursor .. cursor + capacity`; but for
//! single pitch periods, no sample is heard twice; `render` never waits.
//!
//! Real time: bounded work, no allocation but in `new`.

use std::sync::Arc;

use super::arrivals::Arrivals;
use super::codec::{self, Decoder};
use super::conceal::{Concealer, CrossFade, FADE, PITCH_MAX, PITCH_MIN, likest};
use super::drift::{self, Servo, Stretcher};
use super::stats::Stats;
use super::{BUS_BLOCK, BUS_CHUNK, BUS_RATE};

/// Settings of the playout buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The share of packets that are to be in time. Default 0.995. Range 0.5 to
    /// 0.999: less trades delay for gaps, more waits for what is rare.
    pub in_time: f32,
    /// Longest time a packet may be waited for, whatever the line does, in ms.
    /// Default 200; a later one is a stall, and what is further behind is
    /// skipped. Range 40 to 300: less turns ordinary Wi-Fi into gaps, more makes
    /// people interrupt each other.
    pub longest_wait_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            in_time: 0.995,
            longest_wait_ms: 200,
        }
    }
}

/// Blocks held: 1.28 s, more than the downlink can bring at once. Of a longer
/// backlog the newest are kept.
const CAPACITY: i64 = 64;
/// Samples in a block.
const BLOCK: i64 = BUS_BLOCK as i64;
/// A block further behind its turn is from a new sender: 3 s.
const LATE_MAX: i64 = 150;
/// So is a run of blocks behind their turn while nothing else comes: 200 ms.
const LATE_RUN: u32 = 10;
/// A delay off its target by less is left to the servo: 15 ms. Longer periods,
/// which may beat against the packets, half as long again.
const SLACK: i64 = BUS_RATE as i64 * 3 / 200;
/// From one pitch period that is left out or repeated to the next: 30 ms.
const REST: i64 = BUS_RATE as i64 * 3 / 100;
/// The same while what is held runs out: 20 ms.
const HURRY: i64 = BUS_RATE as i64 / 50;
/// How much the two sides of a pitch period must be alike.
const ALIKE: f32 = 0.8;
/// Longest wait for a burst to end: 500 ms.
const BURST_MAX: i64 = BUS_RATE as i64 / 2;
/// A burst goes on when more than this many blocks come within one.
const BURST: u32 = 2;
/// Blocks of a steady line, 20 ms apart, take as long but for this: 10 ms. Those
/// of a backlog get quicker and quicker.
const STEADY: i64 = BUS_RATE as i64 / 100;
/// A block far ahead that comes sooner than the line can bring it is from a new
/// sender: 200 ms before the quickest.
const EARLY_MAX: i64 = BUS_RATE as i64 / 5;
/// Samples rendered in one go.
const PIECE: i64 = BUS_CHUNK as i64;
/// How far around the wanted place a skip looks for a likeness: 5 ms.
const LIKENESS: i64 = 80;
/// The share of the loudest recent block's energy below which a block counts
/// as a pause: -20 dB.
const PAUSE: f32 = 0.01;
/// What is left of that loudest block's energy after another: half after 1.4 s.
const LOUDEST_FADE: f32 = 0.99;
/// The energy of a block that is a pause in any case: -56 dBFS.
const QUIET: f32 = BUS_BLOCK as f32 * 50.0 * 50.0;

/// See the [module page](self).
#[derive(Debug)]
pub struct Playout {
    buffer: Buffer,
    servo: Servo,
    stretcher: Stretcher,
    /// Bus samples won or lost by stretching that are not in `stats` yet.
    stretched: f32,
}

impl Playout {
    /// A playout without a stream. Allocates.
    #[must_use]
    pub fn new(config: &Config, stats: Arc<Stats>) -> Self {
        Self {
            buffer: Buffer::new(config, stats),
            servo: Servo::default(),
            stretcher: Stretcher::new(),
            stretched: 0.0,
        }
    }

    /// A stream begins; what was left of another is not played.
    pub fn start(&mut self) {
        self.buffer.stop();
        self.buffer.mode = Mode::Waiting;
    }

    /// The stream is over: what is heard fades out within 8 ms.
    pub fn stop(&mut self) {
        self.buffer.stop();
    }

    /// Whether there is no stream.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.buffer.mode == Mode::Off
    }

    /// Takes in a block.
    pub fn put(&mut self, block: codec::Block<'_>) {
        match (self.is_off(), block.made_up) {
            (true, _) => {}
            (false, false) => self.buffer.put(block),
            (false, true) => self.buffer.fill_in(block),
        }
    }

    /// Which sample of the stream comes next, counted from that of block 0; what
    /// is made up in the place of lost blocks counts as heard. `None` before the
    /// first.
    #[must_use]
    pub fn place(&self) -> Option<i64> {
        self.buffer.newest.map(|_| self.buffer.cursor)
    }

    /// Fills at most [`BUS_CHUNK`] samples of the bus, as part of a period of
    /// `period` bus samples. `decoder` is where the blocks come from; it may be
    /// asked to carry on when there are no more.
    pub fn render(&mut self, period: usize, bus: &mut [f32], decoder: &mut Decoder) {
        debug_assert!(bus.len() <= BUS_CHUNK);
        let drift = self.servo.drift();
        self.buffer.arrivals.pass(period, bus.len(), drift);
        self.buffer.choose();
        let speed = self.servo.steer(self.buffer.error() as f32, bus.len());
        self.stretcher
            .process(speed, bus, |far| self.buffer.pull(far, decoder));
        self.buffer.now += bus.len() as i64;
        self.report(speed, bus.len());
    }

    fn report(&mut self, speed: f32, length: usize) {
        let stats = &self.buffer.stats;
        self.stretched += (speed - 1.0).abs() * length as f32;
        stats.stretched.add(self.stretched as usize);
        self.stretched = self.stretched.fract();
        stats.set_target(self.buffer.arrivals.target() as u32);
        stats.set_drift(self.servo.drift() * 1e6);
    }
}

/// One block of the stream; `seq` is `None` when there has been none.
#[derive(Debug, Clone)]
struct Block {
    seq: Option<i64>,
    arrived: i64,
    energy: f32,
    made_up: bool,
    samples: [i16; BUS_BLOCK],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// No stream.
    Off,
    /// The cursor stands: the stream has not begun, or the line is dry.
    Waiting,
    /// The cursor moves.
    Playing,
}

/// Blocks in, samples out.
#[derive(Debug)]
struct Buffer {
    stats: Arc<Stats>,
    blocks: Box<[Block]>,
    mode: Mode,
    /// The next sample.
    cursor: i64,
    /// The newest block of the stream; `None` before the first.
    newest: Option<i64>,
    /// Whether any of this stream has been heard.
    heard: bool,
    /// Whether what is heard is made up.
    filling: bool,
    /// Blocks that came too late, one after the other.
    late_run: u32,
    /// Samples rendered: the time of this part.
    now: i64,
    /// Blocks that came within 20 ms from `burst_from` on.
    burst: u32,
    burst_from: i64,
    /// What the first of them took.
    burst_transit: i64,
    /// Whether that is what the first of those before took.
    settled: bool,
    /// Samples until the cursor moves.
    lead: usize,
    /// When the first block came after a long wait.
    resuming: Option<i64>,
    /// Energy of the loudest recent block.
    loudest: f32,
    /// When a pitch period was left out or repeated.
    scaled: i64,
    arrivals: Arrivals,
    concealer: Concealer,
    fade: CrossFade,
}

impl Buffer {
    fn new(config: &Config, stats: Arc<Stats>) -> Self {
        let empty = Block {
            seq: None,
            arrived: 0,
            energy: 0.0,
            made_up: false,
            samples: [0; BUS_BLOCK],
        };
        let longest = config.longest_wait_ms.clamp(40, 300) * BUS_RATE / 1000;
        Self {
            stats,
            blocks: vec![empty; CAPACITY as usize].into_boxed_slice(),
            mode: Mode::Off,
            cursor: 0,
            newest: None,
            heard: false,
            filling: true,
            late_run: 0,
            now: 0,
            burst: 0,
            burst_from: 0,
            burst_transit: 0,
            settled: false,
            lead: 0,
            resuming: None,
            loudest: 0.0,
            scaled: 0,
            arrivals: Arrivals::new(config.in_time.clamp(0.5, 0.999), i64::from(longest)),
            concealer: Concealer::default(),
            fade: CrossFade::default(),
        }
    }

    fn stop(&mut self) {
        self.forget();
        self.concealer.forget_background();
        self.mode = Mode::Off;
        self.newest = None;
        self.heard = false;
    }

    /// Empties the buffer; what is heard just now fades out.
    fn forget(&mut self) {
        if self.heard {
            let old = self.next_heard();
            self.fade.begin(old);
        }
        self.concealer.silence();
        self.filling = true;
        self.resuming = None;
        self.lead = 0;
        self.late_run = 0;
        self.arrivals.restart();
        for block in &mut self.blocks {
            block.seq = None;
        }
    }

    fn put(&mut self, block: codec::Block<'_>) {
        let seq = self.unwrap(block.seq);
        if self.newest.is_none() || self.is_new_sender(seq) {
            self.begin(seq);
        }
        let passed = (seq + 1) * BLOCK <= self.cursor;
        self.late_run = if passed { self.late_run + 1 } else { 0 };
        if self.block(seq).is_some() {
            self.stats.duplicates.add(1);
            return;
        }
        let transit = self.transit(seq);
        self.count_burst(transit);
        self.arrivals.seen(self.now, transit);
        if passed {
            self.stats.late.add(1);
        } else {
            self.stats
                .reordered
                .add(usize::from(self.newest > Some(seq)));
            self.move_on((seq + 1 - CAPACITY) * BLOCK);
            self.keep(seq, block);
        }
    }

    /// Takes in concealment for a block behind the newest.
    fn fill_in(&mut self, block: codec::Block<'_>) {
        let seq = self.unwrap(block.seq);
        let next = self.newest.is_some_and(|newest| seq == newest + 1);
        if next && (seq + 1) * BLOCK > self.cursor {
            self.move_on((seq + 1 - CAPACITY) * BLOCK);
            self.keep(seq, block);
        }
    }

    fn count_burst(&mut self, transit: i64) {
        if self.now - self.burst_from >= BLOCK {
            (self.burst, self.burst_from) = (0, self.now);
            self.settled = (transit - self.burst_transit).abs() <= STEADY;
            self.burst_transit = transit;
        }
        self.burst += 1;
    }

    /// Time less the time of the sound, for a block that comes now.
    fn transit(&self, seq: i64) -> i64 {
        self.now - seq * BLOCK
    }

    /// The number without its wrap, which lies next to the newest.
    fn unwrap(&self, seq: u32) -> i64 {
        self.newest.map_or(i64::from(seq), |newest| {
            newest + i64::from(seq.wrapping_sub(newest as u32) as i32)
        })
    }

    fn is_new_sender(&self, seq: i64) -> bool {
        let ahead = seq - self.cursor.div_euclid(BLOCK);
        let dry = self.mode == Mode::Waiting;
        let early = self.transit(seq) < self.arrivals.base() - EARLY_MAX;
        if ahead >= CAPACITY {
            // After a stall there is more than fits, and a hole where the
            // downlink was full; time has gone on as far as the numbers.
            return early || !dry;
        }
        ahead < -LATE_MAX || (dry && self.late_run >= LATE_RUN)
    }

    fn begin(&mut self, seq: i64) {
        if self.newest.is_some() {
            self.stats.restarts.add(1);
            self.forget();
        }
        self.mode = Mode::Waiting;
        self.cursor = seq * BLOCK;
        self.newest = Some(seq);
    }

    fn keep(&mut self, seq: i64, block: codec::Block<'_>) {
        self.newest = self.newest.max(Some(seq));
        let squares = block.samples.iter().map(|&s| f32::from(s) * f32::from(s));
        let energy: f32 = squares.sum();
        self.loudest = energy.max(self.loudest * LOUDEST_FADE);
        if !block.made_up && self.is_pause(energy) {
            self.concealer.background(block.samples);
        }
        self.blocks[index(seq)] = Block {
            seq: Some(seq),
            arrived: self.now,
            energy,
            made_up: block.made_up,
            samples: *block.samples,
        };
    }

    fn block(&self, seq: i64) -> Option<&Block> {
        let block = &self.blocks[index(seq)];
        (block.seq == Some(seq)).then_some(block)
    }

    /// The sample after the last that has come.
    fn end(&self) -> i64 {
        self.newest
            .map_or(self.cursor, |newest| (newest + 1) * BLOCK)
    }

    /// How far the cursor runs behind the quickest packet.
    fn delay(&self) -> i64 {
        self.now - self.cursor - self.arrivals.base()
    }

    /// By how much that is more than it should be.
    fn error(&self) -> i64 {
        match self.mode {
            Mode::Playing => self.delay() - self.arrivals.target(),
            Mode::Off | Mode::Waiting => 0,
        }
    }

    /// Decides where the next sample comes from, before a piece is rendered.
    fn choose(&mut self) {
        match self.mode {
            Mode::Off => {}
            Mode::Waiting if self.end() <= self.cursor => {}
            // The voice is still in the air: go on where it stopped.
            Mode::Waiting if !self.concealer.is_silent() => self.mode = Mode::Playing,
            Mode::Waiting => self.resume(),
            Mode::Playing => self.scale(),
        }
    }

    /// Plays again after a silence, at the target delay, once the burst is over.
    fn resume(&mut self) {
        let since = *self.resuming.get_or_insert(self.now);
        if self.is_burst() && self.now - since < BURST_MAX {
            return;
        }
        if self.arrivals.is_stalled() {
            self.arrivals.rebase();
        }
        let due = self.now - self.arrivals.base() - self.arrivals.target();
        if due + PIECE < self.cursor {
            return;
        }
        // A little too much is played off, but for what has not come.
        let to = if (0..=self.arrivals.longest()).contains(&(due - self.cursor)) {
            self.first_held().min(due)
        } else {
            due.min(self.end() - BLOCK).max(self.cursor)
        };
        self.move_on(to);
        self.lead = (to - due).max(0) as usize;
        self.mode = Mode::Playing;
        self.resuming = None;
    }

    /// The first sample from the cursor on that is held.
    fn first_held(&self) -> i64 {
        let seq = self.cursor.div_euclid(BLOCK);
        let held = (seq..seq + CAPACITY).find(|seq| self.block(*seq).is_some());
        held.map_or(self.cursor, |held| self.cursor.max(held * BLOCK))
    }

    /// Whether the newest block is no measure of the line yet.
    fn is_burst(&self) -> bool {
        if self.arrivals.is_stalled() {
            // Quicker ones are on their way, or were refused.
            return !self.settled;
        }
        !self.heard && self.burst > BURST && self.now - self.burst_from < BLOCK
    }

    /// Brings the delay to its target where that is further off than the servo
    /// repairs soon.
    fn scale(&mut self) {
        let error = self.error();
        if error > self.arrivals.longest() {
            self.skip(self.cursor + error);
            return;
        }
        let slack = SLACK.max(self.arrivals.period() * 3 / 2);
        let overdue = self.is_overdue();
        let (rest, alike) = match self.in_pause() {
            true => (FADE as i64, 0.0),
            false if overdue => (HURRY, ALIKE),
            false => (REST, ALIKE),
        };
        if self.filling || self.lead > 0 || self.now - self.scaled < rest {
            return;
        }
        if overdue || error < -slack {
            self.repeat(alike);
        } else if error > slack {
            self.leave_out(error as usize, alike);
        }
    }

    /// Whether the next packet is so late that what is held should last longer.
    fn is_overdue(&self) -> bool {
        let late = self.now - self.end() - self.arrivals.base();
        late > self.arrivals.usual().max(SLACK)
    }

    /// Leaves out a pitch period of at most `most` samples.
    fn leave_out(&mut self, most: usize, alike: f32) {
        const REACH: usize = PITCH_MAX + FADE;
        let Some(sound) = self.read::<REACH>(self.cursor) else {
            return;
        };
        let (here, _) = sound.split_at(FADE);
        let (at, likeness) = likest(here, &sound[PITCH_MIN..most.min(PITCH_MAX) + FADE]);
        if likeness >= alike {
            self.jump(self.cursor + (PITCH_MIN + at) as i64);
        }
    }

    /// Plays the last pitch period again.
    fn repeat(&mut self, alike: f32) {
        const REACH: usize = PITCH_MAX + FADE;
        let from = self.cursor - PITCH_MAX as i64;
        let Some(sound) = self.read::<REACH>(from) else {
            return;
        };
        let (there, here) = (&sound[..REACH - PITCH_MIN], &sound[PITCH_MAX..]);
        let (at, likeness) = likest(here, there);
        if likeness >= alike {
            self.jump(from + at as i64);
        }
    }

    /// Goes on from `to`, which is like here.
    fn jump(&mut self, to: i64) {
        let old = self.next_heard();
        self.fade.begin(old);
        let scaled = self.cursor.abs_diff(to) as usize;
        self.stats.stretched.add(scaled);
        self.cursor = to;
        self.scaled = self.now;
    }

    fn in_pause(&self) -> bool {
        let block = self.block(self.cursor.div_euclid(BLOCK));
        block.is_some_and(|block| self.is_pause(block.energy))
    }

    fn is_pause(&self, energy: f32) -> bool {
        energy < QUIET.max(self.loudest * PAUSE)
    }

    /// Moves the cursor to where, around `to`, the sound is most like here.
    fn skip(&mut self, to: i64) {
        let to = to.min(self.end() - BLOCK);
        if to < self.cursor + BLOCK / 2 {
            return;
        }
        let old = self.next_heard();
        let from = to - LIKENESS;
        let there = self.read::<{ FADE + 2 * LIKENESS as usize }>(from);
        let to = there.map_or(to, |there| from + likest(&old, &there).0 as i64);
        self.fade.begin(old);
        self.move_on(to);
        // The fade leads out of whatever was heard, be it made up.
        self.filling = false;
    }

    /// Moves the cursor over what is not to be heard.
    fn move_on(&mut self, to: i64) {
        // Beyond the newest nothing is held: however far it goes, work is bounded.
        while self.cursor < to.min(self.end()) {
            let seq = self.cursor.div_euclid(BLOCK);
            let next = to.min((seq + 1) * BLOCK);
            if self.block(seq).is_some() {
                self.stats.skipped.add((next - self.cursor) as usize);
            }
            self.cursor = next;
        }
        self.cursor = self.cursor.max(to);
    }

    /// What would be heard next.
    fn next_heard(&mut self) -> [f32; FADE] {
        if !self.heard {
            return [0.0; FADE];
        }
        let held = (!self.filling).then(|| self.read(self.cursor)).flatten();
        held.unwrap_or_else(|| {
            let mut made_up = [0.0; FADE];
            // The decoder is not asked: it is behind what has come since.
            if !self.filling || self.concealer.is_decoded() {
                self.concealer.begin();
            }
            self.concealer.repeat(&mut made_up);
            made_up
        })
    }

    /// The samples from `from` on, if they are all held.
    fn read<const N: usize>(&self, from: i64) -> Option<[f32; N]> {
        let mut samples = [0.0; N];
        for (sample, place) in samples.iter_mut().zip(from..) {
            let block = self.block(place.div_euclid(BLOCK))?;
            *sample = f32::from(block.samples[place.rem_euclid(BLOCK) as usize]);
        }
        Some(samples)
    }

    /// Fills `far` with what is heard next.
    fn pull(&mut self, far: &mut [f32], decoder: &mut Decoder) {
        let mut now = self.now;
        let mut rest = far;
        while !rest.is_empty() {
            let left = match self.lead {
                0 => (BLOCK - self.cursor.rem_euclid(BLOCK)) as usize,
                lead => lead,
            };
            let (piece, later) = rest.split_at_mut(left.min(rest.len()));
            match self.mode {
                Mode::Off => piece.fill(0.0),
                Mode::Waiting => self.make_up(piece, decoder),
                Mode::Playing if self.lead > 0 => {
                    self.make_up(piece, decoder);
                    self.lead -= piece.len();
                }
                Mode::Playing => self.play(now, piece, decoder),
            }
            self.fade.apply(piece);
            self.concealer.hear(piece);
            now += piece.len() as i64;
            rest = later;
        }
    }

    /// Plays within the block at the cursor.
    fn play(&mut self, now: i64, piece: &mut [f32], decoder: &mut Decoder) {
        let (seq, at) = (self.cursor.div_euclid(BLOCK), self.cursor.rem_euclid(BLOCK));
        if self.block(seq).is_none() {
            self.make_up(piece, decoder);
            if self.end() > self.cursor {
                self.cursor += piece.len() as i64;
            } else {
                self.mode = Mode::Waiting;
            }
            return;
        }
        if self.filling {
            let old = self.next_heard();
            self.fade.begin(old);
        }
        self.filling = false;
        let block = &self.blocks[index(seq)];
        let samples = &block.samples[at as usize..];
        for (sample, &held) in piece.iter_mut().zip(samples) {
            *sample = f32::from(held);
        }
        if block.made_up {
            self.stats.concealed.add(piece.len());
        } else if at == 0 || !self.heard {
            let waited = (now - block.arrived) as usize + drift::DELAY + decoder.delay();
            self.stats.delayed(waited);
        }
        self.heard = true;
        self.cursor += piece.len() as i64;
    }

    fn make_up(&mut self, piece: &mut [f32], decoder: &mut Decoder) {
        if !self.heard {
            piece.fill(0.0);
            return;
        }
        // Only there is the decoder where the listener is.
        let dry = self.end() <= self.cursor;
        if !self.filling && dry && decoder.can_carry_on() {
            self.concealer.begin_decoded();
        } else if !self.filling || (self.concealer.is_decoded() && !dry) {
            self.concealer.begin();
        }
        self.filling = true;
        self.concealer.make(piece, decoder);
        self.stats.concealed.add(piece.len());
    }
}

/// The slot of a block.
fn index(seq: i64) -> usize {
    seq.rem_euclid(CAPACITY) as usize
}
