//! Closes a side that was lost and opens it again, away from the audio thread.
//!
//! ```text
//!  audio thread ──lost──▶ [ Handover ] ──▶ reopen thread: close, open, open …
//!               ◀─found── [          ] ◀──
//! ```
//!
//! Units: pauses between tries double from [`SHORTEST`] to [`LONGEST`], so a
//! replugged card is back within seconds and a missing one costs nothing. They
//! begin anew once a card has worked for [`LASTING`], so one that comes and
//! goes does not fill the log.
//!
//! Always true: at most one PCM is under way, in one direction; once the
//! handover is closed, whatever is in it or comes late is dropped.
//!
//! Real time: the audio thread touches the lock only while its side is away,
//! and only by trying: it never waits for it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use super::pcm::{Fault, Pcm, Wanted};
use crate::edge::card::{Event, STACK, Stats};
use crate::trace::{Counter, Trace};

/// Pause before the first try.
const SHORTEST: Duration = Duration::from_millis(250);
/// Pause between tries in the long run.
const LONGEST: Duration = Duration::from_secs(5);

/// A card that worked for so long is taken for well again.
const LASTING: Duration = Duration::from_secs(30);

/// Where a PCM changes threads.
pub(super) struct Handover {
    seat: Mutex<Seat>,
    changed: Condvar,
}

enum Seat {
    Empty,
    Lost(Pcm, alsa::Error),
    Found(Pcm),
    Closed,
}

impl Handover {
    /// A seat nobody sits on yet; without a [`Reopener`] nothing ever comes back.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seat: Mutex::new(Seat::Empty),
            changed: Condvar::new(),
        })
    }

    /// From the audio thread: this PCM is dead. Gives it back when the seat
    /// is just being looked at; try again next round.
    pub(super) fn lost(&self, pcm: Pcm, error: alsa::Error) -> Result<(), Pcm> {
        let Ok(mut seat) = self.seat.try_lock() else {
            return Err(pcm);
        };
        if matches!(*seat, Seat::Empty) {
            *seat = Seat::Lost(pcm, error);
            self.changed.notify_one();
            return Ok(());
        }
        Err(pcm)
    }

    /// To the audio thread: the PCM that was opened, if it is there.
    pub(super) fn found(&self) -> Option<Pcm> {
        let mut seat = self.seat.try_lock().ok()?;
        match std::mem::replace(&mut *seat, Seat::Empty) {
            Seat::Found(pcm) => Some(pcm),
            other => {
                *seat = other;
                None
            }
        }
    }

    /// Ends the reopen thread. Waits for the lock: not in the middle of sound.
    pub(super) fn close(&self) {
        *self.lock() = Seat::Closed;
        self.changed.notify_one();
    }

    /// Waits for a loss; `None` when closed.
    fn wait_lost(&self) -> Option<(Pcm, alsa::Error)> {
        let mut seat = self.lock();
        loop {
            match std::mem::replace(&mut *seat, Seat::Empty) {
                Seat::Lost(pcm, error) => return Some((pcm, error)),
                Seat::Closed => {
                    *seat = Seat::Closed;
                    return None;
                }
                other => *seat = other,
            }
            seat = self
                .changed
                .wait(seat)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_found(&self, pcm: Pcm) {
        let mut seat = self.lock();
        if matches!(*seat, Seat::Empty) {
            *seat = Seat::Found(pcm);
        }
    }

    /// Waits for `length`; `false` when closed.
    fn pause(&self, length: Duration) -> bool {
        let open = |seat: &mut Seat| !matches!(seat, Seat::Closed);
        self.changed
            .wait_timeout_while(self.lock(), length, open)
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reopen thread of one side.
pub(super) struct Reopener {
    pub(super) wanted: Wanted,
    pub(super) stats: Arc<Stats>,
    pub(super) events: Sender<Event>,
    pub(super) trace: Arc<Trace>,
}

impl Reopener {
    /// Starts the thread; with `missing` it begins by opening, since the side
    /// was not there.
    pub(super) fn start(self, missing: Option<Fault>) -> io::Result<Arc<Handover>> {
        let handover = Handover::new();
        let far = Arc::clone(&handover);
        thread::Builder::new()
            .name("audio-reopen".into())
            .stack_size(STACK)
            .spawn(move || self.run(&far, missing))?;
        Ok(handover)
    }

    fn run(self, handover: &Handover, missing: Option<Fault>) {
        let mut pause = SHORTEST;
        if let Some(fault) = missing
            && !self.bring_back(handover, fault, &mut pause)
        {
            return;
        }
        let mut back = Instant::now();
        while let Some((pcm, error)) = handover.wait_lost() {
            if back.elapsed() > LASTING {
                pause = SHORTEST;
            }
            let fault = Fault::new(pcm.name(), error);
            // Closed before it is opened again: a card serves one at a time.
            drop(pcm);
            if !self.bring_back(handover, fault, &mut pause) {
                return;
            }
            back = Instant::now();
        }
    }

    /// Opens until it works; `false` when closed before.
    fn bring_back(&self, handover: &Handover, fault: Fault, pause: &mut Duration) -> bool {
        let direction = self.wanted.direction;
        self.tell(Event::Lost {
            direction,
            why: fault.to_string(),
        });
        let mut told = fault;
        while handover.pause(*pause) {
            *pause = (2 * *pause).min(LONGEST);
            match Pcm::open(&self.wanted) {
                Ok(pcm) => {
                    let fit = format!("{}, {}", pcm.name(), pcm.fit());
                    self.stats.side(direction).count_reopen();
                    handover.put_found(pcm);
                    self.tell(Event::Back { direction, fit });
                    return true;
                }
                Err(Fault::Missing { .. } | Fault::NoneFits { .. }) => {}
                Err(fault) if fault == told => {}
                Err(fault) => {
                    self.tell(Event::Unfit {
                        direction,
                        why: fault.to_string(),
                    });
                    told = fault;
                }
            }
        }
        false
    }

    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.trace.count(Counter::EventsDropped);
        }
    }
}
