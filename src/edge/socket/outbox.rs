//! Events on their way to the daemon, which may be busy.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{EVENTS_MAX, Event, What};
use crate::trace::{Counter, Trace};
use crate::units::SocketId;

/// Events on their way to the daemon.
pub(super) struct Outbox {
    events: mpsc::Sender<Event>,
    /// Those it had no room for yet.
    kept: VecDeque<Event>,
    trace: Arc<Trace>,
}

impl Outbox {
    pub(super) fn new(events: mpsc::Sender<Event>, trace: Arc<Trace>) -> Self {
        Self {
            events,
            kept: VecDeque::new(),
            trace,
        }
    }

    pub(super) fn tell(&mut self, socket: SocketId, what: What) {
        self.tell_all([Event { socket, what }]);
    }

    pub(super) fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) {
        self.retry();
        for event in events {
            let room = room(&event.what);
            match self
                .kept
                .is_empty()
                .then(|| self.events.try_send(event.clone()))
            {
                Some(Ok(()) | Err(TrySendError::Closed(_))) => {}
                _ if self.kept.len() < room => self.kept.push_back(event),
                _ => self.trace.count(Counter::EventsDropped),
            }
        }
    }

    pub(super) fn retry(&mut self) {
        while let Some(event) = self.kept.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                return self.kept.push_front(event);
            }
        }
    }
}

/// How many events may be kept when this one is added.
fn room(what: &What) -> usize {
    match what {
        // Figures and words that will be bettered would be old news.
        What::Flow(_) => 0,
        What::Transcript(transcript) if !transcript.is_final => 0,
        // A flood must not hide the end; there is one for each socket.
        What::Ended(_) => usize::MAX,
        _ => EVENTS_MAX,
    }
}
