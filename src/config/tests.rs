use std::path::Path;

use super::*;

const SMALL: &str = r#"
[service]
from_number = "+15550100001"
phone_number_id = "00000000-0000-4000-8000-000000000001"
[ingress]
mode = "public-url"
public_url = "wss://door.example.org"
[[button]]
name = "door"
to = "+15550100002"
"#;

fn fault(text: &str) -> String {
    match parse(Path::new("callbox.toml"), text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn the_template_is_valid() {
    parse(Path::new("t"), TEMPLATE).unwrap();
}

#[test]
fn the_template_shows_the_true_defaults() {
    // Every `#key = value` line, taken in, changes nothing; the keys that
    // name a file have no default, and `certificate` goes with another mode.
    let optional = ["_file", "certificate", "private_key", "group"];
    let full: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(set) if set.contains(" = ") && !set.starts_with(' ') => {
                let key = set.split(' ').next().unwrap();
                if optional.iter().any(|o| key.ends_with(o)) {
                    line
                } else {
                    set
                }
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let text = |t: &str| format!("{:?}", parse(Path::new("t"), t).unwrap());
    assert_ne!(full, TEMPLATE);
    assert_eq!(text(&full), text(TEMPLATE));
}

#[test]
fn a_small_file_is_enough() {
    let file = parse(Path::new("t"), SMALL).unwrap();
    assert_eq!(file.panel.qualify.as_millis(), 20);
    assert_eq!(file.call.ring_for.as_secs(), 45);
}

#[test]
fn the_store_has_room_for_the_records_it_is_to_keep() {
    let text = format!("{SMALL}[store]\nmax_records = 100000\nmax_days = 30\n");
    let store = parse(Path::new("t"), &text).unwrap().store();
    assert_eq!(store.max_rows, 100_000);
    assert_eq!(store.max_age.as_secs(), 30 * 86_400);
    assert!(store.max_bytes >= 100_000 * 4096, "{}", store.max_bytes);
}

#[test]
fn faults_name_line_section_and_key() {
    let cases = [
        (
            "to = \"+15550100002\"",
            "to = \"5550100002\"",
            "callbox.toml:10: [[button]] to: a number starts with + and the country code, like +4930123456",
        ),
        (
            "to = \"+15550100002\"",
            "too = \"+15550100002\"",
            "callbox.toml:10: [[button]] too: unknown field `too`",
        ),
        (
            "to = \"+15550100002\"",
            "to = 15550100002",
            "callbox.toml:10: [[button]] to: invalid type: integer",
        ),
        (
            "[service]",
            "[panel]\nqualify_ms = 3000\n[service]",
            "callbox.toml:3: [panel] qualify_ms: 3000 is outside 0 to 500",
        ),
        (
            "[service]",
            "[panel]\nqualify_ms = -1\n[service]",
            "-1 is outside 0 to 500",
        ),
        (
            "to = \"+15550100002\"",
            "to = \"+15550100001\"",
            "it cannot call itself",
        ),
        (
            "to = \"+15550100002\"",
            "to = \"+15550100002\"\nline = 17",
            "callbox.toml:11: [[button]] line: invalid type: integer",
        ),
        (
            "to = \"+15550100002\"",
            "to = \"+15550100002\"\n[[button]]\nname = \"door\"\nto = \"+15550100003\"",
            "two buttons are called door",
        ),
        (
            "[service]",
            "[panel]\nlong_press_ms = 6000\nstuck_s = 5\n[service]",
            "callbox.toml:4: [panel] stuck_s: stuck is 5s; it must be longer than long_press",
        ),
        (
            "wss://",
            "https://",
            "callbox.toml:7: [ingress] public_url:",
        ),
        ("wss://", "ws://", "callbox.toml:7: [ingress] public_url:"),
        (
            "\"public-url\"",
            "\"tls\"",
            "callbox.toml:5: [ingress] certificate: mode = \"tls\" needs certificate",
        ),
        (
            "\"public-url\"",
            "\"ngrok\"",
            "callbox.toml:6: [ingress] mode: unknown variant `ngrok`",
        ),
        (
            "mode = \"public-url\"",
            "mode = \"public-url\"\nlisten = \"0.0.0.0:80\"",
            "callbox.toml:7: [ingress] listen: in mode \"public-url\" the socket is not encrypted",
        ),
        (
            "00000000-0000",
            "0000",
            "callbox.toml:4: [service] phone_number_id:",
        ),
        (
            "[ingress]",
            "base_url = \"http://example.org\"\n[ingress]",
            "callbox.toml:5: [service] base_url:",
        ),
        ("[ingress]", "[ingress", "callbox.toml:5"),
        (
            "[service]",
            "[sound]\nrate = 44100\n[service]",
            "callbox.toml:3: [sound] rate: callbox runs cards at 48000 or 16000",
        ),
        (
            "[service]",
            "[sound]\nspeaker_db = 60.0\n[service]",
            "60 dB is outside -40 to 20",
        ),
        (
            "[service]",
            "[sound]\ntones = \"us\"\n[service]",
            "callbox.toml:3: [sound] tones: \"us\" is none of europe, north-america",
        ),
        (
            "[service]",
            "[store]\npath = \"\"\n[service]",
            "a path may not be empty",
        ),
    ];
    for (from, to, want) in cases {
        let said = fault(&SMALL.replacen(from, to, 1));
        assert!(said.contains(want), "{to}\n  said: {said}\n  want: {want}");
    }
}

#[test]
fn a_section_that_is_missing_is_named() {
    let said = fault("[ingress]\nmode = \"public-url\"\npublic_url = \"wss://a.b\"\n");
    assert!(said.contains("missing field `service`"), "{said}");
}

#[test]
fn files_that_cannot_be_read_say_what_to_do() {
    let dir = std::env::temp_dir().join(format!("callbox-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let none = load(&dir.join("none.toml")).unwrap_err().to_string();
    assert!(none.contains("callbox config init"), "{none}");
    let folder = load(&dir).unwrap_err().to_string();
    assert!(folder.contains("not a file"), "{folder}");
    let latin = dir.join("latin.toml");
    std::fs::write(&latin, b"[service]\nname = \"M\xfcller\"\n").unwrap();
    let latin = load(&latin).unwrap_err().to_string();
    assert!(
        latin.contains("latin.toml:2: not UTF-8") || latin.contains(":2: this is not UTF-8"),
        "{latin}"
    );
    let large = dir.join("large.toml");
    std::fs::write(&large, vec![b'#'; 70_000]).unwrap();
    let large = load(&large).unwrap_err().to_string();
    assert!(large.contains("70000 bytes"), "{large}");
    std::fs::remove_dir_all(&dir).unwrap();
}
