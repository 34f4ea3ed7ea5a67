//! `wifi.txt`: networks as people type them, made into what `wpa_supplicant` reads.
//!
//! ```text
//!  wifi.txt ──parse──▶ Wifi ──keep──▶ Kept (hashed) ──supplicant──▶ wpa_supplicant.conf
//!     ▲                  │              ▲ │
//!     └──── blot ◀───────┘              └─┴─ wifi.json on the data partition
//! ```
//!
//! Understood are `ssid = "…"`, with `=` or `:`, with any quotes or none; what
//! is known of `wpa_supplicant.conf`; and two bare lines, the name and the
//! password. A name that comes again begins another network, and so does a line
//! in brackets. What stands between quotes is taken as it is: there are no
//! escapes.
//!
//! A password that was taken leaves a comment of the same length behind
//! ([`blot`]), so nothing is moved on the card and a full one will do. A
//! network without a password is then one whose password is kept already; one
//! that has none says `security = "open"`.
//!
//! Units: names have 1 to 32 bytes (IEEE 802.11-2020 9.4.2.2); passphrases 8 to
//! 63 and 4096 rounds of PBKDF2-HMAC-SHA1 (J.4).
//!
//! Always true: a line that is not understood costs no other line; no message
//! here repeats a password.

use std::num::NonZeroU32;

use ring::pbkdf2;
use serde::{Deserialize, Serialize};

use super::Wide;

/// Networks of a device at most; what comes behind is not read.
pub const NETWORKS_MAX: usize = 8;
/// Lines that are read, and faults that are told.
const LINES_MAX: usize = 1000;
const WRONGS_MAX: usize = 8;
/// IEEE 802.11-2020 J.4.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// What stands in place of a password that was taken…
const TAKEN: &str = "# taken";
/// …and behind it, where there is room.
const AND_MORE: &str = " by callbox; to change it write password = \"...\" here";

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wifi {
    /// Two letters.
    pub country: Option<String>,
    /// In the order of the file, which is that of preference.
    pub networks: Vec<Network>,
    /// What was not understood.
    pub wrongs: Vec<Wrong>,
    /// Lines of passwords of networks that are named again further below.
    spent: Vec<usize>,
}

/// A network.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: String,
    /// It does not announce itself.
    pub hidden: bool,
    /// What it asks for.
    pub secret: Secret,
    /// The line of its name, from 1.
    line: usize,
    /// The line of its password.
    secret_line: Option<usize>,
}

/// What a network asks for. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Nothing.
    Open,
    /// WPA2, or both WPA2 and WPA3.
    Passphrase(String),
    /// The same, hashed by whoever wrote the file.
    Hash([u8; 32]),
    /// WPA3 alone, which wants the passphrase itself.
    Wpa3(String),
    /// It was taken before.
    Kept,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = match self.secret {
            Secret::Open => "open",
            Secret::Kept => "kept",
            _ => "…",
        };
        write!(f, "{:?} (hidden {}, {secret})", self.ssid, self.hidden)
    }
}

/// A line that is of no use, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// From 1.
    pub line: usize,
    /// In words for the installer.
    pub what: String,
}

/// What is kept on the device: names in hex, passphrases hashed wherever the
/// network allows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    country: Option<String>,
    networks: Vec<KeptNetwork>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptNetwork {
    ssid: String,
    hidden: bool,
    key: Key,
}

/// Of a network that is kept, in hex.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Key {
    Open,
    Psk(String),
    Sae(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a line can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Ssid,
    Password,
    Hidden,
    Security,
    Country,
    /// Known from `wpa_supplicant.conf`, and of no use here.
    Other,
}

/// A network as far as it was read.
#[derive(Default)]
struct Draft {
    ssid: Option<(usize, String)>,
    password: Option<(usize, String)>,
    hidden: Option<bool>,
    security: Option<Security>,
}

impl Draft {
    /// Whether a password is this network's: its first, or a later one below
    /// its name. Where passwords stand above the names, it is the next one's.
    fn takes_password(&self) -> bool {
        match (&self.password, &self.ssid) {
            (None, _) => true,
            (Some((password, _)), Some((ssid, _))) => password > ssid,
            (Some(_), None) => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Security {
    Open,
    Wpa2,
    Wpa3,
}

/// Reads a file.
#[must_use]
pub fn parse(text: &str) -> Wifi {
    let lines: Vec<&str> = lines(text).take(LINES_MAX).collect();
    let says = |line: &&str| {
        let said = said(line).filter(|_| !is_comment(line));
        said.is_some_and(|(word, _)| word != Word::Other)
    };
    let mut wifi = match lines.iter().any(says) {
        true => named(&lines),
        false => bare(&lines),
    };
    wifi.wrongs.sort_by_key(|wrong| wrong.line);
    wifi.wrongs.truncate(WRONGS_MAX);
    wifi
}

/// Lines with what ends them taken off; a file of an old Mac has only `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split(end).map(str::trim)
}

/// Lines that name what they say.
fn named(lines: &[&str]) -> Wifi {
    let mut wifi = Wifi::default();
    let mut draft = Draft::default();
    for (line, text) in (1..).zip(lines) {
        if text.is_empty() || is_comment(text) {
            continue;
        }
        let begins = text.starts_with('[') || text.ends_with('{');
        let Some((word, value)) = said(text).filter(|_| !begins) else {
            if begins {
                wifi.end(std::mem::take(&mut draft));
            } else {
                wifi.wrong(line, "this is not understood; write ssid = \"…\", password = \"…\", country = \"…\", hidden = true or security = \"…\"");
            }
            continue;
        };
        let is_again = match word {
            Word::Ssid => draft.ssid.is_some(),
            Word::Password => !value.is_empty() && !draft.takes_password(),
            Word::Hidden => draft.hidden.is_some(),
            Word::Security => draft.security.is_some(),
            Word::Country | Word::Other => false,
        };
        if is_again {
            wifi.end(std::mem::take(&mut draft));
        }
        match word {
            Word::Ssid => draft.ssid = Some((line, value.to_owned())),
            // A place to fill in.
            Word::Password if value.is_empty() => {}
            Word::Password => {
                let before = draft.password.replace((line, value.to_owned()));
                wifi.spent.extend(before.map(|(line, _)| line));
            }
            Word::Hidden => draft.hidden = Some(is_yes(value)),
            Word::Security => match security(value) {
                Ok(security) => draft.security = Some(security),
                Err(what) => wifi.wrong(line, what),
            },
            // The file that comes with the card has places to fill in.
            Word::Country if value.is_empty() => {}
            Word::Country => match country(value) {
                Some(country) => wifi.country = Some(country),
                None => wifi.wrong(line, "a country is its two letters, like DE, FR, GB or US"),
            },
            Word::Other => {}
        }
    }
    wifi.end(draft);
    wifi
}

/// Also the end of a section of `wpa_supplicant.conf`.
fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';', '}']) || line.starts_with("//")
}

/// A name and a password, each on a line of its own.
fn bare(lines: &[&str]) -> Wifi {
    let mut wifi = Wifi::default();
    let mut draft = Draft::default();
    for (line, text) in (1..).zip(lines) {
        let is_taken = text.starts_with(TAKEN) && draft.ssid.is_some();
        if text.is_empty() || text.starts_with('#') && !is_taken {
            continue;
        } else if draft.ssid.is_none() {
            draft.ssid = Some((line, unquoted(text).to_owned()));
            continue;
        } else if !is_taken {
            draft.password = Some((line, unquoted(text).to_owned()));
        }
        wifi.end(std::mem::take(&mut draft));
    }
    wifi.end(draft);
    wifi
}

impl Wifi {
    fn wrong(&mut self, line: usize, what: impl Into<String>) {
        let what = what.into();
        self.wrongs.push(Wrong { line, what });
    }

    /// The draft is whole: it is a network, or says why it is none.
    fn end(&mut self, draft: Draft) {
        let named = draft.ssid.filter(|(_, ssid)| !ssid.is_empty());
        let Some((line, ssid)) = named else {
            if let Some((line, _)) = draft.password {
                self.wrong(
                    line,
                    "a password without its network; write ssid = \"…\" above it",
                );
            }
            return;
        };
        if ssid.len() > 32 || ssid.contains(char::is_control) {
            let what = "the name of a network (ssid) has 1 to 32 letters";
            return self.wrong(line, what);
        }
        let mut secret_line = draft.password.as_ref().map(|(line, _)| *line);
        let password = draft
            .password
            .as_ref()
            .map(|(_, password)| password.as_str());
        let mut secret = match secret(password, draft.security) {
            Ok(secret) => secret,
            Err(what) => return self.wrong(secret_line.unwrap_or(line), what),
        };
        let again = self.networks.iter().position(|other| other.ssid == ssid);
        match again.map(|at| self.networks.remove(at)) {
            Some(earlier) if secret == Secret::Kept => {
                (secret, secret_line) = (earlier.secret, earlier.secret_line);
            }
            Some(earlier) => self.spent.extend(earlier.secret_line),
            None => {}
        }
        if self.networks.len() >= NETWORKS_MAX {
            let what =
                format!("a device has at most {NETWORKS_MAX} networks; this one is left out");
            return self.wrong(line, what);
        }
        self.networks.push(Network {
            ssid,
            hidden: draft.hidden.unwrap_or(false),
            secret,
            line,
            secret_line,
        });
    }

    /// Whether there is something in it to be taken and blotted.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.secret_lines().next().is_some()
    }

    fn secret_lines(&self) -> impl Iterator<Item = usize> {
        let secret = |network: &Network| match network.secret {
            Secret::Passphrase(_) | Secret::Hash(_) | Secret::Wpa3(_) => network.secret_line,
            Secret::Open | Secret::Kept => None,
        };
        let used = self.networks.iter().filter_map(secret);
        used.chain(self.spent.iter().copied())
    }

    /// What is to be kept of it, with the passwords of `before` where it names
    /// none; and the networks that have none in either.
    #[must_use]
    pub fn keep(&self, before: &Kept) -> (Kept, Vec<Wrong>) {
        let mut wrongs = Vec::new();
        let mut networks = Vec::new();
        for network in &self.networks {
            let ssid = hex(network.ssid.as_bytes());
            let known = before.networks.iter().find(|other| other.ssid == ssid);
            let key = match &network.secret {
                Secret::Open => Key::Open,
                Secret::Hash(hash) => Key::Psk(hex(hash)),
                Secret::Passphrase(text) => Key::Psk(hex(&hash(&network.ssid, text))),
                Secret::Wpa3(text) => Key::Sae(hex(text.as_bytes())),
                Secret::Kept => match known {
                    Some(known) => known.key.clone(),
                    None => {
                        let what = format!(
                            "there is no password for {}; write password = \"…\" below it, or \
                             security = \"open\" if it has none",
                            network.ssid
                        );
                        wrongs.push(Wrong {
                            line: network.line,
                            what,
                        });
                        continue;
                    }
                },
            };
            networks.push(KeptNetwork {
                ssid,
                hidden: network.hidden,
                key,
            });
        }
        let country = self.country.clone().or(before.country.clone());
        (Kept { country, networks }, wrongs)
    }
}

impl Kept {
    /// Whether there is no network at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The file for `wpa_supplicant`. Names and keys stand in hex, which needs
    /// no quotes.
    #[must_use]
    pub fn supplicant(&self) -> String {
        use std::fmt::Write as _;
        let mut out = "# Written by callbox from wifi.txt.\n\
                       ctrl_interface=/run/wpa_supplicant\n"
            .to_owned();
        if let Some(country) = &self.country {
            _ = writeln!(out, "country={country}");
        }
        let ranked = self.networks.iter().zip((1..=NETWORKS_MAX).rev());
        for (network, priority) in ranked {
            _ = writeln!(
                out,
                "network={{\n\tssid={}\n\tpriority={priority}",
                network.ssid
            );
            if network.hidden {
                out.push_str("\tscan_ssid=1\n");
            }
            _ = match &network.key {
                Key::Open => writeln!(out, "\tkey_mgmt=NONE"),
                Key::Psk(psk) => writeln!(
                    out,
                    "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tieee80211w=1\n\tpsk={psk}"
                ),
                Key::Sae(password) => writeln!(
                    out,
                    "\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password={password}"
                ),
            };
            out.push_str("}\n");
        }
        out
    }
}

/// The file with the passwords of `wifi` made comments, byte for byte as long.
#[must_use]
pub fn blot(bytes: &[u8], wifi: &Wifi) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let wide = Wide::of(bytes);
    let size = if wide.is_some() { 2 } else { 1 };
    let unit = |c: u8| match wide {
        Some(wide) => wide.bytes(c.into()).to_vec(),
        None => vec![c],
    };
    let has = |c: u8| bytes.chunks(size).any(|at| at == unit(c));
    let end = unit(if has(b'\n') { b'\n' } else { b'\r' });
    let (mut line, mut begin) = (1, 0);
    let mut at = 0;
    while at <= out.len() {
        let stop = out.get(at..at + size);
        if stop.is_none() || stop == Some(&end[..]) {
            if wifi.secret_lines().any(|secret| secret == line) {
                comment(&mut out[begin..at], size, &unit);
            }
            (line, begin) = (line + 1, at + size);
        }
        at += size;
    }
    out
}

/// Writes our comment over a line; a `\r` at its end stays.
fn comment(line: &mut [u8], size: usize, unit: &impl Fn(u8) -> Vec<u8>) {
    let keep_end = line.ends_with(&unit(b'\r'));
    let room = line.len() / size - usize::from(keep_end);
    let long = room >= TAKEN.len() + AND_MORE.len();
    let text = TAKEN.bytes().chain(AND_MORE.bytes().filter(|_| long));
    let text = text.chain(std::iter::repeat(b' '));
    for (place, c) in line.chunks_exact_mut(size).take(room).zip(text) {
        place.copy_from_slice(&unit(c));
    }
}

/// A line that names what it says, and what that is.
fn said(line: &str) -> Option<(Word, &str)> {
    let (name, value) = line.split_once(['=', ':'])?;
    let plain = |c: &char| c.is_alphanumeric();
    let name: String = name
        .chars()
        .filter(plain)
        .collect::<String>()
        .to_lowercase();
    let word = match name.as_str() {
        "ssid" | "name" | "network" | "networkname" | "wifi" | "wifiname" | "wlan" | "wlanname" => {
            Word::Ssid
        }
        "password" | "passphrase" | "pass" | "psk" | "key" | "wifipassword" | "wlanpassword"
        | "networkkey" | "saepassword" | "passwort" | "kennwort" => Word::Password,
        "hidden" | "scanssid" => Word::Hidden,
        "security" | "encryption" | "keymgmt" | "type" => Word::Security,
        "country" | "countrycode" | "land" => Word::Country,
        "ctrlinterface" | "updateconfig" | "priority" | "proto" | "pairwise" | "group"
        | "idstr" | "ieee80211w" | "apscan" => Word::Other,
        _ => return None,
    };
    Some((word, unquoted(value.trim())))
}

/// What stands between quotes of whatever kind, or else the whole.
fn unquoted(text: &str) -> &str {
    const QUOTES: [(char, &[char]); 5] = [
        ('"', &['"', '”', '“']),
        ('\'', &['\'']),
        ('“', &['”', '"']),
        ('„', &['“', '”', '"']),
        ('‘', &['’']),
    ];
    let inside = QUOTES.iter().find_map(|(open, closes)| {
        let rest = text.strip_prefix(*open)?;
        let end = rest.rfind(*closes)?;
        let after = rest[end..].trim_start_matches(*closes).trim_start();
        (after.is_empty() || after.starts_with('#')).then(|| &rest[..end])
    });
    inside.unwrap_or(text)
}

fn is_yes(value: &str) -> bool {
    let yes = ["true", "yes", "1", "on", "y"];
    yes.iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

fn security(value: &str) -> Result<Security, &'static str> {
    let value = value.to_lowercase();
    let has = |part: &str| value.contains(part);
    if has("eap") || has("enterprise") {
        Err("networks that want a user name (WPA Enterprise) are not supported; use another")
    } else if has("wep") {
        Err("WEP keeps nobody out and is not supported; set the access point to WPA2")
    } else if has("psk") || has("wpa2") || value == "wpa" || has("mixed") {
        Ok(Security::Wpa2)
    } else if has("wpa3") || has("sae") {
        Ok(Security::Wpa3)
    } else if has("open") || has("none") || value.is_empty() {
        Ok(Security::Open)
    } else {
        Err("security is \"wpa2\", \"wpa3\" or \"open\"; most networks need no such line")
    }
}

fn country(value: &str) -> Option<String> {
    let fits = value.len() == 2 && value.bytes().all(|b| b.is_ascii_alphabetic());
    fits.then(|| value.to_ascii_uppercase())
}

fn secret(password: Option<&str>, security: Option<Security>) -> Result<Secret, String> {
    match (password, security) {
        (_, Some(Security::Open)) => Ok(Secret::Open),
        (None, _) => Ok(Secret::Kept),
        (Some(text), Some(Security::Wpa3)) if fits(text, 1..=128) => {
            Ok(Secret::Wpa3(text.to_owned()))
        }
        (Some(text), _) if text.len() == 64 && unhex(text).is_some() => {
            Ok(unhex(text).map_or(Secret::Open, Secret::Hash))
        }
        (Some(text), _) if fits(text, 8..=63) && text.chars().count() >= 8 => {
            Ok(Secret::Passphrase(text.to_owned()))
        }
        (Some(text), _) => Err(format!(
            "a Wi-Fi password has 8 to 63 letters; this one has {}",
            text.chars().count()
        )),
    }
}

fn fits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && !text.contains(char::is_control)
}

fn hash(ssid: &str, passphrase: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let (salt, secret) = (ssid.as_bytes(), passphrase.as_bytes());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, salt, secret, &mut key);
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        let digits = pair.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| digits)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Network {
        let wifi = parse(text);
        assert_eq!(wifi.wrongs, [], "{text}");
        assert_eq!(wifi.networks.len(), 1, "{text}");
        wifi.networks[0].clone()
    }

    fn phrase(text: &str) -> Secret {
        Secret::Passphrase(text.to_owned())
    }

    /// IEEE 802.11-2020 J.4.2, the first and the second test vector.
    #[test]
    fn passphrases_are_hashed_as_the_standard_says() {
        let cases = [
            (
                "IEEE",
                "password",
                "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e",
            ),
            (
                "ThisIsASSID",
                "ThisIsAPassword",
                "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
            ),
        ];
        for (ssid, passphrase, want) in cases {
            assert_eq!(hex(&hash(ssid, passphrase)), want);
        }
    }

    #[test]
    fn whatever_people_type_is_one_network() {
        let forms = [
            "ssid = \"My net\"\npassword = \"secret 88\"\n",
            "SSID: My net\r\nPassword: secret 88\r\n",
            "ssid=My net\npsk=secret 88   \n",
            "  ssid = “My net”  # at home\n  password = „secret 88“\n",
            "ssid = 'My net'\rpassword = 'secret 88'\r",
            "My net\nsecret 88",
            "# our network\n\n\"My net\"\n\"secret 88\"\n",
            "ctrl_interface=DIR=/var/run\nupdate_config=1\ncountry=DE\n\nnetwork={\n\tssid=\"My net\"\n\tpsk=\"secret 88\"\n\tkey_mgmt=WPA-PSK\n}\n",
            "[wifi]\nWi-Fi name = My net\nWi-Fi password = secret 88\n",
            "password = \"secret 88\"\nssid = \"My net\"",
        ];
        for text in forms {
            let network = one(text);
            assert_eq!(network.ssid, "My net", "{text}");
            assert!(network.secret == phrase("secret 88"), "{text}");
        }
    }

    #[test]
    fn several_networks_hidden_open_and_wpa3() {
        let wifi = parse(
            "country = de\nssid = a\npassword = 12345678\nssid = b\nhidden = yes\npassword = \"#not = a comment\"\n\
             ssid = c\nsecurity = open\n[other]\nssid = d\npassword = short\nsecurity = wpa3\n",
        );
        assert_eq!(wifi.wrongs, []);
        assert_eq!(wifi.country.as_deref(), Some("DE"));
        let secrets: Vec<_> = wifi.networks.iter().map(|n| &n.secret).collect();
        let want = [
            phrase("12345678"),
            phrase("#not = a comment"),
            Secret::Open,
            Secret::Wpa3("short".to_owned()),
        ];
        assert!(secrets == want.iter().collect::<Vec<_>>());
        assert!(wifi.networks[1].hidden && !wifi.networks[0].hidden);
        let (kept, wrongs) = wifi.keep(&Kept::default());
        assert_eq!(wrongs, []);
        let conf = kept.supplicant();
        for want in [
            "country=DE\n",
            "ssid=62\n\tpriority=7\n\tscan_ssid=1\n",
            "ssid=63\n\tpriority=6\n\tkey_mgmt=NONE\n",
            "key_mgmt=SAE\n\tieee80211w=2\n\tsae_password=73686f7274\n",
        ] {
            assert!(conf.contains(want), "no {want:?} in\n{conf}");
        }
        assert!(!conf.contains("12345678"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line_and_costs_no_other() {
        let cases = [
            ("ssid = a\npassword = 1234567\n", 2, "this one has 7"),
            ("ssid = a\nblue\npassword = 12345678", 2, "not understood"),
            (
                "ssid = a\ncolour = blue\npassword = 12345678",
                2,
                "not understood",
            ),
            ("password = 12345678\n", 1, "without its network"),
            (
                "ssid = \"\"\npassword = 12345678\n",
                2,
                "without its network",
            ),
            ("ssid = a name of more than thirty-two bytes", 1, "1 to 32"),
            (
                "ssid = a\npassword = 12345678\ncountry = Germany",
                3,
                "two letters",
            ),
            ("ssid = a\nsecurity = WPA-EAP", 2, "user name"),
            ("ssid = a\nsecurity = wep\npassword = 12345", 2, "WEP"),
        ];
        for (text, line, what) in cases {
            let wifi = parse(text);
            let found = wifi.wrongs.iter().find(|w| w.line == line);
            assert!(
                found.is_some_and(|w| w.what.contains(what)),
                "{text:?}: {wifi:?}"
            );
        }
        let wifi = parse("ssid = bad\npassword = 1\nssid = good\npassword = 12345678\n");
        assert_eq!((wifi.networks.len(), wifi.wrongs.len()), (1, 1));
        let to_be_filled_in = "# Wi-Fi\r\ncountry = \r\nssid = \r\npassword = \r\n";
        for nothing in ["", "\n# nothing\n", to_be_filled_in] {
            assert_eq!(parse(nothing), Wifi::default(), "{nothing}");
        }
    }

    #[test]
    fn a_password_that_was_taken_is_kept_until_another_is_written() {
        let text = "ssid = a\r\npassword = \"12345678\"\r\nssid = b\r\npassword = 87654321\r\n";
        let first = parse(text);
        let (kept, _) = first.keep(&Kept::default());
        let blotted = String::from_utf8(blot(text.as_bytes(), &first)).unwrap();
        assert_eq!(blotted.len(), text.len());
        let want = "ssid = a\r\n# taken              \r\nssid = b\r\n# taken            \r\n";
        assert_eq!(blotted, want);
        let second = parse(&blotted);
        assert!(!second.has_secrets());
        assert_eq!(second.keep(&kept), (kept.clone(), Vec::new()));
        let (_, wrongs) = second.keep(&Kept::default());
        assert_eq!(wrongs.iter().map(|w| w.line).collect::<Vec<_>>(), [1, 3]);

        let changed = second_password(&blotted);
        assert!(changed.networks[0].secret == phrase("another one"));
        assert!(changed.networks[1].secret == Secret::Kept);

        let twice = "ssid = a\npassword = 12345678\nssid = a\npassword = 87654321\n";
        let twice = blot(twice.as_bytes(), &parse(twice));
        assert!(
            !String::from_utf8(twice).unwrap().contains("123"),
            "both are erased"
        );

        let bare = "net one\n12345678\nnet two\n87654321";
        let first = parse(bare);
        let (kept, _) = first.keep(&Kept::default());
        let blotted = blot(bare.as_bytes(), &first);
        let second = parse(std::str::from_utf8(&blotted).unwrap());
        assert_eq!(second.keep(&kept), (kept, Vec::new()));
    }

    /// As somebody writes a new one above the comment of the first.
    fn second_password(blotted: &str) -> Wifi {
        parse(&blotted.replacen("# taken", "password = another one\r\n# taken", 1))
    }

    #[test]
    fn the_last_password_below_a_name_counts_and_an_empty_one_is_none() {
        let text = "ssid = a\npassword = 12345678\npassword = 87654321\npassword = \n";
        let wifi = parse(text);
        assert_eq!(wifi.wrongs, []);
        assert!(wifi.networks[0].secret == phrase("87654321"));
        let blotted = String::from_utf8(blot(text.as_bytes(), &wifi)).unwrap();
        assert!(
            !blotted.contains("5678") && !blotted.contains("8765"),
            "{blotted}"
        );
        let (kept, _) = wifi.keep(&Kept::default());
        assert_eq!(parse(&blotted).keep(&kept), (kept, Vec::new()));
        // Above the names, each is the next one's.
        let wifi = parse("password = 12345678\nssid = a\npassword = 87654321\nssid = b\n");
        assert!(wifi.networks[0].secret == phrase("12345678"));
        assert!(wifi.networks[1].secret == phrase("87654321"));
        // Named again, it is the same network with what both say.
        let wifi = parse("ssid = a\npassword = 12345678\nssid = a\nhidden = yes\n");
        assert!(wifi.networks.len() == 1 && wifi.networks[0].hidden);
        assert!(wifi.networks[0].secret == phrase("12345678"));
        let bare = parse("# ssid = the first line\nMy net\nsecret 88\n");
        assert_eq!(bare.networks.len(), 1);
    }

    #[test]
    fn wide_text_is_blotted_in_its_own_form() {
        let text =
            "ssid = Café\r\npassword = \"ein langes Kennwort, das niemand errät, bei Gott\"\r\n";
        for wide in [Wide::Little, Wide::Big] {
            let units = [0xfeff].into_iter().chain(text.encode_utf16());
            let bytes: Vec<u8> = units.flat_map(|unit| wide.bytes(unit)).collect();
            let blotted = blot(&bytes, &parse(text));
            assert_eq!(blotted.len(), bytes.len());
            let text = super::super::plain_text(&blotted).unwrap();
            assert!(text.starts_with("ssid = Café\r\n# taken"), "{text}");
            assert!(
                !text.contains("Kennwort") && text.ends_with("\r\n"),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_here_shows_a_password() {
        let wifi = parse("ssid = a\npassword = 12345678\nssid = b\npassword = 1234567");
        let (kept, _) = wifi.keep(&Kept::default());
        let shown = format!("{wifi:?}{kept:?}");
        assert!(!shown.contains("1234567"), "{shown}");
    }
}
