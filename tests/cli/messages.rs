//! The words of the program: what it says when something is not as it should
//! be, with which exit code, and that nothing else is harmed by it.

use std::fs;
use std::net::TcpListener;

use callbox::simulator::Fault;
use callbox::simulator::Route;

use crate::support::{Folder, Said, Service, files, free_address, run};

/// A service that is not there.
const NOBODY: &str = "http://127.0.0.1:9/api/v1/phone";

/// Wants this exit code, and these words on standard error, nothing else on
/// standard output.
fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:#?}");
    assert_eq!(said.out, "", "{said:#?}");
    for word in words {
        assert!(said.err.contains(word), "no {word:?} in {said:#?}");
    }
    assert!(!said.err.contains("panicked"), "{said:#?}");
}

fn done(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(0), "{said:#?}");
    for word in words {
        assert!(said.out.contains(word), "no {word:?} in {said:#?}");
    }
}

#[test]
fn wrong_arguments_name_what_is_wrong_and_what_there_is() {
    let cases: [(&str, &[&str]); 7] = [
        ("", &["Usage: callbox", "demo", "doctor"]),
        (
            "frobnicate",
            &["unrecognized subcommand 'frobnicate'", "--help"],
        ),
        (
            "--log loud status",
            &["invalid value 'loud'", "error, warn, info, debug"],
        ),
        ("call --config", &["a value is required for '--config"]),
        ("config", &["init", "check", "show"]),
        ("calls show", &["required arguments", "<ID>"]),
        (
            "calls list --limit 1000000",
            &["1000000 is not in 1..=10000"],
        ),
    ];
    for (words, want) in cases {
        refused(&run(words), 2, want);
    }
}

#[test]
fn config_init_writes_a_file_that_check_takes_and_never_over_one() {
    let folder = Folder::new();
    let file = folder.path.join("new/callbox.toml");
    let init = format!("config init --config {}", file.display());
    done(
        &run(&init),
        &["written: edit it, then `callbox config check`"],
    );
    done(
        &run(&format!("config check --config {}", file.display())),
        &["good; door calls"],
    );
    fs::write(&file, "mine").unwrap();
    refused(&run(&init), 1, &["is there already; it was left as it is"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let below = format!("config init --config {}/x.toml", file.display());
    refused(&run(&below), 1, &["cannot be"]);
}

#[test]
fn config_check_names_file_line_and_key_for_each_kind_of_fault() {
    let folder = Folder::new();
    let good = folder.config(NOBODY);
    done(
        &folder.callbox("config check", &good),
        &["good; door calls +…199"],
    );
    let cases: [(&str, &str, &[&str]); 9] = [
        ("[ingress]", "[ingress", &["callbox.toml:6"]),
        (
            "name = \"door\"",
            "name = 7",
            &["callbox.toml:11: [[button]] name", "invalid type"],
        ),
        (
            "name = \"door\"",
            "nme = \"door\"",
            &["callbox.toml:11: [[button]] nme", "unknown field"],
        ),
        ("[sound]", "[sounds]", &["unknown field `sounds`"]),
        (
            "[sound]",
            "[sound]\nrate = 44100",
            &["[sound] rate", "48000 or 16000"],
        ),
        (
            "[sound]",
            "[sound]\nperiod_ms = 999",
            &["[sound] period_ms", "outside 2 to 40"],
        ),
        (
            "\"+15005550199\"",
            "\"0800 123\"",
            &["[[button]] to", "starts with +"],
        ),
        (
            "mode = \"public-url\"",
            "mode = \"tls\"",
            &["certificate", "/path/to/file.pem"],
        ),
        (
            "base_url = \"http://127.0.0.1:9",
            "base_url = \"http://example.org",
            &["[service] base_url"],
        ),
    ];
    for (from, to, want) in cases {
        let broken = good.replacen(from, to, 1);
        assert_ne!(broken, good, "{from}");
        refused(&folder.callbox("config check", &broken), 1, want);
    }
    let missing = format!("config check --config {}/none.toml", folder.path.display());
    refused(
        &run(&missing),
        1,
        &["there is no such file", "callbox config init"],
    );
    let directory = format!("config check --config {}", folder.path.display());
    refused(&run(&directory), 1, &["not a file"]);
    let latin = folder.write("latin.toml", b"[service]\nname = \"M\xfcller\"\n");
    let latin = format!("config check --config {}", latin.display());
    refused(&run(&latin), 1, &["latin.toml:2", "not UTF-8"]);
}

#[test]
fn config_show_is_a_configuration_that_means_the_same() {
    let folder = Folder::new();
    let shown = folder.callbox("config show", &folder.config(NOBODY));
    done(&shown, &["qualify_ms = 20", "ring_for_s = 45"]);
    done(
        &folder.callbox("config check", &shown.out),
        &["good; door calls +…199"],
    );
    let again = folder.callbox("config show", &shown.out);
    assert_eq!(again.out, shown.out);
}

#[test]
fn run_does_not_start_with_a_configuration_it_cannot_use() {
    let folder = Folder::new();
    let good = folder.config(NOBODY);
    let missing = format!("run --config {}/none.toml", folder.path.display());
    refused(
        &run(&missing),
        1,
        &["there is no such file", "callbox config init"],
    );
    let broken = good.replace("[sound]", "[sound]\nrate = 1");
    refused(&folder.callbox("run", &broken), 1, &["[sound] rate"]);
    let keyless = good.replace("api_key_file", "#api_key_file");
    refused(
        &folder.callbox("run", &keyless),
        1,
        &[
            "there is no API key",
            "[service] api_key_file",
            "credential",
        ],
    );
    let group = format!("{good}group = \"no-such-group\"\n");
    refused(
        &folder.callbox("run", &group),
        1,
        &["no group no-such-group", "groupadd"],
    );
    folder.write("api-key", "two words");
    refused(
        &folder.callbox("run", &good),
        1,
        &["an API key is one word", "copy it again"],
    );
}

/// A sound that cannot be used is found before a visitor misses it.
#[test]
fn run_does_not_start_with_recordings_it_cannot_use() {
    let folder = Folder::new();
    let prompts = folder.path.join("prompts");
    let config = format!(
        "{}[prompts]\nfolder = \"{}\"\n",
        folder.config(NOBODY),
        prompts.display()
    );
    let missing = folder.callbox("run", &config);
    refused(&missing, 1, &["prompts", "No such file"]);
    let wav = |n: u32| [b"RIFF".as_slice(), &n.to_le_bytes(), b"WAVEfmt "].concat();
    for (name, content, want) in [
        ("ringing.wav", b"ID3 this is an MP3".to_vec(), "WAV"),
        ("ringing.wav", wav(0xffff_ffff), "damaged"),
        ("ringing.wav", Vec::new(), "ringing.wav"),
        ("rining.wav", wav(4), "rining.wav"),
        ("ringing.mp3", wav(4), "ringing.mp3"),
    ] {
        _ = fs::remove_dir_all(&prompts);
        fs::create_dir(&prompts).unwrap();
        fs::write(prompts.join(name), content).unwrap();
        refused(&folder.callbox("run", &config), 1, &[name, want]);
    }
}

#[test]
fn run_names_the_port_that_is_taken() {
    let folder = Folder::new();
    let other = TcpListener::bind(folder.listen).unwrap();
    let said = folder.callbox("run", &folder.config(NOBODY));
    let address = folder.listen.to_string();
    refused(&said, 1, &["cannot listen on", &address, "choose another"]);
    assert!(!folder.path.join("control.sock").exists());
    drop(other);
}

#[test]
fn a_second_daemon_does_not_start_and_the_first_does_not_notice() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = folder.config(&service.handle.base_url());
    let first = folder.daemon(&config);
    let elsewhere = config
        .replace(&folder.listen.to_string(), &free_address().to_string())
        .replace("/store/", "/store-2/");
    let second = folder.callbox("run", &elsewhere);
    refused(&second, 1, &["callbox runs already", "callbox status"]);
    done(
        &folder.callbox("status", &config),
        &["state            ready"],
    );
    drop(first);
}

#[test]
fn without_a_daemon_its_commands_say_how_to_start_it() {
    let folder = Folder::new();
    let config = folder.config(NOBODY);
    folder.write("callbox.toml", &config);
    let before = files(&folder.path);
    for words in ["call", "call door", "hangup", "status", "status --json"] {
        refused(
            &folder.callbox(words, &config),
            1,
            &[
                "callbox is not running",
                "control.sock",
                "systemctl start callbox",
            ],
        );
    }
    assert_eq!(files(&folder.path), before);
}

#[test]
fn a_daemon_is_asked_pressed_and_ended() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = folder.config(&service.handle.base_url());
    let daemon = folder.daemon(&config);
    let page = folder.callbox("status", &config);
    done(
        &page,
        &[
            "up ",
            "service ",
            "microphone       present yes",
            "records          on disk",
        ],
    );
    assert!(
        page.out.lines().all(|line| line.chars().count() <= 80),
        "{page:#?}"
    );
    let json = folder.callbox("status --json", &config);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["state"], "ready");
    refused(
        &folder.callbox("call gate", &config),
        1,
        &["there is no such button that calls; there is door"],
    );
    done(&folder.callbox("hangup", &config), &["asked to hang up"]);
    done(
        &folder.callbox("call", &config),
        &["pressed door", "callbox status"],
    );
    let trace = folder.callbox("status --trace", &config);
    done(&trace, &["panel    press", "presses 1"]);
    assert_eq!(daemon.terminate(), Some(0));
    assert!(!folder.path.join("control.sock").exists());
    done(&folder.callbox("calls list", &config), &["+…199"]);
}

#[test]
fn calls_without_records_or_service_say_what_to_check() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = folder.config(NOBODY);
    refused(
        &folder.callbox("calls list", &config),
        1,
        &["no call records at", "store/calls.db", "first start"],
    );
    assert!(!folder.path.join("store").exists());
    refused(
        &folder.callbox("calls list --remote", &config),
        1,
        &["nothing answers at the service's address"],
    );
    let config = folder.config(&service.handle.base_url());
    service.handle.fault(Route::List, Fault::CaptivePortal, 1);
    refused(
        &folder.callbox("calls list --remote", &config),
        1,
        &["a web page", "guest network"],
    );
    folder.write("api-key", "another-key");
    refused(
        &folder.callbox("calls list --remote", &config),
        1,
        &["does not accept the API key"],
    );
}
