//! What is known of the echo by measuring: how much of it is kept from the
//! callee, and whether the microphone hears the speaker at all.
//!
//! Looked at is only what is heard while the callee speaks. A speaker that
//! nobody hears has no echo: what the filter learns then is noise, and what it
//! expects of a hop has nothing in common with what comes. The same is so of an
//! echo that moves faster than it is learnt, as behind a card that stumbles; but
//! that makes it louder where the microphone is. Where it is too loud to tell,
//! nothing is claimed.
//!
//! Units: hops; powers are sums of squares of a hop.
//!
//! Real time: bounded work, no allocation.

use super::HOP;
use crate::audio::FULL_SCALE;

/// From this power on the callee speaks: -55 dBFS, emphasized. It is some 15 dB
/// less than what was played.
const SPEAKS: f32 = HOP as f32 * FULL_SCALE * FULL_SCALE * 3.2e-6;
/// From this sample on a microphone is overdriven: -1 dBFS.
const OVERDRIVEN: f32 = 0.89 * FULL_SCALE;
/// Hops of speech that echo loss is an average of: 5 s.
const REMEMBERED: f32 = 500.0;
/// Hops of speech before it is told: 1 s.
const ENOUGH: f32 = 100.0;
/// Hops of speech before it is judged whether the speaker is heard: 1 s. And
/// how much of what was found before counts each time after.
const JUDGED: f32 = 100.0;
const KEPT: f32 = 0.5;
/// The share of what is played that comes back in any room: -38 dB. Speakers
/// and microphones of one door station have -20 and more.
const NEVER: f32 = 1.6e-4;
/// Samples of a voice that tell as much as one of a noise.
const ALIKE: f32 = 8.0;
/// By how much it is louder when something is heard: 6 dB.
const LOUDER: f32 = 4.0;
/// A hop whose samples are all the last bit.
const TINY: f32 = HOP as f32;
/// Hops without the callee before it is quiet: 0.5 s, after which his echo is
/// gone. And those that quiet is an average of: 1 s.
const FADED: u32 = 50;
const QUIET_OVER: f32 = 100.0;

/// What a hop was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hop {
    /// The power of what was played.
    pub played: f32,
    /// Of what the microphone heard.
    pub heard: f32,
    /// The loudest sample of that, before it was worked on.
    pub loudest: f32,
    /// Of what the filter expected of its echo.
    pub estimate: f32,
    /// What the two have in common: the sum of their products.
    pub common: f32,
    /// Of what was sent.
    pub sent: f32,
    /// Whether nobody spoke but the callee.
    pub alone: bool,
}

/// See the [module page](self).
#[derive(Debug, Default)]
pub struct Watch {
    heard: f32,
    sent: f32,
    hops: f32,
    /// What is heard while the callee does not speak, what it is an average of,
    /// and for how long he has not.
    quiet: f32,
    quiet_hops: f32,
    since: u32,
    /// Sums over what is judged next, and the hops of them.
    sums: Hop,
    judged: f32,
    unheard: bool,
}

impl Watch {
    /// Takes note of a hop.
    pub fn follow(&mut self, hop: Hop) {
        if hop.loudest > OVERDRIVEN {
            // It tells nothing, and neither does what was begun.
            (self.sums, self.judged, self.unheard) = (Hop::default(), 0.0, false);
            return;
        }
        if hop.played < SPEAKS {
            self.since = self.since.saturating_add(1);
            if self.since > FADED {
                self.quiet_hops = (self.quiet_hops + 1.0).min(QUIET_OVER);
                self.quiet += (hop.heard - self.quiet) / self.quiet_hops;
            }
            return;
        }
        self.since = 0;
        if hop.alone {
            self.hops = (self.hops + 1.0).min(REMEMBERED);
            self.heard += (hop.heard - self.heard) / self.hops;
            self.sent += (hop.sent - self.sent) / self.hops;
        }
        self.sums.add(hop);
        self.judged += 1.0;
        if self.judged >= JUDGED {
            self.unheard = self.sums.is_unheard(self.judged) && !self.is_louder();
            self.sums.scale(KEPT);
            self.judged *= KEPT;
        }
    }

    /// By how many dB what is sent is quieter than what the microphone heard,
    /// while only the callee spoke; `None` before a second of that.
    #[must_use]
    pub fn loss_db(&self) -> Option<f32> {
        (self.hops >= ENOUGH).then(|| 10.0 * ((self.heard + 1.0) / (self.sent + 1.0)).log10())
    }

    /// Whether the microphone heard nothing of the callee's last 2 s.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Whether more is heard while the callee speaks, as far as it is known what
    /// is heard otherwise.
    fn is_louder(&self) -> bool {
        let quiet = self.quiet.max(TINY) * self.judged;
        self.quiet_hops >= QUIET_OVER && self.sums.heard > LOUDER * quiet
    }
}

impl Hop {
    fn add(&mut self, other: Self) {
        self.played += other.played;
        self.heard += other.heard;
        self.estimate += other.estimate;
        self.common += other.common;
    }

    fn scale(&mut self, by: f32) {
        self.played *= by;
        self.heard *= by;
        self.estimate *= by;
        self.common *= by;
    }

    /// Whether so many hops have less in common than any room makes, and chance
    /// could not hide more.
    fn is_unheard(&self, hops: f32) -> bool {
        let chance = (self.heard * self.estimate * ALIKE / (hops * HOP as f32)).sqrt();
        self.common + 2.0 * chance < NEVER * self.played
    }
}
