//! The four pipeline modes: what the handshake asks for is what happens.

use callbox::simulator::{Config, HangsUp, Party, Says, What};
use serde_json::{Value, json};

use crate::common::*;

const BOTH: Headers = &[
    ("x-use-inkbox-text-to-speech", "true"),
    ("x-use-inkbox-speech-to-text", "true"),
];
const SPEAKS: Headers = &[("x-use-inkbox-speech-to-text", "false")];
const LISTENS: Headers = &[("x-use-inkbox-text-to-speech", "false")];

/// 28 letters: two seconds.
const TEXT: &str = "Water in the cellar, please.";

fn text(delta: &str, done: bool) -> Value {
    json!({"event": "text", "delta": delta, "done": done})
}

fn mark(name: &str) -> Value {
    json!({"event": "mark", "mark": {"name": name}})
}

/// A callee who says these words over and over, and `Yes.` for a recognizer.
fn talkative() -> Config {
    let mut config = answering(Says::Forever([8000; 160].into()), HangsUp::Never);
    config.callee = config.callee.saying(ms(100), "Yes.");
    config
}

#[tokio::test]
async fn each_mode_is_what_the_handshake_asks_for() {
    let modes = [
        (RAW, false, false),
        (LISTENS, false, true),
        (SPEAKS, true, false),
        (BOTH, true, true),
    ];
    for (answer, tts, stt) in modes {
        let told = format!("tts {tts}, stt {stt}");
        let simulator = start(talkative()).await;
        let client = Client::new(&simulator);
        let device = Device::listen().await;
        let placed = client.place(&device.url()).await.body;
        assert_eq!(placed["use_inkbox_tts"], Value::Null);
        assert_eq!(placed["use_inkbox_stt"], Value::Null);
        let id = placed["id"].as_str().unwrap();
        let mut media = device.accept_with(answer).await;
        media.frame_of("start").await;
        let call = client.get(&format!("/calls/{id}")).await.body;
        assert_eq!(call["use_inkbox_tts"], tts, "{told}");
        assert_eq!(call["use_inkbox_stt"], stt, "{told}");

        // To the device: sound or words, and nothing of the other.
        for _ in 0..5 {
            let event = media.frame().await["event"].clone();
            let want = if stt { "transcript" } else { "media" };
            assert_eq!(event, want, "{told}");
            if stt {
                break;
            }
        }
        // From it: the one is taken, the other complained about.
        for (is_text, name) in [(true, "text"), (false, "sound")] {
            if is_text {
                media.send(text("Hi", true)).await;
            } else {
                media.speak(&[LOUD; 160]).await;
            }
            media.send(mark(name)).await;
            let complained = loop {
                match media.frame().await {
                    frame if frame["event"] == "error" => break true,
                    frame if frame["event"] == "mark" => break false,
                    _ => {}
                }
            };
            assert_eq!(complained, is_text != tts, "{told}: {name}");
            if complained {
                media.frame_of("mark").await;
            }
        }
    }
}

#[tokio::test]
async fn words_become_transcripts_first_in_part_and_then_whole() {
    let mut config = patient();
    config.callee = config.callee.saying(ms(0), "Who is there?");
    let mut talk = Talk::begin_with(config, BOTH).await;
    let mut came = Vec::new();
    while came.len() < 3 {
        let frame = talk.media.frame().await;
        assert_eq!(frame["event"], "transcript");
        assert_eq!(frame["turn_id"], "turn-1");
        let text = frame["text"].as_str().unwrap().to_owned();
        came.push((text, frame["is_final"].as_bool().unwrap()));
    }
    let want = [("Who", false), ("Who is", false), ("Who is there?", true)];
    let want = want.map(|(text, is_final)| (text.to_owned(), is_final));
    assert_eq!(came, want);
    assert!(talk.simulator.handle.say(&talk.call, "Come in."));
    let next = talk.media.frame().await;
    assert_eq!(
        (&next["text"], &next["turn_id"]),
        (&json!("Come"), &json!("turn-2"))
    );
}

#[tokio::test]
async fn text_is_spoken_when_it_is_whole_and_its_mark_comes_back_then() {
    let mut talk = Talk::begin_with(patient(), BOTH).await;
    let (first, rest) = TEXT.split_at(9);
    talk.media
        .send(json!({"event": "text", "delta": first}))
        .await;
    talk.media
        .send(json!({"event": "text", "delta": rest, "turn_id": "t"}))
        .await;
    talk.media.send(mark("too early")).await;
    talk.media
        .send(json!({"event": "text", "done": true}))
        .await;
    talk.media.send(mark("spoken")).await;
    let early = talk.media.frame_of("mark").await;
    assert_eq!(early["mark"]["name"], "too early");
    talk.event(|what| *what == What::Text(TEXT.into())).await;
    let spoken = talk.media.frame_of("mark").await;
    assert_eq!(spoken["mark"]["name"], "spoken");
    let heard = talk.heard();
    let from = heard.iter().position(|sample| *sample != 0).unwrap();
    let until = heard.iter().rposition(|sample| *sample != 0).unwrap();
    // Two seconds, and a sine's zeros at both ends.
    assert!((until - from).abs_diff(16_000) < 10, "{from} to {until}");
    let said = talk.simulator.handle.transcript(&talk.call);
    assert_eq!((said[0].party, &said[0].text[..]), (Party::Local, TEXT));
}

#[tokio::test]
async fn who_speaks_over_the_voice_cuts_it_off() {
    for falls_silent in [true, false] {
        let mut config = patient();
        config.service.barge_in = falls_silent;
        let mut talk = Talk::begin_with(config, BOTH).await;
        talk.media.send(text(&TEXT.repeat(20), true)).await;
        talk.media.send(mark("end")).await;
        talk.event(|what| matches!(what, What::Text(_))).await;
        assert!(talk.simulator.handle.say(&talk.call, "Stop it now."));
        let barge_in = talk.media.frame_of("barge_in").await;
        assert_eq!(barge_in["trigger"], "speech");
        assert_eq!(barge_in["text"], "Stop");
        assert_eq!(barge_in["turn_id"], "turn-1");
        assert_eq!(barge_in["tts_interrupted"], falls_silent);
        let mut transcripts = 0;
        while transcripts < 3 {
            let frame = talk.media.frame().await;
            match frame["event"].as_str().unwrap() {
                "transcript" => transcripts += 1,
                "mark" => assert!(falls_silent),
                other => panic!("{other}: once a turn is enough"),
            }
        }
        let said = talk.simulator.handle.transcript(&talk.call);
        let local = said.iter().find(|said| said.party == Party::Local);
        assert_eq!(local.is_some(), falls_silent);
        if let Some(cut) = local {
            assert!(TEXT.repeat(20).starts_with(&cut.text) && cut.text.len() < 560);
        }
    }
}

#[tokio::test]
async fn what_was_said_can_be_fetched_on_both_paths() {
    let mut config = patient();
    config.callee = config.callee.saying(ms(0), "Hello?");
    let mut talk = Talk::begin_with(config, BOTH).await;
    talk.media.frame_of("transcript").await;
    talk.media.send(text("Door.", true)).await;
    talk.media.send(mark("m")).await;
    talk.media.frame_of("mark").await;
    talk.media.send(json!({"event": "stop"})).await;
    talk.over().await;
    let client = Client::new(&talk.simulator);
    let id = &talk.call;
    let newer = client.get(&format!("/calls/{id}/transcripts")).await.body;
    let number = callbox::simulator::NUMBER_ID;
    let older = format!("/numbers/{number}/calls/{id}/transcripts");
    assert_eq!(client.get(&older).await.body, newer);
    let said = |n: usize| (&newer[n]["party"], &newer[n]["text"], &newer[n]["seq"]);
    assert_eq!(said(0), (&json!("remote"), &json!("Hello?"), &json!(0)));
    assert_eq!(said(1), (&json!("local"), &json!("Door."), &json!(1)));
    assert!(newer[0]["ts_ms"].as_u64() < newer[1]["ts_ms"].as_u64());
    assert_eq!(newer.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_older_service_has_no_transcripts_or_no_newer_paths() {
    let number = callbox::simulator::NUMBER_ID;
    for (transcripts, newer) in [(false, true), (true, false)] {
        let mut config = patient();
        config.service.transcripts_by_rest = transcripts;
        config.service.newer_paths = newer;
        let talk = Talk::begin(config).await;
        let client = Client::new(&talk.simulator);
        let id = &talk.call;
        for (path, there) in [
            (format!("/calls/{id}"), newer),
            (format!("/calls/{id}/transcripts"), newer && transcripts),
            (format!("/numbers/{number}/calls/{id}"), true),
            (
                format!("/numbers/{number}/calls/{id}/transcripts"),
                transcripts,
            ),
        ] {
            let status = client.get(&path).await.status;
            assert_eq!(status, if there { 200 } else { 404 }, "{path}");
        }
    }
}

#[tokio::test]
async fn a_device_that_listens_itself_may_say_what_it_heard() {
    let mut talk = Talk::begin(patient()).await;
    let transcript = |text: &str, is_final: bool| json!({"event": "transcript", "party": "remote", "text": text, "is_final": is_final});
    talk.media.send(transcript("Op", false)).await;
    talk.media.send(transcript("Open it", true)).await;
    let stream = talk.media.stream_id.clone();
    talk.media
        .send(json!({"event": "audio_done", "stream_id": stream}))
        .await;
    talk.event(|what| *what == What::AudioDone).await;
    let said = talk.simulator.handle.transcript(&talk.call);
    assert_eq!(said.len(), 1);
    assert_eq!(
        (said[0].party, &said[0].text[..]),
        (Party::Remote, "Open it")
    );

    // One that left listening to the service has nothing to say of it.
    let mut talk = Talk::begin_with(patient(), BOTH).await;
    talk.media.send(transcript("Open it", true)).await;
    talk.media.frame_of("error").await;
    assert!(talk.simulator.handle.transcript(&talk.call).is_empty());
}

#[tokio::test]
async fn text_no_voice_can_speak_is_refused_and_harms_nothing() {
    let mut talk = Talk::begin_with(patient(), BOTH).await;
    for wrong in [
        json!({"event": "text"}),
        json!({"event": "text", "delta": 1}),
        text("ring\u{7}", true),
        text(&"x".repeat(9000), true),
        text(&"x".repeat(1_000_000), false),
    ] {
        talk.media.send(wrong).await;
        let error = talk.media.frame_of("error").await;
        let detail = error["payload"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("text:"), "{detail}");
    }
    // Cleared before it was whole, and before it was spoken.
    talk.media.send(text("Nobody ", false)).await;
    talk.media.send(json!({"event": "clear"})).await;
    talk.media.send(text("Hello", true)).await;
    talk.event(|what| *what == What::Text("Hello".into())).await;
    talk.media.send(json!({"event": "clear"})).await;
    talk.media.send(text("Bye", true)).await;
    talk.event(|what| *what == What::Spoken("Bye".into())).await;
}

#[tokio::test]
async fn a_device_that_only_reads_is_not_hung_up_for_its_silence() {
    for (answer, stays) in [(BOTH, true), (LISTENS, false)] {
        let mut config = answering(Says::Silence, HangsUp::After(ms(1000)));
        config.service.ends_without_audio = Some(ms(300));
        let mut talk = Talk::begin_with(config, answer).await;
        let stop = talk.media.frame_of("stop").await;
        assert_eq!(stop["reason"], if stays { "remote" } else { "local" });
    }
}
