//! Payloads of any length, cut into numbered slots.

use super::{Malformed, Order, opus};
use crate::units::Encoding;

/// 20 ms of sound, or one Opus packet, and its place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Counts slots of 20 ms; of an Opus packet the slot it begins in. The
    /// first message of a stream begins at [`FIRST_SEQ`], so that one which
    /// overtook others leaves room before it.
    pub seq: u32,
    /// The [`block_bytes`](Encoding::block_bytes) of the encoding, or a packet.
    pub payload: &'a [u8],
}

/// Number of the slot in which the first message begins: 3 s.
pub const FIRST_SEQ: u32 = 150;

/// Slots from its turn at which sound is no late or early message: the sender
/// has jumped or started again. 1 s.
const JUMP: i64 = 50;
/// Messages in a row that are all late: they are not, the sender went back.
const LATE_MAX: u32 = 10;

/// Cuts payloads of any length into slots, and numbers them.
///
/// Chunk numbers say what the order is. Timestamps say how much is missing
/// where chunks skip, and the order too where there are no chunks; they are
/// believed only while they run with the length of the sound, since nothing
/// says that every sender means milliseconds. Without either, order of arrival.
///
/// A message that follows on is joined to the rest of the one before, sample
/// by sample. One that does not begins at the nearest slot: the rest before it
/// is filled up with silence. Duplicates and late messages come out with the
/// numbers they had or would have had; to drop them is playout's work.
///
/// An Opus packet cannot be cut, and passes whole; what it says of its length
/// numbers the next one.
#[derive(Debug)]
pub struct Recutter {
    grid: Grid,
    last: Option<Last>,
    /// Whether timestamps ran with the sound when last compared.
    timed: bool,
    /// Late messages in a row.
    late: u32,
    /// Sound of the slot that is not full yet.
    rest: Vec<u8>,
}

/// How the sound of an encoding is measured: in bytes where their number is
/// fixed, of Opus in eighths of a millisecond.
#[derive(Debug, Clone, Copy)]
struct Grid {
    /// Of one slot.
    slot: i64,
    /// Of one sample: a message holds whole ones.
    sample: usize,
    /// What fills up a slot; `None` where sound is not cut.
    silence: Option<u8>,
}

impl Grid {
    fn new(encoding: Encoding) -> Self {
        let (sample, silence) = match encoding {
            Encoding::Pcmu => (1, Some(0xFF)),
            Encoding::Pcma => (1, Some(0xD5)),
            Encoding::L16 { .. } => (2, Some(0)),
            Encoding::Opus { .. } => (1, None),
        };
        Self {
            slot: encoding.block_bytes().map_or(160, |bytes| bytes as i64),
            sample,
            silence,
        }
    }

    fn per_ms(self) -> i64 {
        self.slot / 20
    }

    /// How far a message that follows on may be off by its timestamp: half a
    /// slot, since one message may be missing and is a slot long.
    fn slack(self) -> i64 {
        self.slot / 2
    }

    fn jump(self) -> i64 {
        JUMP * self.slot
    }

    fn first(self) -> i64 {
        i64::from(FIRST_SEQ) * self.slot
    }

    fn nearest_slot(self, at: i64) -> i64 {
        (at + self.slot / 2).div_euclid(self.slot) * self.slot
    }

    fn round_up(self, at: i64) -> i64 {
        (at + self.slot - 1).div_euclid(self.slot) * self.slot
    }

    /// From one timestamp to the next.
    fn apart(self, before: u64, now: u64) -> i64 {
        difference(before, now).saturating_mul(self.per_ms())
    }

    fn slot(self, at: i64, payload: &[u8]) -> Slot<'_> {
        Slot {
            seq: (at / self.slot) as u32,
            payload,
        }
    }
}

/// The message furthest on so far.
#[derive(Debug, Clone, Copy)]
struct Last {
    order: Order,
    /// From the start of the count to this message.
    at: i64,
    length: i64,
    /// Tells a duplicate from a sender whose numbers stand still.
    digest: u64,
}

impl Last {
    fn end(&self) -> i64 {
        self.at + self.length
    }
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Right behind the last one.
    Next,
    /// Further on: something is missing, or late.
    Ahead(i64),
    /// Before the end of the last one.
    Behind(i64),
}

impl Recutter {
    /// A recutter for a stream of this encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self {
            grid: Grid::new(encoding),
            last: None,
            timed: false,
            late: 0,
            rest: Vec::new(),
        }
    }

    /// Takes in one payload; hands out the slots it completes.
    ///
    /// # Errors
    /// No Opus packet: nothing of it is used. Linear sound that ends in half a
    /// sample: the half is left out, or all behind it would be noise.
    pub fn put(
        &mut self,
        order: Order,
        sound: &[u8],
        mut out: impl FnMut(Slot<'_>),
    ) -> Result<(), Malformed> {
        let (sound, half) = sound.split_at(sound.len() - sound.len() % self.grid.sample);
        if !sound.is_empty() {
            let length = self.measure(sound).ok_or(Malformed::Sound)?;
            self.put_whole(order, sound, length, &mut out);
        }
        half.is_empty().then_some(()).ok_or(Malformed::Sound)
    }

    /// Hands out what is left, filled up with silence: the stream is over or
    /// goes on elsewhere.
    pub fn finish(&mut self, mut out: impl FnMut(Slot<'_>)) {
        let Some(last) = self.last.filter(|_| !self.rest.is_empty()) else {
            return;
        };
        let Some(silence) = self.grid.silence else {
            return;
        };
        let begun = last.end() - self.rest.len() as i64;
        self.rest.resize(self.grid.slot as usize, silence);
        out(self.grid.slot(begun, &self.rest));
        self.rest.clear();
        // The silence was played: what comes next begins behind it.
        self.last = Some(Last {
            length: begun + self.grid.slot - last.at,
            ..last
        });
    }

    /// What comes from now on is of another encoding: it begins at the next
    /// slot, behind what is left of the old one.
    pub fn switch(&mut self, encoding: Encoding, out: impl FnMut(Slot<'_>)) {
        self.finish(out);
        let before = std::mem::replace(&mut self.grid, Grid::new(encoding));
        self.timed = false;
        self.last = self.last.map(|last| Last {
            at: before.round_up(last.end()) / before.slot * self.grid.slot,
            length: 0,
            ..last
        });
    }

    fn measure(&self, sound: &[u8]) -> Option<i64> {
        if self.grid.silence.is_some() {
            return Some(sound.len() as i64);
        }
        let microseconds = opus::duration_us(sound)?;
        Some(i64::from(microseconds) * self.grid.per_ms() / 1000)
    }

    fn put_whole(
        &mut self,
        order: Order,
        sound: &[u8],
        length: i64,
        out: &mut impl FnMut(Slot<'_>),
    ) {
        let digest = digest(sound);
        let place = self.place(order, digest);
        let at = match place {
            Place::Next => self.last.map_or(self.grid.first(), |last| last.end()),
            Place::Ahead(at) => {
                self.finish(&mut *out);
                at
            }
            Place::Behind(at) => return self.put_late(at, sound, out),
        };
        self.judge_timestamps(place, order);
        self.last = Some(Last {
            order,
            at,
            length,
            digest,
        });
        match self.grid.silence {
            Some(_) => self.cut(at, sound, out),
            None => out(self.grid.slot(at, sound)),
        }
    }

    fn place(&mut self, order: Order, digest: u64) -> Place {
        let Some(last) = self.last else {
            return Place::Next;
        };
        let place = last.place(self.grid, order, digest, self.timed);
        self.late = match place {
            Place::Behind(_) => self.late + 1,
            Place::Next | Place::Ahead(_) => 0,
        };
        if self.late > LATE_MAX {
            self.late = 0;
            return Place::Next;
        }
        place
    }

    fn judge_timestamps(&mut self, place: Place, order: Order) {
        let Some(last) = self.last else { return };
        let (Some(before), Some(now)) = (last.order.timestamp, order.timestamp) else {
            self.timed = false;
            return;
        };
        if place == Place::Next {
            let off = self.grid.apart(before, now);
            let off = off.saturating_sub(last.length).saturating_abs();
            self.timed = off <= self.grid.slack();
        }
    }

    fn cut(&mut self, at: i64, sound: &[u8], out: &mut impl FnMut(Slot<'_>)) {
        let slot = self.grid.slot as usize;
        let mut at = at - self.rest.len() as i64;
        let mut sound = sound;
        if !self.rest.is_empty() {
            let missing = (slot - self.rest.len()).min(sound.len());
            self.rest.extend_from_slice(&sound[..missing]);
            sound = &sound[missing..];
            if self.rest.len() < slot {
                return;
            }
            out(self.grid.slot(at, &self.rest));
            at += self.grid.slot;
            self.rest.clear();
        }
        let mut whole = sound.chunks_exact(slot);
        for payload in &mut whole {
            out(self.grid.slot(at, payload));
            at += self.grid.slot;
        }
        self.rest.extend_from_slice(whole.remainder());
    }

    /// A late message joins nothing: its slots, and its tail if that is most
    /// of one.
    fn put_late(&self, at: i64, sound: &[u8], out: &mut impl FnMut(Slot<'_>)) {
        let mut at = self.grid.nearest_slot(at);
        if at < 0 {
            return;
        }
        let Some(silence) = self.grid.silence else {
            return out(self.grid.slot(at, sound));
        };
        let slot = self.grid.slot as usize;
        for payload in sound.chunks(slot) {
            if payload.len() == slot {
                out(self.grid.slot(at, payload));
            } else if payload.len() > slot / 2 {
                let mut padded = payload.to_vec();
                padded.resize(slot, silence);
                out(self.grid.slot(at, &padded));
            }
            at += self.grid.slot;
        }
    }
}

impl Last {
    /// Where a message with these numbers belongs, seen from this one.
    fn place(&self, grid: Grid, order: Order, digest: u64, timed: bool) -> Place {
        if order == self.order && order != Order::default() && digest == self.digest {
            return Place::Behind(self.at);
        }
        let by_time = match (self.order.timestamp, order.timestamp) {
            (Some(before), Some(now)) if timed => {
                Some(self.at.saturating_add(grid.apart(before, now)))
            }
            _ => None,
        };
        let steps = match (self.order.chunk, order.chunk) {
            (Some(before), Some(now)) => Some(difference(before, now)),
            _ => None,
        };
        match (steps, by_time) {
            (Some(1), _) => Place::Next,
            (Some(0) | None, None) => Place::Next,
            (_, Some(at)) => self.judge(grid, at),
            (Some(steps), None) => self.judge(grid, self.by_chunk(steps)),
        }
    }

    /// Missing messages are taken to be as long as this one.
    fn by_chunk(&self, steps: i64) -> i64 {
        self.at.saturating_add(steps.saturating_mul(self.length))
    }

    fn judge(&self, grid: Grid, at: i64) -> Place {
        let off = at.saturating_sub(self.end()).saturating_abs();
        if off <= grid.slack() || off > grid.jump() {
            return Place::Next;
        }
        if at < self.end() {
            return Place::Behind(grid.nearest_slot(at));
        }
        let behind_the_rest = grid.round_up(self.end());
        Place::Ahead(grid.nearest_slot(at).max(behind_the_rest))
    }
}

fn difference(before: u64, now: u64) -> i64 {
    let apart = i64::try_from(before.abs_diff(now)).unwrap_or(i64::MAX);
    if now < before { -apart } else { apart }
}

/// FNV-1a: good enough to tell two pieces of sound apart.
fn digest(sound: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    sound.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests;
