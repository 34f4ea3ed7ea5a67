//! What happened in the simulator, kept from the beginning.
//!
//! A reader that comes late still sees everything: [`Events`] starts at the
//! first event that is kept, and waits at the end for the next.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::exchange::{Party, Reason, Status};

/// Events kept; the oldest gives way, and a reader that slow misses it.
const EVENTS_KEPT: usize = 65_536;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Since the simulator started.
    pub at: Duration,
    /// The UUID of the call it belongs to.
    pub call: Option<String>,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A request was answered, or on purpose was not.
    Request {
        /// `POST /place-call`.
        line: String,
        /// What was answered; `None` when nothing was.
        status: Option<u16>,
    },
    /// A call has come to a status, at its end with the reason.
    Status(Status, Option<Reason>),
    /// The media socket to the device is being opened.
    Dialing,
    /// It is open, with what the device's handshake asked for.
    MediaUp {
        /// The service is to speak text.
        tts: bool,
        /// The service is to send text for what it hears.
        stt: bool,
    },
    /// It could not be opened.
    MediaRefused(String),
    /// It is closed, with the code of the close frame if there was one.
    MediaDown(Option<u16>),
    /// The first audio of the device on this socket.
    FirstAudio,
    /// A frame of the device that cannot be read.
    BadFrame(String),
    /// The device asked to drop what was queued: so many milliseconds.
    Cleared(u64),
    /// A mark was reached and sent back.
    Mark(String),
    /// The device said an utterance in sound is over.
    AudioDone,
    /// The device sent text to be spoken, now whole.
    Text(String),
    /// The callee has heard this spoken; less than the text, when it was cut off.
    Spoken(String),
    /// The callee spoke over the voice; whether that fell silent.
    BargeIn {
        /// It did.
        interrupted: bool,
    },
    /// Speech-to-text has made this of the callee.
    Transcript(String),
    /// A transcript of the device's own, partial ones left out.
    DeviceTranscript(Party, String),
    /// The callee pressed a key, and the device was sent a frame.
    Key(char),
    /// The device sent `stop`.
    Stopped,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3}  ", self.at.as_secs_f64())?;
        if let Some(call) = &self.call {
            write!(f, "{}  ", &call[..call.len().min(8)])?;
        }
        match &self.what {
            What::Request {
                line,
                status: Some(status),
            } => write!(f, "{line} → {status}"),
            What::Request { line, status: None } => write!(f, "{line} → no answer"),
            What::Status(status, None) => f.write_str(status.as_str()),
            What::Status(status, Some(reason)) => {
                write!(f, "{} ({})", status.as_str(), reason.as_str())
            }
            What::Dialing => f.write_str("opening the media socket to the device"),
            What::MediaUp {
                tts: false,
                stt: false,
            } => f.write_str("media socket open, raw audio both ways"),
            What::MediaUp { tts, stt } => write!(
                f,
                "media socket open, {} to the device, {} from it",
                form(*stt),
                form(*tts)
            ),
            What::MediaRefused(why) => write!(f, "media socket not opened: {why}"),
            What::MediaDown(Some(code)) => write!(f, "media socket closed ({code})"),
            What::MediaDown(None) => f.write_str("media socket lost"),
            What::FirstAudio => f.write_str("first audio from the device"),
            What::BadFrame(why) => write!(f, "frame from the device not understood: {why}"),
            What::Cleared(ms) => write!(f, "clear: {ms} ms not played"),
            What::Mark(name) => write!(f, "mark {name:?} reached"),
            What::AudioDone => f.write_str("the device has said what it had to say"),
            What::Text(text) => write!(f, "text to be spoken: {text:?}"),
            What::Spoken(text) => write!(f, "spoken: {text:?}"),
            What::BargeIn { interrupted: true } => {
                f.write_str("the callee speaks over the voice, which falls silent")
            }
            What::BargeIn { interrupted: false } => {
                f.write_str("the callee speaks over the voice, which goes on")
            }
            What::Transcript(text) => write!(f, "the callee said: {text:?}"),
            What::DeviceTranscript(party, text) => {
                write!(f, "transcript of the device, {}: {text:?}", party.as_str())
            }
            What::Key(digit) => write!(f, "the callee pressed {digit}"),
            What::Stopped => f.write_str("the device sent stop"),
        }
    }
}

fn form(text: bool) -> &'static str {
    if text { "text" } else { "raw audio" }
}

/// Where events are written.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    /// How many events there have ever been.
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How many gave way before the first in `events`.
    gone: u64,
    events: VecDeque<Event>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                kept: Mutex::default(),
                count: watch::Sender::new(0),
            }),
        }
    }

    pub(super) fn write(&self, event: Event) {
        let mut kept = self.kept();
        if kept.events.len() == EVENTS_KEPT {
            kept.events.pop_front();
            kept.gone += 1;
        }
        kept.events.push_back(event);
        let count = kept.gone + kept.events.len() as u64;
        drop(kept);
        self.shared.count.send_replace(count);
    }

    /// A reader that starts at the beginning.
    pub(super) fn read(&self) -> Events {
        Events {
            journal: self.clone(),
            count: self.shared.count.subscribe(),
            next: 0,
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the events, from the first one on.
#[derive(Debug)]
pub struct Events {
    journal: Journal,
    count: watch::Receiver<u64>,
    next: u64,
}

impl Events {
    /// The next event, once there is one.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            // The sender lives in `self.journal`: it cannot be gone.
            _ = self.count.wait_for(|count| *count > self.next).await;
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let kept = self.journal.kept();
        self.next = self.next.max(kept.gone);
        let place = usize::try_from(self.next - kept.gone).ok()?;
        let event = kept.events.get(place)?.clone();
        drop(kept);
        self.next += 1;
        Some(event)
    }

    /// The next event that `wanted` says yes to; those before it are passed over.
    pub async fn find(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }
}
