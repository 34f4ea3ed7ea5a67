//! Every encoding, sent and understood; keys in the sound and beside it;
//! machines that answer.

use std::f64::consts::TAU;

use callbox::simulator::{
    Announce, Answer, Carried, Config, Encoding, HangsUp, Reason, Says, Simulator, Status, What,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::*;

/// How much of `hertz` there is, as the size of a sine.
fn size(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let step = TAU * hertz / f64::from(rate);
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        real += f64::from(*sample) * cos;
        imaginary += f64::from(*sample) * sin;
    }
    2.0 * f64::hypot(real, imaginary) / samples.len() as f64
}

fn tone(hertz: f64) -> Says {
    let step = TAU * hertz / 8000.0;
    let sample = |n: u32| (8000.0 * (f64::from(n) * step).sin()) as i16;
    // Whole periods, so that it goes on without a step.
    Says::Forever((0..800).map(sample).collect())
}

fn encoded(encoding: &str, says: Says) -> Config {
    let mut config = answering(says, HangsUp::Never);
    config.service.encoding = encoding.parse().unwrap();
    config
}

#[tokio::test]
async fn every_encoding_is_sent_and_understood() {
    let cases = [
        ("pcmu", "PCMU", Some(160)),
        ("pcma", "PCMA", Some(160)),
        ("l16/8000", "L16", Some(320)),
        ("l16/16000", "L16", Some(640)),
        ("l16/24000", "L16", Some(960)),
        ("l16le/8000", "L16", Some(320)),
        ("l16le/16000", "L16", Some(640)),
        ("l16le/24000", "L16", Some(960)),
        ("opus/8000", "OPUS", None),
        ("opus/16000", "OPUS", None),
        ("opus/48000", "OPUS", None),
    ];
    let checks = cases.map(|(name, announced, bytes)| sent_and_understood(name, announced, bytes));
    join_all(checks).await;
}

/// Tried with a device that sends back what it gets, as it came.
async fn sent_and_understood(name: &str, announced: &str, bytes: Option<usize>) {
    let config = encoded(name, tone(1000.0));
    let rate = config.service.encoding.rate();
    let simulator = start(config).await;
    let device = Device::listen().await;
    let call = Client::new(&simulator).placed(&device.url()).await;
    let mut media = device.accept().await;
    let start = media.frame_of("start").await;
    let format = json!({"encoding": announced, "sample_rate": rate, "channels": 1});
    assert_eq!(start["start"]["media_format"], format, "{name}");
    for _ in 0..25 {
        let payload = payload(&media.frame_of("media").await);
        if let Some(bytes) = bytes {
            assert_eq!(payload.len(), bytes, "{name}");
        }
        media.speak(&payload).await;
    }
    media
        .send(json!({"event": "mark", "mark": {"name": "m"}}))
        .await;
    media.frame_of("mark").await;
    let heard = simulator.handle.recording(&call).unwrap();
    assert_eq!(heard.rate, rate, "{name}");
    // Within one packet of its beginning Opus has found the tone.
    let first = heard.samples.iter().position(|s| s.abs() > 1000).unwrap();
    let middle = &heard.samples[first + rate as usize / 10..][..rate as usize / 10];
    let (there, elsewhere) = (size(middle, 1000.0, rate), size(middle, 2345.0, rate));
    assert!((6000.0..10_000.0).contains(&there), "{name}: {there}");
    assert!(elsewhere < 800.0, "{name}: {elsewhere}");
    let narrow = simulator.handle.heard(&call).unwrap();
    let first = narrow.iter().position(|s| s.abs() > 1000).unwrap();
    let there = size(&narrow[first + 800..][..800], 1000.0, 8000);
    assert!((6000.0..10_000.0).contains(&there), "{name}: {there}");
}

#[tokio::test]
async fn linear_samples_lie_in_the_order_that_was_set() {
    for (name, want) in [("l16/16000", [0x12, 0x34]), ("l16le/16000", [0x34, 0x12])] {
        let says = Says::Forever([0x1234; 160].into());
        let mut talk = Talk::begin(encoded(name, says)).await;
        talk.media.frame_of("media").await;
        let bytes = payload(&talk.media.frame_of("media").await);
        // Past the first samples, where the words begin.
        assert_eq!(bytes[320..322], want, "{name}");
    }
}

#[tokio::test]
async fn payloads_of_another_encoding_are_complained_about() {
    let cases: [(&str, &[u8]); 6] = [
        ("pcma", &[0xd5; 80]),
        ("l16/16000", &[0; 641]),
        ("l16/24000", &[0; 640]),
        ("opus/16000", &[]),
        ("opus/16000", &[0xff]),
        ("opus/48000", &[0x80, 0]),
    ];
    for (name, wrong) in cases {
        let mut talk = Talk::begin(encoded(name, Says::Silence)).await;
        let right = payload(&talk.media.frame_of("media").await);
        talk.media.speak(wrong).await;
        let error = talk.media.frame_of("error").await;
        let detail = error["payload"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("media:"), "{name}: {detail}");
        talk.media.speak(&right).await;
        talk.event(|what| *what == What::FirstAudio).await;
    }
}

#[tokio::test]
async fn an_encoding_can_be_announced_that_is_not_sent() {
    let mut config = patient();
    config.service.announce = Announce::Other {
        encoding: "G722".into(),
        sample_rate: 8000,
    };
    let simulator = start(config).await;
    let device = Device::listen().await;
    Client::new(&simulator).placed(&device.url()).await;
    let start = device.accept().await.frame_of("start").await;
    assert_eq!(start["start"]["media_format"]["encoding"], "G722");
}

#[tokio::test]
async fn a_rate_the_service_has_not_is_refused_at_the_start() {
    let mut config = patient();
    config.service.encoding = Encoding::Opus { rate: 24_000 };
    let error = Simulator::start(config).await.unwrap_err();
    assert!(error.to_string().contains("opus/24000"), "{error}");
}

#[tokio::test]
async fn keys_come_as_frames_in_the_sound_or_both() {
    for (carried, frames, tones) in [
        (Carried::Frames, true, false),
        (Carried::InBand, false, true),
        (Carried::Both, true, true),
    ] {
        let mut config = encoded("l16le/8000", Says::Silence);
        config.callee = config.callee.pressing(ms(100), "5");
        config.callee.keys.carried = carried;
        let mut talk = Talk::begin(config).await;
        let (mut sound, mut digits) = (Vec::new(), Vec::new());
        while sound.len() < 4000 {
            let frame = talk.media.frame().await;
            match frame["event"].as_str().unwrap() {
                "dtmf" => digits.push(frame["dtmf"]["digit"].clone()),
                _ => {
                    let bytes = payload(&frame);
                    let pairs = bytes.as_chunks::<2>().0.iter();
                    sound.extend(pairs.map(|pair| i16::from_le_bytes(*pair)));
                }
            }
        }
        assert_eq!(digits, vec![json!("5"); usize::from(frames)], "{carried:?}");
        // 100 ms of the row's and the column's tone from 100 ms on.
        let key = &sound[800..1600];
        let loud = size(key, 770.0, 8000).min(size(key, 1336.0, 8000)) > 6000.0;
        assert_eq!(loud, tones, "{carried:?}");
        assert!(sound[..800].iter().chain(&sound[1600..]).all(|s| *s == 0));
    }
}

#[tokio::test]
async fn a_callee_who_confirms_presses_a_key_so_long_after_they_answered() {
    let mut config = patient();
    config.callee = config.callee.pressing(ms(400), "1");
    let mut talk = Talk::begin(config).await;
    let mut packets = 0;
    let digit = loop {
        let frame = talk.media.frame().await;
        match frame["event"].as_str().unwrap() {
            "dtmf" => break frame["dtmf"]["digit"].clone(),
            _ => packets += 1,
        }
    };
    assert_eq!((digit, packets), (json!("1"), 21));
    talk.event(|what| *what == What::Key('1')).await;
}

#[tokio::test]
async fn a_flood_of_keys_comes_whole_and_in_order() {
    let digits = "0123456789*#ABCD".repeat(12);
    let mut config = patient();
    for digit in digits.chars() {
        config.callee = config.callee.pressing(ms(0), &digit.to_string());
    }
    let mut talk = Talk::begin(config).await;
    let mut came = String::new();
    while came.len() < digits.len() {
        let frame = talk.media.frame_of("dtmf").await;
        came.push_str(frame["dtmf"]["digit"].as_str().unwrap());
    }
    assert_eq!(came, digits);
}

#[tokio::test]
async fn a_machine_that_is_not_looked_for_keeps_talking() {
    let fields: [(bool, Value, bool); 5] = [
        (true, json!({}), true),
        (false, json!({}), false),
        (true, json!({"voicemail_detection": "disabled"}), false),
        (true, json!({"on_voicemail": "ignore"}), false),
        (false, json!({"on_voicemail": "hang_up"}), true),
    ];
    let checks = fields.map(|(detection, asked, found_out)| talks_on(detection, asked, found_out));
    join_all(checks).await;
}

/// A service with or without detection is asked for a call in these words.
async fn talks_on(detection: bool, asked: Value, found_out: bool) {
    let mut config = answering(Says::Forever([8000; 160].into()), HangsUp::After(ms(1000)));
    config.callee.answer = Answer::Voicemail(ms(1));
    config.service.voicemail_detection = detection;
    config.service.voicemail_detected_after = ms(300);
    let simulator = start(config).await;
    let device = Device::listen().await;
    let mut body = placement(&device.url());
    for (name, value) in asked.as_object().unwrap() {
        body[name] = value.clone();
    }
    let client = Client::new(&simulator);
    let placed = client.post("/place-call", &body).await.unwrap().body;
    let mut media = device.accept().await;
    let mut packets = 0;
    while media.frame().await["event"] != "stop" {
        packets += 1;
    }
    let call = over(&simulator.handle, placed["id"].as_str().unwrap()).await;
    let want = if found_out {
        Reason::Voicemail
    } else {
        Reason::Remote
    };
    assert_eq!(
        (call.status, call.reason),
        (Status::Completed, Some(want)),
        "{asked}"
    );
    assert!(found_out || packets > 45, "{asked}: {packets} packets");
}

#[tokio::test]
async fn what_the_service_does_not_do_on_voicemail_is_refused() {
    let simulator = start(patient()).await;
    let client = Client::new(&simulator);
    for (name, value) in [
        ("voicemail_detection", json!("off")),
        ("voicemail_detection", json!(false)),
        ("on_voicemail", json!("sing")),
        ("on_voicemail", json!("leave_message")),
    ] {
        let mut body = placement("wss://box.example/m");
        body[name] = value;
        let answered = client.post("/place-call", &body).await.unwrap();
        assert_eq!(answered.status, 422, "{body}");
        assert_eq!(answered.body["detail"][0]["loc"], json!(["body", name]));
    }
}
