//! Makes rooms and calls in them for `tests/figures/echo`, which compares what
//! comes out: `cargo bench --bench echo -- FOLDER`.
//!
//! In FOLDER, each case gets a folder with what was played, what the microphone
//! heard, what the visitor said, and what callbox sent, as WAV; `cases` lists
//! them. Without FOLDER: what a second of it costs, stage by stage.

#[path = "../tests/rooms/mod.rs"]
mod rooms;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use callbox::audio::echo::filter::Filter;
use callbox::audio::echo::suppress::Suppressor;
use callbox::audio::echo::{Config, DELAY, HOP};
use rooms::{Call, HALL, LIFT, RATE, Room, STAIRS, Scene, Trouble};

const CALL: Call = Call {
    seconds: 60,
    both: 25..40,
};

const CASES: [(&str, &Room, Trouble); 15] = [
    ("lift", &LIFT, Trouble::None),
    ("hall", &HALL, Trouble::None),
    ("stairs", &STAIRS, Trouble::None),
    ("speaker that bends", &LIFT, Trouble::Bends(0.35)),
    ("speaker that clips", &LIFT, Trouble::Clips(0.12)),
    ("somebody walks", &LIFT, Trouble::Walks),
    ("speaker moved at 45 s", &LIFT, Trouble::Moved(45)),
    ("noise of -50 dBFS", &LIFT, Trouble::Noise(-50.0)),
    ("noise of -40 dBFS", &LIFT, Trouble::Noise(-40.0)),
    ("echo 10 dB louder", &LIFT, Trouble::Louder(10.0)),
    ("echo 10 dB softer", &LIFT, Trouble::Louder(-10.0)),
    ("voices of children", &LIFT, Trouble::Voices(1.5)),
    ("deep voices", &LIFT, Trouble::Voices(0.75)),
    ("clocks 10 ppm apart", &LIFT, Trouble::Clocks(10.0)),
    ("clocks 100 ppm apart", &LIFT, Trouble::Clocks(100.0)),
];

fn main() {
    match std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        Some(folder) => scenes(Path::new(&folder)),
        None => processor(),
    }
}

fn scenes(folder: &Path) {
    let mut list = format!("{} {} {DELAY}\n", CALL.both.start, CALL.both.end);
    for (n, (name, room, trouble)) in CASES.into_iter().enumerate() {
        let scene = Scene::new(room, trouble, &CALL);
        let here = folder.join(n.to_string());
        std::fs::create_dir_all(&here).expect("the folder can be made");
        let out = scene.cleaned(&Config::default());
        let sounds = [
            ("far", &scene.far),
            ("microphone", &scene.microphone),
            ("visitor", &scene.visitor),
            ("callbox", &out),
        ];
        for (file, sound) in sounds {
            save(&here.join(file).with_extension("wav"), sound);
        }
        let _ = writeln!(list, "{name}");
    }
    std::fs::write(folder.join("cases"), list).expect("the folder can be written");
}

fn save(path: &Path, sound: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("a file can be made");
    for sample in sound {
        let written = file.write_sample(sample.clamp(-32_768.0, 32_767.0) as i16);
        written.expect("the file can be written");
    }
    file.finalize().expect("the file can be closed");
}

fn processor() {
    let scene = Scene::new(&LIFT, Trouble::None, &CALL);
    let (mut filter, mut suppressor) = (Filter::new(), Suppressor::new(true));
    let (mut filtering, mut suppressing, mut out) = (0.0, 0.0, [0.0; HOP]);
    let (far, heard) = (scene.far.as_chunks().0, scene.microphone.as_chunks().0);
    for (played, heard) in far.iter().zip(heard) {
        let start = Instant::now();
        filter.process(played, heard);
        let middle = Instant::now();
        suppressor.process(&mut filter, &mut out);
        filtering += (middle - start).as_secs_f64();
        suppressing += middle.elapsed().as_secs_f64();
    }
    let a_second = |time: f64| 1000.0 * time / CALL.seconds as f64;
    println!(
        "Processor time per second of sound: filter {:.1} ms, suppressor {:.1} ms.",
        a_second(filtering),
        a_second(suppressing)
    );
}
