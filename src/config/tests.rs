use std::os::unix::fs::PermissionsExt;
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
    let optional = [
        "_file",
        "certificate",
        "private_key",
        "command",
        "tunnel",
        "group",
        "phone_number_id",
        "night",
        "quiet",
        "timezone",
        "folder",
        // Without these the kind of sound card decides.
        "rate",
        "_channels",
        "_channel",
        "period_ms",
        "periods",
        "self_test",
    ];
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
fn the_examples_of_the_template_are_valid() {
    let text: String = TEMPLATE
        .lines()
        .map(|line| line.strip_prefix("#  ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    // A number stands in `to` or in targets, and night must be known.
    let text = text
        .replacen("to = \"+15550100002\"\n", "", 1)
        .replace("#night", "night")
        .replace("#name = \"\"", "name = \"Main Street 1\"");
    let file = parse(Path::new("t"), &text).unwrap();
    let [door, lift, louder, softer] = &file.buttons[..] else {
        panic!("{:?}", file.buttons)
    };
    assert_eq!(door.targets[0].when, When::Day);
    assert_eq!(lift.kind, Kind::Announce);
    assert_eq!(lift.to.len(), 2);
    let volume = (louder.press, softer.press);
    assert_eq!(volume, (Action::VolumeUp, Action::VolumeDown));
    assert_eq!(file.schedules[0].at[0].minute(), 180);
    assert_eq!(file.doors[0].words.phrases(), ["open the door"]);
    let said = lift.say.as_ref().unwrap().render(&Facts {
        place: &file.place.name,
        time: "14:05",
        date: "1 June",
        button: &lift.name,
    });
    assert_eq!(
        said,
        "Somebody is stuck in the lift at Main Street 1. It is 14:05."
    );
}

#[test]
fn the_examples_of_the_readme_are_valid() {
    const README: &str = include_str!("../../README.md");
    const NO_BUTTON: &str = "[[button]]\nname = \"door\"\nto = \"+15550100002\"\n";
    let service = SMALL.split("[[button]]").next().unwrap();
    let examples = README.split("```toml\n").skip(1);
    let examples = examples.map(|rest| rest.split("```").next().unwrap());
    let mut count = 0;
    for example in examples {
        let button = if example.contains("to = ") || example.contains("button.target") {
            ""
        } else {
            NO_BUTTON
        };
        let text = format!("{service}{button}{example}");
        if let Err(fault) = parse(Path::new("README.md"), &text) {
            panic!("{fault}\n{text}");
        }
        count += 1;
    }
    assert_eq!(count, 6);
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
            "callbox.toml:4: [service] phone_number_id: phone_number_id is a UUID",
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

/// A file whose `[ingress]` is these lines.
fn reached_by(ingress: &str) -> String {
    SMALL.replacen(
        "mode = \"public-url\"\npublic_url = \"wss://door.example.org\"\n",
        ingress,
        1,
    )
}

#[test]
fn each_way_in_takes_its_own_keys_and_no_others() {
    const URL: &str = "public_url = \"wss://a.example\"\n";
    const RUN: &str = "command = [\"ssh\", \"-R\", \"80:127.0.0.1:{port}\", \"{\\\"a\\\":1}\"]\n";
    let file =
        |mode: &str, rest: &[&str]| reached_by(&format!("mode = \"{mode}\"\n{}\n", rest.concat()));
    let words = |words: &str| file("command", &[URL, "command = ", words]);
    let command = parse(Path::new("c"), &file("command", &[URL, RUN])).unwrap();
    assert_eq!(command.ingress.command[1], "-R");
    assert!(command.ingress.mode.has_tunnel());

    let long = format!("[\"ssh\", {:?}]", "x".repeat(1025));
    let many = format!("[{}]", "\"ssh\",".repeat(65));
    let wrong = [
        (
            file("public-url", &[]),
            ":5: [ingress] public_url: mode = \"public-url\" needs",
        ),
        (
            file("tls", &[URL, RUN]),
            "[ingress] certificate: mode = \"tls\" needs",
        ),
        (
            file("command", &[RUN]),
            "[ingress] public_url: mode = \"command\" needs",
        ),
        (
            file("command", &[URL]),
            "[ingress] command: mode = \"command\" needs command",
        ),
        (
            file("public-url", &[URL, RUN]),
            ":8: [ingress] command: mode = \"public-url\" starts no program",
        ),
        (
            file("command", &[URL, RUN, "certificate = \"/c\""]),
            "leaves TLS to the far end",
        ),
        (
            file("command", &[URL, RUN, "tunnel = \"door\""]),
            "set mode = \"inkbox\"",
        ),
        (
            file("command", &[URL, RUN, "listen = \"0.0.0.0:80\""]),
            "not encrypted",
        ),
        (
            words("\"ssh -N relay\""),
            ":8: [ingress] command: no shell takes it apart",
        ),
        (words("[\"ssh\", 22]"), "no shell takes it apart"),
        (
            words("[\"ssh -N\"]"),
            "each of its arguments is a word of its own",
        ),
        (
            words("[\"\", \"-N\"]"),
            "the first word is the program's name",
        ),
        (
            words("[\"bin/ssh\"]"),
            "the first word is the program's name, or its whole path",
        ),
        (
            words("[\"ssh\", \"{prot}\"]"),
            "{prot} stands for nothing; {port} is",
        ),
        (words("[\"ssh\", \"a\\u0000b\"]"), "printable"),
        (words(&long), "at most 1024 printable bytes"),
        (words(&many), "at most 64 words"),
    ];
    for (text, want) in wrong {
        let said = fault(&text);
        assert!(
            said.contains(want),
            "{text}\n  said: {said}\n  want: {want}"
        );
    }
}

#[cfg(not(feature = "tunnel"))]
#[test]
fn the_services_own_tunnel_that_was_left_out_is_told() {
    let said = fault(&reached_by("mode = \"inkbox\"\n"));
    assert!(
        said.contains(":6: [ingress] mode: this callbox was built without"),
        "{said}"
    );
    assert!(said.contains("--features tunnel"), "{said}");
}

#[cfg(feature = "tunnel")]
#[test]
fn the_services_own_tunnel_needs_one_line() {
    let file = parse(Path::new("c"), &reached_by("mode = \"inkbox\"\n")).unwrap();
    // Nothing was learnt yet.
    assert_eq!(file.ingress.public_url, None);
    let named = reached_by("mode = \"inkbox\"\ntunnel = \"@front-door\"\n");
    parse(Path::new("c"), &named).unwrap();
    let wrong = [
        ("tunnel = \"a b\"", "3 to 63 letters, digits and hyphens"),
        (
            "public_url = \"wss://a.example\"",
            "learns the address from the service",
        ),
        ("command = [\"ssh\"]", "starts no program"),
        ("certificate = \"/c\"", "leaves TLS to the far end"),
    ];
    for (line, want) in wrong {
        let said = fault(&reached_by(&format!("mode = \"inkbox\"\n{line}\n")));
        assert!(said.contains(want), "{line}: {said}");
    }
}

/// Faults of the panel, each in a file of its own behind [`SMALL`].
const WRONG: &[(&str, &str)] = &[
    // Lists of numbers.
    (
        "[[button]]\nname = \"b\"",
        "callbox.toml:11: [[button]] to: b: write whom it calls",
    ),
    (
        "[[button]]\nname = \"b\"\nto = []\nkind = \"announce\"\nsay = \"x\"",
        "callbox.toml:13: [[button]] to: b: write whom it calls",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+49301\", \"49302\"]",
        "callbox.toml:13: [[button]] to: a number starts with +",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+49301\", 49302]",
        "callbox.toml:13: [[button]] to: invalid type: integer",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+49301\", \"+49301\"]",
        "a number stands there twice; cycles = 2",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+491\",\"+492\",\"+493\",\"+494\",\"+495\",\"+496\",\"+497\",\"+498\",\"+499\"]",
        "at most 8 numbers",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\n[[button.target]]\nnumber = \"+49302\"",
        "callbox.toml:13: [[button]] to: b: write all numbers here, or each as",
    ),
    (
        "[[button]]\nname = \"b\"\n[[button.target]]\nnumber = \"+49302\"\nwhen = \"night\"",
        "callbox.toml:15: [[button.target]] when: b: it is not known what night is",
    ),
    (
        "[[button]]\nname = \"b\"\n[[button.target]]\nnumber = \"+49302\"\nwhen = \"8-18\"",
        "callbox.toml:15: [[button.target]] when: \"8-18\" names no hours",
    ),
    (
        "[[button]]\nname = \"b\"\n[[button.target]]\nnumber = \"+15550100001\"",
        "callbox.toml:14: [[button.target]] number: b: this is the number that calls",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+49301\", \"+49302\"]\nring_for_s = 60",
        "callbox.toml:14: [[button]] ring_for_s: b: with a list",
    ),
    (
        "[[button]]\nname = \"b\"\nto = [\"+49301\", \"+49302\"]\n[call]\nring_for_s = 60",
        "callbox.toml:15: [call] ring_for_s: b: with a list",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\ncycles = 10",
        "10 is outside 1 to 9",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nconfirm = \"12\"",
        "write one key",
    ),
    // What they do.
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\ndouble_press = \"cancel\"",
        "callbox.toml:14: [[button]] double_press: b: a call would have to wait",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\npress = \"none\"\ndouble_press = \"call\"",
        "double_press: b: a call would have to wait",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nlong_press = \"call\"",
        "long_press: b: the press calls already",
    ),
    (
        "[[button]]\nname = \"b\"\npress = \"ring\"",
        "unknown variant `ring`",
    ),
    // Announcements.
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nkind = \"announce\"",
        "callbox.toml:11: [[button]] say: b: write what is announced",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nsay = \"x\"",
        "callbox.toml:14: [[button]] say: b: only kind = \"announce\" says a text",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nkind = \"announce\"\nsay = \"{where}\"",
        "callbox.toml:15: [[button]] say: {where} is no placeholder",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nkind = \"announce\"\nsay = \"at {place}\"",
        "callbox.toml:15: [[button]] say: it says {place}, and no place is known",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nkind = \"announce\"\nsay = \"\\u001b[2J\"",
        "control characters",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\nkind = \"announce\"\nsay = \"x\"\ninkbox_tts = false",
        "inkbox_tts: b: it is the service that speaks",
    ),
    (
        "[[button]]\nname = \"b\"\nto = \"+49301\"\ninkbox_tts = true",
        "inkbox_tts: b: text takes the microphone's place",
    ),
    (
        "[[schedule]]\nname = \"s\"\nbutton = \"door\"\nat = \"03:00\"",
        "callbox.toml:13: [[schedule]] button: door is for talking",
    ),
    (
        "[[schedule]]\nname = \"s\"\nbutton = \"lift\"\nat = \"03:00\"",
        "no button is called \"lift\"",
    ),
    (
        "[[schedule]]\nname = \"s\"\nbutton = \"door\"\nat = \"24:00\"",
        "callbox.toml:14: [[schedule]] at: \"24:00\" is no time of day",
    ),
    (
        "[[schedule]]\nname = \"s\"\nbutton = \"door\"\nat = []",
        "at: write 1 to 24 times",
    ),
    (
        "[[schedule]]\nname = \"s\"\nbutton = \"door\"\nat = \"03:00\"\ndays = \"monday\"",
        "\"monday\" names no days",
    ),
    // Lamps and doors.
    (
        "[lamp]\nline = \"GPIO5\"",
        "callbox.toml:11: [lamp]: there may be several of these; write the section with two",
    ),
    (
        "[[lamp]]\nline = \"GPIO5\"\nrole = \"disco\"",
        "\"disco\" is none of status, in-progress, listen",
    ),
    (
        "[[lamp]]\nline = \"GPIO5\"\n[[lamp]]\nline = \"GPIO5\"",
        "callbox.toml:14: [[lamp]] line: lamp 2 and lamp 1 share a line",
    ),
    (
        "[[lamp]]\nline = \"GPIO5\"\n[[door]]\nname = \"d\"\nline = \"GPIO5\"",
        "callbox.toml:15: [[door]] line: d and lamp 1 share a line",
    ),
    (
        "[[door]]\nname = \"d\"\nline = \"GPIO5\"\npulse_ms = 50",
        "50 is outside 100 to 30000",
    ),
    (
        "[[door]]\nname = \"d\"\nline = \"GPIO5\"\nwords = [\"ok\"]",
        "words: d: a word or phrase has 3 to 64 letters",
    ),
    // Calls to the device, hours, the rest.
    (
        "[inbound]\naction = \"chime\"",
        "callbox.toml:11: [inbound] allow: name the numbers that may call",
    ),
    (
        "[inbound]\nallow = [\"*\"]",
        "'*' does not belong in a telephone number",
    ),
    (
        "[hours]\nnight = \"22-7\"",
        "callbox.toml:12: [hours] night: \"22-7\" names no hours",
    ),
    (
        "[hours]\ntimezone = \"../etc/passwd\"",
        "callbox.toml:12: [hours] timezone: this is no time zone",
    ),
    (
        "[sound]\nl16_byte_order = \"middle\"",
        "\"middle\" is none of big, little",
    ),
    ("[sound]\nvolume_step_db = 20", "20 is outside 1 to 10"),
    ("[prompts]\nfolder = \"\"", "a path may not be empty"),
];

#[test]
fn faults_of_the_panel_are_at_their_place() {
    let mut wrong = Vec::new();
    for (text, want) in WRONG {
        let said = fault(&format!("{SMALL}{text}\n"));
        if !said.contains(want) {
            wrong.push(format!("{text}\n  said: {said}\n  want: {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file with these keys in its door.
fn with_door(keys: &str) -> String {
    format!("{SMALL}[[door]]\nname = \"front\"\nline = \"GPIO5\"\n{keys}\n")
}

#[test]
fn a_code_is_never_shown() {
    const CODE: &str = "47110815";
    let keys = format!("code = \"{CODE}\"\nwords = [\"sesame\"]");
    let file = parse(Path::new("t"), &with_door(&keys)).unwrap();
    assert_eq!(file.doors[0].code.as_ref().unwrap().digits().len(), 8);
    let doors = file.doors().unwrap();
    for shown in [
        format!("{file:?}{file:#?}"),
        toml::to_string(&file).unwrap(),
        format!("{doors:?}"),
    ] {
        for secret in ["4711", "'4'", "sesame"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    // Nor is one that is wrong, whatever is wrong with it.
    for keys in [
        "code = 47110815",
        "code = [47110815]",
        "code = \"47110815x\"",
        "code = \"47110815471108154711\"",
        "code = \"47110815\"\ncode_file = \"/x\"",
        "code = \"47110815",
        "code = 47110815x",
        "words = \"0815\"",
        "words = [\"0815\", 47110815]",
        "words = [\"0815!\"]",
        "code = \"47110815\"\n[[door]]\nname = \"back\"\nline = \"GPIO6\"\ncode = \"0815\"",
    ] {
        let said = fault(&with_door(keys));
        assert!(!said.contains("0815"), "{said}");
        assert!(said.starts_with("callbox.toml:1"), "{said}");
    }
    let one = fault(&with_door("code = \"7\""));
    assert!(
        one.contains("allow_single_digit = true") && !one.contains('7'),
        "{one}"
    );
    parse(
        Path::new("t"),
        &with_door("code = \"7\"\nallow_single_digit = true"),
    )
    .unwrap();
}

#[test]
fn a_code_comes_from_its_file_too() {
    let dir = std::env::temp_dir().join(format!("callbox-code-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("code");
    let file = |keys: &str| {
        let keys = format!("code_file = \"{}\"\n{keys}", path.display());
        parse(Path::new("t"), &with_door(&keys)).unwrap()
    };
    let said = file("").doors().unwrap_err();
    assert!(
        said.contains("[[door]] front:") && said.contains("cannot be read"),
        "{said}"
    );
    for (text, want) in [
        ("4711\n", None),
        ("7\n", Some("allow_single_digit")),
        ("open\n", Some("keys of a telephone")),
    ] {
        std::fs::write(&path, text).unwrap();
        let said = file("").doors().err();
        assert_eq!(said.is_some(), want.is_some(), "{said:?}");
        let says = |want| said.as_ref().is_some_and(|said| said.contains(want));
        assert!(want.is_none_or(says), "{said:?}");
    }
    std::fs::write(&path, "4711").unwrap();
    let back = "[[door]]\nname = \"back\"\nline = \"GPIO6\"\ncode = \"11\"";
    let said = file(back).doors();
    let said = said.unwrap_err();
    assert!(said.contains("types the other on the way"), "{said}");
    std::fs::remove_dir_all(&dir).unwrap();
    // With nothing at all it stays shut, and says so.
    let said = parse(Path::new("t"), &with_door(""))
        .unwrap()
        .doors()
        .unwrap_err();
    assert!(said.contains("credential door-code-1"), "{said}");
    assert!(
        parse(Path::new("t"), &with_door("words = [\"open it\"]"))
            .unwrap()
            .doors()
            .is_ok()
    );
}

#[test]
fn a_list_follows_the_hours() {
    use jiff::civil::Weekday::{Monday, Saturday};
    let text = SMALL.replace(
        "to = \"+15550100002\"\n",
        "[[button.target]]\nnumber = \"+491\"\nwhen = \"day\"\n\
         [[button.target]]\nnumber = \"+492\"\nwhen = \"night\"\n\
         [[button.target]]\nnumber = \"+493\"\nwhen = \"sat 10:00-12:00\"\n\
         [[button.target]]\nnumber = \"+494\"\n\
         [hours]\nnight = \"22:00-07:00\"\n",
    );
    let mut file = parse(Path::new("t"), &text).unwrap();
    let button = file.button(&file.buttons[0]);
    assert_eq!(button.targets_at(12 * 60, Monday), [0, 3]);
    assert_eq!(button.targets_at(6 * 60 + 59, Monday), [1, 3]);
    assert_eq!(button.targets_at(10 * 60, Saturday), [0, 2, 3]);
    assert_eq!(file.gap(&file.buttons[0]), None);
    file.buttons[0].targets.remove(3);
    file.buttons[0].targets.remove(1);
    let (day, at) = file.gap(&file.buttons[0]).unwrap();
    assert_eq!((day, at.to_string().as_str()), (Monday, "00:00"));
}

#[test]
fn calls_to_the_device_need_a_signing_key_and_keep_their_token() {
    let dir = std::env::temp_dir().join(format!("callbox-inbound-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let key = dir.join("signing-key");
    let text = SMALL.replace(
        "[ingress]",
        &format!("signing_key_file = \"{}\"\n[ingress]", key.display()),
    );
    let text = format!(
        "{text}[inbound]\naction = \"chime\"\nallow = [\"+4930\"]\n[store]\npath = \"{}/a/calls.db\"\n",
        dir.display()
    );
    let unsigned = text.replace("signing_key_file", "ca_file");
    let said = parse(Path::new("t"), &unsigned).unwrap().inbound();
    assert!(
        said.unwrap_err()
            .contains("[inbound] action: a call to the device needs")
    );
    std::fs::write(&key, "whsec_abc").unwrap();
    let file = parse(Path::new("t"), &text).unwrap();
    let first = file.inbound().unwrap().unwrap();
    assert_eq!(file.inbound().unwrap().unwrap().token, first.token);
    let kept = dir.join("a/inbound-token");
    assert_eq!(
        std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::write(&kept, "short").unwrap();
    let said = file.inbound().unwrap_err();
    assert!(
        said.contains("32 letters") && !said.contains("short"),
        "{said}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_zone_is_known_or_named() {
    let zone = |name: &str| {
        let text = format!("{SMALL}[hours]\ntimezone = \"{name}\"\n");
        parse(Path::new("t"), &text).unwrap().timezone()
    };
    assert_eq!(
        zone("UTC").unwrap(),
        crate::edge::zone::Zone::named("UTC").unwrap()
    );
    let said = zone("Europe/Atlantis").unwrap_err();
    assert!(
        said.contains("no time zone \"Europe/Atlantis\" on this machine"),
        "{said}"
    );
}

#[test]
fn the_sound_is_tested_at_a_time_of_day_or_never() {
    let with = |line: &str| format!("{SMALL}[sound]\n{line}\n");
    let at = |text: &str| parse(Path::new("t"), text).unwrap().sound.self_test;
    assert_eq!(at(SMALL), None);
    let half_past = at(&with("self_test = \"03:30\"")).map(|at| at.minute());
    assert_eq!(half_past, Some(3 * 60 + 30));
    let said = fault(&with("self_test = \"3.30 at night\""));
    let want = "callbox.toml:12: [sound] self_test: ";
    assert!(said.starts_with(want), "{said}");
    assert!(said.contains("write it like \"07:30\""), "{said}");
    let said = fault(&with("self_test = true"));
    assert!(said.starts_with(want), "{said}");
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
