//! Whether the device lives: audio, both runtimes and the store.
//!
//! The service manager's watchdog is fed only while each of them has shown
//! life within [`SILENCE`]; that the loop itself runs is what calls this.
//! Without a service manager the messages go nowhere.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::oneshot;

use super::media::Media;
use crate::edge::store::StoreHandle;

/// A part that was silent for longer than this is not alive. The store may be
/// waiting for a slow card, so it gets the longest of what the parts need.
const SILENCE: Duration = Duration::from_secs(10);
/// State that outlives a restart is kept this often, besides after each call.
const KEEP: Duration = Duration::from_secs(3600);
/// Records are reconciled this often, and soon after a call.
const RECONCILE: Duration = Duration::from_secs(60);
/// How soon: the service needs a moment to write the end down.
const AFTER_CALL: Duration = Duration::from_secs(1);

/// A part that is asked for a sign of life.
#[derive(Debug)]
struct Pulse {
    seen: Instant,
    asked: Option<oneshot::Receiver<()>>,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            asked: None,
        }
    }

    /// Takes the answer to the last question, and asks again.
    fn round(&mut self, now: Instant, ask: impl FnOnce() -> Option<oneshot::Receiver<()>>) {
        match self.asked.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(())) => self.seen = now,
            Some(Err(oneshot::error::TryRecvError::Empty)) => return,
            Some(Err(oneshot::error::TryRecvError::Closed)) | None => {}
        }
        self.asked = ask();
    }
}

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Health {
    audio: Instant,
    beats: u64,
    media: Pulse,
    store: Pulse,
    fed: bool,
    kept: Instant,
    reconcile_at: Instant,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            audio: now,
            beats: 0,
            media: Pulse::new(now),
            store: Pulse::new(now),
            fed: true,
            kept: now,
            reconcile_at: now,
        }
    }

    /// Tells the service manager that a press works from now on.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("in service")]);
    }

    /// Tells the service manager that the end has begun.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Once a second: looks for life, and feeds the watchdog if all live.
    pub(super) fn round(&mut self, beats: u64, media: &Media, store: &StoreHandle) {
        let now = Instant::now();
        self.look(now, beats, || media.ping(), || store.ping().ok());
        match self.dead(now) {
            None => {
                tell(&[NotifyState::Watchdog]);
                self.fed = true;
            }
            Some(part) => {
                if std::mem::replace(&mut self.fed, false) {
                    tracing::error!("{part} shows no life: the watchdog is not fed");
                }
            }
        }
    }

    fn look(
        &mut self,
        now: Instant,
        beats: u64,
        media: impl FnOnce() -> Option<oneshot::Receiver<()>>,
        store: impl FnOnce() -> Option<oneshot::Receiver<()>>,
    ) {
        if beats != self.beats {
            (self.beats, self.audio) = (beats, now);
        }
        self.media.round(now, media);
        self.store.round(now, store);
    }

    /// The part that shows no life, if one does.
    pub(super) fn dead(&self, now: Instant) -> Option<&'static str> {
        let parts = [
            ("the audio thread", self.audio),
            ("the media runtime", self.media.seen),
            ("the store", self.store.seen),
        ];
        let silent = |seen: Instant| now.saturating_duration_since(seen) > SILENCE;
        parts
            .into_iter()
            .find(|(_, seen)| silent(*seen))
            .map(|(part, _)| part)
    }

    /// Whether state is to be kept now.
    pub(super) fn hourly(&mut self) -> bool {
        let due = self.kept.elapsed() >= KEEP;
        if due {
            self.kept = Instant::now();
        }
        due
    }

    /// A record was closed: it is reconciled soon.
    pub(super) fn call_closed(&mut self) {
        self.reconcile_at = Instant::now() + AFTER_CALL;
    }

    /// Whether records are to be reconciled now.
    pub(super) fn reconcile_now(&mut self) -> bool {
        let due = Instant::now() >= self.reconcile_at;
        if due {
            self.reconcile_at = Instant::now() + RECONCILE;
        }
        due
    }
}

pub(super) fn tell(states: &[NotifyState<'_>]) {
    // Not run by a service manager, mostly.
    _ = sd_notify::notify(states);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that was given at once.
    fn alive() -> Option<oneshot::Receiver<()>> {
        let (answer, alive) = oneshot::channel();
        answer.send(()).unwrap();
        Some(alive)
    }

    #[test]
    fn whichever_part_falls_silent_is_named() {
        let start = Instant::now();
        let parts = ["the audio thread", "the media runtime", "the store"];
        for silent in parts {
            let mut health = Health::new(start);
            let mut kept = Vec::new();
            let mut ask = |part: &str| match part == silent {
                false => alive(),
                true => {
                    let (answer, waits) = oneshot::channel();
                    kept.push(answer);
                    Some(waits)
                }
            };
            let mut now = start;
            for second in 0..=12 {
                now = start + Duration::from_secs(second);
                let beats = if silent == parts[0] { 0 } else { second };
                let (media, store) = (ask(parts[1]), ask(parts[2]));
                health.look(now, beats, || media, || store);
                assert!(
                    second > 10 || health.dead(now).is_none(),
                    "{silent} at {second}"
                );
            }
            assert_eq!(health.dead(now), Some(silent));
        }
    }

    #[test]
    fn a_late_answer_is_life() {
        let start = Instant::now();
        let mut health = Health::new(start);
        let (answer, waits) = oneshot::channel();
        let mut waits = Some(waits);
        let at = |s| start + Duration::from_secs(s);
        health.look(at(1), 1, alive, || waits.take());
        answer.send(()).unwrap();
        health.look(at(9), 2, alive, alive);
        health.look(at(15), 3, alive, alive);
        assert_eq!(health.dead(at(16)), None);
    }

    #[test]
    fn a_part_that_cannot_be_asked_is_dead() {
        let start = Instant::now();
        let mut health = Health::new(start);
        let now = start + Duration::from_secs(11);
        health.look(now, 1, alive, || None);
        health.look(now, 2, alive, || None);
        assert_eq!(health.dead(now), Some("the store"));
    }
}
