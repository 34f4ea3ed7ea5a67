//! What a call does next, from the press to the hang-up that is confirmed.

mod config;
mod event;
mod limits;
mod record;

use std::time::Instant;

pub use config::Config;
pub use event::{
    HangUpAnswer, Input, Look, Output, Phase, Reason, Refusal, Remaining, Report, Signal, Status,
};
pub use limits::{Snapshot, Used};
pub use record::{Cleared, Ended, Limit, Record};

/// See the [module page](self).
#[derive(Debug)]
pub struct Call {}

impl Call {
    /// An idle machine that first asks for orphans ([`Output::ListOrphans`]).
    pub fn new(_config: Config, _limits: &Snapshot, _now: Instant) -> Self {
        Self {}
    }

    /// Takes in what happened at `now`, then leaves its requests for
    /// [`poll`](Self::poll).
    pub fn handle(&mut self, _now: Instant, _input: Input) {}

    /// Hands out the next thing to do.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        Output::WaitUntil(None)
    }

    /// The limits' memory as of `now`, to be kept across restarts.
    #[must_use]
    pub fn limits(&self, _now: Instant) -> Snapshot {
        Snapshot::default()
    }

    /// What the visitor is being shown.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::Idle
    }
}
