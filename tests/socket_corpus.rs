//! The fuzzer's checks on its corpus and on thousands of variations of it, in
//! every `cargo test`. The seed is fixed and printed: a failure comes again.

#[expect(unreachable_pub, reason = "the fuzzer's library is a module here")]
#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const SEED: u64 = 0x000C_A11B_0C5E_ED01;
const VARIATIONS: usize = 3000;

/// xorshift64* (Vigna 2016): enough to vary bytes, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// One of `0..n`, or 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    /// A piece of `bytes`, perhaps empty.
    fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let from = self.below(bytes.len() + 1);
        let length = self.below(bytes.len() - from + 1);
        bytes[from..from + length].to_vec()
    }

    fn vary(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const WORDS: [&[u8]; 10] = [
            b"-1",
            b"18446744073709551616",
            b"1e999",
            b"null",
            b"\"\"",
            b"[[[[[[[[",
            b"\\u0000",
            b"\xff\xfe",
            b"\r\n\r\n",
            b"{}",
        ];
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 => bytes.truncate(at),
            2 => _ = bytes.splice(at..at, self.piece(other)),
            3 => _ = bytes.splice(at..at, self.piece(&bytes.clone())),
            4 => _ = bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied()),
            _ => {
                let end = at + self.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn check(name: &str, check: fn(&[u8])) {
    let seeds = corpus(name);
    assert!(seeds.len() > 5, "{name} has a corpus");
    let mut random = Random(SEED);
    let survives = |bytes: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(bytes)));
        assert!(
            outcome.is_ok(),
            "{name}, seed {SEED:#x}: {:?}",
            String::from_utf8_lossy(bytes)
        );
    };
    seeds.iter().for_each(|seed| survives(seed));
    for _ in 0..VARIATIONS {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let other = random.below(seeds.len());
            random.vary(&mut bytes, &seeds[other]);
        }
        survives(&bytes);
    }
}

#[test]
fn no_request_head_breaks_the_handshake() {
    check("handshake", checks::handshake);
}

#[test]
fn no_message_breaks_the_stream() {
    check("frame", checks::frame);
}

#[test]
fn no_numbering_breaks_the_recutter() {
    check("recut", checks::recut);
}

#[test]
fn no_answer_breaks_the_rest_client() {
    check("rest", checks::rest);
}

#[test]
fn no_file_breaks_the_configuration() {
    check("config", checks::config);
}

#[test]
fn no_line_breaks_the_control_socket() {
    check("control", checks::control);
}

#[test]
fn no_blob_breaks_the_timeline() {
    check("timeline", checks::timeline);
}

#[test]
fn no_file_breaks_the_prompts() {
    check("recording", checks::recording);
}

#[test]
fn nothing_typed_breaks_a_number() {
    check("number", checks::number);
}

#[test]
fn nothing_typed_breaks_wifi_txt() {
    check("wifi", checks::wifi);
}

#[test]
fn nothing_written_breaks_the_profiles() {
    check("profile", checks::profile);
}
