//! `callbox card`: a whole import and a whole report on folders that stand for
//! the card, the data partition and the memory, with every bad file that
//! people leave there.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use callbox::panel::Trouble;
use callbox::simulator::API_KEY;

use crate::support::{Folder, Said, Service, files, run};

/// A box: its card, its data partition and its memory, gone with the test.
struct Case {
    path: PathBuf,
}

impl Case {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not the system's folder for such things: that one may lie in memory,
        // where no secret is at home.
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("card-{}-{n}", std::process::id()));
        for folder in ["card", "data", "run", "system/proc"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        Self { path }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.at(name), bytes).unwrap();
    }

    fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.at(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn has(&self, name: &str) -> bool {
        self.at(name).exists()
    }

    fn callbox(&self, words: &str) -> Said {
        let at = |name: &str| self.at(name).display().to_string();
        let (card, data, memory) = (at("card"), at("data"), at("run"));
        run(&format!(
            "card {words} --card {card} --data {data} --run {memory}"
        ))
    }

    fn import(&self) -> Said {
        let said = self.callbox("import");
        assert_eq!(said.code, Some(0), "{said:#?}");
        said
    }

    /// The report as a person reads it.
    fn report(&self) -> String {
        let system = self.at("system");
        let said = self.callbox(&format!("report --every 0 --system {}", system.display()));
        assert_eq!(said.code, Some(0), "{said:#?}");
        self.text("card/callbox-report.txt")
    }

    /// What the lamp is told.
    fn lamp(&self) -> Option<Trouble> {
        let word = fs::read_to_string(self.at("run/fault")).ok()?;
        Some(Trouble::parse(word.trim()).unwrap_or_else(|| panic!("{word}")))
    }

    /// The import told of exactly these faults: part of each, in order.
    fn faults(&self, want: &[&str]) {
        let told: serde_json::Value = serde_json::from_str(&self.text("run/import.json")).unwrap();
        let faults = told
            .as_array()
            .unwrap()
            .iter()
            .filter(|told| told["level"] == "fault");
        let faults: Vec<_> = faults.map(|told| told["what"].as_str().unwrap()).collect();
        assert_eq!(faults.len(), want.len(), "{faults:#?}");
        for (fault, want) in faults.iter().zip(want) {
            assert!(fault.contains(want), "no {want:?} in {fault:?}");
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.path);
    }
}

fn wide(text: &str) -> Vec<u8> {
    let units = [0xfeff].into_iter().chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// A configuration without secrets, as it lies on a card.
fn config() -> String {
    let folder = Folder::new();
    let config = folder.config("http://127.0.0.1:1");
    let lines = config
        .lines()
        .filter(|line| !line.starts_with("api_key_file"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

const WIFI: &str = "ssid = \"Mill Lane\"\npassword = \"correct horse\"\ncountry = \"GB\"\n";
const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx installer@pc";

#[test]
fn a_filled_in_card_is_taken_in_and_its_secrets_leave_it() {
    let (case, good) = (Case::new(), config());
    case.put("card/callbox.toml", &good);
    case.put("card/api-key.txt", format!("# the key:\r\n{API_KEY}  \r\n"));
    case.put("card/signing-key.txt", "whsec_of_a_test");
    case.put("card/door-code-1.txt", "4711#");
    case.put("card/wifi.txt", WIFI);
    case.put("card/authorized_keys", format!("{SSH}\r\n"));
    let said = case.import();
    case.faults(&[]);
    assert_eq!(case.lamp(), None);

    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
    assert_eq!(
        case.text("data/credentials/signing-key"),
        "whsec_of_a_test\n"
    );
    assert_eq!(case.text("data/credentials/door-code-1"), "4711#\n");
    assert_eq!(case.text("data/ssh/authorized_keys"), format!("{SSH}\n"));
    assert_eq!(case.text("data/config/callbox.toml"), good);
    assert_eq!(case.text("run/callbox.toml"), good);
    let conf = case.text("run/wpa_supplicant.conf");
    for want in ["country=GB\n", "ssid=4d696c6c204c616e65\n", "psk="] {
        assert!(conf.contains(want), "no {want:?} in {conf}");
    }
    for (path, _) in files(&case.at("data"))
        .iter()
        .chain(&files(&case.at("run")))
    {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let open = ["run/callbox.toml", "run/import.json"]
            .iter()
            .any(|n| path.ends_with(n));
        assert!(open || mode == 0o600, "{}: {mode:o}", path.display());
    }

    // Nowhere but where it belongs.
    let secrets = [API_KEY, "whsec_of_a_test", "4711#", "correct horse"];
    let mut said = said.out + &said.err;
    for (path, bytes) in files(&case.path) {
        if !path.starts_with(case.at("data/credentials")) {
            said += &String::from_utf8_lossy(&bytes);
        }
    }
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    let left = |name: &str| case.has(&format!("card/{name}"));
    assert!(!left("api-key.txt") && !left("signing-key.txt") && !left("door-code-1.txt"));
    assert_eq!(case.text("card/wifi.txt").len(), WIFI.len());
    assert!(case.text("card/wifi.txt").contains("\n# taken "));

    // The next boot has it all from the data partition.
    fs::remove_dir_all(case.at("run")).unwrap();
    case.import();
    case.faults(&[]);
    assert_eq!(case.text("run/wpa_supplicant.conf"), conf);
    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
}

#[test]
fn what_windows_makes_of_files_is_read_all_the_same() {
    let case = Case::new();
    case.put(
        "card/Callbox.toml.txt",
        wide(&config().replace('\n', "\r\n")),
    );
    case.put(
        "card/API_KEY.TXT.txt",
        format!("\u{feff}api key = \"{API_KEY}\"   \r\n\r\n"),
    );
    case.put("card/WIFI.TXT", wide("Mill Lane\r\ncorrect horse\r\n"));
    case.put("card/._callbox.toml", "a Mac was here");
    case.import();
    case.faults(&[]);
    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
    assert!(case.text("run/callbox.toml").starts_with("[service]"));
    assert!(
        case.text("run/wpa_supplicant.conf")
            .contains("ssid=4d696c6c204c616e65\n")
    );
    let wifi = fs::read(case.at("card/WIFI.TXT")).unwrap();
    assert!(
        !wifi.windows(4).any(|four| four == b"c\0o\0"),
        "erased in its own form"
    );
    assert!(!case.has("card/API_KEY.TXT.txt"));
}

#[test]
fn of_two_files_of_one_name_the_newer_is_taken_and_that_is_said() {
    let case = Case::new();
    case.put("card/callbox.toml", "the older one");
    let older = SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options()
        .write(true)
        .open(case.at("card/callbox.toml"));
    file.unwrap().set_modified(older).unwrap();
    case.put("card/callbox.toml.txt", config());
    let said = case.import();
    case.faults(&[]);
    assert!(
        said.err
            .contains("callbox.toml.txt is taken, being newer than callbox.toml"),
        "{said:#?}"
    );
}

#[test]
fn a_broken_configuration_is_named_and_the_last_good_one_stays() {
    let case = Case::new();
    let good = config();
    let broken = good.replace("+15005550199", "5550199");
    case.put("card/callbox.toml", &broken);
    case.import();
    case.faults(&["callbox.toml:11: [[button]] to: "]);
    assert_eq!(case.lamp(), Some(Trouble::Config));
    // The daemon reads its lamp's line there, and says the same.
    assert_eq!(case.text("run/callbox.toml"), broken);
    assert!(!case.has("data/config/callbox.toml"));

    case.put("card/callbox.toml", &good);
    case.import();
    case.faults(&[]);
    for (bad, want) in [
        (broken.as_bytes(), "[[button]] to"),
        (b"", "is empty"),
        (
            b"[service]\nfrom_number = \"\xe4\"",
            ":2: this is not UTF-8",
        ),
        (
            callbox::config::TEMPLATE.replace('\n', "\r\n").as_bytes(),
            "still the example",
        ),
        (&vec![b'#'; 70_000], "more than 65536 bytes"),
    ] {
        case.put("card/callbox.toml", bad);
        case.import();
        case.faults(&[want]);
        case.faults(&["the box goes on with the one before"]);
        assert_eq!(case.text("run/callbox.toml"), good);
        assert_eq!(case.text("data/config/callbox.toml"), good);
    }
    fs::remove_file(case.at("card/callbox.toml")).unwrap();
    case.import();
    case.faults(&["there is no callbox.toml on the card"]);
    assert_eq!(case.text("run/callbox.toml"), good);
    // One that was good for an older callbox, and is not any more.
    case.put("data/config/callbox.toml", "[old]");
    case.import();
    case.faults(&["until it is right the box calls nobody"]);
    assert!(!case.has("run/callbox.toml"));
}

#[test]
fn a_secret_that_is_none_stays_on_the_card_with_a_reason() {
    let case = Case::new();
    case.put("card/callbox.toml", config());
    let cases: &[(&str, &[u8], &str)] = &[
        ("api-key.txt", b"", "api-key.txt is empty"),
        ("api-key.txt", b" \r\n", "api-key.txt is empty"),
        ("api-key.txt", b"two words", "one word"),
        ("api-key.txt", b"key-one\nkey-two\n", "more than one line"),
        ("api-key.txt", b"\xff\xfe\x00\xd8", "not UTF-8"),
        ("api-key.txt", &[b'k'; 5000], "more than 4096 bytes"),
        ("signing-key.txt", b"whsec_", "no signing key"),
        ("inbound-token.txt", b"short", "a token has"),
        ("door-code-2.txt", b"sesame", "door-code-2.txt: "),
    ];
    for (name, bytes, want) in cases {
        case.put(&format!("card/{name}"), bytes);
        case.import();
        case.faults(&[want]);
        assert!(case.lamp().is_some());
        assert_eq!(&fs::read(case.at(&format!("card/{name}"))).unwrap(), bytes);
        assert_eq!(files(&case.at("data/credentials")), []);
        fs::remove_file(case.at(&format!("card/{name}"))).unwrap();
    }
    // A place for the key that nobody has filled yet, and an empty one beside
    // a key that is known: no faults.
    case.put("card/api-key.txt", "# paste the key below\r\n");
    case.import();
    case.faults(&[]);
    case.put("card/api-key.txt", API_KEY);
    case.import();
    case.put("card/api-key.txt", "");
    case.import();
    case.faults(&[]);
    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
}

#[test]
fn a_power_cut_at_any_step_loses_no_secret() {
    let case = Case::new();
    case.put("card/callbox.toml", config());
    // Cut before anything was kept: a new file lies about.
    fs::create_dir_all(case.at("data/credentials")).unwrap();
    case.put("data/credentials/api-key.new", "half a k");
    case.put("card/api-key.txt", API_KEY);
    // Cut after it was kept and before it was erased.
    case.put("data/credentials/signing-key", "whsec_of_a_test\n");
    case.put("card/signing-key.txt", "whsec_of_a_test");
    // Cut after it was erased and before it was removed.
    case.put("data/credentials/door-code-1", "4711#\n");
    case.put("card/door-code-1.txt", [0; 5]);
    case.import();
    case.faults(&[]);
    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
    assert_eq!(
        case.text("data/credentials/signing-key"),
        "whsec_of_a_test\n"
    );
    assert_eq!(case.text("data/credentials/door-code-1"), "4711#\n");
    assert_eq!(files(&case.at("data/credentials")).len(), 3);
    assert_eq!(files(&case.at("card")).len(), 1, "the configuration");
}

#[test]
fn without_a_place_to_keep_them_secrets_stay_on_the_card() {
    let case = Case::new();
    fs::remove_dir_all(case.at("data")).unwrap();
    // Nothing can be made below a file.
    case.put("data", "");
    case.put("card/callbox.toml", config());
    case.put("card/api-key.txt", API_KEY);
    case.put("card/wifi.txt", WIFI);
    case.import();
    case.faults(&["nothing can be written to "]);
    assert_eq!(case.text("card/api-key.txt"), API_KEY);
    assert_eq!(case.text("card/wifi.txt"), WIFI);
    // The box does what it can all the same.
    assert!(case.has("run/callbox.toml") && case.has("run/wpa_supplicant.conf"));
}

#[test]
fn networks_that_were_good_outlive_a_wifi_txt_that_is_not() {
    let case = Case::new();
    case.put("card/callbox.toml", config());
    case.put("card/wifi.txt", WIFI);
    case.import();
    let good = case.text("run/wpa_supplicant.conf");
    let cases: &[(&[u8], &[&str])] = &[
        (
            b"ssid = a\npassword = 1234567\n",
            &["wifi.txt:2: a Wi-Fi password has 8 to 63 letters; this one has 7"],
        ),
        (
            b"ssid = other\n",
            &["wifi.txt:1: there is no password for other"],
        ),
        (b"ssid = \xe4", &["wifi.txt:1: this is not UTF-8"]),
        (&[b'x'; 20_000], &["more than 16384 bytes"]),
        (b"# all of it is a comment\n", &[]),
        (b"", &[]),
    ];
    for (bytes, want) in cases {
        case.put("card/wifi.txt", bytes);
        case.import();
        case.faults(want);
        assert_eq!(case.lamp(), (!want.is_empty()).then_some(Trouble::Wifi));
        assert_eq!(case.text("run/wpa_supplicant.conf"), good);
        assert_eq!(&fs::read(case.at("card/wifi.txt")).unwrap(), bytes);
    }
    // Half of it is good: that half is used.
    case.put(
        "card/wifi.txt",
        "ssid = a\npassword = 1\nssid = b\npassword = 12345678\n",
    );
    case.import();
    case.faults(&["wifi.txt:2: "]);
    assert!(case.text("run/wpa_supplicant.conf").contains("ssid=62\n"));
    assert!(
        case.text("card/wifi.txt")
            .starts_with("ssid = a\npassword = 1\nssid = b\n# taken")
    );
}

#[test]
fn who_may_log_in_is_as_the_card_says() {
    let case = Case::new();
    case.put("card/callbox.toml", config());
    case.put("card/authorized_keys.txt", format!("# me\r\n{SSH}\r\n"));
    case.import();
    assert_eq!(case.text("data/ssh/authorized_keys"), format!("{SSH}\n"));
    for bad in ["-----BEGIN OPENSSH PRIVATE KEY-----\n", "my key\n"] {
        case.put("card/authorized_keys.txt", bad);
        let said = case.import();
        assert!(said.err.contains("authorized_keys.txt: "), "{said:#?}");
        assert_eq!(case.text("data/ssh/authorized_keys"), format!("{SSH}\n"));
    }
    fs::remove_file(case.at("card/authorized_keys.txt")).unwrap();
    case.import();
    assert!(
        !case.has("data/ssh/authorized_keys"),
        "gone there, gone here"
    );
}

#[test]
fn without_a_card_the_box_goes_on_with_what_it_has() {
    let case = Case::new();
    case.put("card/callbox.toml", config());
    case.put("card/api-key.txt", API_KEY);
    case.put("card/wifi.txt", WIFI);
    case.put("card/authorized_keys", SSH);
    case.import();
    let before = (
        case.text("run/callbox.toml"),
        case.text("run/wpa_supplicant.conf"),
    );
    fs::remove_dir_all(case.at("card")).unwrap();
    fs::remove_dir_all(case.at("run")).unwrap();
    case.import();
    case.faults(&["cannot be read"]);
    assert_eq!(
        (
            case.text("run/callbox.toml"),
            case.text("run/wpa_supplicant.conf")
        ),
        before
    );
    assert!(case.has("data/ssh/authorized_keys"));
    let said = case.callbox("report");
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.err.contains("the report cannot be written"),
        "{said:#?}"
    );
    assert!(
        case.text("run/callbox-report.txt")
            .contains("cannot be read")
    );
}

#[test]
fn a_report_says_that_all_is_well_and_is_not_written_again_for_nothing() {
    let (service, folder, case) = (Service::start(), Folder::new(), Case::new());
    let config = folder.config(&service.handle.base_url());
    case.put("card/callbox.toml", config);
    case.put("system/proc/uptime", "31.07 60.00\n");
    fs::create_dir_all(case.at("system/proc/device-tree")).unwrap();
    case.put(
        "system/proc/device-tree/model",
        "Raspberry Pi 3 Model B Rev 1.2\0",
    );
    case.import();
    let report = case.report();
    assert!(
        report.starts_with("\u{feff}callbox is well: the next press should place a call.\r\n"),
        "{report}"
    );
    for want in [
        " on Raspberry Pi 3 Model B Rev 1.2\r\n",
        ", 31 s after the power came",
        "accepts the key",
    ] {
        assert!(report.contains(want), "no {want:?} in {report}");
    }
    assert!(!report.replace("\r\n", "").contains('\n'));
    assert!(!report.contains("5005550"), "a number in {report}");
    assert_eq!(case.lamp(), None);

    case.put("card/callbox-report.txt", "as it was");
    assert_eq!(case.report(), "as it was", "nothing new");
    // Something new, but soon after the last.
    let address = service.handle.base_url();
    let address = address.split('/').nth(2).unwrap().to_owned();
    drop(service);
    while TcpStream::connect(&address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let system = case.at("system");
    let said = case.callbox(&format!("report --system {}", system.display()));
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(case.text("card/callbox-report.txt"), "as it was");
    let report = case.report();
    assert!(
        report.starts_with("\u{feff}FAULT (the lamp flashes once): 127.0.0.1"),
        "{report}"
    );
}

#[test]
fn a_report_begins_with_the_fault_that_causes_the_others() {
    let case = Case::new();
    case.put(
        "card/callbox.toml",
        "[service]\nfrom_numbr = \"+15005550199\"\n",
    );
    case.put("card/wifi.txt", "ssid = a\npassword = 1\n");
    let net = "system/sys/class/net/wlan0";
    fs::create_dir_all(case.at(&format!("{net}/device"))).unwrap();
    fs::create_dir_all(case.at(&format!("{net}/wireless"))).unwrap();
    case.put(&format!("{net}/carrier"), "0\n");
    case.import();
    let report = case.report();
    assert!(
        report.starts_with(
            "\u{feff}FAULT (the lamp flashes 4 times): callbox.toml:2: [service] from_numbr: "
        ),
        "{report}"
    );
    for want in [
        "wifi: wifi.txt:2: a Wi-Fi password",
        "network: wlan0",
        "  - wlan0 (): Wi-Fi, not connected\r\n",
    ] {
        assert!(report.contains(want), "no {want:?} in {report}");
    }
    assert_eq!(case.lamp(), Some(Trouble::Config));
    assert_eq!(
        report.matches("callbox.toml:2").count(),
        2,
        "told once, and above"
    );
}

#[test]
fn the_readme_explains_what_the_lamp_flashes() {
    let readme = include_str!("../../README.md");
    for trouble in Trouble::ALL {
        let row = format!("| {} flashes | {} |", trouble.flashes(), trouble.means());
        assert!(readme.contains(&row), "no {row:?}");
    }
}

/// A file system of its own where the card is, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf, options: &str) -> Self {
        let told = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "card"])
            .arg(&at)
            .status();
        assert!(told.unwrap().success(), "only root can mount");
        Self(at)
    }

    fn make(&self, how: &str) {
        let told = Command::new("mount")
            .args(["-o", how])
            .arg(&self.0)
            .status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
#[ignore = "mounts: as root"]
fn a_card_is_writable_only_while_it_is_written() {
    let case = Case::new();
    let card = Mounted::new(case.at("card"), "size=1m");
    case.put("card/callbox.toml", config());
    case.put("card/api-key.txt", API_KEY);
    card.make("remount,ro");
    case.import();
    case.faults(&[]);
    assert!(!case.has("card/api-key.txt"));
    let refused = fs::write(case.at("card/x"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    case.report();
    assert!(fs::write(case.at("card/x"), "").is_err());
}

#[test]
#[ignore = "mounts: as root"]
fn a_full_card_keeps_the_old_report_and_loses_its_secrets_all_the_same() {
    let case = Case::new();
    let _card = Mounted::new(case.at("card"), "size=64k");
    case.put("card/callbox.toml", config());
    case.put("card/callbox-report.txt", "the old one");
    case.put("card/wifi.txt", WIFI);
    for n in 0.. {
        if fs::write(case.at(&format!("card/picture-{n}")), [0; 4096]).is_err() {
            break;
        }
    }
    case.import();
    assert!(case.text("card/wifi.txt").contains("# taken"));
    let said = case.callbox("report --every 0");
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("No space left"), "{said:#?}");
    assert_eq!(case.text("card/callbox-report.txt"), "the old one");
    assert!(!case.has("card/callbox-report.txt.new"));
}

#[test]
#[ignore = "mounts: as root"]
fn in_a_data_partition_of_memory_secrets_are_used_and_not_erased() {
    let case = Case::new();
    let _data = Mounted::new(case.at("data"), "size=1m");
    case.put("card/callbox.toml", config());
    case.put("card/api-key.txt", API_KEY);
    case.put("card/wifi.txt", WIFI);
    let said = case.import();
    case.faults(&[]);
    assert!(said.err.contains("last until the power goes"), "{said:#?}");
    assert_eq!(case.text("data/credentials/api-key").trim(), API_KEY);
    assert_eq!(case.text("card/api-key.txt"), API_KEY);
    assert_eq!(case.text("card/wifi.txt"), WIFI);
}
