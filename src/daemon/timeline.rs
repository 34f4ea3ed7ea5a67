//! Draws up the timeline of an attempt while it goes on: what is later made
//! into a picture of the call.
//!
//! A column every [`STEP`] while a stream is attached, an event whenever
//! something happens. All of it is kept in memory and written once, when the
//! record is closed: a call that dies with the process has its record, and no
//! picture.

use std::time::{Duration, Instant};

use crate::audio::Snapshot;
use crate::audio::level::Level;
use crate::edge::store::{Column, STEP_MS, Timeline};
use crate::units::AttemptId;

/// From one column to the next.
pub(super) const STEP: Duration = Duration::from_millis(STEP_MS as u64);

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) attempt: AttemptId,
    began: Instant,
    timeline: Timeline,
    before: Option<Snapshot>,
}

impl Recorder {
    /// A timeline that begins with the press, or with what began the attempt.
    pub(super) fn new(attempt: AttemptId, began: Instant) -> Self {
        Self {
            attempt,
            began,
            timeline: Timeline::default(),
            before: None,
        }
    }

    /// Something happened.
    pub(super) fn note(&mut self, now: Instant, what: &str) {
        let at = self.at(now);
        self.timeline.note(at, what);
    }

    /// Looks at the sound, [`STEP`] after the last time.
    pub(super) fn look(&mut self, now: Instant, sound: Snapshot) {
        let at = self.at(now);
        if let Some(before) = self.before.replace(sound.clone()) {
            self.timeline.put(at, column(&sound.since(&before)));
        }
    }

    /// The sound of one stream is not to be compared with that of the next.
    pub(super) fn pause(&mut self) {
        self.before = None;
    }

    /// The whole of it.
    pub(super) fn finish(self) -> Timeline {
        self.timeline
    }

    fn at(&self, now: Instant) -> u32 {
        let after = now.saturating_duration_since(self.began).as_millis();
        u32::try_from(after).unwrap_or(u32::MAX)
    }
}

fn column(step: &Snapshot) -> Column {
    let small = |ms: u64| u16::try_from(ms).unwrap_or(u16::MAX);
    Column {
        mic_db: decibels(step.mic),
        far_db: decibels(step.speaker),
        delay_ms: step.delay_ms.clamp(0.0, f32::from(u16::MAX)) as u16,
        concealed_ms: small(step.concealed_ms),
        dropped_ms: small(step.skipped_ms),
    }
}

fn decibels(level: Level) -> i8 {
    level.rms_dbfs().clamp(-127.0, 0.0) as i8
}
