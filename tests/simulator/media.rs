//! The simulator's media leg, met by a plain WebSocket device.

use callbox::simulator::{
    Announce, Answer, ContextShape, HangsUp, Reason, Says, Status, What, speech,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::common::*;

#[tokio::test]
async fn words_arrive_in_packets_and_then_the_callee_hangs_up() {
    let words: Vec<i16> = (0..10).flat_map(|n| [n * 1000; 160]).collect();
    let speech = Says::Speech(words.clone().into());
    let mut talk = Talk::begin(answering(speech, HangsUp::AfterSpeech(ms(0)))).await;
    let mut heard = Vec::new();
    let mut chunks = Vec::new();
    let stop = loop {
        let frame = talk.media.frame().await;
        if frame["event"] == "stop" {
            break frame;
        }
        assert_eq!(frame["media"]["track"], "inbound");
        assert_eq!(frame["stream_id"], talk.media.stream_id);
        chunks.push(frame["media"]["chunk"].as_u64().unwrap());
        heard.extend(payload(&frame));
    };
    assert_eq!(stop["reason"], "remote");
    assert_eq!(talk.media.closed().await, Some(1000));
    let count = chunks.len() as u64;
    assert!((10..=11).contains(&count), "{count} packets of ten");
    assert_eq!(chunks, (1..=count).collect::<Vec<_>>());
    // µ-law of each step of the staircase: 160 alike, then others.
    for (n, block) in heard.chunks(160).take(10).enumerate() {
        assert!(block.iter().all(|code| *code == block[0]), "packet {n}");
        assert_eq!(block[0] == 0xff, n == 0, "packet {n}");
    }
    let call = talk.over().await;
    assert_eq!(
        (call.status, call.reason),
        (Status::Completed, Some(Reason::Remote))
    );
    let (started, ended) = (call.started_at.unwrap(), call.ended_at.unwrap());
    assert!(call.created_at < started && started < ended);
    assert_eq!(
        (call.use_inkbox_tts, call.use_inkbox_stt),
        (Some(false), Some(false))
    );
}

#[tokio::test]
async fn what_the_device_says_is_heard_and_kept() {
    let mut talk = Talk::begin(patient()).await;
    for _ in 0..10 {
        talk.media.speak(&[LOUD; 160]).await;
    }
    talk.media
        .send(json!({"event": "mark", "mark": {"name": "all of it"}}))
        .await;
    let echo = talk.media.frame_of("mark").await;
    assert_eq!(echo["mark"]["name"], "all of it");
    // The mark came back once it was played, so it was heard by then.
    assert_eq!(loud_samples(&talk.heard()), 1600);
    let heard = talk.heard();
    let first = heard.iter().position(|sample| *sample != 0).unwrap();
    assert!(heard[first..first + 1600].iter().all(|s| s.abs() > 4000));

    talk.media
        .send(json!({"event": "stop", "reason": "bye"}))
        .await;
    let call = talk.over().await;
    assert_eq!(call.reason, Some(Reason::Local));
    let path = std::env::temp_dir().join(format!("callbox-{}-heard.wav", call.id));
    talk.simulator.handle.save_heard(&call.id, &path).unwrap();
    let saved = speech::read_wav(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(saved, talk.heard());
    let answered = call.ended_at.unwrap() - call.started_at.unwrap();
    let answered = answered.total(jiff::Unit::Second).unwrap();
    let kept = saved.len() as f64 / 8000.0;
    assert!((kept - answered).abs() < 0.25, "{kept} s of {answered} s");
}

#[tokio::test]
async fn an_echo_comes_back() {
    let mut talk = Talk::begin(answering(Says::Echo, HangsUp::Never)).await;
    talk.media.speak(&[LOUD; 320]).await;
    let mut loud = 0;
    while loud < 320 {
        let frame = talk.media.frame_of("media").await;
        loud += payload(&frame).iter().filter(|code| **code == LOUD).count();
    }
    assert_eq!(loud, 320);
}

#[tokio::test]
async fn cleared_sound_is_never_heard_and_its_marks_come_back() {
    let mut talk = Talk::begin(patient()).await;
    talk.media.speak(&[LOUD; 160_000]).await;
    talk.media
        .send(json!({"event": "mark", "mark": {"name": "after 20 s"}}))
        .await;
    talk.media.send(json!({"event": "clear"})).await;
    let echo = talk.media.frame_of("mark").await;
    assert_eq!(echo["mark"]["name"], "after 20 s");
    talk.event(|what| matches!(what, What::Cleared(19_000..=20_000)))
        .await;
    assert!(loud_samples(&talk.heard()) < 8000);
}

#[tokio::test]
async fn handshakes_carry_the_context_and_a_signature() {
    for shape in [ContextShape::Older, ContextShape::Newer] {
        let mut config = patient();
        config.service.signing_key = Some("whsec_secret".into());
        config.service.context = shape;
        let talk = Talk::begin(config).await;
        let request = &talk.media.request;
        assert_eq!(request.uri().path(), "/media/token");
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let raw = header("x-call-context");
        let context: Value = serde_json::from_str(raw).unwrap();
        if shape == ContextShape::Older {
            let want =
                json!({"call_id": talk.call, "phone_number": CALLEE, "direction": "outbound"});
            assert_eq!(context, want);
        } else {
            assert_eq!(context["id"], talk.call);
            assert_eq!(context["status"], "answered");
            assert_eq!(context["contacts"], json!([]));
        }
        let timestamp = header("x-inkbox-timestamp");
        let signed = format!("{}.{timestamp}.{raw}", header("x-inkbox-request-id"));
        let hex = header("x-inkbox-signature")
            .strip_prefix("sha256=")
            .unwrap();
        let digest: Vec<u8> = (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
        ring::hmac::verify(&key, signed.as_bytes(), &digest).unwrap();
        let now = jiff::Timestamp::now().as_second();
        assert!((timestamp.parse::<i64>().unwrap() - now).abs() < 60);
    }
    let unsigned = Talk::begin(patient()).await;
    assert!(
        !unsigned
            .media
            .request
            .headers()
            .contains_key("x-inkbox-signature")
    );
}

#[tokio::test]
async fn numbers_come_as_text_and_the_format_may_be_missing() {
    let mut config = patient();
    config.service.numbers_as_text = true;
    config.service.connected_frame = false;
    config.service.announce = Announce::Nothing;
    let simulator = start(config).await;
    let device = Device::listen().await;
    let call = Client::new(&simulator).placed(&device.url()).await;
    let mut media = device.accept().await;
    let start = media.frame().await;
    let want = json!({
        "event": "start", "stream_id": media.stream_id, "sequence_number": "1",
        "start": {"call_control_id": call},
    });
    assert_eq!(start, want);
    let first = media.frame().await;
    assert_eq!(first["media"]["chunk"], "1");
    assert_eq!(first["media"]["timestamp"], "0");
    assert_eq!(first["sequence_number"], "2");
}

#[tokio::test]
async fn start_names_the_format() {
    let simulator = start(patient()).await;
    let device = Device::listen().await;
    Client::new(&simulator).placed(&device.url()).await;
    let mut media = device.accept().await;
    assert_eq!(
        media.frame().await,
        json!({"event": "connected", "version": "1.0.0"})
    );
    let format = json!({"encoding": "PCMU", "sample_rate": 8000, "channels": 1});
    assert_eq!(media.frame().await["start"]["media_format"], format);
}

#[tokio::test]
async fn a_pipeline_left_on_gets_no_raw_audio() {
    let simulator = start(answering(Says::Silence, HangsUp::After(ms(1000)))).await;
    let device = Device::listen().await;
    let call = Client::new(&simulator).placed(&device.url()).await;
    let mut media = device.accept_with(&[]).await;
    media.frame_of("start").await;
    media.speak(&[LOUD; 160]).await;
    assert_eq!(media.frame().await["event"], "error");
    assert_eq!(media.frame().await["event"], "stop");
    let call = over(&simulator.handle, &call).await;
    assert_eq!(
        (call.use_inkbox_tts, call.use_inkbox_stt),
        (Some(true), Some(true))
    );
    assert_eq!(loud_samples(&simulator.handle.heard(&call.id).unwrap()), 0);
}

#[tokio::test]
async fn a_lost_socket_does_not_end_the_call() {
    for by_the_line in [false, true] {
        let mut config = patient();
        config.line.drop_at = by_the_line.then_some(ms(50));
        let mut talk = Talk::begin(config).await;
        if !by_the_line {
            assert!(talk.simulator.handle.drop_socket(&talk.call));
        }
        assert_eq!(talk.media.closed().await, None);
        talk.event(|what| *what == What::MediaDown(None)).await;
        let call = talk.simulator.handle.call(&talk.call).unwrap();
        assert_eq!(call.status, Status::Answered);
        assert!(talk.simulator.handle.hang_up(&talk.call));
        assert_eq!(talk.over().await.reason, Some(Reason::Remote));
    }
}

#[tokio::test]
async fn a_line_s_delay_is_heard_both_ways() {
    let mut config = patient();
    config.line = "delay=300ms".parse().unwrap();
    let mut talk = Talk::begin(config).await;
    talk.media.speak(&[LOUD; 160]).await;
    let mark = json!({"event": "mark", "mark": {"name": "m"}});
    talk.media.send(mark).await;
    talk.media.frame_of("mark").await;
    // `start` took 300 ms, so did the packet, then the telephone's own 40 ms.
    let first = talk.heard().iter().position(|sample| *sample != 0).unwrap();
    assert!(first >= 640 * 8, "heard after {} ms", first / 8);
}

#[tokio::test]
async fn a_stall_is_felt_as_a_socket_that_takes_no_more() {
    let mut config = patient();
    config.service.ends_without_audio = None;
    // From the beginning to well after what is looked at here.
    config.line = "stall=0s+20s".parse().unwrap();
    let simulator = start(config).await;
    let device = Device::listen().await;
    Client::new(&simulator).placed(&device.url()).await;
    let tcp = device.tcp().await;
    let mut media = Media::accept(tcp, RAW).await;
    let packet = json!({"event": "clear", "padding": "x".repeat(10_000)}).to_string();
    // A socket takes what the kernel has room for, 4 MB, and then no more;
    // one that is read takes a packet at once, over and over.
    let mut taken = 0;
    while tokio::time::timeout(ms(1000), media.send_text(&packet))
        .await
        .is_ok()
    {
        taken += 1;
        assert!(taken < 2000, "20 MB are gone: somebody reads");
    }
    drop(media);
    simulator.stop().await;
}

#[tokio::test]
async fn after_4500_the_same_call_comes_again() {
    let mut config = patient();
    config.service.redial_after_4500 = Some(ms(1));
    config.line.close_4500_at = Some(ms(50));
    let mut talk = Talk::begin(config).await;
    assert_eq!(talk.media.closed().await, Some(4500));
    let mut again = talk.device.accept().await;
    let start = again.frame_of("start").await;
    assert_eq!(start["start"]["call_control_id"], talk.call);
    assert_ne!(again.stream_id, talk.media.stream_id);
    again.speak(&[LOUD; 160]).await;
    talk.event(|what| *what == What::FirstAudio).await;
}

#[tokio::test]
async fn a_second_socket_takes_over() {
    let mut talk = Talk::begin(patient()).await;
    assert!(talk.simulator.handle.redial(&talk.call));
    let mut newest = talk.device.accept().await;
    newest.frame_of("media").await;
    assert_eq!(talk.media.closed().await, Some(4500));
}

#[tokio::test]
async fn a_refused_socket_is_dialed_again_when_told_to() {
    let mut config = patient();
    config.service.redial_after_loss = Some(ms(1));
    let simulator = start(config).await;
    let device = Device::listen().await;
    let call = Client::new(&simulator).placed(&device.url()).await;
    let mut refusing = device.tcp().await;
    let mut request = [0; 16];
    refusing.read_exact(&mut request).await.unwrap();
    drop(refusing);
    device.accept().await.frame_of("start").await;
    event(&simulator.handle, &call, |what| {
        matches!(what, What::MediaRefused(_))
    })
    .await;
}

#[tokio::test]
async fn calls_end_by_themselves() {
    let cases = [
        ("max", Reason::MaxDuration),
        ("audio", Reason::Local),
        ("voicemail", Reason::Voicemail),
        ("callee", Reason::Remote),
    ];
    for (what, reason) in cases {
        let mut config = patient();
        match what {
            "max" => config.service.max_duration = ms(500),
            "audio" => config.service.ends_without_audio = Some(ms(500)),
            "voicemail" => {
                config.callee.answer = Answer::Voicemail(ms(1));
                config.service.voicemail_detected_after = ms(500);
            }
            _ => config.callee.hangs_up = HangsUp::After(ms(500)),
        }
        let mut talk = Talk::begin(config).await;
        let stop = talk.media.frame_of("stop").await;
        assert_eq!(stop["reason"], reason.as_str());
        let call = talk.over().await;
        assert_eq!(
            (call.status, call.reason),
            (Status::Completed, Some(reason))
        );
    }
}

#[tokio::test]
async fn a_device_that_keeps_sending_keeps_the_call() {
    let mut config = answering(Says::Silence, HangsUp::After(ms(1500)));
    config.service.ends_without_audio = Some(ms(1000));
    let mut talk = Talk::begin(config).await;
    // One packet for each that comes: a clock without a timer.
    while talk.media.frame().await["event"] == "media" {
        talk.media.speak(&[0xff; 160]).await;
    }
    assert_eq!(talk.over().await.reason, Some(Reason::Remote));
}

#[tokio::test]
async fn hang_up_over_rest_ends_a_talk() {
    let mut talk = Talk::begin(patient()).await;
    let client = Client::new(&talk.simulator);
    let path = format!("/calls/{}/hangup", talk.call);
    let answered = client.post(&path, &Value::Null).await.unwrap();
    assert_eq!(
        (answered.status, &answered.body["status"]),
        (200, &json!("answered"))
    );
    assert_eq!(talk.media.frame_of("stop").await["reason"], "local");
    assert_eq!(talk.over().await.reason, Some(Reason::Local));
}

#[tokio::test]
async fn one_way_sound_stops_without_a_word() {
    let words = Says::SpeechThenNoMedia(vec![8000; 320].into());
    let mut talk = Talk::begin(answering(words, HangsUp::After(ms(1000)))).await;
    let mut packets = 0;
    while talk.media.frame().await["event"] == "media" {
        packets += 1;
    }
    assert_eq!(packets, 2);
}

#[tokio::test]
async fn wrong_frames_are_complained_about_and_harm_nothing() {
    let mut talk = Talk::begin(patient()).await;
    let stream_id = talk.media.stream_id.clone();
    let media = |payload: &str| json!({"event": "media", "stream_id": stream_id, "media": {"payload": payload}});
    let wrong = [
        json!("not an object").to_string(),
        "{".to_owned(),
        json!({"event": "wink"}).to_string(),
        media("%").to_string(),
        media("AAAA").to_string(),
        json!({"event": "clear", "stream_id": "another"}).to_string(),
    ];
    for text in wrong {
        talk.media.send_text(&text).await;
        let error = talk.media.frame_of("error").await;
        assert!(error["payload"]["detail"].is_string(), "{text}");
    }
    talk.media.speak(&[LOUD; 160]).await;
    talk.event(|what| *what == What::FirstAudio).await;
}

#[tokio::test]
async fn digits_and_raw_frames_reach_the_device() {
    let mut talk = Talk::begin(patient()).await;
    assert!(talk.simulator.handle.digit(&talk.call, '5'));
    assert_eq!(talk.media.frame_of("dtmf").await["dtmf"]["digit"], "5");
    assert!(talk.simulator.handle.send_frame(&talk.call, "not JSON"));
    while talk.media.text().await != "not JSON" {}
    assert!(!talk.simulator.handle.digit("no such call", '5'));
}

#[tokio::test]
async fn a_stop_of_the_simulator_is_a_stop_for_the_device() {
    let mut talk = Talk::begin(patient()).await;
    let stopping = tokio::spawn(talk.simulator.stop());
    talk.media.frame_of("stop").await;
    assert_eq!(talk.media.closed().await, Some(1000));
    drop(talk.media);
    guarded(stopping).await.unwrap();
}

#[tokio::test]
async fn the_same_seed_makes_the_same_line() {
    let line = |seed: u64| format!("reorder=0.2,duplicate=0.2,loss=0.2,garbage=0.2,seed={seed}");
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let words = Says::Speech(vec![1000; 160 * 40].into());
        let mut config = answering(words, HangsUp::Never);
        config.line = line(seed).parse().unwrap();
        let mut talk = Talk::begin(config).await;
        let mut came = Vec::new();
        while came.len() < 40 {
            let text = talk.media.text().await;
            let frame = serde_json::from_str::<Value>(&text);
            let chunk = frame
                .ok()
                .and_then(|frame| frame["media"]["chunk"].as_u64());
            came.push(chunk.map_or(text, |chunk| chunk.to_string()));
        }
        runs.push(came);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn wss_needs_a_certificate_it_trusts() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));

    for trusted in [true, false] {
        let mut config = patient();
        config.service.extra_ca_pem = trusted.then(|| pem.clone());
        let simulator = start(config).await;
        let device = Device::listen().await;
        let url = device.url().replace("ws://127.0.0.1", "wss://localhost");
        let call = Client::new(&simulator).placed(&url).await;
        let accepted = guarded(acceptor.accept(device.tcp().await)).await;
        if trusted {
            let mut media = Media::accept(accepted.unwrap(), &[]).await;
            media.frame_of("start").await;
        } else {
            assert!(accepted.is_err());
            let refused =
                |what: &What| matches!(what, What::MediaRefused(why) if why.starts_with("TLS"));
            event(&simulator.handle, &call, refused).await;
        }
    }
}
