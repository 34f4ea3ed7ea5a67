//! What one device may use of the organization's day.
//!
//! Asked once per press, before anything is sent. Three memories: the calls of
//! the last 24 hours, the pause after failures, and the service's own
//! `Retry-After`. All three are kept as the instants they end at, which lie in
//! the future, and leave the process as durations ([`Snapshot`]).
//!
//! A request that the service refused made no call and does not count, except
//! a carrier's failure, which may have. A call counts its time from the answer
//! until it is known to be off the line: that is what the service bills.
//!
//! Always true: at most `calls_per_day` calls are remembered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::config::Config;
use super::event::Refusal;
use super::record::{Ended, Limit};

/// The limits' memory as remaining times, so that it can outlive the process:
/// instants cannot. Save it when a request goes out and when a record is
/// closed; give it to [`Call::new`](super::Call::new), and say how long the
/// device was off to [`Call::age_limits`](super::Call::age_limits) once that is
/// known. Until then the limit only lasts longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The calls of the last 24 hours, oldest first.
    pub calls: Vec<Used>,
    /// Failures in a row.
    pub failures: u32,
    /// What remains of the pause after failures.
    pub back_off: Duration,
    /// What remains of the service's `Retry-After`.
    pub retry_after: Duration,
}

/// One call that counts towards the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// How long ago its request was sent.
    pub ago: Duration,
    /// How long it was answered.
    pub answered: Duration,
}

/// A call below this length is not worth the ringing: with less left of the
/// day's minutes, none is placed.
const SHORTEST_CALL: Duration = Duration::from_secs(30);

/// The window of both limits, as the service counts it.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a 429 that names none.
const RETRY_AFTER_UNSAID: Duration = Duration::from_secs(60);

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Limits {
    used: VecDeque<Counted>,
    failures: u32,
    back_off_until: Instant,
    retry_after_until: Instant,
    restored: Restored,
}

/// What came from an earlier process, and so can turn out to be older.
#[derive(Debug, Clone, Copy)]
struct Restored {
    /// Calls of an earlier process count no longer than until then.
    calls_until: Instant,
    retry_after_until: Instant,
}

/// A call that counts until `until`.
#[derive(Debug)]
struct Counted {
    until: Instant,
    answered: Duration,
}

impl Limits {
    pub(super) fn restore(snapshot: &Snapshot, config: &Config, now: Instant) -> Self {
        let counted = |used: &Used| Counted {
            until: now + DAY.saturating_sub(used.ago),
            answered: used.answered.min(DAY),
        };
        let calls = &snapshot.calls;
        let newest = calls.len().saturating_sub(config.calls_per_day.into());
        let retry_after_until = now + snapshot.retry_after.min(DAY);
        Self {
            used: calls[newest..].iter().map(counted).collect(),
            failures: snapshot.failures,
            back_off_until: now + snapshot.back_off.min(config.back_off_max),
            retry_after_until,
            restored: Restored {
                calls_until: now + DAY,
                retry_after_until,
            },
        }
    }

    /// The device was off for `off` before this process began, which was not
    /// known then. The pause after failures is too short to matter.
    pub(super) fn age(&mut self, off: Duration) {
        let earlier = |at: Instant| at.checked_sub(off).unwrap_or(at);
        for counted in &mut self.used {
            if counted.until <= self.restored.calls_until {
                counted.until = earlier(counted.until);
            }
        }
        if self.retry_after_until == self.restored.retry_after_until {
            self.retry_after_until = earlier(self.retry_after_until);
        }
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let live = self.used.iter().filter(|c| c.until > now);
        let used = |counted: &Counted| Used {
            ago: DAY.saturating_sub(counted.until - now),
            answered: counted.answered,
        };
        Snapshot {
            calls: live.map(used).collect(),
            failures: self.failures,
            back_off: self.back_off_until.saturating_duration_since(now),
            retry_after: self.retry_after_until.saturating_duration_since(now),
        }
    }

    /// How long the call of a press may last that is placed now, or what says
    /// no.
    pub(super) fn check_press(&mut self, config: &Config, now: Instant) -> Result<Duration, Limit> {
        if now < self.retry_after_until || now >= self.back_off_until {
            self.check(config, now)
        } else {
            Err(Limit::BackOff)
        }
    }

    /// The same for a later number of a press, for which the pause after
    /// failures does not hold: it keeps visitors from hammering, not lists
    /// from going on.
    pub(super) fn check(&mut self, config: &Config, now: Instant) -> Result<Duration, Limit> {
        self.used.retain(|c| c.until > now);
        let spent: Duration = self.used.iter().map(|c| c.answered).sum();
        let left = config.minutes_per_day.saturating_sub(spent);
        if now < self.retry_after_until {
            Err(Limit::RetryAfter)
        } else if self.used.len() >= config.calls_per_day.into() {
            Err(Limit::Calls)
        } else if left < SHORTEST_CALL {
            Err(Limit::Minutes)
        } else {
            Ok(left.min(config.max_call))
        }
    }

    /// A request goes out.
    pub(super) fn on_placed(&mut self, now: Instant) {
        self.used.push_back(Counted {
            until: now + DAY,
            answered: Duration::ZERO,
        });
    }

    /// The attempt that was placed last is over. Attempts do not overlap, so
    /// it is the last in the list. `goes_on` says that another number of the
    /// same press follows: a failure counts once a press, at its end.
    pub(super) fn on_closed(
        &mut self,
        ended: Ended,
        refusal: Option<Refusal>,
        answered: Duration,
        goes_on: bool,
        config: &Config,
        now: Instant,
    ) {
        match refusal {
            Some(Refusal::Carrier) | None => {
                if let Some(last) = self.used.back_mut() {
                    last.answered = answered;
                }
            }
            Some(_) => _ = self.used.pop_back(),
        }
        if let Some(Refusal::Limit { retry_after }) = refusal {
            let wait = retry_after.unwrap_or(RETRY_AFTER_UNSAID).min(DAY);
            self.retry_after_until = self.retry_after_until.max(now + wait);
        }
        match verdict(ended) {
            Verdict::Works => self.failures = 0,
            Verdict::Fails if goes_on => {}
            Verdict::Fails => self.on_failure(config, now),
            Verdict::SaysNothing => {}
        }
    }

    fn on_failure(&mut self, config: &Config, now: Instant) {
        let doubled = 1 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait = config.back_off.saturating_mul(doubled);
        self.back_off_until = now + wait.min(config.back_off_max);
    }
}

/// What the end of a call says about the next one.
enum Verdict {
    Works,
    Fails,
    SaysNothing,
}

fn verdict(ended: Ended) -> Verdict {
    match ended {
        Ended::FarHungUp
        | Ended::NotAnswered
        | Ended::Rejected
        | Ended::Voicemail
        | Ended::NotConfirmed
        | Ended::Announced
        | Ended::MaxTime
        | Ended::ServiceMaxTime => Verdict::Works,
        Ended::Refused(Refusal::Offline | Refusal::Limit { .. }) => Verdict::SaysNothing,
        Ended::Failed
        | Ended::NoStream
        | Ended::Unsupported
        | Ended::NotSpoken
        | Ended::Lost
        | Ended::Refused(_)
        | Ended::NotFound => Verdict::Fails,
        Ended::Cancelled
        | Ended::CancelledByService
        | Ended::Limited(_)
        | Ended::LineBusy
        | Ended::NoNumber
        | Ended::TurnedAway
        | Ended::Shutdown => Verdict::SaysNothing,
    }
}
