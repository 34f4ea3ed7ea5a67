//! What the audio thread runs does not allocate, in Rust or in C, whatever
//! happens on the line.
//!
//! Rust's allocations are counted by a global allocator of our own. C's are
//! counted by taking the place of glibc's `malloc` and friends in this program:
//! the linker prefers ours, and they hand on to the names glibc keeps for that
//! purpose. Both count per thread, so that other tests do not disturb.

#![allow(unsafe_code)]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod audio_line;
#[path = "audio_line/far.rs"]
mod far;
#[path = "audio_line/writer.rs"]
mod writer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

use audio_line::{Rig, connect};
use callbox::audio::engine::{Command, Format};
use callbox::audio::probe::{State, Take};
use callbox::audio::prompt::{FarPrompt, Prompts};
use callbox::audio::sweep::Sweep;
use callbox::audio::tone::Tone;
use callbox::audio::{BUS_RATE, Config};
use callbox::units::{Encoding, Mode};
use far::{Far, listen, packet};
use writer::{Writer, encodings};

thread_local! {
    static RUST: Cell<u64> = const { Cell::new(0) };
    static C: Cell<u64> = const { Cell::new(0) };
}

fn count(counter: &'static std::thread::LocalKey<Cell<u64>>) {
    // Without a destructor of its own, the cell outlives every allocation of
    // its thread.
    counter.with(|n| n.set(n.get() + 1));
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands every request to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&RUST);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(&RUST);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

// SAFETY: glibc has these names for whoever replaces `malloc`, with the
// signatures of the C standard.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(ptr: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(ptr: *mut c_void);
}

// SAFETY: same signature and behaviour as the function whose place it takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: any size may be asked for.
    unsafe { __libc_malloc(size) }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: any size may be asked for.
    unsafe { __libc_calloc(n, size) }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    count(&C);
    // SAFETY: the caller's pointer comes from one of these functions.
    unsafe { __libc_realloc(ptr, size) }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(ptr: *mut c_void) {
    count(&C);
    // SAFETY: the caller's pointer comes from one of these functions.
    unsafe { __libc_free(ptr) }
}

/// Allocations and releases of this thread during `work`: Rust's and C's.
fn allocations(work: impl FnOnce()) -> (u64, u64) {
    let before = (RUST.get(), C.get());
    work();
    (RUST.get() - before.0, C.get() - before.1)
}

#[test]
fn the_counter_counts_rust_and_c() {
    let (rust, _) = allocations(|| drop(std::hint::black_box(vec![0u8; 64])));
    assert_eq!(rust, 2, "an allocation and its release");
    let (rust, c) = allocations(|| {
        // SAFETY: a valid string.
        let made = unsafe { libc::strdup(c"made by C".as_ptr()) };
        // SAFETY: allocated by C just now, released once.
        unsafe { libc::free(std::hint::black_box(made).cast()) };
    });
    assert_eq!(
        (rust, c),
        (0, 2),
        "an allocation inside libc and its release"
    );
}

/// Everything that can happen to the engine, at one format.
fn a_busy_life(card: Format) {
    let mut config = Config::default();
    let mut prompts = Prompts::default();
    prompts.set(Tone::Opened, &[1000; 3000]);
    prompts.set(FarPrompt::Confirm, &[1000; 3000]);
    config.prompts = prompts;
    let mut rig = Rig::new(&config, card, card);
    let frames = card.rate as usize / 100;
    let mut speaker = vec![0i16; frames * usize::from(card.channels)];
    let mic: Vec<i16> = (0..speaker.len()).map(|n| (n * 2977) as i16).collect();
    let mut round = |rig: &mut Rig, periods: usize| {
        for _ in 0..periods {
            rig.engine.capture(&mic);
            rig.engine.render(&mut speaker);
            rig.uplink.pop();
        }
    };
    let voice = |n: u64| (n * n % 9973) as f32;
    let counted = allocations(|| {
        round(&mut rig, 10);
        let mut seq = 0;
        let mut arrive = |rig: &mut Rig, packets: u32| {
            for _ in 0..packets {
                _ = rig.downlink.push(packet(seq, voice));
                seq += 1;
            }
        };
        for _ in 0..100 {
            arrive(&mut rig, 1);
            round(&mut rig, 2);
        }
        // A stall and its burst, which is more than the downlink holds.
        round(&mut rig, 150);
        arrive(&mut rig, 75);
        round(&mut rig, 10);
        // Lost blocks, numbering that jumps, another stream's packet.
        for lost in [0, 1, 5, 1000] {
            _ = rig.downlink.push(packet(2000 + lost * 3, voice));
            round(&mut rig, 6);
        }
        let mut stray = packet(1, voice);
        stray.stream = 9;
        _ = rig.downlink.push(stray);
        for tone in Tone::ALL.into_iter().chain([Tone::Silence]) {
            rig.commands.push(Command::Tone(tone));
            round(&mut rig, 30);
        }
        for command in [
            Command::Disconnect,
            connect(2),
            Command::Disconnect,
            Command::Connect {
                stream: 3,
                mode: Mode::default(),
                joined: false,
            },
            Command::Prompt(Some(FarPrompt::Confirm)),
            Command::Prompt(Some(FarPrompt::RingBack)),
            Command::Prompt(None),
            Command::Join,
            Command::Prompt(Some(FarPrompt::DoorOpened)),
            Command::Volume { db: 6 },
            Command::Quiet(true),
            Command::Disconnect,
        ] {
            rig.commands.push(command);
            round(&mut rig, 40);
        }
        std::hint::black_box(rig.stats.snapshot());
    });
    assert_eq!(counted, (0, 0), "{card:?}");
}

#[test]
fn nothing_that_happens_in_a_call_allocates() {
    for rate in [16_000, 48_000] {
        for channels in [1, 2] {
            a_busy_life(Format { rate, channels });
        }
    }
}

#[test]
fn no_encoding_allocates_whatever_comes() {
    let card = Format {
        rate: 48_000,
        channels: 1,
    };
    let mut rig = Rig::new(&Config::default(), card, card);
    let mic: Vec<i16> = (0..960).map(|n| (n * 2977) as i16).collect();
    let mut speaker = vec![0; 960];
    for (encoding, stream) in encodings().into_iter().zip(2..) {
        let mut far = Writer::new(encoding, |n| (n * n % 9973) as f32);
        far.stream = stream;
        let mut packets: Vec<_> = (0..40).map(|_| far.packet()).collect();
        for (n, packet) in packets.iter_mut().enumerate().skip(20) {
            match n % 5 {
                // Garbage, some of it odd; then lost ones; then numbers that jump.
                0 => packet.payload.iter_mut().for_each(|byte| *byte ^= 0xA5),
                1 => packet.payload.truncate(n),
                2 => packet.encoding = Encoding::Pcma,
                3 => packet.seq += n as u32,
                _ => {}
            }
        }
        let counted = allocations(|| {
            rig.commands.push(Command::Disconnect);
            rig.commands.push(connect(stream));
            rig.commands.push(Command::Encode { stream, encoding });
            for packet in &packets {
                _ = rig.downlink.push(packet.clone());
                rig.engine.capture(&mic);
                rig.engine.render(&mut speaker);
                rig.uplink.pop();
            }
            // The line is dry.
            for _ in 0..10 {
                rig.engine.render(&mut speaker);
            }
        });
        assert_eq!(counted, (0, 0), "{encoding}");
    }
}

#[test]
fn odd_periods_do_not_allocate() {
    let card = Format {
        rate: 48_000,
        channels: 2,
    };
    let mut rig = Rig::new(&Config::default(), card, card);
    let mut buffer = vec![0i16; 2 * 100_000];
    let counted = allocations(|| {
        for length in [1, 2, 3, 7, 441, 480, 1024, 4801, 100_000] {
            rig.engine.capture(&buffer[..2 * length]);
            rig.engine.render(&mut buffer[..2 * length]);
        }
    });
    assert_eq!(counted, (0, 0));
}

#[test]
fn a_test_of_the_sound_does_not_allocate() {
    let sweep = Sweep::new(BUS_RATE);
    let take = Take::new(sweep.samples(), sweep.listen());
    let config = Config {
        probe: Some(Arc::clone(&take)),
        ..Config::default()
    };
    for (rate, channels) in [(16_000, 1), (48_000, 2)] {
        let card = Format { rate, channels };
        let mut rig = Rig::new(&config, card, card);
        let mut period = vec![0i16; rate as usize / 100 * usize::from(channels)];
        for stopped in [false, true] {
            let counted = allocations(|| {
                take.begin();
                while !matches!(take.state(), State::Over | State::Stopped) {
                    rig.engine.capture(&period);
                    rig.engine.render(&mut period);
                    if stopped && take.kept() > 16_000 {
                        take.stop();
                    }
                }
            });
            assert_eq!(counted, (0, 0), "{card:?}, {stopped}");
            assert_eq!(take.state() == State::Stopped, stopped);
        }
    }
}

#[test]
fn a_rough_line_does_not_allocate() {
    let card = Format {
        rate: 16_000,
        channels: 1,
    };
    let mut rig = Rig::new(&Config::default(), card, card);
    let mut far = Far::new(|n| (n * n % 9973) as f32);
    (far.ppm, far.jitter, far.stalls) = (200.0, 15.0, vec![(3000.0, 500.0)]);
    let mut last = RUST.get() + C.get();
    let mut worst = 0;
    listen(&mut rig, &mut far, card, 160, 5000.0, |now, _| {
        // From the second period on: `listen` itself allocates at its start.
        let seen = RUST.get() + C.get();
        worst = worst.max(if now > 0.0 { seen - last } else { 0 });
        last = seen;
    });
    assert_eq!(worst, 0);
}
