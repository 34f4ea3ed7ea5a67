//! The loop of the audio thread.
//!
//! ```text
//!  ┌─▶ collect reopened PCMs ─▶ poll ─▶ speaker ─▶ microphone ─▶ wake ─┐
//!  └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Each side is in one of three states:
//!
//! ```text
//!            error                  handed over
//!  Here ───────────────▶ Leaving ────────────────▶ Away
//!    ▲                                               │
//!    └───────────────────── found ───────────────────┘
//! ```
//!
//! Always true: a round ends within [`ROUND`]; in it, the speaker is served
//! first, with at most one buffer, then the microphone with at most one period:
//! its periods cost far more, and the speaker must not run dry while several of
//! them have come in. This thread goes before all others, so it sleeps whatever
//! happens: a card that claims to be ready without end is held to 10/9 of its
//! rate, and an engine slower than the card is interrupted every [`BREATHLESS`].
//!
//! Real time: see the module above.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use alsa::poll::pollfd;

use super::pcm::{DESCRIPTORS, NO_DESCRIPTOR, Pcm, Verdict, verdict};
use super::reopen::Handover;
use crate::audio::engine::Format;
use crate::edge::card::{Direction, Sound, Stats};
use crate::edge::realtime::Wake;

/// Longest poll: how late a stop may be noticed.
const ROUND: Duration = Duration::from_millis(100);
/// A card that moves nothing for so long has stopped without a word. A sound
/// server may take 2 s to wake a card of its own.
const STALLED: Duration = Duration::from_secs(3);
/// How long a card that was ready for nothing is left alone.
const REST: Duration = Duration::from_millis(1);
/// Longest without sleep. A processor too slow for the engine then crackles,
/// and does not run into the kernel's limit for threads that are stuck.
const BREATHLESS: Duration = Duration::from_millis(100);
/// Starts in a row, without a period between them, that make a card lost.
const RESTARTS: u32 = 8;

/// One side, as the audio thread sees it.
pub(super) struct Side {
    direction: Direction,
    state: State,
    /// What was opened before there was an audio thread.
    opened: Option<Pcm>,
    handover: Arc<Handover>,
    stats: Arc<Stats>,
    /// Here: not looked at before. Otherwise: when the next period is due.
    due: Instant,
    /// How far the card may be, were it 10/9 as fast as it says.
    paid: Instant,
    /// When the card last moved something.
    moved: Instant,
    restarts: u32,
    /// Stands in for the card, one period long.
    substitute: Box<[i16]>,
    period: Duration,
}

/// How much the speaker had been handed and not played.
#[derive(Clone, Copy)]
struct Ahead {
    unplayed: Duration,
    at: Instant,
}

impl Ahead {
    /// The same at another time; nothing when the speaker has run dry since.
    fn at(self, other: Instant) -> Option<Duration> {
        let (later, earlier) = (
            other.saturating_duration_since(self.at),
            self.at.saturating_duration_since(other),
        );
        (self.unplayed + earlier).checked_sub(later)
    }
}

enum State {
    Here(Pcm),
    Leaving(Pcm, alsa::Error),
    Away,
}

/// Turns the engine until `stopping`. `sides` are microphone and speaker.
pub(super) fn run(
    mut sides: [Side; 2],
    mut sound: impl Sound,
    wake: &Wake,
    stats: &Stats,
    stopping: &AtomicBool,
) {
    // One right after the other, so that one sleep serves both.
    for side in sides.iter_mut().rev() {
        side.hand_over(Instant::now());
    }
    let mut polled = [[NO_DESCRIPTOR; DESCRIPTORS]; 2];
    let mut slept = Instant::now();
    let mut ahead = None;
    while !stopping.load(Relaxed) {
        let asked = Instant::now();
        let mut until = asked + ROUND;
        for (side, polled) in sides.iter_mut().zip(&mut polled) {
            until = until.min(side.prepare(asked, polled));
        }
        wait(
            polled.as_flattened_mut(),
            until.saturating_duration_since(asked),
        );
        let mut now = Instant::now();
        if now.duration_since(asked) > REST / 4 {
            slept = now;
        } else if now.duration_since(slept) > BREATHLESS {
            thread::sleep(REST);
            now = Instant::now();
            slept = now;
            stats.count_overload();
        }
        let mut packets = 0;
        for (side, polled) in sides.iter_mut().zip(&polled).rev() {
            packets += side.serve(now, polled, &mut sound, &mut ahead);
        }
        if packets > 0 {
            wake.notify();
        }
        stats.beat();
    }
    for side in &sides {
        side.handover.close();
    }
}

/// Sleeps until a descriptor is ready or the time is over.
fn wait(polled: &mut [pollfd], length: Duration) {
    let millis = length.as_micros().div_ceil(1000) as i32;
    if alsa::poll::poll(polled, millis).is_err() {
        // A signal: nothing is ready, and the next round asks again.
        polled.fill(NO_DESCRIPTOR);
    }
}

impl Side {
    /// A side that begins away, or with a PCM that [`run`] starts.
    pub(super) fn new(
        direction: Direction,
        format: Format,
        period: Duration,
        opened: Option<Pcm>,
        handover: Arc<Handover>,
        stats: Arc<Stats>,
    ) -> Self {
        let now = Instant::now();
        let frames = u128::from(format.rate) * period.as_micros() / 1_000_000;
        Self {
            direction,
            state: State::Away,
            opened,
            handover,
            stats,
            due: now,
            paid: now,
            moved: now,
            restarts: 0,
            substitute: vec![0; frames as usize * usize::from(format.channels)].into(),
            period,
        }
    }

    /// Before the poll: what to poll, and until when at the latest.
    fn prepare(&mut self, now: Instant, polled: &mut [pollfd]) -> Instant {
        self.hand_over(now);
        match &self.state {
            State::Here(pcm) if self.due <= now => {
                polled.copy_from_slice(&pcm.descriptors());
                self.moved + STALLED
            }
            _ => {
                polled.fill(NO_DESCRIPTOR);
                self.due
            }
        }
    }

    /// Lets go of a dead PCM and takes up one that was opened.
    fn hand_over(&mut self, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Away) {
            State::Here(pcm) => State::Here(pcm),
            State::Leaving(pcm, error) => match self.handover.lost(pcm, error) {
                Ok(()) => State::Away,
                Err(pcm) => State::Leaving(pcm, error),
            },
            State::Away => match self.opened.take().or_else(|| self.handover.found()) {
                Some(pcm) => return self.begin(now, pcm),
                None => State::Away,
            },
        };
    }

    /// After the poll: moves what there is to move. Returns the packets made.
    fn serve(
        &mut self,
        now: Instant,
        polled: &[pollfd],
        sound: &mut impl Sound,
        ahead: &mut Option<Ahead>,
    ) -> usize {
        if now < self.due {
            return 0;
        }
        let mut packets = 0;
        match &mut self.state {
            State::Here(_) => {
                if let Err(error) = self.serve_card(now, polled, sound, ahead, &mut packets) {
                    self.fail(now, error);
                }
            }
            State::Leaving(..) | State::Away => {
                *ahead = None;
                packets = self.stand_in(now, sound);
            }
        }
        packets
    }

    fn serve_card(
        &mut self,
        now: Instant,
        polled: &[pollfd],
        sound: &mut impl Sound,
        ahead: &mut Option<Ahead>,
        packets: &mut usize,
    ) -> alsa::Result<()> {
        let State::Here(pcm) = &mut self.state else {
            return Ok(());
        };
        if polled.iter().all(|descriptor| descriptor.revents == 0) {
            return self.check_stall(now);
        }
        pcm.acknowledge(polled)?;
        let fit = *pcm.fit();
        let (available, delay) = pcm.available()?;
        let most = match self.direction {
            Direction::Microphone => fit.period,
            Direction::Speaker => fit.buffer,
        };
        let periods = available.min(most) / fit.period;
        if periods == 0 {
            self.due = now + REST;
            return self.check_stall(now);
        }
        let stats = self.stats.side(self.direction);
        stats.woke(fit.length(available.saturating_sub(fit.period)));
        stats.set_delay(fit.length(delay));
        match self.direction {
            Direction::Microphone => {
                let taken = now.checked_sub(fit.length(delay));
                if let Some(unplayed) = ahead.zip(taken).and_then(|(a, at)| a.at(at)) {
                    sound.unplayed(unplayed);
                }
            }
            Direction::Speaker => {
                *ahead = Some(Ahead {
                    unplayed: fit.length(delay + periods * fit.period),
                    at: now,
                });
            }
        }
        for _ in 0..periods {
            match self.direction {
                Direction::Microphone => *packets += sound.capture(pcm.read()?),
                Direction::Speaker => pcm.write(|speaker| sound.render(speaker))?,
            }
            stats.count_period();
        }
        self.restarts = 0;
        self.moved = now;
        self.paid = self.paid.max(now) + fit.length(periods * fit.period) * 9 / 10;
        self.due = self.paid.checked_sub(fit.length(fit.buffer)).unwrap_or(now);
        Ok(())
    }

    fn check_stall(&self, now: Instant) -> alsa::Result<()> {
        if now.duration_since(self.moved) < STALLED {
            return Ok(());
        }
        Err(alsa::Error::new("poll", libc::ETIMEDOUT))
    }

    /// A period of the clock in place of one of the card.
    fn stand_in(&mut self, now: Instant, sound: &mut impl Sound) -> usize {
        if now.duration_since(self.due) > ROUND {
            // Held up for long: what was missed is past, not owed.
            self.due = now;
        }
        self.due += self.period;
        self.stats.side(self.direction).count_substitute();
        match self.direction {
            Direction::Microphone => sound.capture(&self.substitute),
            Direction::Speaker => {
                sound.render(&mut self.substitute);
                0
            }
        }
    }

    fn fail(&mut self, now: Instant, error: alsa::Error) {
        match verdict(error) {
            Verdict::Again => {}
            Verdict::Restart if self.restarts < RESTARTS => {
                self.restarts += 1;
                self.stats.side(self.direction).count_xrun();
                if let State::Here(pcm) = std::mem::replace(&mut self.state, State::Away) {
                    self.begin(now, pcm);
                }
            }
            Verdict::Restart | Verdict::Lost => {
                if let State::Here(pcm) = std::mem::replace(&mut self.state, State::Away) {
                    self.leave(now, pcm, error);
                }
            }
        }
    }

    /// Starts a PCM: a new one, or one that ran dry.
    fn begin(&mut self, now: Instant, mut pcm: Pcm) {
        if let Err(error) = pcm.start() {
            return self.leave(now, pcm, error);
        }
        self.state = State::Here(pcm);
        self.due = now;
        self.paid = now;
        self.moved = now;
        self.stats.side(self.direction).set_present(true);
    }

    fn leave(&mut self, now: Instant, pcm: Pcm, error: alsa::Error) {
        self.state = State::Leaving(pcm, error);
        self.due = now;
        self.restarts = 0;
        let stats = self.stats.side(self.direction);
        stats.count_loss();
        stats.set_present(false);
    }
}
