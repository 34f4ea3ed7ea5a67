//! `callbox doctor`: well, beside a daemon and alone, and with each fault that
//! can be made here. Every fault has its fix.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callbox::simulator::{Call, Direction, Fault, NUMBER, NUMBER_ID, Route, Status};
use callbox::wire::handshake;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::{Folder, Said, Service, files, free_address, http, stranger};

/// Runs it, and wants exactly these faults: part of each, in order.
fn faults(folder: &Folder, config: &str, want: &[&[&str]]) {
    let said = folder.callbox("doctor --json", config);
    expect(&said, "fault", want);
    assert_eq!(said.code, Some(i32::from(!want.is_empty())), "{said:#?}");
}

fn expect(said: &Said, level: &str, want: &[&[&str]]) {
    let found = said.findings(level);
    assert_eq!(found.len(), want.len(), "{level}: {found:#?}");
    for (found, parts) in found.iter().zip(want) {
        for part in *parts {
            assert!(found.contains(part), "no {part:?} in {found:?}");
        }
        assert!(!found.ends_with("| "), "no fix: {found}");
    }
}

/// A service, and a device's folder.
fn bench() -> (Service, Folder) {
    (Service::start(), Folder::new())
}

/// A call of the number that the service calls `number_id`.
fn call(local: &str) -> Call {
    let now = Timestamp::now();
    Call {
        id: "6a0f4e5e-3f0e-4d8b-9c07-0d4c5b1b7e11".into(),
        number_id: NUMBER_ID.into(),
        local: local.into(),
        remote: "+15005550199".into(),
        direction: Direction::Outbound,
        status: Status::Completed,
        url: None,
        use_inkbox_tts: None,
        use_inkbox_stt: None,
        reason: None,
        started_at: None,
        ended_at: None,
        blocked: false,
        created_at: now,
        updated_at: now,
    }
}

#[test]
fn a_device_that_is_well_has_no_faults_and_nothing_is_changed() {
    let (service, folder) = bench();
    service.handle.add_call(call(NUMBER));
    let config = folder.config(&service.handle.base_url());
    folder.write("callbox.toml", &config);
    let before = files(&folder.path);
    let said = folder.callbox("doctor", &config);
    assert_eq!(said.code, Some(0), "{said:#?}");
    for want in [
        "   ok  config      door calls +…199",
        " skip  daemon      not running",
        "and accepts the key",
        "is the number of phone_number_id",
        "agrees with the service's",
        "microphone \"null\": 48000 Hz mono",
        "is free for callbox",
        "leads here by 127.0.0.1",
        "writable",
        "no faults",
    ] {
        assert!(said.out.contains(want), "no {want:?} in\n{}", said.out);
    }
    for line in said.out.lines() {
        assert!(
            line.chars().count() <= 80 || line.contains("/callbox-cli-"),
            "{line}"
        );
    }
    assert_eq!(files(&folder.path), before);
}

#[test]
fn beside_the_daemon_its_word_is_taken_for_what_it_holds() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let _daemon = folder.daemon(&config);
    let said = folder.callbox("doctor --json", &config);
    let well = said.findings("ok").join("\n");
    for want in [
        "daemon: running for",
        "microphone \"null\": the running callbox has it",
        "speaker \"null\": the running callbox has it",
        "the running callbox answers at",
        "round trip: ws://127.0.0.1",
        "0 calls on record",
    ] {
        assert!(well.contains(want), "no {want:?} in\n{well}");
    }
    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_the_only_fault() {
    let folder = Folder::new();
    let broken = folder
        .config("http://127.0.0.1:1")
        .replace("+15005550199", "5550199");
    faults(
        &folder,
        &broken,
        &[&[
            "config: ",
            "callbox.toml:12: [[button]] to: a number starts",
        ]],
    );
}

#[test]
fn a_wrong_key_is_named() {
    let (service, folder) = bench();
    folder.write("api-key", "not-the-key");
    let config = folder.config(&service.handle.base_url());
    faults(
        &folder,
        &config,
        &[&[
            "does not accept the API key",
            "put a valid key in the key file",
        ]],
    );
}

#[test]
fn a_key_that_is_missing_or_empty_is_named_and_one_that_all_may_read_is_warned_of() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let key = folder.path.join("api-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = folder.callbox("doctor --json", &config);
    expect(
        &said,
        "warn",
        &[&["secrets: ", "open to every user", "mode 644", "chmod 640"]],
    );
    assert_eq!(said.code, Some(0));
    folder.write("api-key", "\n");
    faults(
        &folder,
        &config,
        &[&["secrets: ", "the file is empty", "put the api-key in it"]],
    );
    fs::remove_file(&key).unwrap();
    faults(
        &folder,
        &config,
        &[&["secrets: ", "api-key cannot be read", "make a key"]],
    );
    let without = config.replace("api_key_file", "#api_key_file");
    faults(
        &folder,
        &without,
        &[&["secrets: ", "there is no API key", "api_key_file"]],
    );
}

#[test]
fn a_number_id_of_another_number_is_found() {
    let (service, folder) = bench();
    service.handle.add_call(call("+15005550101"));
    let config = folder.config(&service.handle.base_url());
    faults(
        &folder,
        &config,
        &[&["number: ", "belongs to +…101, but from_number is +…100"]],
    );
    let unknown = config.replace(NUMBER_ID, "00000000-0000-4000-8000-000000000009");
    let want: &[&[&str]] = &[&["number: ", "no number with this phone_number_id"]];
    faults(&folder, &unknown, want);
}

#[test]
fn a_service_that_is_not_there_or_not_itself_is_told_apart() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let cases = [
        (Fault::CaptivePortal, "guest network"),
        (
            Fault::Redirect("http://login.example/".into()),
            "login.example",
        ),
        (Fault::Status(500), "try again in a minute"),
        (Fault::NotJson(502), "try again in a minute"),
        (Fault::DropBefore, "check the network"),
    ];
    for (fault, want) in cases {
        service.handle.clear_faults();
        service.handle.fault(Route::List, fault, 1);
        faults(&folder, &config, &[&["service: ", want]]);
    }
    let nobody = folder.config(&format!("http://{}/api/v1/phone", free_address()));
    faults(
        &folder,
        &nobody,
        &[&["service: ", "nothing answers", "check the base URL"]],
    );
}

#[test]
fn a_clock_that_is_off_is_found_by_the_services() {
    let folder = Folder::new();
    let body = r#"{"detail":"no"}"#;
    let at = |offset: SignedDuration| {
        let then = Timestamp::now() + offset;
        let date = format!("Date: {}\r\n", then.strftime("%a, %d %b %Y %H:%M:%S GMT"));
        let address = stranger(move |_| http("401 Unauthorized", &date, body));
        folder.config(&format!("http://{address}/api/v1/phone"))
    };
    let key: &[&str] = &["service: ", "does not accept the API key"];
    let year = at(SignedDuration::from_hours(24 * 365 + 1));
    faults(
        &folder,
        &year,
        &[key, &["clock: 365 days behind", "timedatectl"]],
    );
    let past = at(SignedDuration::from_hours(-3));
    faults(
        &folder,
        &past,
        &[key, &["clock: ", "ahead of the service's"]],
    );
    let said = folder.callbox("doctor --json", &at(SignedDuration::from_secs(90)));
    expect(
        &said,
        "warn",
        &[&["clock: ", "behind the service's", "timedatectl"]],
    );
}

#[test]
fn a_card_that_is_not_there_is_named_with_those_that_are() {
    let (service, folder) = bench();
    let config = folder
        .config(&service.handle.base_url())
        .replace("speaker = \"null\"", "speaker = \"plughw:CARD=Nowhere\"");
    faults(
        &folder,
        &config,
        &[&[
            "cards: speaker: no sound card \"plughw:CARD=Nowhere\"",
            "plug it in",
        ]],
    );
}

#[test]
fn a_line_that_is_not_there_is_named() {
    let (service, folder) = bench();
    let config = folder
        .config(&service.handle.base_url())
        .replace("[sound]", "line = \"NO-SUCH-LINE\"\n[sound]");
    // With and without GPIO chips on this machine there is no such line.
    faults(&folder, &config, &[&["lines: ", "GPIO"]]);
}

#[test]
fn a_port_that_is_taken_is_named_with_how_to_find_by_whom() {
    let (service, folder) = bench();
    let _other = TcpListener::bind(folder.listen).unwrap();
    let config = folder.config(&service.handle.base_url());
    let ss = format!("ss -ltnp sport = {}", folder.listen.port());
    faults(
        &folder,
        &config,
        &[&["ingress: callbox cannot listen on", &ss]],
    );
}

/// Here the tunnel's far end is the device itself.
fn tunnelled(folder: &Folder, base_url: &str, command: &str) -> String {
    let mode = format!("mode = \"command\"\ncommand = {command}");
    folder
        .config(base_url)
        .replace("mode = \"public-url\"", &mode)
}

#[test]
fn a_tunnel_program_is_tried_without_a_daemon() {
    let (service, folder) = bench();
    let base_url = service.handle.base_url();
    let config = tunnelled(&folder, &base_url, "[\"sleep\", \"1000\"]");
    let said = folder.callbox("doctor --json", &config);
    let well = said.findings("ok").join("\n");
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(well.contains("tunnel: came up"), "{well}");
    assert!(well.contains("round trip: ws://"), "{well}");

    let wrong: [(&str, &[&str]); 3] = [
        (
            "[\"/no/such/tunnel\"]",
            &[
                "tunnel: it is down: cannot start /no/such/tunnel",
                "by hand",
            ],
        ),
        (
            "[\"/etc/passwd\"]",
            &["cannot start /etc/passwd: Permission denied", "by hand"],
        ),
        (
            "[\"sh\", \"-c\", \"echo denied >&2; exit 255\"]",
            &[
                "ended with status 255 and said: denied",
                "without a passphrase",
            ],
        ),
    ];
    for (command, want) in wrong {
        let config = tunnelled(&folder, &base_url, command);
        faults(&folder, &config, &[want]);
    }
}

#[test]
fn a_tunnel_of_the_running_daemon_is_asked_for() {
    let (service, folder) = bench();
    let base_url = service.handle.base_url();
    let config = tunnelled(&folder, &base_url, "[\"sleep\", \"1000\"]");
    let _daemon = folder.daemon(&config);
    // It has to be gone through once.
    let begun = Instant::now();
    loop {
        let said = folder.callbox("doctor --json", &config);
        let well = said.findings("ok").join("\n");
        if well.contains("tunnel: up for") {
            assert_eq!(said.code, Some(0), "{said:#?}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{said:#?}");
    }
    let status = folder.callbox("status", &config);
    assert!(
        status.out.contains("tunnel           state up, since"),
        "{status:#?}"
    );
}

#[cfg(not(feature = "tunnel"))]
#[test]
fn the_services_own_tunnel_that_was_left_out_is_told() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let config = config.replace("\"public-url\"", "\"inkbox\"");
    faults(
        &folder,
        &config,
        &[&[
            "[ingress] mode: this callbox was built without",
            "--features tunnel",
        ]],
    );
}

#[test]
fn a_public_url_that_leads_elsewhere_says_which_leg_fails() {
    let (service, folder) = bench();
    let good = folder.config(&service.handle.base_url());
    let here = format!("public_url = \"ws://{}\"", folder.listen);
    let leads = |to: &str, want: &[&str]| {
        let config = good.replace(&here, &format!("public_url = \"{to}\""));
        assert_ne!(config, good);
        let want = [&["round trip: ", "does not lead here"], want].concat();
        faults(&folder, &config, &[&want]);
    };
    let answers: [(Vec<u8>, &[&str]); 7] = [
        (
            http("404 Not Found", "", ""),
            &["status 404", "pass every path"],
        ),
        (
            http("502 Bad Gateway", "", ""),
            &["status 502", "forward to http://127.0.0.1"],
        ),
        (
            http("401 Unauthorized", "", ""),
            &["status 401", "demands a login"],
        ),
        (
            http("301 Moved", "Location: /x\r\n", ""),
            &["status 301", "follows no redirects"],
        ),
        (
            http("200 OK", "", "hello"),
            &["status 200", "pass WebSockets on"],
        ),
        (
            b"SSH-2.0-OpenSSH\r\n".to_vec(),
            &["does not open a WebSocket"],
        ),
        (Vec::new(), &["does not open a WebSocket"]),
    ];
    for (answer, want) in answers {
        let address = stranger(move |_| answer.clone());
        leads(&format!("ws://{address}"), want);
    }
    let other = stranger(|head| {
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then(|| value.trim())
        });
        // A whole text message of three bytes: RFC 6455 section 5.7.
        [
            handshake::accept(key.unwrap(), callbox::units::Mode::default()),
            b"\x81\x03who".to_vec(),
        ]
        .concat()
    });
    leads(&format!("ws://{other}"), &["not this device's"]);
    leads(
        &format!("ws://{}", free_address()),
        &["takes no connection", "start the proxy"],
    );
    leads(
        "wss://no-such-name.invalid",
        &["the name no-such-name.invalid is not found", "DNS"],
    );
    let plain = stranger(|_| Vec::new());
    leads(
        &format!("wss://localhost:{}", plain.port()),
        &["TLS with localhost fails"],
    );
}

#[test]
fn a_daemon_with_another_port_than_the_file_is_found() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let _daemon = folder.daemon(&config);
    let moved = config.replace(
        &format!("listen = \"{}\"", folder.listen),
        &format!("listen = \"{}\"", free_address()),
    );
    let want = &[
        "ingress: callbox runs, but does not answer",
        "systemctl restart callbox",
    ];
    faults(&folder, &moved, &[want]);
}

/// An authority, and the certificates it makes for the device.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Makes one for `name`, valid for so many days from now; writes it.
    fn issue(&self, folder: &Folder, name: &str, days: i64) -> PathBuf {
        let day = |from_now: i64| {
            let then = Timestamp::now() + SignedDuration::from_hours(24 * from_now);
            let date = then.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
        };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = day(days.min(0) - 10);
        params.not_after = day(days);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        folder.write("key.pem", key.serialize_pem());
        folder.write("ca.pem", self.0.pem());
        folder.write("certificate.pem", certificate.pem())
    }
}

/// The configuration of a device that ends TLS itself, as `localhost`.
fn own_tls(folder: &Folder, base_url: &str) -> String {
    let path = folder.path.display();
    folder
        .config(base_url)
        .replace("mode = \"public-url\"", &format!(
            "mode = \"tls\"\ncertificate = \"{path}/certificate.pem\"\nprivate_key = \"{path}/key.pem\""
        ))
        .replace(
            &format!("public_url = \"ws://{}\"", folder.listen),
            &format!("public_url = \"wss://localhost:{}\"", folder.listen.port()),
        )
        .replace("[ingress]", &format!("ca_file = \"{path}/ca.pem\"\n[ingress]"))
}

#[test]
fn a_certificate_is_judged_as_the_service_will() {
    let (service, folder) = bench();
    let config = own_tls(&folder, &service.handle.base_url());
    let authority = Authority::new();

    authority.issue(&folder, "localhost", 60);
    let said = folder.callbox("doctor --json", &config);
    let well = said.findings("ok").join("\n");
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        well.contains("certificate for localhost, valid until 20"),
        "{well}"
    );
    assert!(well.contains("round trip: wss://localhost"), "{well}");

    authority.issue(&folder, "localhost", 5);
    let said = folder.callbox("doctor --json", &config);
    expect(
        &said,
        "warn",
        &[&["ingress: certificate for localhost", "left", "renew it"]],
    );

    // Without a certificate that serves there is no ingress to go round to.
    authority.issue(&folder, "localhost", -3);
    faults(
        &folder,
        &config,
        &[&["certificate.pem: it expired on 20", "renew it"]],
    );

    authority.issue(&folder, "door.example.org", 60);
    let want = &[
        "it is not for localhost but for",
        "door.example.org",
        "public_url",
    ];
    faults(&folder, &config, &[want]);

    authority.issue(&folder, "localhost", 60);
    let unknown = config.replace("ca_file", "#ca_file");
    faults(
        &folder,
        &unknown,
        &[&["no known authority", "fullchain.pem"]],
    );

    folder.write("key.pem", KeyPair::generate().unwrap().serialize_pem());
    faults(
        &folder,
        &config,
        &[&["cannot be used together", "the key must be the one"]],
    );

    fs::remove_file(folder.path.join("certificate.pem")).unwrap();
    faults(
        &folder,
        &config,
        &[&["ingress: ", "cannot read", "right to read it"]],
    );
}

#[test]
fn a_daemon_with_its_own_certificate_is_reached_by_it() {
    let (service, folder) = bench();
    let config = own_tls(&folder, &service.handle.base_url());
    let authority = Authority::new();
    authority.issue(&folder, "localhost", 60);
    let _daemon = folder.daemon(&config);
    let said = folder.callbox("doctor --json", &config);
    let well = said.findings("ok").join("\n");
    assert_eq!(said.code, Some(0), "{said:#?}");
    for want in [
        "the running callbox answers at",
        "round trip: wss://localhost",
    ] {
        assert!(well.contains(want), "no {want:?} in\n{well}");
    }
}

#[test]
fn groups_folders_and_databases_that_are_not_there_or_not_ours_are_named() {
    let (service, folder) = bench();
    let good = folder.config(&service.handle.base_url());
    let path = folder.path.display().to_string();

    let group = format!("{good}group = \"no-such-group\"\n");
    faults(
        &folder,
        &group,
        &[&["control: ", "there is no group no-such-group", "groupadd"]],
    );

    folder.write("file", "");
    let socket = good.replace("/control.sock", "/file/control.sock");
    faults(
        &folder,
        &socket,
        &[&["control: ", "cannot be made", "RuntimeDirectory"]],
    );

    let store = good.replace("/store/calls.db", "/file/calls.db");
    let said = folder.callbox("doctor --json", &store);
    let found = said.findings("fault").join("\n");
    assert!(
        found.contains("is a file, and should be the folder"),
        "{found}"
    );
    assert_eq!(said.code, Some(1));

    let database = folder.write("calls.db", "Dear diary, ".repeat(100));
    let ours = good.replace(
        &format!("{path}/store/calls.db"),
        &database.display().to_string(),
    );
    faults(
        &folder,
        &ours,
        &[&["records: ", "does not hold call records", "check the path"]],
    );
    assert!(fs::read(&database).unwrap().starts_with(b"Dear diary"));
}

/// The findings of one check at a level.
fn of(said: &Said, level: &str, check: &str) -> Vec<String> {
    let prefix = format!("{check}: ");
    let found = said.findings(level).into_iter();
    found.filter(|text| text.starts_with(&prefix)).collect()
}

#[test]
fn a_number_is_found_without_its_id() {
    let (service, folder) = bench();
    let config = folder.config(&service.handle.base_url());
    let config = config.replace("phone_number_id", "#phone_number_id");
    let said = folder.callbox("doctor --json", &config);
    let found = of(&said, "ok", "number");
    assert!(
        found[0].contains("+…100 is one of the account's"),
        "{found:?}"
    );
    let other = config.replace(NUMBER, "+15005550177");
    let want: &[&[&str]] = &[&[
        "number: ",
        "+…177 is none of the 1 numbers",
        "which organization",
    ]];
    faults(&folder, &other, want);
}

#[test]
fn calls_to_the_device_that_do_not_arrive_are_found() {
    let (service, folder) = bench();
    let key = folder.write("signing-key", "whsec_of_a_test");
    let signed = format!("[service]\nsigning_key_file = \"{}\"", key.display());
    let config = folder.config(&service.handle.base_url());
    let config = config.replace("[service]", &signed)
        + "[inbound]\naction = \"answer\"\nallow = [\"+15005550123\"]\n";
    let before = files(&folder.path).len();
    let none: &[&[&str]] = &[&["inbound: ", "no secret path yet", "callbox service apply"]];
    faults(&folder, &config, none);
    // It made none: only the configuration is new.
    assert_eq!(files(&folder.path).len(), before + 1);
    folder.write_below("store", "inbound-token", &"t".repeat(32));
    let other: &[&[&str]] = &[&[
        "inbound: ",
        "calls to +…100 do not come here: the service has auto_reject",
        "callbox service apply",
    ]];
    faults(&folder, &config, other);
    folder.callbox("service apply --yes", &config);
    let said = folder.callbox("doctor --json", &config);
    let found = of(&said, "ok", "inbound");
    assert!(found[0].contains("come to this device"), "{said:#?}");
    let refuse = config.replace("\"answer\"", "\"refuse\"");
    let said = folder.callbox("doctor --json", &refuse);
    let found = of(&said, "warn", "inbound");
    assert!(found[0].contains("this device refuses them"), "{said:#?}");
    let unsigned = config.replace("signing_key_file", "#signing_key_file");
    let said = folder.callbox("doctor --json", &unsigned);
    let found = of(&said, "fault", "inbound");
    assert!(found[0].contains("needs a signing key"), "{said:#?}");
}

#[test]
fn a_code_that_cannot_be_read_or_that_all_may_read_is_found() {
    let folder = Folder::new();
    let code = folder.path.join("code");
    let config = folder.config("http://127.0.0.1:1")
        + &format!(
            "[[door]]\nname = \"front\"\nline = \"GPIO5\"\ncode_file = \"{}\"\n",
            code.display()
        );
    let doctor = |config: &str| folder.callbox("doctor --json", config);
    let missing = of(&doctor(&config), "fault", "doors");
    assert!(
        missing[0].contains("front") && missing[0].contains("code"),
        "{missing:?}"
    );
    folder.write("code", "471147114711x");
    let bad = of(&doctor(&config), "fault", "doors");
    assert!(
        bad[0].contains("keys of a telephone") && !bad[0].contains("4711"),
        "{bad:?}"
    );
    folder.write("code", "47110815");
    let said = doctor(&config);
    assert!(
        of(&said, "ok", "doors")[0].contains("code of front"),
        "{said:#?}"
    );
    fs::set_permissions(&code, fs::Permissions::from_mode(0o644)).unwrap();
    let open = of(&doctor(&config), "warn", "doors");
    assert!(open[0].contains("open to every user"), "{open:?}");
    assert!(!said.out.contains("4711") && !said.err.contains("4711"));
    let inline = config.replace(
        &format!("code_file = \"{}\"", code.display()),
        "code = \"47110815\"",
    );
    let said = doctor(&inline);
    assert!(
        of(&said, "ok", "doors")[0].contains("callbox.toml"),
        "{said:#?}"
    );
    let shown = folder.callbox("config show", &inline);
    assert!(
        shown
            .out
            .contains("# The codes and words that open doors are not shown."),
        "{shown:#?}"
    );
    assert!(!shown.out.contains("4711") && !said.out.contains("4711"));
}

#[test]
fn hours_in_which_nobody_is_called_and_unknown_zones_are_found() {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1").replace(
        "to = \"+15005550199\"\n",
        "[[button.target]]\nnumber = \"+15005550199\"\nwhen = \"08:00-18:00\"\n",
    );
    let zone =
        |name: &str| format!("{config}[hours]\nquiet = \"22:00-07:00\"\ntimezone = \"{name}\"\n");
    let said = folder.callbox("doctor --json", &zone("UTC"));
    let gap = of(&said, "warn", "hours");
    assert!(
        gap[0].contains("door calls nobody on Monday at 00:00"),
        "{said:#?}"
    );
    let now = of(&said, "ok", "hours");
    assert!(now[0].contains(" here; quiet is 22:00-07:00"), "{said:#?}");
    let said = folder.callbox("doctor --json", &zone("Europe/Atlantis"));
    let unknown = of(&said, "fault", "hours");
    assert!(unknown[0].contains("Europe/Atlantis"), "{said:#?}");
}

#[test]
fn prompts_that_are_heard_nowhere_are_found() {
    let folder = Folder::new();
    let prompts = folder.path.join("prompts");
    let config = folder.config("http://127.0.0.1:1")
        + &format!("[prompts]\nfolder = \"{}\"\n", prompts.display());
    let doctor = || folder.callbox("doctor --json", &config);
    let missing = of(&doctor(), "fault", "prompts");
    assert!(missing[0].contains("cannot be read"), "{missing:?}");
    fs::create_dir(&prompts).unwrap();
    let empty = of(&doctor(), "warn", "prompts");
    assert!(empty[0].contains("holds no recording"), "{empty:?}");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut good = hound::WavWriter::create(prompts.join("answered.wav"), spec).unwrap();
    (0..160).for_each(|n| good.write_sample(n as i16).unwrap());
    good.finalize().unwrap();
    let found = of(&doctor(), "ok", "prompts");
    assert!(found[0].contains("prompts: answered.wav"), "{found:?}");
    fs::write(prompts.join("hello.wav"), "").unwrap();
    let unknown = of(&doctor(), "fault", "prompts");
    assert!(
        unknown[0].contains("hello.wav: stands for no sound"),
        "{unknown:?}"
    );
    assert!(unknown[0].contains("answered.wav"), "{unknown:?}");
}

#[test]
fn a_number_that_is_not_active_is_worth_a_warning() {
    let folder = Folder::new();
    let number = format!(r#"{{"id":"{NUMBER_ID}","number":"{NUMBER}","status":"released"}}"#);
    let service = stranger(move |head| {
        let list = head
            .lines()
            .next()
            .is_some_and(|line| line.contains("/calls"));
        let body = if list { "[]" } else { &number };
        http("200 OK", "Content-Type: application/json\r\n", body)
    });
    let said = folder.callbox(
        "doctor --json",
        &folder.config(&format!("http://{service}")),
    );
    let found = of(&said, "warn", "number");
    assert!(found[0].contains("+…100 is released"), "{said:#?}");
    let found = of(&said, "ok", "number");
    assert!(
        found[0].contains("is the number of phone_number_id"),
        "{said:#?}"
    );
}
