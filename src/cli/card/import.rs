//! `callbox card import`: what an installer put on the card, taken in.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::files::{Card, Found, lasts};
use super::{FOUND, Failure, Level, NOTE, Places, Told, first_fault};
use crate::config::wifi::{self, Kept};
use crate::config::{self, Code, SIZE_MAX, TEMPLATE, plain_text};
use crate::edge::control::group_id;
use crate::edge::rest::ApiKey;
use crate::edge::volume::{read, replace};
use crate::panel::Trouble;
use crate::wire::handshake::{SigningKey, Token};

/// The daemon's group, which reads its configuration.
const GROUP: &str = "callbox";
/// A secret, a list of networks, and one of keys have at most so many bytes.
const SECRET_MAX: u64 = 4096;
const WIFI_MAX: u64 = 16 * 1024;
const KEYS_MAX: u64 = 64 * 1024;
/// What is wrong with a card that cannot be written.
const LOCKED: &str = "is its lock switch on, or is it damaged?";

/// A secret: its file without `.txt`, what the lamp shows when it is wrong,
/// and what is wrong with a text that is none.
type Secret = (&'static str, Trouble, fn(&str) -> Result<(), String>);

const SECRETS: [Secret; 7] = [
    ("api-key", Trouble::Key, |text| {
        ApiKey::parse(text).map(drop).map_err(|e| e.to_string())
    }),
    ("signing-key", Trouble::Key, |text| {
        let key = SigningKey::new(text).map(drop);
        key.ok_or_else(|| "this is no signing key; copy it again from the console".to_owned())
    }),
    ("inbound-token", Trouble::Config, |text| {
        let token = Token::parse(text).map(drop);
        token.ok_or_else(|| format!("a token has {} letters, digits, - and _", Token::LENGTH))
    }),
    ("door-code-1", Trouble::Config, door_code),
    ("door-code-2", Trouble::Config, door_code),
    ("door-code-3", Trouble::Config, door_code),
    ("door-code-4", Trouble::Config, door_code),
];

fn door_code(text: &str) -> Result<(), String> {
    let code: Result<Code, _> = text.parse();
    code.map(drop).map_err(|e| e.to_string())
}

/// Takes everything in that is there.
pub(super) fn run(places: &Places) -> Result<ExitCode, Failure> {
    fs::create_dir_all(&places.run)
        .and_then(|()| fs::set_permissions(&places.run, fs::Permissions::from_mode(0o755)))
        .map_err(|e| format!("{}: {e}", places.run.display()))?;
    let mut import = Import {
        places,
        card: None,
        told: Vec::new(),
        lasts: lasts(&places.data),
    };
    import.open();
    import.config();
    import.secrets();
    import.wifi();
    import.keys();
    import.end()?;
    Ok(ExitCode::SUCCESS)
}

struct Import<'a> {
    places: &'a Places,
    /// `None` when it cannot be read.
    card: Option<Card>,
    told: Vec<Told>,
    /// The data partition outlives the power.
    lasts: bool,
}

impl Import<'_> {
    fn open(&mut self) {
        let Places { card, data, .. } = self.places;
        match Card::open(card) {
            Ok(card) => self.card = Some(card),
            Err(error) => self.told.push(Told::fault(
                Trouble::Other,
                "card",
                format!(
                    "{} cannot be read: {error}; what was taken before is used",
                    card.display()
                ),
                "look at the card in a PC; if it is damaged write the image anew",
            )),
        }
        for folder in ["credentials", "config", "ssh"] {
            let mut builder = fs::DirBuilder::new();
            let made = builder
                .recursive(true)
                .mode(0o700)
                .create(data.join(folder));
            if let Err(error) = made {
                self.data_fault(&error);
                return;
            }
        }
        if !self.lasts {
            self.told.push(Told::warn(
                "data",
                "the data partition could not be used: records and keys last until the power goes",
                "write the image anew, on another card if it happens again; secrets stay on the \
                 card meanwhile",
            ));
        }
    }

    fn data_fault(&mut self, error: &dyn Display) {
        if self.told.iter().all(|told| told.check != "data") {
            self.told.push(Told::fault(
                Trouble::Other,
                "data",
                format!(
                    "nothing can be written to {}: {error}",
                    self.places.data.display()
                ),
                "write the image anew, on another card if it happens again",
            ));
        }
    }

    /// A file of the card, and what else may have been meant by its name.
    fn find(&mut self, name: &str) -> Option<Found> {
        let found = self.card.as_ref()?.find(name)?;
        if !found.others.is_empty() {
            self.told.push(Told::warn(
                name,
                format!(
                    "{} is taken, being newer than {}",
                    found.name,
                    found.others.join(", ")
                ),
                "remove the one that is not meant; Windows shows the whole name with View, File \
                 name extensions",
            ));
        }
        Some(found)
    }

    /// Keeps a file on the data partition.
    fn keep(&mut self, path: &Path, bytes: &[u8]) -> bool {
        if read(path, bytes.len() as u64).is_ok_and(|old| old == bytes) {
            return true;
        }
        let kept = replace(path, bytes, 0o600);
        if let Err(error) = &kept {
            self.data_fault(error);
        }
        kept.is_ok()
    }

    fn config(&mut self) {
        let last = self.places.data.join("config/callbox.toml");
        let given = match self.find("callbox.toml") {
            Some(found) => check_config(&found),
            None if self.card.is_none() => Given::default(),
            None => Given::wrong(
                "there is no callbox.toml on the card".to_owned(),
                "copy the one that comes with the image there, and fill it in",
                None,
            ),
        };
        if let Some(text) = given.good {
            self.keep(&last, text.as_bytes());
            return self.use_config(Some(&text));
        }
        let before = read(&last, SIZE_MAX).ok();
        let before = before.and_then(|bytes| String::from_utf8(bytes).ok());
        let before = before.filter(|text| config::parse(&last, text).is_ok());
        if let Some(fault) = given.fault {
            let what = match before {
                Some(_) => format!("{}; the box goes on with the one before", fault.what),
                None => format!("{}; until it is right the box calls nobody", fault.what),
            };
            self.told.push(Told { what, ..fault });
        }
        self.use_config(before.or(given.broken).as_deref());
    }

    /// Puts the configuration where the daemon looks for it.
    fn use_config(&mut self, text: Option<&str>) {
        let path = self.places.run.join("callbox.toml");
        let Some(text) = text else {
            _ = fs::remove_file(path);
            return;
        };
        // It may hold a door's code: without the group everybody reads it.
        let mode = match replace(&path, text.as_bytes(), 0o600)
            .and_then(|()| group_id(GROUP))
            .and_then(|group| chown(&path, None, Some(group)))
        {
            Ok(()) => 0o640,
            Err(_) => 0o644,
        };
        if let Err(error) = fs::set_permissions(&path, fs::Permissions::from_mode(mode)) {
            tracing::error!("{}: {error}", path.display());
        }
    }

    fn secrets(&mut self) {
        for secret in &SECRETS {
            if let Some(found) = self.find(&format!("{}.txt", secret.0)) {
                let told = self.secret(secret, &found);
                self.told.extend(told);
            }
        }
    }

    fn secret(&mut self, (name, lamp, check): &Secret, found: &Found) -> Option<Told> {
        let kept = self.places.data.join("credentials").join(name);
        let shown = &found.name;
        let fault = |what: String| {
            let fix = "write nothing but it into the file, on one line, and put the card back";
            Some(Told::fault(*lamp, "secrets", what, fix))
        };
        let bytes = match read(&found.path, SECRET_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return fault(format!("{shown}: {error}")),
        };
        // An earlier import was cut off after it had kept this one.
        if !bytes.is_empty() && bytes.iter().all(|b| *b == 0) {
            return self.erase(found);
        }
        let text = match plain_text(&bytes) {
            Ok(text) => text,
            Err(error) => return fault(format!("{shown}: {error}")),
        };
        let mut lines = lines(&text).filter(|line| !line.starts_with('#'));
        let text = match (lines.next(), lines.next()) {
            (None, _) if kept.exists() || bytes.contains(&b'#') => return None,
            (None, _) => return fault(format!("{shown} is empty")),
            (Some(text), None) => bare(text, name),
            (Some(_), Some(_)) => return fault(format!("{shown} has more than one line")),
        };
        if let Err(why) = check(text) {
            return fault(format!("{shown}: {why}"));
        }
        if !self.keep(&kept, format!("{text}\n").as_bytes()) {
            return None;
        }
        self.erase(found)
    }

    /// Erases a file whose secret is kept.
    fn erase(&mut self, found: &Found) -> Option<Told> {
        let name = &found.name;
        if !self.lasts {
            return None;
        }
        let erased = self.card.as_mut()?.erase(&found.path);
        Some(match erased {
            Ok(()) => Told::ok(
                "secrets",
                format!("{name}: taken, and erased from the card"),
            ),
            Err(error) => Told::warn(
                "secrets",
                format!("{name}: taken, but it could not be erased from the card: {error}"),
                format!("delete it on a PC; {LOCKED}"),
            ),
        })
    }

    fn wifi(&mut self) {
        let path = self.places.data.join("config/wifi.json");
        let before = read(&path, SIZE_MAX).ok();
        let before: Kept = before
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let kept = match self.find("wifi.txt") {
            Some(found) => self.take_wifi(&found, &path, before),
            None => before,
        };
        let supplicant = self.places.run.join("wpa_supplicant.conf");
        if kept.is_empty() {
            _ = fs::remove_file(supplicant);
        } else if let Err(error) = replace(&supplicant, kept.supplicant().as_bytes(), 0o600) {
            tracing::error!("{}: {error}", supplicant.display());
        }
    }

    /// What is known of networks now.
    fn take_wifi(&mut self, found: &Found, path: &Path, before: Kept) -> Kept {
        let shown = &found.name;
        let fault = |line: Option<usize>, what: &dyn Display| {
            let at = line.map_or_else(String::new, |line| format!(":{line}"));
            let fix = "mend it on a PC, and put the card back";
            Told::fault(Trouble::Wifi, "wifi", format!("{shown}{at}: {what}"), fix)
        };
        let bytes = match read(&found.path, WIFI_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.told.push(fault(None, &error));
                return before;
            }
        };
        let wifi = match plain_text(&bytes) {
            Ok(text) => wifi::parse(&text),
            Err(not) => {
                self.told.push(fault(Some(not.line), &not));
                return before;
            }
        };
        let (kept, wrongs) = wifi.keep(&before);
        let wrongs = wifi.wrongs.iter().chain(&wrongs);
        let wrongs = wrongs.map(|wrong| fault(Some(wrong.line), &wrong.what));
        self.told.extend(wrongs);
        if kept.is_empty() {
            return before;
        }
        let Ok(json) = serde_json::to_vec(&kept) else {
            return kept;
        };
        if self.keep(path, &json) && self.lasts && wifi.has_secrets() {
            let blotted = wifi::blot(&bytes, &wifi);
            let done = self
                .card
                .as_mut()
                .map(|card| card.overwrite(&found.path, &blotted));
            self.told.push(match done {
                Some(Err(error)) => Told::warn(
                    "wifi",
                    format!("{shown}: the password could not be erased from the card: {error}"),
                    format!("delete its line on a PC; {LOCKED}"),
                ),
                _ => Told::ok("wifi", format!("{shown}: taken, and the password erased")),
            });
        }
        kept
    }

    /// Who may log in. A file that is gone from the card is gone here too.
    fn keys(&mut self) {
        let kept = self.places.data.join("ssh/authorized_keys");
        if self.card.is_none() {
            return;
        }
        let Some(found) = self.find("authorized_keys") else {
            _ = fs::remove_file(kept);
            return;
        };
        match read_keys(&found.path) {
            Ok(keys) if keys.is_empty() => _ = fs::remove_file(kept),
            Ok(keys) => _ = self.keep(&kept, keys.as_bytes()),
            Err(what) => {
                let fix = "put public keys there, a line each, as in id_ed25519.pub";
                let what = format!("{}: {what}", found.name);
                self.told.push(Told::warn("ssh", what, fix));
            }
        }
    }

    /// Leaves word of it all.
    fn end(self) -> Result<(), Failure> {
        for Told {
            check,
            level,
            what,
            fix,
            ..
        } in &self.told
        {
            let fix = fix.as_deref().unwrap_or_default();
            match level {
                Level::Fault => tracing::error!("{check}: {what}. {fix}"),
                Level::Warn => tracing::warn!("{check}: {what}. {fix}"),
                Level::Ok | Level::Skip => tracing::info!("{check}: {what}"),
            }
        }
        let run = &self.places.run;
        let write = |name: &str, bytes: &[u8]| {
            let path: PathBuf = run.join(name);
            replace(&path, bytes, 0o644).map_err(|e| format!("{}: {e}", path.display()))
        };
        note(run, first_fault(&self.told))?;
        write(FOUND, &serde_json::to_vec(&self.told)?)?;
        Ok(())
    }
}

/// What a card says the configuration is.
#[derive(Default)]
struct Given {
    good: Option<String>,
    fault: Option<Told>,
    /// Its text, when it is not good: the lamp's line may be in it.
    broken: Option<String>,
}

impl Given {
    fn wrong(what: String, fix: &str, broken: Option<String>) -> Self {
        Self {
            good: None,
            fault: Some(Told::fault(Trouble::Config, "config", what, fix)),
            broken,
        }
    }
}

fn check_config(found: &Found) -> Given {
    let mend = "mend it on a PC, and put the card back";
    let name = &found.name;
    let bytes = match read(&found.path, SIZE_MAX) {
        Ok(bytes) => bytes,
        Err(error) => return Given::wrong(format!("{name}: {error}"), mend, None),
    };
    // A mark alone is no text either.
    if bytes.len() < 4 {
        let fix = "fill it in, or copy it onto the card again";
        return Given::wrong(format!("{name} is empty"), fix, None);
    }
    let text = plain_text(&bytes).unwrap_or_default().into_owned();
    match config::parse_bytes(Path::new(name), &bytes) {
        Ok(_) if lines(&text).eq(lines(TEMPLATE)) => Given::wrong(
            format!("{name} is still the example"),
            "put your own numbers and address in",
            Some(text),
        ),
        Ok(_) => Given {
            good: Some(text),
            ..Given::default()
        },
        Err(wrong) => Given::wrong(wrong.to_string(), mend, Some(text)),
    }
}

/// Leaves the daemon a word for its lamp.
pub(super) fn note(run: &Path, fault: Option<&Told>) -> Result<(), Failure> {
    let path = run.join(NOTE);
    match fault.and_then(Told::trouble) {
        Some(trouble) => replace(&path, format!("{}\n", trouble.name()).as_bytes(), 0o644),
        None => fs::remove_file(&path).or_else(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(e),
        }),
    }
    .map_err(|e| format!("{}: {e}", path.display()).into())
}

/// The lines that say something.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split(['\n', '\r']).map(str::trim);
    lines.filter(|line| !line.is_empty())
}

/// A secret without quotes, and without its own name before it.
fn bare<'a>(text: &'a str, name: &str) -> &'a str {
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.collect::<String>().to_lowercase()
    };
    let value = match text.split_once(['=', ':']) {
        Some((key, value)) if letters(key) == letters(name) => value,
        _ => text,
    };
    value.trim().trim_matches(['"', '\'', '“', '”']).trim()
}

/// Public keys, a line each: sshd(8).
fn read_keys(path: &Path) -> Result<String, String> {
    let bytes = read(path, KEYS_MAX).map_err(|e| e.to_string())?;
    let text = plain_text(&bytes).map_err(|e| e.to_string())?;
    if text.contains("PRIVATE KEY") {
        return Err("this is a private key, which stays with you: delete it from the card".into());
    }
    let mut keys = String::new();
    for line in lines(&text).filter(|line| !line.starts_with('#')) {
        let kinds = ["ssh-", "ecdsa-", "sk-"];
        let is_key = line
            .split_whitespace()
            .any(|word| kinds.iter().any(|k| word.starts_with(k)));
        if !is_key {
            return Err("one of its lines is no public key".into());
        }
        keys.push_str(line);
        keys.push('\n');
    }
    Ok(keys)
}
