//! How a call sounded over time: levels, delay and what was missing, in at
//! most [`COLUMNS_MAX`] columns, however long the call is.
//!
//! The daemon puts a column in every [`STEP_MS`] and notes what happens; at
//! the end of the call the whole becomes one blob of the record.
//!
//! ```text
//!  0 = the press        put(at_ms)                full: neighbours are merged,
//!  ├─────┬─────┬─────┬──── … ────┬─────┐          and the step doubles
//!  │ not │ measured  │  levels   │     │   ──▶   ├───────────┬──── … ───┤
//!  └─────┴─────┴─────┴──── … ────┴─────┘
//! ```
//!
//! Units: times are milliseconds since the press; levels are dBFS (0 is full
//! scale), [`Column::UNMEASURED`] where nothing was measured.
//!
//! Always true: no more than [`COLUMNS_MAX`] columns and [`EVENTS_MAX`] events,
//! so no blob is longer than [`BLOB_MAX`]; a blob that was damaged is refused,
//! and costs nothing but itself.
//!
//! Blob, version 1: the version; then varints (7 bits a byte, low first): step,
//! columns, for each the two levels as bytes, delay, concealed, dropped; events
//! left out; events, for each time, length, UTF-8; then CRC-32 (ISO 3309) of
//! all before, low byte first.

use super::row::start_of;

/// Milliseconds a column covers at first: five minutes fill a timeline.
pub const STEP_MS: u32 = 250;

/// Columns of a timeline at most: more than a picture has room for.
pub const COLUMNS_MAX: usize = 1200;

/// Events of a timeline at most; those beyond are counted.
pub const EVENTS_MAX: usize = 200;

/// Bytes of an event's text; the rest is cut.
pub const EVENT_TEXT_MAX: usize = 80;

/// Bytes of a blob at most: what [`Timeline::encode`] makes of a full one.
pub const BLOB_MAX: usize = 1
    + 4 * VARINT_MAX
    + COLUMNS_MAX * (2 + 3 * 3)
    + EVENTS_MAX * (2 * VARINT_MAX + EVENT_TEXT_MAX)
    + 4;

/// Bytes a varint of 32 bits takes at most.
const VARINT_MAX: usize = 5;

const VERSION: u8 = 1;

/// One step of a call's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Level of the microphone, dBFS.
    pub mic_db: i8,
    /// Level of the far end, dBFS.
    pub far_db: i8,
    /// Delay from socket to speaker.
    pub delay_ms: u16,
    /// Sound made up for packets that were not there.
    pub concealed_ms: u16,
    /// Sound that was dropped or skipped.
    pub dropped_ms: u16,
}

impl Column {
    /// A level that nobody measured: below what 16 bits hold.
    pub const UNMEASURED: i8 = i8::MIN;

    /// Nothing was measured here: no stream was up.
    pub const BLANK: Self = Self {
        mic_db: Self::UNMEASURED,
        far_db: Self::UNMEASURED,
        delay_ms: 0,
        concealed_ms: 0,
        dropped_ms: 0,
    };

    /// Both stretches as one: the louder level and the longer delay are what a
    /// person would notice, and what was lost adds up.
    fn merge(self, other: Self) -> Self {
        Self {
            mic_db: self.mic_db.max(other.mic_db),
            far_db: self.far_db.max(other.far_db),
            delay_ms: self.delay_ms.max(other.delay_ms),
            concealed_ms: self.concealed_ms.saturating_add(other.concealed_ms),
            dropped_ms: self.dropped_ms.saturating_add(other.dropped_ms),
        }
    }
}

/// How a call sounded over time, in columns, and what happened in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Milliseconds a column covers.
    pub step_ms: u32,
    /// The first begins with the press.
    pub columns: Vec<Column>,
    /// What happened, and when, in the order it was noted.
    pub events: Vec<(u32, String)>,
    /// Events that found no room.
    pub events_left_out: u32,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            step_ms: STEP_MS,
            columns: Vec::new(),
            events: Vec::new(),
            events_left_out: 0,
        }
    }
}

impl Timeline {
    /// Adds what was measured up to `at_ms` after the press. Several in one
    /// column become one; columns in between stay [blank](Column::BLANK).
    pub fn put(&mut self, at_ms: u32, column: Column) {
        while self.place(at_ms) >= COLUMNS_MAX {
            self.halve();
        }
        let place = self.place(at_ms);
        if place >= self.columns.len() {
            self.columns.resize(place + 1, Column::BLANK);
        }
        self.columns[place] = self.columns[place].merge(column);
    }

    /// Notes that something happened.
    pub fn note(&mut self, at_ms: u32, what: &str) {
        if self.events.len() == EVENTS_MAX {
            self.events_left_out = self.events_left_out.saturating_add(1);
            return;
        }
        let what = start_of(what, EVENT_TEXT_MAX);
        self.events.push((at_ms, what.to_owned()));
    }

    fn place(&self, at_ms: u32) -> usize {
        (at_ms / self.step_ms) as usize
    }

    fn halve(&mut self) {
        let pairs = self.columns.chunks(2);
        self.columns = pairs
            .map(|pair| pair.iter().copied().fold(Column::BLANK, Column::merge))
            .collect();
        self.step_ms = self.step_ms.saturating_mul(2);
    }

    /// The blob for the record. What is beyond the bounds is left out: the
    /// fields are public.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let columns = &self.columns[..self.columns.len().min(COLUMNS_MAX)];
        let events = &self.events[..self.events.len().min(EVENTS_MAX)];
        let mut blob = vec![VERSION];
        write_varint(&mut blob, self.step_ms);
        write_varint(&mut blob, columns.len() as u32);
        for column in columns {
            blob.extend([column.mic_db.cast_unsigned(), column.far_db.cast_unsigned()]);
            for value in [column.delay_ms, column.concealed_ms, column.dropped_ms] {
                write_varint(&mut blob, value.into());
            }
        }
        write_varint(&mut blob, self.events_left_out);
        write_varint(&mut blob, events.len() as u32);
        for (at_ms, what) in events {
            let what = start_of(what, EVENT_TEXT_MAX);
            write_varint(&mut blob, *at_ms);
            write_varint(&mut blob, what.len() as u32);
            blob.extend(what.as_bytes());
        }
        let sum = crc32(&blob);
        blob.extend(sum.to_le_bytes());
        blob
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// The blob is damaged, or a newer callbox wrote it.
    pub fn decode(blob: &[u8]) -> Result<Self, BadTimeline> {
        match blob.first() {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION => return Err(BadTimeline::Newer(version)),
            _ => return Err(BadTimeline::Damaged),
        }
        let (body, sum) = blob.split_last_chunk().ok_or(BadTimeline::Damaged)?;
        if blob.len() > BLOB_MAX || crc32(body) != u32::from_le_bytes(*sum) {
            return Err(BadTimeline::Damaged);
        }
        let mut rest = Bytes(&body[1..]);
        let timeline = rest.timeline().ok_or(BadTimeline::Damaged)?;
        match rest.0 {
            [] => Ok(timeline),
            _ => Err(BadTimeline::Damaged),
        }
    }
}

/// Why a timeline cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTimeline {
    /// Bytes are missing or changed.
    #[error("the sound's course of this call was damaged on the disk; all else is well")]
    Damaged,
    /// A newer version wrote it.
    #[error("the sound's course of this call is in form {0}: use the callbox that wrote it")]
    Newer(u8),
}

/// The bytes of a blob that were not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn timeline(&mut self) -> Option<Timeline> {
        let step_ms = self.varint().filter(|step| *step > 0)?;
        let columns = self.count(COLUMNS_MAX)?;
        let columns = (0..columns).map(|_| self.column()).collect::<Option<_>>()?;
        let events_left_out = self.varint()?;
        let events = self.count(EVENTS_MAX)?;
        let events = (0..events).map(|_| self.event()).collect::<Option<_>>()?;
        Some(Timeline {
            step_ms,
            columns,
            events,
            events_left_out,
        })
    }

    fn column(&mut self) -> Option<Column> {
        let [mic_db, far_db] = [self.byte()?, self.byte()?].map(u8::cast_signed);
        let mut value = || u16::try_from(self.varint()?).ok();
        Some(Column {
            mic_db,
            far_db,
            delay_ms: value()?,
            concealed_ms: value()?,
            dropped_ms: value()?,
        })
    }

    fn event(&mut self) -> Option<(u32, String)> {
        let at_ms = self.varint()?;
        let length = self.count(EVENT_TEXT_MAX)?;
        let (what, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((at_ms, std::str::from_utf8(what).ok()?.to_owned()))
    }

    fn count(&mut self, max: usize) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|n| *n <= max)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for place in 0..VARINT_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bit by bit: it is done once a call, and no table is worth its kilobyte.
fn crc32(bytes: &[u8]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(n: usize) -> Column {
        Column {
            mic_db: -(n as i8 & 0x3f),
            far_db: -20,
            delay_ms: 40 + (n % 60) as u16,
            concealed_ms: if n.is_multiple_of(50) { 20 } else { 0 },
            dropped_ms: 0,
        }
    }

    fn of_steps(steps: usize) -> Timeline {
        let mut timeline = Timeline::default();
        for n in 0..steps {
            timeline.put(n as u32 * STEP_MS, column(n));
        }
        timeline
    }

    #[test]
    fn a_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_timeline_comes_back_from_its_blob() {
        let mut timeline = of_steps(1200);
        timeline.note(0, "pressed");
        timeline.note(70_000, "door 0 opened: ünder way");
        timeline.events_left_out = 300;
        let blob = timeline.encode();
        assert_eq!(Timeline::decode(&blob), Ok(timeline));
        assert_eq!(
            Timeline::decode(&Timeline::default().encode()),
            Ok(Timeline::default())
        );
    }

    #[test]
    fn a_long_call_has_wider_columns_and_loses_no_concealment() {
        for steps in [1, 1199, 1200, 1201, 5000, 100_000] {
            let timeline = of_steps(steps);
            assert!(timeline.columns.len() <= COLUMNS_MAX, "{steps}");
            let covered = timeline.columns.len() as u64 * u64::from(timeline.step_ms);
            assert!(covered >= steps as u64 * u64::from(STEP_MS), "{steps}");
            let concealed = |c: &[Column]| c.iter().map(|c| u64::from(c.concealed_ms)).sum::<u64>();
            let want: Vec<Column> = (0..steps).map(column).collect();
            assert_eq!(concealed(&timeline.columns), concealed(&want), "{steps}");
        }
        assert_eq!(of_steps(1200).step_ms, STEP_MS);
        assert_eq!(of_steps(1201).step_ms, 2 * STEP_MS);
    }

    #[test]
    fn a_gap_in_the_stream_stays_blank() {
        let mut timeline = Timeline::default();
        timeline.put(0, column(1));
        timeline.put(3 * STEP_MS, column(2));
        timeline.put(3 * STEP_MS + 1, column(40));
        let want = [
            column(1),
            Column::BLANK,
            Column::BLANK,
            column(2).merge(column(40)),
        ];
        assert_eq!(timeline.columns, want);
    }

    #[test]
    fn a_clock_that_jumps_to_the_end_of_time_is_held() {
        let mut timeline = of_steps(10);
        timeline.put(u32::MAX, column(1));
        assert!(timeline.columns.len() <= COLUMNS_MAX);
        timeline.put(0, column(1));
    }

    #[test]
    fn the_fullest_blob_is_within_its_bound() {
        let worst = Column {
            mic_db: -1,
            far_db: -1,
            delay_ms: u16::MAX,
            concealed_ms: u16::MAX,
            dropped_ms: u16::MAX,
        };
        let mut timeline = Timeline {
            step_ms: u32::MAX,
            columns: vec![worst; COLUMNS_MAX + 5],
            ..Timeline::default()
        };
        for _ in 0..EVENTS_MAX + 7 {
            timeline.note(u32::MAX, &"é".repeat(1000));
        }
        assert_eq!(timeline.events_left_out, 7);
        let blob = timeline.encode();
        assert!(blob.len() <= BLOB_MAX, "{} of {BLOB_MAX}", blob.len());
        assert_eq!(Timeline::decode(&blob).unwrap().columns.len(), COLUMNS_MAX);
    }

    #[test]
    fn every_damage_is_found() {
        let mut timeline = of_steps(9);
        timeline.note(5, "pressed");
        let blob = timeline.encode();
        for length in 0..blob.len() {
            let cut = Timeline::decode(&blob[..length]);
            assert_eq!(cut, Err(BadTimeline::Damaged), "cut at {length}");
        }
        for at in 1..blob.len() {
            for bit in 0..8 {
                let mut bad = blob.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(
                    Timeline::decode(&bad),
                    Err(BadTimeline::Damaged),
                    "{at}.{bit}"
                );
            }
        }
        let mut newer = blob;
        newer[0] = 2;
        assert_eq!(Timeline::decode(&newer), Err(BadTimeline::Newer(2)));
    }

    /// A sum that fits does not make the rest true.
    #[test]
    fn a_blob_that_lies_about_its_counts_is_refused() {
        let with_sum = |body: &[u8]| {
            let mut blob = body.to_vec();
            blob.extend(crc32(body).to_le_bytes());
            blob
        };
        let lies: [&[u8]; 7] = [
            &[1],
            &[1, 0, 0, 0, 0],
            &[1, 9, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[1, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[1, 9, 0, 0, 1, 0, 81],
            &[1, 9, 0, 0, 1, 0, 1, 0xff],
            &[1, 9, 0, 0, 0, 0],
        ];
        for body in lies {
            let read = Timeline::decode(&with_sum(body));
            assert_eq!(read, Err(BadTimeline::Damaged), "{body:?}");
        }
    }
}
