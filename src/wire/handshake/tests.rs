use super::*;

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyzABCD-_";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn upgrade(more: &str) -> String {
    format!(
        "GET /media/{TOKEN} HTTP/1.1\r\nHost: door.example\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

fn whole(head: &str) -> Result<Request, Refusal> {
    parse(head.as_bytes()).map(|request| request.expect("the head is whole").0)
}

fn context(value: &str) -> Context {
    whole(&upgrade(&format!("X-Call-Context: {value}\r\n")))
        .unwrap()
        .context
        .unwrap()
}

#[test]
fn tokens_are_32_safe_characters() {
    assert_eq!(Token::parse(TOKEN).unwrap().as_str(), TOKEN);
    let made = Token::from_random([0xFB; 24]);
    assert_eq!(Token::parse(made.as_str()), Some(made));
    for bad in [
        &TOKEN[1..],
        &format!("{TOKEN}x"),
        &TOKEN.replace('-', "."),
        &"é".repeat(16),
    ] {
        assert_eq!(Token::parse(bad), None, "{bad}");
    }
    assert!(!format!("{made:?}").contains(made.as_str()));
}

#[test]
fn a_head_is_whole_at_its_last_byte_only() {
    let head = upgrade("");
    for cut in 0..head.len() {
        assert_eq!(parse(&head.as_bytes()[..cut]), Ok(None), "{cut}");
    }
    let with_more = format!("{head}\u{1}frame");
    let (request, length) = parse(with_more.as_bytes()).unwrap().unwrap();
    assert_eq!(length, head.len());
    assert_eq!(request.target, Target::Media(Token::parse(TOKEN).unwrap()));
    assert_eq!(request.key.as_deref(), Some(KEY));
}

#[test]
fn a_proxy_may_put_a_path_before_ours() {
    let token = Token::parse(TOKEN).unwrap();
    let cases = [
        (token.media_path(), Some(Target::Media(token))),
        (token.probe_path(), Some(Target::Probe(token))),
        (
            format!("/door/7{}", token.media_path()),
            Some(Target::Media(token)),
        ),
        (
            format!("{}?x=/media/y", token.media_path()),
            Some(Target::Media(token)),
        ),
        (format!("{}/", token.media_path()), None),
        (format!("/media/x{TOKEN}"), None),
        (format!("media/{TOKEN}"), None),
        (format!("/else/{TOKEN}"), None),
        (format!("/{TOKEN}"), None),
        ("/".to_owned(), None),
        ("*".to_owned(), None),
    ];
    for (path, want) in cases {
        assert_eq!(target(&path), want, "{path}");
    }
}

#[test]
fn refusals_say_what_is_wrong() {
    let long = format!("X-Call-Context: {}\r\n", "x".repeat(HEAD_MAX));
    let many: String = (0..HEADERS_MAX).map(|n| format!("X-{n}: 1\r\n")).collect();
    let head = upgrade("");
    let probe = format!("GET /probe/{TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n");
    let cases = [
        ("hello\r\n\r\n".to_owned(), Refusal::NotHttp),
        ("\u{16}\u{3}\u{1}".to_owned(), Refusal::NotHttp),
        (head.replace("GET", "POST"), Refusal::Method),
        (head.replace("/media/", "/nothing/"), Refusal::UnknownPath),
        (
            head.replace("Upgrade: websocket\r\n", ""),
            Refusal::NotWebSocket,
        ),
        (
            head.replace("Version: 13", "Version: 8"),
            Refusal::NotWebSocket,
        ),
        (
            head.replace("keep-alive, Upgrade", "close"),
            Refusal::NotWebSocket,
        ),
        (
            head.replace(KEY, "c2hvcnQ="),
            Refusal::Header("Sec-WebSocket-Key"),
        ),
        (
            head.replace("Sec-WebSocket-Key", "X"),
            Refusal::Header("Sec-WebSocket-Key"),
        ),
        (
            upgrade("X-Call-Context: {\r\n"),
            Refusal::Header("X-Call-Context"),
        ),
        (
            upgrade("X-Call-Context: {}\r\nx-call-context: {}\r\n"),
            Refusal::Header("X-Call-Context"),
        ),
        (upgrade(&long), Refusal::TooLarge),
        (upgrade(&many), Refusal::TooLarge),
        (probe.replace("/probe/", "/media/"), Refusal::NotWebSocket),
    ];
    for (head, want) in cases {
        assert_eq!(whole(&head), Err(want), "{head}");
    }
    assert_eq!(whole(&probe).unwrap().key, None);
}

#[test]
fn both_shapes_of_the_context_are_read() {
    let older = context(r#"{"call_id":"c-1","phone_number":"+4930123456","direction":"outbound"}"#);
    let want = Context {
        call: CallId::parse("c-1"),
        remote: E164::parse("+4930123456").ok(),
        direction: Some(Direction::Outbound),
        ..Context::default()
    };
    assert_eq!(older, want);
    let newer = context(
        r#"{"id":"c-1","local_phone_number":"+12025550100","remote_phone_number":"+4930123456",
            "direction":"inbound","status":"answered","contacts":[{"name":"Zoë"}]}"#
            .replace('\n', "")
            .as_str(),
    );
    let want = Context {
        call: CallId::parse("c-1"),
        local: E164::parse("+12025550100").ok(),
        remote: E164::parse("+4930123456").ok(),
        direction: Some(Direction::Inbound),
        status: Some("answered".into()),
    };
    assert_eq!(newer, want);
}

#[test]
fn odd_fields_of_the_context_are_left_out() {
    let odd = r#"{"id":7,"call_id":"a/b","local_phone_number":null,"remote_phone_number":"sip:x",
        "direction":"sideways","status":["answered"]}"#;
    assert_eq!(context(&odd.replace('\n', "")), Context::default());
}

/// Made with: printf 'req-1.1700000000.{"id":"c-1"}' | openssl dgst -sha256 -hmac secret
const SIGNATURE: &str = "071726c34a141d5c26682381a8cc39704d1767e43ab962434dffe54604fc7dfa";
const STAMP: i64 = 1_700_000_000;

fn signed(signature: &str) -> Option<Signed> {
    let head = upgrade(&format!(
        "X-Call-Context: {{\"id\":\"c-1\"}}\r\nX-Inkbox-Request-ID: req-1\r\n\
         X-Inkbox-Timestamp: {STAMP}\r\nX-Inkbox-Signature: {signature}\r\n"
    ));
    whole(&head).unwrap().signed
}

fn judge(key: &str, signed: Option<&Signed>, time: Option<i64>) -> Result<Freshness, Refusal> {
    let key = SigningKey::new(key).unwrap();
    key.verify(signed, time, Duration::ZERO, &mut Seen::default())
}

#[test]
fn a_good_signature_is_taken() {
    let signed = signed(&format!("sha256={SIGNATURE}"));
    let fresh = Ok(Freshness::Fresh);
    assert_eq!(judge("whsec_secret", signed.as_ref(), Some(STAMP)), fresh);
    assert_eq!(
        judge(" secret\n", signed.as_ref(), Some(STAMP + 300)),
        fresh
    );
    assert_eq!(judge("secret", signed.as_ref(), Some(STAMP - 300)), fresh);
    let unjudged = Ok(Freshness::Unjudged);
    assert_eq!(judge("secret", signed.as_ref(), None), unjudged);
}

#[test]
fn a_wrong_signature_is_not() {
    let good = format!("sha256={SIGNATURE}");
    let upper = SIGNATURE.to_uppercase();
    assert!(judge("secret", signed(&format!("sha256={upper}")).as_ref(), None).is_ok());
    let mut off = good.clone();
    off.replace_range(70.., if good.ends_with('0') { "1" } else { "0" });
    let cases = [
        ("another key", "public", signed(&good)),
        ("no prefix", "secret", signed(SIGNATURE)),
        ("cut short", "secret", signed(&good[..good.len() - 2])),
        ("one digit off", "secret", signed(&off)),
        ("empty", "secret", signed("sha256=")),
        ("none", "secret", None),
    ];
    for (what, key, signed) in cases {
        let verdict = judge(key, signed.as_ref(), Some(STAMP));
        assert_eq!(verdict, Err(Refusal::Forged), "{what}");
    }
    let mut other = signed(&good).unwrap();
    other.context = b"{\"id\":\"c-2\"}".to_vec();
    assert_eq!(judge("secret", Some(&other), None), Err(Refusal::Forged));
    assert!(SigningKey::new("whsec_").is_none());
    assert!(SigningKey::new(" ").is_none());
}

#[test]
fn half_a_signature_is_none() {
    let head = upgrade("X-Inkbox-Request-ID: req-1\r\nX-Inkbox-Timestamp: 1\r\n");
    assert_eq!(whole(&head).unwrap().signed, None);
}

#[test]
fn a_stale_signature_is_refused() {
    let signed = signed(&format!("sha256={SIGNATURE}"));
    for off in [-301, 301, i64::MIN + STAMP + 1, i64::MAX - STAMP] {
        let verdict = judge("secret", signed.as_ref(), Some(STAMP.wrapping_add(off)));
        assert_eq!(verdict, Err(Refusal::Stale), "{off}");
    }
}

#[test]
fn a_request_id_is_good_once() {
    let key = SigningKey::new("secret").unwrap();
    let signed = signed(&format!("sha256={SIGNATURE}"));
    let mut seen = Seen::default();
    let mut verify = |after| key.verify(signed.as_ref(), None, after, &mut seen);
    assert!(verify(Duration::ZERO).is_ok());
    assert_eq!(verify(Duration::ZERO), Err(Refusal::Replayed));
    let last = REPLAY_KEEP - Duration::from_secs(1);
    assert_eq!(verify(last), Err(Refusal::Replayed));
    // By now its stamp is stale to any clock that is known.
    assert!(verify(REPLAY_KEEP).is_ok());
}

#[test]
fn a_full_table_refuses_instead_of_forgetting() {
    let mut seen = Seen::default();
    for n in 0..REPLAY_ENTRIES {
        assert_eq!(seen.insert(&n.to_string(), Duration::ZERO), Ok(()));
    }
    assert_eq!(seen.insert("new", Duration::ZERO), Err(Refusal::Crowded));
    assert_eq!(seen.insert("0", Duration::ZERO), Err(Refusal::Replayed));
    assert_eq!(seen.insert("new", REPLAY_KEEP), Ok(()));
}

/// The example of RFC 6455 §1.3.
#[test]
fn the_answer_holds_the_digest_and_asks_for_raw_sound() {
    let answer = String::from_utf8(accept(KEY, Mode::default())).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "));
    assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(answer.contains("\r\nX-Use-Inkbox-Text-To-Speech: false\r\n"));
    assert!(answer.contains("\r\nX-Use-Inkbox-Speech-To-Text: false\r\n"));
    assert!(answer.ends_with("\r\n\r\n"));
}

#[test]
fn each_refusal_is_a_whole_answer() {
    let all = [
        (Refusal::NotHttp, 400),
        (Refusal::PlainOnTls, 400),
        (Refusal::Header("X"), 400),
        (Refusal::Forged, 401),
        (Refusal::Stale, 401),
        (Refusal::Replayed, 401),
        (Refusal::UnknownPath, 404),
        (Refusal::OtherCall, 404),
        (Refusal::Method, 405),
        (Refusal::TooSlow, 408),
        (Refusal::NotWebSocket, 426),
        (Refusal::TooLarge, 431),
        (Refusal::Crowded, 503),
    ];
    for (refusal, status) in all {
        let answer = String::from_utf8(refuse(refusal)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert_eq!(body, format!("{refusal}\n"));
    }
    // A stranger cannot tell a wrong path from another call's.
    assert_eq!(refuse(Refusal::UnknownPath), refuse(Refusal::OtherCall));
}
