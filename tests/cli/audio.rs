//! `callbox audio` at a terminal: on the card of memory, whose microphone hears
//! its speaker two periods later and 18 dB softer, and on ALSA's null device.

use std::fs;

use crate::support::{Folder, Said, run};

fn json(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error} in {said:#?}"))
}

fn names(page: &serde_json::Value) -> Vec<&str> {
    let found = page["findings"].as_array().unwrap().iter();
    found.map(|found| found["name"].as_str().unwrap()).collect()
}

#[test]
fn a_card_that_is_well_passes_with_its_true_values() {
    let folder = Folder::new();
    let picture = folder.path.join("test.svg");
    let said = run(&format!(
        "audio test --demo --json --svg {}",
        picture.display()
    ));
    assert_eq!(said.code, Some(0), "{said:#?}");
    let page = json(&said);
    assert_eq!(page["passed"], true);
    assert_eq!(names(&page), [""; 0]);
    let near = |key: &str, truth: f64, off: f64| {
        let found = page[key].as_f64().unwrap();
        assert!(
            (found - truth).abs() <= off,
            "{key} {found}, and it is {truth}"
        );
    };
    near("delay_ms", 20.0, 0.2);
    near("echo_loss_db", 18.1, 0.5);
    near("peak_dbfs", -34.1, 1.0);
    near("offset_percent", 0.0, 0.1);
    assert!(page["noise_dbfs"].as_f64().unwrap() < -80.0, "{page}");
    assert!(page["distortion_percent"].as_f64().unwrap() < 3.0, "{page}");
    assert_eq!(page["inverted"], false);
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(svg.contains("Sound test: passed"), "{svg}");
}

#[test]
fn a_person_reads_what_was_found_and_what_to_change() {
    let said = run("audio test --demo");
    assert_eq!(said.code, Some(0), "{said:#?}");
    for want in [
        "delay         20.0 ms",
        "echo loss     18.1 dB",
        "impulse response",
        "  1000 Hz  -18.1 dB",
        "passed: ",
    ] {
        assert!(said.out.contains(want), "no {want:?} in\n{}", said.out);
    }
    let cases = [
        (
            "deaf",
            "the microphone does not hear the speaker",
            "callbox audio meter",
        ),
        ("silent", "nothing but zeros", "not muted"),
        (
            "square",
            "at full scale nearly all the time",
            "lower its capture volume",
        ),
    ];
    for (how, what, fix) in cases {
        let said = run(&format!("audio test --demo {how}"));
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.out.contains(what), "no {what:?} in\n{}", said.out);
        assert!(said.out.contains(fix), "no {fix:?} in\n{}", said.out);
    }
}

#[test]
fn what_is_recorded_can_be_played_and_what_is_no_recording_cannot() {
    let folder = Folder::new();
    let path = folder.path.join("heard.wav");
    let path = path.display();
    let said = run(&format!("audio record {path} --seconds 1 --demo"));
    assert_eq!(said.code, Some(0), "{said:#?}");
    // 44 bytes of a header, 16 000 samples.
    let wave = fs::read(path.to_string()).unwrap();
    assert_eq!(wave.len(), 44 + 2 * 16_000);
    let said = run(&format!("audio play {path} --demo"));
    assert_eq!(said.code, Some(0), "{said:#?}");

    let cut = folder.write("cut.wav", &wave[..20_000]);
    let text = folder.write("text.wav", "no sound at all");
    let cases = [
        (
            cut.display().to_string(),
            "is damaged or of an unusual kind",
        ),
        (
            text.display().to_string(),
            "is no WAV file; convert it: sox",
        ),
        ("/nowhere/at/all.wav".to_owned(), "cannot be read"),
        ("/dev/zero".to_owned(), "is larger than"),
    ];
    for (path, want) in cases {
        let said = run(&format!("audio play {path} --demo"));
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains(want), "no {want:?} in {said:#?}");
    }
    let said = run("audio record /nowhere/at/all.wav --demo");
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot be written"), "{said:#?}");
    let said = run("audio record x.wav --seconds 601 --demo");
    assert_eq!(said.code, Some(2), "{said:#?}");
}

#[test]
fn the_meter_writes_a_line_a_second_where_there_is_no_terminal() {
    let said = run("audio meter --seconds 2 --demo square");
    assert_eq!(said.code, Some(0), "{said:#?}");
    let lines: Vec<&str> = said
        .out
        .lines()
        .filter(|line| line.contains("peak"))
        .collect();
    assert!((1..=3).contains(&lines.len()), "{said:#?}");
    assert!(lines.iter().all(|line| line.contains("CLIPS")), "{said:#?}");
    assert!(!said.out.contains('\r'), "{said:#?}");
}

/// The null device gives zeros, and takes everything.
#[test]
fn the_configured_cards_are_tested_and_doctor_tells_of_it() {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1");
    fs::create_dir_all(folder.path.join("store")).unwrap();
    let said = folder.callbox("audio test --json", &config);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert_eq!(names(&json(&said)), ["silent"]);
    let kept = fs::read_to_string(folder.path.join("store/sound-test.json")).unwrap();
    assert!(kept.contains("nothing but zeros"), "{kept}");
    let said = folder.callbox("doctor --json", &config);
    let found = said.findings("warn");
    let told = |found: &&String| found.contains("sound test of ") && found.contains("zeros");
    assert!(found.iter().any(|f| told(&f)), "{found:#?}");
}

#[test]
fn a_card_that_is_not_there_is_said_and_what_to_write() {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1");
    let config = config.replace(
        "microphone = \"null\"",
        "microphone = \"plughw:CARD=Nobody,DEV=0\"",
    );
    let kept = folder.write("kept.wav", "of another day");
    let record = format!("audio record {} --seconds 1", kept.display());
    for words in ["audio test", "audio meter --seconds 1", &record] {
        let said = folder.callbox(words, &config);
        assert_eq!(said.code, Some(1), "{said:#?}");
        let want = "microphone: no sound card \"plughw:CARD=Nobody,DEV=0\"";
        assert!(said.err.contains(want), "{said:#?}");
    }
    assert_eq!(fs::read_to_string(kept).unwrap(), "of another day");
    let list = run("audio list");
    assert_eq!(list.code, Some(0), "{list:#?}");
    assert!(
        list.out.contains("card") || list.out.contains("CARD"),
        "{list:#?}"
    );
}
