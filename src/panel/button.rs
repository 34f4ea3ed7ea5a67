//! One button: when a row of edges is a press.
//!
//! Called with every edge of its line and when a time it asked for has come.
//! The balance of active against inactive time decides, so that neither the
//! bounce of a worn switch nor a spike on a long cable does:
//!
//! ```text
//!  line     ▁█▁█▁████████████████▁█▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
//!  balance  0 ↗↘↗↗↗ full ──────────↘↗↘↘ 0          never below 0, never above `qualify`
//!           │     │                     │                      │
//!        FirstEdge Press             released        armed: quiet for `rearm`
//!
//!  Armed ────edge────▶ Judging ──balance full──▶ Held ──balance 0──▶ Released ──quiet──▶ Armed
//!                       │  │                     ▲ ▲                  │    │
//!  Armed ◀───quiet──────┘  └─judged too long─┐   │ └──balance full────┘    │
//!                                            ▼   │ (the same press)        │
//!  Armed ◀───quiet────────────────────────  Noisy┘ ◀────never quiet────────┘
//!                                             closed for `qualify` without a break
//! ```
//!
//! `Noisy` keeps a button alive on a line that never falls quiet: noise cannot
//! add up there, yet a finger that closes the contact for good is heard.
//!
//! What no rule can tell apart: noise that holds the line active for more than
//! half of the time, by `qualify`, is a press. Mains pickup does so only where
//! the pull-up is far too weak for the cable.
//!
//! **Double press.** A button that tells them keeps a press to itself until a
//! second one counts or the time for it is over:
//!
//! ```text
//!  line     ▁▁███████▁▁▁▁▁▁▁███████▁▁▁▁▁     ▁▁███████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
//!             │             │                  │              │
//!             counts        DoublePress        counts         Press, with the times of
//!             └─ double_within ─┘              └ double_within ┘      when it counted
//! ```
//!
//! Units: monotonic durations.
//!
//! Always true: between two presses the line was quiet for `rearm`, or
//! released by balance for [`RELEASE_LIMIT`]; time never runs backwards;
//! time in which edges were lost counts for neither side; without
//! `double_within` a press is told in the moment it counts.

use std::time::Duration;

use super::Level;

/// What one button is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) qualify: Duration,
    pub(super) rearm: Duration,
    pub(super) stuck: Duration,
    /// `None`: holding it long says no more than a press.
    pub(super) long_press: Option<Duration>,
    /// `None`: two presses are two presses, and each is told at once.
    pub(super) double_within: Option<Duration>,
}

/// What a button has to say, at the moment it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    FirstEdge,
    Press {
        first_edge: Duration,
        qualified: Duration,
    },
    DoublePress,
    LongPress,
    Noise,
    Stuck,
    Freed,
    EdgesLost,
}

/// Where the button's words go.
type Say<'a> = &'a mut dyn FnMut(Duration, Heard);

#[derive(Debug)]
pub(super) struct Button {
    rules: Rules,
    level: Level,
    /// The last change of `level`, or the end of a gap.
    changed: Duration,
    /// Time up to which everything is accounted for.
    now: Duration,
    /// Active minus inactive time: 0 ..= `qualify`.
    balance: Duration,
    phase: Phase,
    /// A press that is not told yet, since a second one may follow.
    untold: Option<Untold>,
    /// The number of the latest edge, while the numbering is known.
    sequence: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Quiet; the next edge is a first edge.
    Armed,
    /// Edges come, and may become a press.
    Judging { first_edge: Duration },
    /// Edges keep coming and were judged to be noise.
    Noisy,
    /// Pressed.
    Held { since: Duration, told: Told },
    /// Released by balance, not yet quiet for long enough.
    Released { since: Duration, told: Told },
}

#[derive(Debug, Clone, Copy)]
struct Untold {
    first_edge: Duration,
    qualified: Duration,
}

/// What was said about a held button: each is said once for a press.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    long: bool,
    stuck: bool,
}

/// What becomes due on a button.
#[derive(Debug, Clone, Copy)]
enum Due {
    Qualified,
    Quiet,
    Noise,
    Released,
    Long,
    Stuck,
    HeldAgain,
    Single,
}

impl Button {
    /// A line that reads active at the start is held, but no press: it may have
    /// been held for days.
    pub(super) fn new(rules: Rules, now: Duration, level: Level) -> Self {
        let told = Told {
            long: true,
            stuck: false,
        };
        let (phase, balance) = match level {
            Level::Inactive => (Phase::Armed, Duration::ZERO),
            Level::Active => (Phase::Held { since: now, told }, rules.qualify),
        };
        Self {
            rules,
            level,
            changed: now,
            now,
            balance,
            phase,
            untold: None,
            sequence: None,
        }
    }

    /// The line became `level` at `at`.
    pub(super) fn on_edge(&mut self, at: Duration, level: Level, sequence: u32, say: Say<'_>) {
        let step = self.sequence.map_or(1, |last| sequence.wrapping_sub(last));
        if step == 0 || step > u32::MAX / 2 {
            return; // seen before, or overtaken by a newer one
        }
        self.sequence = Some(sequence);
        if step > 1 {
            self.skip(at);
            say(self.now, Heard::EdgesLost);
        }
        self.on_time(at, say);
        if level == self.level {
            // The line was elsewhere in between, for less than the kernel could see.
            self.changed = self.now;
        }
        self.become_level(level, say);
    }

    /// The line was read at `at`.
    pub(super) fn on_level(&mut self, at: Duration, level: Level, say: Say<'_>) {
        self.sequence = None;
        self.on_time(at, say);
        self.become_level(level, say);
    }

    /// Accounts for the time up to `to` and says what became due in it.
    pub(super) fn on_time(&mut self, to: Duration, say: Say<'_>) {
        while let Some((at, due)) = self.due().filter(|(at, _)| *at <= to) {
            self.pass(at);
            self.on_due(due, say);
        }
        self.pass(to);
    }

    /// When [`on_time`](Self::on_time) has something to say.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due().map(|(at, _)| at)
    }

    pub(super) fn is_judging(&self) -> bool {
        matches!(self.phase, Phase::Judging { .. })
    }

    pub(super) fn is_stuck(&self) -> bool {
        matches!(
            self.phase,
            Phase::Held { told, .. } | Phase::Released { told, .. } if told.stuck
        )
    }

    fn become_level(&mut self, level: Level, say: Say<'_>) {
        if level == self.level {
            return;
        }
        self.level = level;
        self.changed = self.now;
        if matches!(self.phase, Phase::Armed) {
            self.phase = Phase::Judging {
                first_edge: self.now,
            };
            say(self.now, Heard::FirstEdge);
        }
        self.on_time(self.now, say); // with `qualify` 0 the edge itself decides
    }

    /// Lets time pass, with nothing due in it.
    fn pass(&mut self, to: Duration) {
        let passed = to.saturating_sub(self.now);
        self.balance = match self.level {
            Level::Active => (self.balance + passed).min(self.rules.qualify),
            Level::Inactive => self.balance.saturating_sub(passed),
        };
        self.now += passed;
    }

    /// Lets time pass of which nothing is known: nothing is claimed from it.
    fn skip(&mut self, to: Duration) {
        self.now = self.now.max(to);
        self.changed = self.now;
        match &mut self.phase {
            Phase::Held { since, .. } | Phase::Released { since, .. } => *since = self.now,
            Phase::Judging { .. } => self.balance = Duration::ZERO,
            Phase::Armed | Phase::Noisy => {}
        }
    }

    /// What is due first if the level stays as it is. A second press at the
    /// very end of the time for it still counts as one.
    fn due(&self) -> Option<(Duration, Due)> {
        let untold = self.untold.zip(self.rules.double_within);
        let single = untold.map(|(press, within)| (press.qualified + within, Due::Single));
        let due = match (self.phase_due(), single) {
            (Some(phase), Some(single)) => soonest(phase, single),
            (phase, single) => phase.or(single)?,
        };
        Some((due.0.max(self.now), due.1))
    }

    fn phase_due(&self) -> Option<(Duration, Due)> {
        let Rules {
            qualify,
            rearm,
            stuck,
            ..
        } = self.rules;
        let full = self.now + (qualify - self.balance);
        let empty = self.now + self.balance;
        let quiet = (self.changed + rearm, Due::Quiet);
        Some(match (self.phase, self.level) {
            (Phase::Armed, _) => return None,
            (Phase::Judging { first_edge }, level) => {
                let sure = match level {
                    Level::Active => (full, Due::Qualified),
                    Level::Inactive => quiet,
                };
                soonest(sure, (first_edge + qualify + JUDGING_LIMIT, Due::Noise))
            }
            (Phase::Noisy, Level::Active) => {
                (self.changed + qualify.max(NOISY_QUALIFY), Due::Qualified)
            }
            (Phase::Noisy, Level::Inactive) => quiet,
            (Phase::Held { .. }, Level::Inactive) => (empty, Due::Released),
            (Phase::Held { told, .. }, Level::Active) if told.stuck => return None,
            (Phase::Held { since, told }, Level::Active) => {
                let stuck = (since + stuck, Due::Stuck);
                match self.rules.long_press.filter(|_| !told.long) {
                    Some(long) => soonest((since + long, Due::Long), stuck),
                    None => stuck,
                }
            }
            (Phase::Released { since, .. }, level) => {
                let sure = match level {
                    Level::Active => (full, Due::HeldAgain),
                    Level::Inactive => quiet,
                };
                soonest(sure, (since + RELEASE_LIMIT, Due::Noise))
            }
        })
    }

    fn on_due(&mut self, due: Due, say: Say<'_>) {
        let now = self.now;
        let mut say = |heard| say(now, heard);
        self.phase = match (due, self.phase) {
            (Due::Qualified, Phase::Judging { first_edge }) => self.press(first_edge, &mut say),
            (Due::Qualified, Phase::Noisy) => {
                self.balance = self.rules.qualify;
                self.press(self.changed, &mut say)
            }
            (Due::Single, phase) => {
                if let Some(press) = self.untold.take() {
                    say(pressed(press.first_edge, press.qualified));
                }
                phase
            }
            (Due::Quiet, Phase::Judging { .. }) => {
                say(Heard::Noise);
                Phase::Armed
            }
            (Due::Noise, Phase::Judging { .. }) => {
                say(Heard::Noise);
                Phase::Noisy
            }
            (Due::Released, Phase::Held { told, .. }) => Phase::Released { since: now, told },
            (Due::Long, Phase::Held { since, told }) => {
                say(Heard::LongPress);
                let told = Told { long: true, ..told };
                Phase::Held { since, told }
            }
            (Due::Stuck, Phase::Held { since, .. }) => {
                say(Heard::Stuck);
                let told = Told {
                    long: true,
                    stuck: true,
                };
                Phase::Held { since, told }
            }
            (Due::HeldAgain, Phase::Released { told, .. }) => Phase::Held { since: now, told },
            (Due::Quiet, Phase::Released { told, .. }) => {
                if told.stuck {
                    say(Heard::Freed);
                }
                Phase::Armed
            }
            (Due::Noise, Phase::Released { told, .. }) => {
                if told.stuck {
                    say(Heard::Freed);
                }
                say(Heard::Noise);
                Phase::Noisy
            }
            (Due::Quiet, _) => Phase::Armed,
            (_, phase) => phase,
        };
    }

    /// A press counts: it is told at once, kept until it is known to be the
    /// only one, or the second of two.
    fn press(&mut self, first_edge: Duration, say: &mut impl FnMut(Heard)) -> Phase {
        let since = self.now;
        let mut told = Told::default();
        if self.untold.take().is_some() {
            say(Heard::DoublePress);
            told.long = true; // the long press of a press nobody was told of
        } else if self.rules.double_within.is_some() {
            self.untold = Some(Untold {
                first_edge,
                qualified: since,
            });
        } else {
            say(pressed(first_edge, since));
        }
        Phase::Held { since, told }
    }
}

/// Of two at the same moment the first.
fn soonest(a: (Duration, Due), b: (Duration, Due)) -> (Duration, Due) {
    if b.0 < a.0 { b } else { a }
}

fn pressed(first_edge: Duration, qualified: Duration) -> Heard {
    Heard::Press {
        first_edge,
        qualified,
    }
}

/// How long edges are judged, beyond `qualify`, before they count as noise:
/// longer than the worst bounce of 160 ms.
const JUDGING_LIMIT: Duration = Duration::from_millis(200);

/// How long a released line may keep chattering before that counts as noise
/// and no longer as the end of the press.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// On a noisy line the contact must be closed for `qualify` without a break,
/// and for no less than this: a half wave of the mains lasts 10 ms.
const NOISY_QUALIFY: Duration = Duration::from_millis(20);
