//! The audio thread, engine and all, allocates nothing once it runs: neither we
//! nor alsa-lib.
//!
//! The C library's allocator is replaced by one that counts what threads named
//! `audio` ask for. Rust's allocator and alsa-lib both end up in it.
#![allow(unsafe_code)]
#![cfg(target_env = "gnu")]

mod alsa_bench;

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use alsa_bench::{HANG, config, isolated};
use callbox::audio::engine::{Command, Engine, Ports};
use callbox::audio::ring::{self, Packet, UplinkRx};
use callbox::audio::tone::Tone;
use callbox::edge::alsa::{self, Card};
use callbox::edge::card::Stats;
use callbox::edge::realtime::Wake;
use callbox::trace::Trace;
use callbox::units::{Encoding, Mode};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
}

fn count() {
    let mut name: [c_char; 16] = [0; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.map(|c| c as u8).starts_with(b"audio\0") {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY of all four: the arguments go unchanged to glibc's own function of
// the same contract, and memory from it is freed by glibc's own `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(items: usize, size: usize) -> *mut c_void {
    count();
    unsafe { __libc_calloc(items, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    count();
    unsafe { __libc_realloc(old, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    count();
    // SAFETY: the caller passes a place to write to.
    unsafe { *place = __libc_memalign(align, size) };
    if unsafe { *place }.is_null() {
        libc::ENOMEM
    } else {
        0
    }
}

/// Counted while a thread named as the audio thread is does `work`.
fn counted(work: impl FnOnce() + Send + 'static) -> u64 {
    let counted = thread::Builder::new().name("audio".into()).spawn(|| {
        let before = ALLOCATIONS.load(Relaxed);
        work();
        ALLOCATIONS.load(Relaxed) - before
    });
    counted.unwrap().join().unwrap()
}

/// The real engine, connected, playing the far end and a tone.
fn engine(card: &Card) -> (Engine, UplinkRx) {
    let (uplink, packets) = ring::uplink();
    let (mut feed, downlink) = ring::downlink();
    let (mut ask, commands) = ring::commands();
    ask.push(Command::Connect {
        stream: 1,
        mode: Mode::default(),
        joined: true,
    });
    ask.push(Command::Tone(Tone::Warning));
    for seq in 0..20 {
        let payload = heapless::Vec::from_slice(&[0xD5; 160]).unwrap();
        let stream = 1;
        assert!(
            feed.push(Packet {
                stream,
                seq,
                encoding: Encoding::Pcmu,
                payload
            })
            .is_ok()
        );
    }
    let ports = Ports {
        uplink,
        downlink,
        commands,
        events: ring::events().0,
        stats: Arc::default(),
    };
    let config = callbox::audio::Config::default();
    let engine = Engine::new(&config, ports, card.microphone(), card.speaker());
    (engine, packets)
}

fn wait_for(stats: &Stats, periods: u64) {
    let began = Instant::now();
    while stats.microphone.periods() < periods || stats.speaker.periods() < periods {
        assert!(began.elapsed() < HANG, "the card goes on");
        thread::yield_now();
    }
}

#[test]
fn the_counter_counts_rust_and_c() {
    isolated(
        "the_counter_counts_rust_and_c",
        |_| String::new(),
        |_| {
            assert_eq!(counted(|| {}), 0);
            let boxed = || drop(std::hint::black_box(Box::new(1)));
            assert_eq!(counted(boxed), 1);
            #[repr(align(64))]
            struct Aligned([u8; 64]);
            let aligned = || {
                let aligned = std::hint::black_box(Box::new(Aligned([1; 64])));
                assert_eq!(aligned.0[0], 1);
            };
            assert_eq!(counted(aligned), 1);
            let alsa_lib = || drop(::alsa::Output::buffer_open().unwrap());
            assert!(counted(alsa_lib) > 0);
            let unnamed = thread::spawn(boxed);
            let before = ALLOCATIONS.load(Relaxed);
            unnamed.join().unwrap();
            assert_eq!(ALLOCATIONS.load(Relaxed), before);
        },
    );
}

#[test]
fn the_loop_allocates_nothing() {
    let asound = |_: &_| {
        "pcm.mic { type file slave.pcm null file /dev/null infile /dev/zero format raw }\n\
         pcm.spk { type file slave.pcm null file /dev/null format raw }\n"
            .into()
    };
    isolated("the_loop_allocates_nothing", asound, |_| {
        assert_no_allocation("null", "null");
        assert_no_allocation("mic", "spk");
    });
}

#[test]
#[ignore = "needs snd-aloop"]
fn the_loop_allocates_nothing_on_a_card() {
    let name = "the_loop_allocates_nothing_on_a_card";
    isolated(
        name,
        |_| String::new(),
        |_| {
            assert_no_allocation("hw:CARD=Loopback,DEV=1", "hw:CARD=Loopback,DEV=0");
            assert_no_allocation("plughw:CARD=Loopback,DEV=1", "plughw:CARD=Loopback,DEV=0");
        },
    );
}

fn assert_no_allocation(microphone: &str, speaker: &str) {
    let card = alsa::open(&config(Some(microphone), Some(speaker)));
    assert_eq!(card.fits().count(), 2, "{microphone}, {speaker}");
    let wake = Arc::new(Wake::new().unwrap());
    let trace = Arc::new(Trace::default());
    let (engine, mut packets) = engine(&card);
    let running = card.start(engine, wake, trace).unwrap();
    wait_for(&running.stats, 10);
    let before = ALLOCATIONS.load(Relaxed);
    wait_for(&running.stats, 60);
    assert_eq!(ALLOCATIONS.load(Relaxed), before, "{microphone}, {speaker}");
    assert!(packets.pop().is_some(), "the engine was connected");
    assert!(running.stop());
}

#[test]
fn a_side_that_is_away_costs_no_allocation() {
    let name = "a_side_that_is_away_costs_no_allocation";
    isolated(
        name,
        |_| String::new(),
        |_| {
            let card = alsa::open(&config(Some("nobody"), None));
            let wake = Arc::new(Wake::new().unwrap());
            let trace = Arc::new(Trace::default());
            let (engine, _packets) = engine(&card);
            let running = card.start(engine, wake, trace).unwrap();
            let began = Instant::now();
            let wait_for = |periods| {
                while running.stats.microphone.substitutes() < periods {
                    assert!(began.elapsed() < HANG, "the clock goes on");
                    thread::yield_now();
                }
            };
            wait_for(5);
            let before = ALLOCATIONS.load(Relaxed);
            wait_for(50);
            assert_eq!(ALLOCATIONS.load(Relaxed), before);
            assert!(running.stop());
        },
    );
}
