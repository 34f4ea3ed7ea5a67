use super::*;

fn order(chunk: impl Into<Option<u64>>, timestamp: impl Into<Option<u64>>) -> Order {
    Order {
        chunk: chunk.into(),
        timestamp: timestamp.into(),
    }
}

fn key(key: char) -> Inbound<'static> {
    Inbound::Dtmf(Digit::parse(key).unwrap())
}

fn media_of(text: &str) -> Media<'_> {
    match parse(text) {
        Ok(Inbound::Media(media)) => media,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn each_event_is_read() {
    let stop = |reason: Option<&str>| Inbound::Stop {
        reason: reason.map(str::to_owned),
    };
    let cases = [
        (r#"{"event":"connected","version":"1"}"#, Inbound::Connected),
        (r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#, key('5')),
        (r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##, key('#')),
        (r#"{"event":"dtmf","dtmf":{"digit":7}}"#, key('7')),
        (r#"{"event":"dtmf","dtmf":{"digit":"a"}}"#, key('A')),
        (
            r#"{"event":"mark","mark":{"name":"callbox-1"}}"#,
            Inbound::Mark("callbox-1".into()),
        ),
        (
            r#"{"event":"error","payload":{"code":100,"title":"no","detail":"why"}}"#,
            Inbound::Error {
                code: "100".into(),
                text: "no: why".into(),
            },
        ),
        (
            r#"{"event":"stop","reason":"hangup"}"#,
            stop(Some("hangup")),
        ),
        (r#"{"event":"closed"}"#, stop(None)),
        (r#"{"event":"hangup","reason":null}"#, stop(None)),
        (r#"{"event":"tomorrow","media":3}"#, Inbound::Unknown),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text), Ok(want), "{text}");
    }
}

/// With every field the service's page names, and some it does not.
#[test]
fn frames_with_all_their_fields_are_read() {
    let start = r#"{"event":"start","sequence_number":"1","stream_id":"s-1","start":{
        "call_control_id":"c-1","media_format":{"encoding":"OPUS","sample_rate":48000,
        "channels":1,"more":[1]},"more":{}},"more":null}"#;
    let format = Format {
        encoding: "OPUS".into(),
        rate: 48_000,
        channels: 1,
    };
    let want = Start {
        stream_id: Some("s-1".into()),
        format,
    };
    assert_eq!(parse(start), Ok(Inbound::Start(want)));
    let media = r#"{"event":"media","stream_id":"s-1","sequence_number":4,"media":{
        "track":"inbound","chunk":3,"timestamp":"60","payload":"AAEC","more":1}}"#;
    let want = Media {
        payload: "AAEC".into(),
        order: order(3, 60),
        track: Track::FarEnd,
    };
    assert_eq!(media_of(media), want);
}

#[test]
fn what_cannot_be_read_is_malformed() {
    let cases = [
        ("", Malformed::Json),
        ("null", Malformed::Json),
        ("[]", Malformed::Json),
        ("{}", Malformed::Json),
        (r#"{"event":1}"#, Malformed::Json),
        (r#"{"event":"media""#, Malformed::Json),
        (r#"{"event":"media"}"#, Malformed::Body),
        (r#"{"event":"media","media":{}}"#, Malformed::Body),
        (
            r#"{"event":"media","media":{"payload":1}}"#,
            Malformed::Body,
        ),
        (r#"{"event":"dtmf","dtmf":{"digit":"55"}}"#, Malformed::Body),
        (r#"{"event":"dtmf","dtmf":{"digit":"E"}}"#, Malformed::Body),
        (r#"{"event":"mark"}"#, Malformed::Body),
        (r#"{"event":"error"}"#, Malformed::Body),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text), Err(want), "{text}");
    }
}

#[test]
fn missing_media_format_means_pcmu() {
    for text in [
        r#"{"event":"start","stream_id":"s"}"#,
        r#"{"event":"start","stream_id":"s","start":{"call_control_id":"c"}}"#,
        r#"{"event":"start","stream_id":"s","start":{"media_format":null}}"#,
        r#"{"event":"start","stream_id":"s","start":{"media_format":{"sample_rate":"8000"}}}"#,
    ] {
        let want = Start {
            stream_id: Some("s".into()),
            format: Format::default(),
        };
        assert_eq!(parse(text), Ok(Inbound::Start(want)), "{text}");
    }
}

#[test]
fn numbers_come_in_any_dress() {
    let cases = [
        (r#""chunk":3,"timestamp":60"#, order(3, 60)),
        (r#""chunk":"3","timestamp":" 60 ""#, order(3, 60)),
        (r#""chunk":3.5,"timestamp":-1"#, order(None, None)),
        (r#""chunk":null,"timestamp":{}"#, order(None, None)),
        (r#""chunk":"x","timestamp":"60""#, order(None, 60)),
        (r#""chunk":18446744073709551615"#, order(u64::MAX, None)),
        (r#""chunk":18446744073709551616"#, order(None, None)),
        (r#""other":1"#, order(None, None)),
    ];
    for (fields, want) in cases {
        let text = format!(r#"{{"event":"media","media":{{"payload":"AA==",{fields}}}}}"#);
        assert_eq!(media_of(&text).order, want, "{fields}");
    }
}

#[test]
fn our_own_track_is_told_apart() {
    let track = |track: &str| {
        let text = format!(r#"{{"event":"media","media":{{"payload":"","track":{track}}}}}"#);
        media_of(&text).track
    };
    assert_eq!(track(r#""inbound""#), Track::FarEnd);
    assert_eq!(track("null"), Track::FarEnd);
    assert_eq!(track("7"), Track::FarEnd);
    assert_eq!(track(r#""outbound""#), Track::Ours);
}

#[test]
fn payloads_are_decoded_and_bounded() {
    let mut sound = vec![9; 9];
    let mut decode = |payload: &str| {
        let media = Media {
            payload: payload.into(),
            order: Order::default(),
            track: Track::FarEnd,
        };
        (media.decode(&mut sound), sound.clone())
    };
    assert_eq!(decode("AQID"), (Ok(()), vec![1, 2, 3]));
    assert_eq!(decode("AQ=="), (Ok(()), vec![1]));
    assert_eq!(decode("AQ"), (Ok(()), vec![1]));
    assert_eq!(decode(""), (Ok(()), vec![]));
    assert_eq!(decode("A*=="), (Err(Malformed::Base64), vec![]));
    assert_eq!(decode("AQI_"), (Err(Malformed::Base64), vec![]));
    let longest = "/".repeat(SOUND_MAX.div_ceil(3) * 4);
    assert_eq!(decode(&longest).0, Ok(()));
    assert_eq!(decode(&(longest + "////")).0, Err(Malformed::Oversized));
}

/// What we send is what the service's page describes, and what we read back.
#[test]
fn our_messages_are_json_of_the_documented_shape() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let mut writer = Writer::new(Some("a\"b"));
    let twice = [
        writer.media(&[1, 2, 3]).to_owned(),
        writer.media(&[1, 2, 3]).to_owned(),
    ];
    let want = serde_json::json!({
        "event": "media", "stream_id": "a\"b",
        "media": {"payload": "AQID", "track": "outbound"},
    });
    assert_eq!(twice.map(|text| json(&text)), [want.clone(), want]);
    let bare = json(Writer::new(None).media(&[]));
    assert_eq!(bare["media"]["payload"], "");
    assert_eq!(bare.get("stream_id"), None);
    assert_eq!(json(CLEAR), serde_json::json!({"event": "clear"}));
    assert_eq!(
        json(&write_mark("m\n")),
        serde_json::json!({"event": "mark", "mark": {"name": "m\n"}})
    );
    assert_eq!(
        json(&write_stop("over")),
        serde_json::json!({"event": "stop", "reason": "over"})
    );
}

#[test]
fn the_writer_uses_one_buffer() {
    let mut writer = Writer::new(Some("stream"));
    let first = writer.media(&[0; 1275]).as_ptr();
    for length in (0..=1275).rev() {
        assert_eq!(writer.media(&vec![0; length]).as_ptr(), first);
    }
}

fn transcript(text: &str, is_final: bool, turn: Option<&str>) -> Inbound<'static> {
    Inbound::Transcript(Transcript {
        text: text.to_owned(),
        is_final,
        turn: turn.map(str::to_owned),
    })
}

fn barge_in(trigger: Option<&str>, text: Option<&str>, cut: bool) -> Inbound<'static> {
    Inbound::BargeIn(BargeIn {
        trigger: trigger.map(str::to_owned),
        text: text.map(str::to_owned),
        tts_interrupted: cut,
        turn: None,
    })
}

#[test]
fn words_are_read_partial_and_final() {
    let cases = [
        (
            r#"{"event":"transcript","text":"op","is_final":false,"turn_id":"t-1"}"#,
            transcript("op", false, Some("t-1")),
        ),
        (
            r#"{"event":"transcript","text":"open","is_final":true,"turn_id":7}"#,
            transcript("open", true, Some("7")),
        ),
        (
            r#"{"event":"transcript","text":"open","is_final":"True","turn_id":null}"#,
            transcript("open", true, None),
        ),
        // What is not said to be final is not.
        (
            r#"{"event":"transcript","text":"open"}"#,
            transcript("open", false, None),
        ),
        (
            r#"{"event":"transcript","text":"open","is_final":1,"turn_id":{}}"#,
            transcript("open", false, None),
        ),
        (
            r#"{"event":"transcript","text":"a\u0007\n b\u001b[2J","is_final":true}"#,
            transcript("a b[2J", true, None),
        ),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text), Ok(want), "{text}");
    }
}

#[test]
fn barging_in_is_read_whatever_is_in_it() {
    let cases = [
        (r#"{"event":"barge_in"}"#, barge_in(None, None, false)),
        (
            r#"{"event":"barge_in","trigger":"speech","text":"stop","tts_interrupted":true}"#,
            barge_in(Some("speech"), Some("stop"), true),
        ),
        (
            r#"{"event":"barge_in","trigger":[],"text":{},"tts_interrupted":"yes"}"#,
            barge_in(None, None, false),
        ),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text), Ok(want), "{text}");
    }
}

#[test]
fn long_words_are_clipped() {
    let long = "wörd ".repeat(100_000);
    let text = serde_json::json!({
        "event": "transcript", "text": long, "is_final": true, "turn_id": long,
    });
    let text = text.to_string();
    let Ok(Inbound::Transcript(words)) = parse(&text) else {
        panic!("it is read");
    };
    assert_eq!(words.text, clean(&long, TRANSCRIPT_MAX));
    assert!(words.text.len() > TRANSCRIPT_MAX - 2);
    assert!(words.turn.unwrap().len() <= NAME_MAX);
}

#[test]
fn words_that_cannot_be_read_are_malformed() {
    let texts = [
        r#"{"event":"transcript"}"#,
        r#"{"event":"transcript","text":null}"#,
        r#"{"event":"transcript","text":7}"#,
        r#"{"event":"transcript","text":["open"]}"#,
    ];
    for text in texts {
        assert_eq!(parse(text), Err(Malformed::Body), "{text}");
    }
}

/// A frame that is cut anywhere is not taken for a whole one, nor is one whose
/// bytes were lost.
#[test]
fn every_cut_of_a_frame_is_malformed() {
    let frames = [
        r#"{"event":"start","stream_id":"s","start":{"media_format":{"encoding":"OPUS"}}}"#,
        r#"{"event":"transcript","text":"open the door","is_final":true,"turn_id":"t"}"#,
        r#"{"event":"barge_in","trigger":"speech","text":"a","tts_interrupted":true}"#,
        r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##,
        r#"{"event":"mark","mark":{"name":"callbox-said-1"}}"#,
    ];
    for frame in frames {
        assert!(parse(frame).is_ok(), "{frame}");
        for end in 0..frame.len() {
            assert_eq!(
                parse(&frame[..end]),
                Err(Malformed::Json),
                "{end} of {frame}"
            );
            // A field's name or value with a letter less is another field or
            // value, or nothing: never a panic.
            let shorter = [&frame[..end], &frame[end + 1..]].concat();
            _ = parse(&shorter);
        }
    }
}

#[test]
fn our_words_are_json_of_the_documented_shape() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let delta = json(&write_text("He said \"no\". "));
    let want = serde_json::json!({"event": "text", "delta": "He said \"no\". "});
    assert_eq!(delta, want);
    let done = serde_json::json!({"event": "text", "done": true});
    assert_eq!(json(TEXT_DONE), done);
    let over = serde_json::json!({"event": "audio_done", "stream_id": "a\"b"});
    assert_eq!(json(&write_audio_done(Some("a\"b"))), over);
    let over = serde_json::json!({"event": "audio_done"});
    assert_eq!(json(&write_audio_done(None)), over);
}
