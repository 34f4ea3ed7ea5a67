//! The other end of a story's call: the simulated service, its callee, and
//! sounds that can be told apart.
//!
//! Shared by the stories of a device in their own process (`tests/story`) and
//! of the real program on an emulated board (`tests/board`). Every wait ends
//! when the thing happens; [`GUARD`] only ends a test that would hang.

pub(crate) mod sound;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use callbox::simulator::{
    self, Answer, Callee, Event, Handle, HangsUp, Says, Simulator, Status, What,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The number on the button: a fictitious one.
pub(crate) const CALLEE: &str = "+15005550199";
/// What the service signs calls to a device with.
pub(crate) const SIGNING_KEY: &str = "whsec_c2VjcmV0";
/// The last part of the path they come in by.
pub(crate) const INBOUND_TOKEN: &str = "abcdefghijklmnopqrstuvwxyz012345";
/// Longer than anything here takes: a story that waits so long has failed.
pub(crate) const GUARD: Duration = Duration::from_secs(40);
pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A callee who picks up soon, says `words` and stays.
pub(crate) fn says(words: Says) -> Callee {
    Callee {
        answer: Answer::After(ms(300)),
        says: words,
        hangs_up: HangsUp::Never,
        ..Callee::echoing()
    }
}

/// A callee who picks up soon, says the words of the stories `times` times and stays.
pub(crate) fn talks(times: usize) -> Callee {
    let words = sound::words(sound::PAUSE, sound::LINE_RATE);
    says(Says::Speech(words.repeat(times).into()))
}

/// A service whose only callee is `callee`.
pub(crate) fn service_with(callee: Callee) -> simulator::Config {
    let mut config = simulator::Config {
        callee,
        ..simulator::Config::default()
    };
    config.service.ring_after = ms(100);
    config
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The simulator, until it is dropped.
pub(crate) struct Service {
    pub(crate) handle: Handle,
    /// About when its clock was zero.
    pub(crate) began: Instant,
    runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

impl Service {
    pub(crate) fn start(config: simulator::Config) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let running = Simulator::start(config).await.unwrap();
                ready.send(running.handle.clone()).unwrap();
                // Dropped by the story: time to stop.
                _ = stopped.await;
                running.stop().await;
            });
        });
        Self {
            handle: started.recv().unwrap(),
            began: Instant::now(),
            runtime: runtime(),
            _stop: stop,
        }
    }

    /// The first event from the very beginning that `wanted` says yes to.
    #[track_caller]
    pub(crate) fn wait(&self, told: &str, wanted: impl FnMut(&Event) -> bool) -> Event {
        let mut events = self.handle.events();
        let found = self
            .runtime
            .block_on(async { timeout(GUARD, events.find(wanted)).await });
        found.unwrap_or_else(|_| panic!("{told}: never happened\n{}", self.journal()))
    }

    /// The call's `nth` event, from 1, that `wanted` says yes to.
    #[track_caller]
    pub(crate) fn wait_nth(
        &self,
        told: &str,
        nth: usize,
        mut wanted: impl FnMut(&What) -> bool,
    ) -> Event {
        let mut seen = 0;
        self.wait(told, |event| {
            seen += usize::from(wanted(&event.what));
            seen == nth
        })
    }

    #[track_caller]
    pub(crate) fn wait_status(&self, status: Status) -> Event {
        self.wait(
            status.as_str(),
            |event| matches!(event.what, What::Status(s, _) if s == status),
        )
    }

    /// How many events so far `wanted` says yes to.
    pub(crate) fn count(&self, mut wanted: impl FnMut(&What) -> bool) -> usize {
        let mut events = self.handle.events();
        std::iter::from_fn(|| events.try_next())
            .filter(|event| wanted(&event.what))
            .count()
    }

    /// How often place-call was asked for.
    pub(crate) fn posts(&self) -> usize {
        self.count(
            |what| matches!(what, What::Request { line, .. } if line.contains("/place-call")),
        )
    }

    /// The one call there is.
    #[track_caller]
    pub(crate) fn call(&self) -> simulator::Call {
        let mut calls = self.handle.calls();
        assert_eq!(calls.len(), 1, "calls at the service\n{}", self.journal());
        calls.remove(0)
    }

    /// Fails the story if any call is up.
    #[track_caller]
    pub(crate) fn assert_no_call_is_up(&self) {
        let up = self
            .handle
            .calls()
            .into_iter()
            .filter(|call| !call.status.is_over());
        let up: Vec<_> = up.map(|call| (call.id, call.status)).collect();
        assert!(up.is_empty(), "{up:?}\n{}", self.journal());
    }

    /// Everything that happened, for the message of a story that failed.
    pub(crate) fn journal(&self) -> String {
        let mut events = self.handle.events();
        let lines = std::iter::from_fn(|| events.try_next());
        lines.map(|event| format!("{event}\n")).collect()
    }
}

/// Looks for words in a recording as it grows.
pub(crate) struct Search<'a> {
    words: &'a [i16],
    /// Samples that were looked at.
    pub(crate) looked: usize,
    best: f64,
}

impl<'a> Search<'a> {
    pub(crate) fn new(words: &'a [i16]) -> Self {
        Self {
            words,
            looked: 0,
            best: 0.0,
        }
    }

    /// Where the words are in what is new of `heard`.
    pub(crate) fn look(&mut self, heard: &[i16]) -> Option<usize> {
        if heard.len() < self.looked + self.words.len() {
            return None;
        }
        let (at, likeness) = sound::find(&heard[self.looked..], self.words);
        self.best = self.best.max(likeness);
        let found = (likeness > sound::LIKE).then_some(self.looked + at);
        self.looked = heard.len() + 1 - self.words.len();
        found
    }
}

/// Looks every now and then whether something that is no event has happened.
#[track_caller]
pub(crate) fn poll<T>(mut found: impl FnMut() -> Option<T>, told: impl FnOnce() -> String) -> T {
    let began = Instant::now();
    while began.elapsed() < GUARD {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(ms(50));
    }
    panic!("{}", told());
}
