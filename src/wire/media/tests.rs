use super::*;

fn order(chunk: impl Into<Option<u64>>, timestamp: impl Into<Option<u64>>) -> Order {
    Order {
        chunk: chunk.into(),
        timestamp: timestamp.into(),
    }
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
        (
            r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#,
            Inbound::Dtmf('5'),
        ),
        (
            r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##,
            Inbound::Dtmf('#'),
        ),
        (r#"{"event":"dtmf","dtmf":{"digit":7}}"#, Inbound::Dtmf('7')),
        (
            r#"{"event":"dtmf","dtmf":{"digit":"a"}}"#,
            Inbound::Dtmf('A'),
        ),
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
        (
            r#"{"event":"transcript","text":"hi","is_final":true}"#,
            Inbound::Unused,
        ),
        (r#"{"event":"barge_in"}"#, Inbound::Unused),
        (r#"{"event":"tomorrow","media":3}"#, Inbound::Unknown),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text), Ok(want), "{text}");
    }
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
fn other_encodings_are_refused_with_a_reason() {
    let refused = |encoding, rate: u32, channels: u32| {
        let format = serde_json::json!({
            "encoding": encoding, "sample_rate": rate, "channels": channels.to_string(),
        });
        let text = serde_json::json!({"event": "start", "start": {"media_format": format}});
        match parse(&text.to_string()) {
            Ok(Inbound::Start(start)) => start.format.check().map_err(|e| e.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused("pcmu", 8000, 1), Ok(()));
    let opus = refused("OPUS", 48_000, 2).unwrap_err();
    assert!(opus.contains("OPUS at 48000 Hz with 2"), "{opus}");
    assert!(refused("PCMA", 8000, 1).is_err());
    assert!(refused("PCMU", 16_000, 1).is_err());
    assert!(refused("PCMU", 8000, 2).is_err());
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
    let first = writer.media(&[0; SLOT]).as_ptr();
    for _ in 0..100 {
        assert_eq!(writer.media(&[0; SLOT]).as_ptr(), first);
    }
}

/// A recutter, and what came out of it: slot numbers from the first on, and
/// the byte each slot is made of (`-` where they differ).
#[derive(Default)]
struct Bench {
    recutter: Recutter,
    out: Vec<(i64, String)>,
}

impl Bench {
    fn put(&mut self, order: Order, length: usize, letter: u8) -> &mut Self {
        let out = &mut self.out;
        self.recutter.put(order, &vec![letter; length], |slot| {
            assert_eq!(slot.payload.len(), SLOT);
            out.push((
                i64::from(slot.seq) - i64::from(FIRST_SEQ),
                spell(slot.payload),
            ));
        });
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
        let mut recutter = Recutter::default();
        let sent: Vec<u8> = (0..length * 7).map(|n| (n % 251) as u8).collect();
        for (n, payload) in sent.chunks(length).enumerate() {
            recutter.put(order(n as u64, None), payload, |slot| {
                assert_eq!(slot.seq as usize, FIRST_SEQ as usize + heard.len() / SLOT);
                heard.extend_from_slice(slot.payload);
            });
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
