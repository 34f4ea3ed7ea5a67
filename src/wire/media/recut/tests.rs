use super::*;
use crate::wire::media::SOUND_MAX;

/// Bytes of 20 ms of PCMU.
const SLOT: usize = 160;
/// PCMU's silence.
const SILENCE: u8 = 0xFF;

fn order(chunk: impl Into<Option<u64>>, timestamp: impl Into<Option<u64>>) -> Order {
    Order {
        chunk: chunk.into(),
        timestamp: timestamp.into(),
    }
}

/// A recutter, and what came out of it: slot numbers from the first on, and
/// the byte each slot is made of (`-` where they differ).
struct Bench {
    recutter: Recutter,
    out: Vec<(i64, String)>,
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            recutter: Recutter::new(Encoding::Pcmu),
            out: Vec::new(),
        }
    }
}

impl Bench {
    fn put(&mut self, order: Order, length: usize, letter: u8) -> &mut Self {
        let out = &mut self.out;
        let put = self.recutter.put(order, &vec![letter; length], |slot| {
            assert_eq!(slot.payload.len(), SLOT);
            out.push((
                i64::from(slot.seq) - i64::from(FIRST_SEQ),
                spell(slot.payload),
            ));
        });
        assert_eq!(put, Ok(()));
        self
    }

    fn finish(&mut self) -> &mut Self {
        let out = &mut self.out;
        self.recutter.finish(|slot| {
            out.push((
                i64::from(slot.seq) - i64::from(FIRST_SEQ),
                spell(slot.payload),
            ));
        });
        self
    }

    fn told(&self) -> String {
        let words: Vec<_> = self.out.iter().map(|(n, s)| format!("{n}{s}")).collect();
        words.join(" ")
    }
}

/// The letters a slot is made of, each once per run; `_` is silence.
fn spell(payload: &[u8]) -> String {
    let mut text: Vec<char> = payload
        .iter()
        .map(|&b| if b == SILENCE { '_' } else { char::from(b) })
        .collect();
    text.dedup();
    text.into_iter().collect()
}

/// Plays messages `letter chunk/timestamp/bytes`; `.` is a number that is missing.
fn recut(script: &str) -> String {
    let mut bench = Bench::default();
    for word in script.split_whitespace() {
        let (letter, numbers) = word.split_at(1);
        let numbers: Vec<Option<u64>> = numbers.split('/').map(|n| n.parse().ok()).collect();
        bench.put(
            order(numbers[0], numbers[1]),
            numbers[2].unwrap() as usize,
            letter.as_bytes()[0],
        );
    }
    bench.finish();
    bench.told()
}

#[test]
fn sound_is_recut_and_numbered() {
    let cases = [
        ("one message, one slot", "a1/0/160 b2/20/160", "0a 1b"),
        (
            "a long message is many slots",
            "a1/0/480 b2/60/160",
            "0a 1a 2a 3b",
        ),
        (
            "short messages join",
            "a1/0/80 b2/10/80 c3/20/80 d4/30/80",
            "0ab 1cd",
        ),
        (
            "odd lengths join",
            "a1/0/100 b2/12/100 c3/25/120",
            "0ab 1bc",
        ),
        ("a rest is filled up at the end", "a1/0/200", "0a 1a_"),
        (
            "no numbers: order of arrival",
            "a././160 b././160 c././160",
            "0a 1b 2c",
        ),
        (
            "an empty message is a lost one",
            "a1/0/160 b2/20/0 c3/20/160",
            "0a 2c",
        ),
        (
            "swapped by chunk",
            "a1/./160 c3/./160 b2/./160 d4/./160",
            "0a 2c 1b 3d",
        ),
        (
            "swapped by time",
            "a./0/160 b./20/160 d./60/160 c./40/160 e./80/160",
            "0a 1b 3d 2c 4e",
        ),
        (
            "swapped messages of other lengths, by time",
            "a1/0/160 b2/20/160 e4/120/160 c3/40/640 f5/140/160",
            "0a 1b 6e 2c 3c 4c 5c 7f",
        ),
        (
            "lost messages leave their place",
            "a1/./160 b2/./160 e5/./160",
            "0a 1b 4e",
        ),
        (
            "duplicates keep their number",
            "a1/0/160 b2/20/160 b2/20/160 c3/40/160",
            "0a 1b 1b 2c",
        ),
        (
            "first message overtaken",
            "c3/./160 a1/./160 b2/./160 d4/./160",
            "0c -2a -1b 1d",
        ),
        (
            "a gap in the sender's time with chunks in order is no gap",
            "a1/0/160 b2/20/160 c3/500/160",
            "0a 1b 2c",
        ),
        (
            "a gap in time without chunks is one",
            "a./0/160 b./20/160 c./100/160",
            "0a 1b 5c",
        ),
        (
            "time in samples is not believed",
            "a./0/160 b./160/160 c./320/160",
            "0a 1b 2c",
        ),
        (
            "time that stands still is not believed",
            "a./0/160 b./0/160 c./0/160",
            "0a 1b 2c",
        ),
        (
            "chunks that stand still are not believed",
            "a1/./160 b1/./160 c1/./160",
            "0a 1b 2c",
        ),
        (
            "arrival stamps that tremble are smoothed",
            "a./0/160 b./23/160 c./38/160 d./61/160 e./80/160",
            "0a 1b 2c 3d 4e",
        ),
        (
            "a jump of the chunk goes on from here",
            "a1/./160 b2/./160 c9000/./160 d9001/./160",
            "0a 1b 2c 3d",
        ),
        (
            "a jump of the time goes on from here",
            "a./0/160 b./20/160 c./90000/160 d./90020/160",
            "0a 1b 2c 3d",
        ),
        (
            "a sender that starts again goes on from here",
            "a9000/./160 b9001/./160 c1/./160 d2/./160",
            "0a 1b 2c 3d",
        ),
        (
            "a rest before a gap is filled up",
            "a1/0/160 b2/20/200 d4/60/160",
            "0a 1b 2b_ 3d",
        ),
        (
            "a late tail of less than half a slot is left out",
            "a1/0/160 b2/20/160 d4/60/160 c3/40/200",
            "0a 1b 3d 2c",
        ),
    ];
    let failures: Vec<_> = cases
        .iter()
        .map(|(name, script, want)| (name, want, recut(script)))
        .filter(|(_, want, got)| *want != got)
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_sender_that_went_back_a_little_is_heard_again() {
    let mut bench = Bench::default();
    for n in 30..40 {
        bench.put(order(n, None), SLOT, b'a');
    }
    for n in 1..30 {
        bench.put(order(n, None), SLOT, b'b');
    }
    let numbers: Vec<_> = bench.out.iter().skip(10).map(|(n, _)| *n).collect();
    let onward = 10..10 + 29 - i64::from(LATE_MAX);
    assert_eq!(numbers[LATE_MAX as usize..], onward.collect::<Vec<_>>());
}

/// Two clocks 200 ppm apart, messages of 20 ms, for an hour: no slot is left
/// out and none comes twice.
#[test]
fn drift_of_the_senders_clock_makes_no_gaps() {
    let mut bench = Bench::default();
    let messages = 180_000;
    for n in 0..messages {
        bench.put(order(None, (n * 20 * 10_002) / 10_000), SLOT, b'a');
    }
    assert!(bench.out.iter().map(|(n, _)| *n).eq(0..messages as i64));
}

/// Whatever the lengths, sound in order comes out byte for byte.
#[test]
fn every_length_is_joined_without_a_seam() {
    for length in 1..=2 * SLOT + 1 {
        let mut heard = Vec::new();
        let mut recutter = Recutter::new(Encoding::Pcmu);
        let sent: Vec<u8> = (0..length * 7).map(|n| (n % 251) as u8).collect();
        for (n, payload) in sent.chunks(length).enumerate() {
            let put = recutter.put(order(n as u64, None), payload, |slot| {
                assert_eq!(slot.seq as usize, FIRST_SEQ as usize + heard.len() / SLOT);
                heard.extend_from_slice(slot.payload);
            });
            assert_eq!(put, Ok(()));
        }
        assert_eq!(heard, sent[..heard.len()], "{length}");
        assert!(sent.len() - heard.len() < SLOT, "{length}");
    }
}

#[test]
fn the_longest_message_is_cut_whole() {
    let mut bench = Bench::default();
    bench.put(order(1, 0), SOUND_MAX, b'a');
    assert_eq!(bench.out.len(), 1500);
}
