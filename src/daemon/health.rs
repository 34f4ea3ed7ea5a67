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
        tell(&[NotifyState::Ready]);
    }

    /// Tells the service manager that the end has begun.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Once a second: looks for life, and feeds the watchdog if all live.
    pub(super) fn round(&mut self, beats: u64, media: &Media, store: &StoreHandle) {
        let now = Instant::now();
        if beats != self.beats {
            (self.beats, self.audio) = (beats, now);
        }
        self.media.round(now, || media.ping());
        self.store.round(now, || store.ping().ok());
        let dead = self.dead(now);
        if dead.is_none() {
            tell(&[NotifyState::Watchdog]);
        } else if self.fed {
            tracing::error!(
                "{} shows no life: the watchdog is not fed",
                dead.unwrap_or_default()
            );
        }
        self.fed = dead.is_none();
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

fn tell(states: &[NotifyState<'_>]) {
    // Not run by a service manager, mostly.
    _ = sd_notify::notify(states);
}
