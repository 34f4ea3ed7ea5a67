use super::*;
use crate::units::{ByteOrder, L16Rate};
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

fn linear(rate: L16Rate) -> Encoding {
    let order = ByteOrder::Big;
    Encoding::L16 { rate, order }
}

/// What a stream of `encoding` makes of payloads that follow on each other:
/// each slot's number from the first on, and its bytes.
fn play(encoding: Encoding, payloads: &[&[u8]]) -> Vec<(u32, Vec<u8>)> {
    let mut recutter = Recutter::new(encoding);
    let mut slots = Vec::new();
    for (n, payload) in payloads.iter().enumerate() {
        let out = |slot: Slot<'_>| slots.push((slot.seq - FIRST_SEQ, slot.payload.to_vec()));
        let put = recutter.put(order(n as u64, None), payload, out);
        assert_eq!(put, Ok(()), "{encoding}");
    }
    recutter.finish(|slot| slots.push((slot.seq - FIRST_SEQ, slot.payload.to_vec())));
    slots
}

#[test]
fn each_encoding_has_slots_of_its_own_length_and_silence() {
    let cases = [
        (Encoding::Pcmu, 0xFF),
        (Encoding::Pcma, 0xD5),
        (linear(L16Rate::K8), 0),
        (linear(L16Rate::K16), 0),
        (linear(L16Rate::K24), 0),
    ];
    for (encoding, silence) in cases {
        let bytes = encoding.block_bytes().unwrap();
        let half = vec![7; bytes / 2];
        let filled = [half.clone(), vec![silence; bytes / 2]].concat();
        let slots = play(encoding, &[&vec![1; 2 * bytes], &half]);
        let want = [(0, vec![1; bytes]), (1, vec![1; bytes]), (2, filled)];
        assert_eq!(slots, want, "{encoding}");
    }
}

/// Whatever the lengths, linear sound in order comes out sample by sample, and
/// half a sample is complained of and left out.
#[test]
fn linear_sound_is_cut_between_samples() {
    let encoding = linear(L16Rate::K16);
    for length in 1..=2 * 640 + 3 {
        let mut recutter = Recutter::new(encoding);
        let sample = [0x12, 0x34];
        let payload: Vec<u8> = sample.iter().copied().cycle().take(length).collect();
        for n in 0..5 {
            let put = recutter.put(order(n, None), &payload, |slot| {
                assert_eq!(slot.payload.len(), 640);
                assert!(
                    slot.payload.chunks(2).all(|pair| pair == sample),
                    "{length}"
                );
            });
            let half = length % 2 == 1;
            assert_eq!(put, if half { Err(Malformed::Sound) } else { Ok(()) });
        }
    }
}

/// An Opus packet of `config`, one frame, and a byte to know it by.
fn opus_packet(config: u8, letter: u8) -> Vec<u8> {
    vec![config << 3, letter]
}

#[test]
fn opus_packets_pass_whole_and_are_numbered_by_their_length() {
    let opus = Encoding::Opus { rate: 48_000 };
    // Of SILK: 10, 20, 40, 60 ms.
    let cases: [(&str, &[u8], &[u32]); 4] = [
        ("20 ms", &[1, 1, 1, 1], &[0, 1, 2, 3]),
        ("40 ms", &[2, 2, 2], &[0, 2, 4]),
        ("60 and 20 ms", &[3, 1, 3, 1], &[0, 3, 4, 7]),
        ("10 ms", &[0, 0, 0, 0, 0], &[0, 0, 1, 1, 2]),
    ];
    for (name, configs, numbers) in cases {
        let packets: Vec<_> = configs.iter().map(|&c| opus_packet(c, 9)).collect();
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        let slots = play(opus, &packets);
        let want: Vec<_> = numbers
            .iter()
            .zip(packets)
            .map(|(&n, packet)| (n, packet.to_vec()))
            .collect();
        assert_eq!(slots, want, "{name}");
    }
}

#[test]
fn lost_and_late_opus_packets_keep_their_place() {
    let mut recutter = Recutter::new(Encoding::Opus { rate: 16_000 });
    let mut told = Vec::new();
    for chunk in [1, 2, 5, 4, 4, 6] {
        let packet = opus_packet(2, chunk as u8);
        let out = |slot: Slot<'_>| told.push((slot.seq - FIRST_SEQ, slot.payload[1]));
        assert_eq!(recutter.put(order(chunk, None), &packet, out), Ok(()));
    }
    assert_eq!(told, [(0, 1), (2, 2), (8, 5), (6, 4), (6, 4), (10, 6)]);
}

#[test]
fn what_is_no_opus_packet_is_refused() {
    let mut recutter = Recutter::new(Encoding::Opus { rate: 48_000 });
    for packet in [&[0x03][..], &[0x0B, 0], &[0x0B, 13], &[0x01, 7]] {
        let put = recutter.put(order(1, None), packet, |slot| panic!("{slot:?}"));
        assert_eq!(put, Err(Malformed::Sound), "{packet:?}");
    }
    // The stream goes on as if it had not been.
    let good = opus_packet(1, 1);
    let mut seq = None;
    let put = recutter.put(order(2, None), &good, |slot| seq = Some(slot.seq));
    assert_eq!((put, seq), (Ok(()), Some(FIRST_SEQ)));
}

#[test]
fn another_encoding_goes_on_in_the_next_slot() {
    let opus = Encoding::Opus { rate: 48_000 };
    let mut recutter = Recutter::new(Encoding::Pcmu);
    let mut told = Vec::new();
    let mut tell = |slot: Slot<'_>| told.push((slot.seq - FIRST_SEQ, slot.payload.len()));
    recutter.put(order(1, 0), &[1; 200], &mut tell).unwrap();
    recutter.switch(linear(L16Rate::K24), &mut tell);
    recutter.put(order(2, 25), &[2; 960], &mut tell).unwrap();
    recutter.put(order(3, 45), &[2; 500], &mut tell).unwrap();
    recutter.switch(opus, &mut tell);
    recutter.put(order(4, 65), &[3 << 3, 0], &mut tell).unwrap();
    recutter.switch(Encoding::Pcma, &mut tell);
    recutter.put(order(5, 125), &[4; 160], &mut tell).unwrap();
    recutter.finish(&mut tell);
    let want = [(0, 160), (1, 160), (2, 960), (3, 960), (4, 2), (7, 160)];
    assert_eq!(told, want);
}
