//! What the types cannot say: faults that show only when two values are seen
//! together.

use std::time::Duration;

use super::button::{Action, Button, Kind, Target};
use super::file::{Door, File, InboundAction, IngressMode};
use super::hours::When;
use crate::edge::gpio::LineSpec;
use crate::edge::tunnel::PORT;
use crate::panel::BadConfig;
use crate::units::E164;

/// Buttons that fit a panel.
const BUTTONS_MAX: usize = 16;
/// Numbers of one button.
const TARGETS_MAX: usize = 8;
/// Lamps of a panel, doors, schedules and numbers that may call.
const LAMPS_MAX: usize = 8;
const DOORS_MAX: usize = 4;
const SCHEDULES_MAX: usize = 32;
const ALLOWED_MAX: usize = 64;
/// Words of a tunnel program's command, and bytes of one.
const COMMAND_WORDS: usize = 64;
const COMMAND_WORD: usize = 1024;
/// Words that open one door, and characters of one.
const WORDS_MAX: usize = 8;
const WORD_LENGTH: std::ops::RangeInclusive<usize> = 3..=64;
/// With a list, the next number is dialed by then (ASME A17.1 2.27.1.1.2).
const NEXT_WITHIN: Duration = Duration::from_secs(45);

/// A fault, and the key to be looked at.
pub(super) struct Wrong {
    pub(super) section: &'static str,
    /// Which of several sections of that name, from 0.
    pub(super) nth: usize,
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl Wrong {
    fn new(section: &'static str, key: &'static str, what: impl Into<String>) -> Self {
        Self::nth(section, 0, key, what)
    }

    fn nth(section: &'static str, nth: usize, key: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            section,
            nth,
            key,
            what,
        }
    }
}

impl File {
    /// Finds the first fault.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_ingress()?;
        self.check_buttons()?;
        self.check_panel()?;
        self.check_lamps_and_doors()?;
        self.check_lines()?;
        self.check_schedules()?;
        self.check_place()?;
        self.check_inbound()?;
        self.check_sound()
    }

    fn check_sound(&self) -> Result<(), Wrong> {
        match self.sound.rate {
            None | Some(16_000 | 48_000) => Ok(()),
            Some(_) => Err(Wrong::new(
                "sound",
                "rate",
                "callbox runs cards at 48000 or 16000",
            )),
        }
    }

    fn check_ingress(&self) -> Result<(), Wrong> {
        let ingress = &self.ingress;
        let mode = ingress.mode;
        let wrong = |key, what: String| Err(Wrong::new("ingress", key, what));
        if mode == IngressMode::Inkbox && !cfg!(feature = "tunnel") {
            return wrong(
                "mode",
                "this callbox was built without the service's own tunnel; install a package or \
                 image that has it, build with `--features tunnel`, or set mode = \"command\" \
                 with a tunnel program of your own"
                    .to_owned(),
            );
        }
        let by_file = "/path/to/file.pem";
        let is_tls = mode == IngressMode::Tls;
        let keys = [
            (
                "public_url",
                ingress.public_url.is_some(),
                mode != IngressMode::Inkbox,
                "\"wss://door.example.org\"".to_owned(),
            ),
            (
                "certificate",
                ingress.certificate.is_some(),
                is_tls,
                format!("{by_file:?}"),
            ),
            (
                "private_key",
                ingress.private_key.is_some(),
                is_tls,
                format!("{by_file:?}"),
            ),
            (
                "command",
                !ingress.command.is_empty(),
                mode == IngressMode::Command,
                "[\"ssh\", \"-N\", …]; `callbox config init` writes an example".to_owned(),
            ),
        ];
        for (key, is_set, is_needed, example) in keys {
            let word = mode.word();
            match (is_set, is_needed) {
                (false, true) => {
                    return wrong(key, format!("mode = \"{word}\" needs {key} = {example}"));
                }
                (true, false) => {
                    return wrong(key, format!("mode = \"{word}\" {}", superfluous(mode, key)));
                }
                _ => {}
            }
        }
        if ingress.tunnel.is_some() && mode != IngressMode::Inkbox {
            let what = format!("mode = \"{}\" {}", mode.word(), superfluous(mode, "tunnel"));
            return wrong("tunnel", what);
        }
        if ingress
            .tunnel
            .as_deref()
            .is_some_and(|name| !is_tunnel_name(name))
        {
            let what = "a tunnel has the name of its agent identity: 3 to 63 letters, digits and \
                        hyphens";
            return wrong("tunnel", what.to_owned());
        }
        if let Err(what) = command(&ingress.command) {
            return wrong("command", what);
        }
        if !is_tls && !ingress.listen.ip().is_loopback() {
            let what = format!(
                "in mode \"{}\" the socket is not encrypted, so it listens on this machine \
                 only: 127.0.0.1 or [::1]",
                mode.word()
            );
            return wrong("listen", what);
        }
        Ok(())
    }

    fn check_panel(&self) -> Result<(), Wrong> {
        let key = |e: &BadConfig| match e {
            BadConfig::Qualify(_) => "qualify_ms",
            BadConfig::LongPress(_) => "long_press_ms",
            BadConfig::DoubleWithin(_) => "double_press_ms",
            BadConfig::Stuck(_) => "stuck_s",
            // Not in the file, or found by the types and by the buttons' check.
            BadConfig::Rearm(_)
            | BadConfig::DoublePress(_)
            | BadConfig::NoLongPress(_)
            | BadConfig::Pulse { .. } => "",
        };
        let settings = self.panel_settings();
        settings
            .check()
            .map_err(|e| Wrong::new("panel", key(&e), e.to_string()))
    }

    fn check_buttons(&self) -> Result<(), Wrong> {
        if self.buttons.is_empty() || self.buttons.len() > BUTTONS_MAX {
            let what = format!("a panel has 1 to {BUTTONS_MAX} buttons");
            return Err(Wrong::nth("button", BUTTONS_MAX, "name", what));
        }
        let mut targets = 0;
        for (n, button) in self.buttons.iter().enumerate() {
            let wrong = |(key, what): (&'static str, String)| Wrong::nth("button", n, key, what);
            let earlier = self.buttons[..n].iter().map(|b| b.name.as_str());
            named(&button.name, earlier, "buttons").map_err(|what| wrong(("name", what)))?;
            list(button).map_err(wrong)?;
            gestures(button).map_err(wrong)?;
            announcement(button).map_err(wrong)?;
            self.check_targets(button, n, targets)?;
            self.check_ringing(button, n)?;
            targets += button.targets.len();
        }
        Ok(())
    }

    /// `n` is the button's place, `first` that of its first target in the file.
    fn check_targets(&self, button: &Button, n: usize, first: usize) -> Result<(), Wrong> {
        let own = |number: &E164| *number == self.service.from_number;
        let name = &button.name;
        let itself = format!("{name}: this is the number that calls; it cannot call itself");
        if button.to.iter().any(own) {
            return Err(Wrong::nth("button", n, "to", itself));
        }
        for (at, target) in button.targets.iter().enumerate() {
            let wrong = |key, what: String| Err(Wrong::nth("button.target", first + at, key, what));
            if own(&target.number) {
                return wrong("number", itself);
            }
            if matches!(target.when, When::Day | When::Night) && self.clock.night.is_none() {
                return wrong(
                    "when",
                    format!(
                        "{name}: it is not known what night is; write [hours] night = \
                         \"22:00-07:00\", or the hours here"
                    ),
                );
            }
        }
        Ok(())
    }

    /// A list must not wait for one number longer than the next is waited for.
    fn check_ringing(&self, button: &Button, n: usize) -> Result<(), Wrong> {
        let is_list = button.to.len() + button.targets.len() > 1 || button.cycles > 1;
        let ring_for = button.ring_for.unwrap_or(self.call.ring_for);
        if !is_list || ring_for <= NEXT_WITHIN {
            return Ok(());
        }
        let what = format!(
            "{}: with a list of numbers the next is called within {} s; write 45 or less",
            button.name,
            NEXT_WITHIN.as_secs()
        );
        Err(match button.ring_for {
            Some(_) => Wrong::nth("button", n, "ring_for_s", what),
            None => Wrong::new("call", "ring_for_s", what),
        })
    }

    fn check_lamps_and_doors(&self) -> Result<(), Wrong> {
        if self.lamps.len() > LAMPS_MAX {
            let what = format!("a panel has at most {LAMPS_MAX} lamps");
            return Err(Wrong::nth("lamp", LAMPS_MAX, "line", what));
        }
        if self.doors.len() > DOORS_MAX {
            let what = format!("there are at most {DOORS_MAX} doors");
            return Err(Wrong::nth("door", DOORS_MAX, "name", what));
        }
        for (n, door) in self.doors.iter().enumerate() {
            let wrong = |(key, what): (&'static str, String)| Wrong::nth("door", n, key, what);
            let earlier = &self.doors[..n];
            let names = earlier.iter().map(|d| d.name.as_str());
            named(&door.name, names, "doors").map_err(|what| wrong(("name", what)))?;
            door_code(door, earlier).map_err(wrong)?;
            door_words(door, earlier).map_err(wrong)?;
        }
        Ok(())
    }

    /// No line may be used twice.
    fn check_lines(&self) -> Result<(), Wrong> {
        let buttons = self.buttons.iter().enumerate().filter_map(|(n, b)| {
            let line = b.line.as_ref()?;
            Some(("button", n, b.name.clone(), line))
        });
        let lamps = (self.lamps.iter().enumerate())
            .map(|(n, lamp)| ("lamp", n, format!("lamp {}", n + 1), &lamp.line));
        let doors = (self.doors.iter().enumerate())
            .map(|(n, door)| ("door", n, door.name.clone(), &door.line));
        let mut seen: Vec<(String, &LineSpec)> = Vec::new();
        for (section, n, name, line) in buttons.chain(lamps).chain(doors) {
            if let Some((other, _)) = seen.iter().find(|(_, other)| *other == line) {
                let what = format!("{name} and {other} share a line");
                return Err(Wrong::nth(section, n, "line", what));
            }
            seen.push((name, line));
        }
        Ok(())
    }

    fn check_schedules(&self) -> Result<(), Wrong> {
        if self.schedules.len() > SCHEDULES_MAX {
            let what = format!("there are at most {SCHEDULES_MAX} schedules");
            return Err(Wrong::nth("schedule", SCHEDULES_MAX, "name", what));
        }
        for (n, schedule) in self.schedules.iter().enumerate() {
            let wrong = |key, what| Err(Wrong::nth("schedule", n, key, what));
            let earlier = self.schedules[..n].iter().map(|s| s.name.as_str());
            if let Err(what) = named(&schedule.name, earlier, "schedules") {
                return wrong("name", what);
            }
            if schedule.at.is_empty() || schedule.at.len() > 24 {
                let what = "write 1 to 24 times of the day, like \"07:30\"".to_owned();
                return wrong("at", what);
            }
            let button = self.buttons.iter().find(|b| b.name == schedule.button);
            match button.map(|b| b.kind) {
                Some(Kind::Announce) => {}
                Some(Kind::Talk) => {
                    let what = format!(
                        "{} is for talking, and nobody stands there; name a button of kind = \
                         \"announce\", which needs no line",
                        schedule.button
                    );
                    return wrong("button", what);
                }
                None => {
                    let what = format!("no button is called {:?}", schedule.button);
                    return wrong("button", what);
                }
            }
        }
        Ok(())
    }

    fn check_place(&self) -> Result<(), Wrong> {
        let place = &self.place.name;
        if place.len() > 200 || place.contains(char::is_control) {
            let what = "a place has at most 200 printable bytes";
            return Err(Wrong::new("place", "name", what));
        }
        let says = |b: &Button| b.say.as_ref().is_some_and(super::Text::names_place);
        match self.buttons.iter().position(says) {
            Some(n) if place.trim().is_empty() => Err(Wrong::nth(
                "button",
                n,
                "say",
                "it says {place}, and no place is known; write [place] name = \"…\"",
            )),
            _ => Ok(()),
        }
    }

    fn check_inbound(&self) -> Result<(), Wrong> {
        let wrong = |what: String| Err(Wrong::new("inbound", "allow", what));
        if self.inbound.allow.len() > ALLOWED_MAX {
            return wrong(format!("at most {ALLOWED_MAX} numbers may call"));
        }
        if self.inbound.action != InboundAction::Refuse && self.inbound.allow.is_empty() {
            return wrong("name the numbers that may call; nobody else gets through".to_owned());
        }
        Ok(())
    }
}

/// Why a key has no business in a mode, and what to do.
fn superfluous(mode: IngressMode, key: &str) -> String {
    let why = match (key, mode) {
        ("public_url", _) => "learns the address from the service",
        ("certificate" | "private_key", IngressMode::PublicUrl) => "leaves TLS to the proxy",
        ("certificate" | "private_key", _) => "leaves TLS to the far end of the tunnel",
        ("command", _) => "starts no program",
        _ => "has no tunnel of the service's",
    };
    let other = match key {
        "command" => "command",
        "tunnel" => "inkbox",
        "public_url" => "public-url",
        _ => "tls",
    };
    format!("{why}; remove this, or set mode = \"{other}\"")
}

fn is_tunnel_name(name: &str) -> bool {
    let name = name.strip_prefix('@').unwrap_or(name);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (3..=63).contains(&name.len()) && name.bytes().all(fits)
}

/// A tunnel program and its arguments, if there are any.
fn command(words: &[String]) -> Result<(), String> {
    if words.len() > COMMAND_WORDS {
        return Err(format!("a command has at most {COMMAND_WORDS} words"));
    }
    for (n, word) in words.iter().enumerate() {
        if word.len() > COMMAND_WORD || word.contains(char::is_control) {
            return Err(format!(
                "a word of a command has at most {COMMAND_WORD} printable bytes"
            ));
        }
        let relative = word.contains('/') && !word.starts_with('/');
        if n == 0 && (word.is_empty() || relative || word.contains([' ', '{'])) {
            return Err(
                "the first word is the program's name, or its whole path; each of its arguments \
                 is a word of its own"
                    .to_owned(),
            );
        }
        let braces = word
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'));
        let mut names = braces.map(|(name, _)| name);
        let is_name =
            |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
        if let Some(name) = names.find(|name| is_name(name) && *name != "port") {
            return Err(format!(
                "{{{name}}} stands for nothing; {PORT} is the port to forward to"
            ));
        }
    }
    Ok(())
}

/// A key and what is wrong with it.
type KeyFault = (&'static str, String);

/// A name is for people, and nothing else has it.
fn named<'a>(
    name: &str,
    mut earlier: impl Iterator<Item = &'a str>,
    what: &str,
) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err("a name has 1 to 64 printable bytes".to_owned());
    }
    match earlier.any(|other| other == name) {
        true => Err(format!("two {what} are called {name}")),
        false => Ok(()),
    }
}

/// The numbers of a button.
fn list(button: &Button) -> Result<(), KeyFault> {
    let name = &button.name;
    if !button.to.is_empty() && !button.targets.is_empty() {
        let what = format!("{name}: write all numbers here, or each as a [[button.target]]");
        return Err(("to", what));
    }
    let targets = button.all_targets();
    if targets.len() > TARGETS_MAX {
        let what = format!("{name}: a button calls at most {TARGETS_MAX} numbers");
        return Err(("to", what));
    }
    let twice = |(n, target): (usize, &Target)| targets[..n].contains(target);
    if targets.iter().enumerate().any(twice) {
        let what =
            format!("{name}: a number stands there twice; cycles = 2 calls all of them again");
        return Err(("to", what));
    }
    let gestures = [button.press, button.long_press, button.double_press];
    let calls = gestures.contains(&Action::Call) || button.kind == Kind::Announce;
    if calls && targets.is_empty() {
        let what = format!("{name}: write whom it calls, like to = \"+4930123456\"");
        return Err(("to", what));
    }
    Ok(())
}

fn gestures(button: &Button) -> Result<(), KeyFault> {
    let name = &button.name;
    let (press, long, double) = (button.press, button.long_press, button.double_press);
    let calls = [press, long, double].contains(&Action::Call);
    if double == Action::Call || (calls && double != Action::None) {
        let what = format!(
            "{name}: a call would have to wait for the second press, so only a button that places \
             none can tell two; write \"none\""
        );
        return Err(("double_press", what));
    }
    if press == Action::Call && long == Action::Call {
        let what = format!("{name}: the press calls already; write \"cancel\" or \"none\"");
        return Err(("long_press", what));
    }
    Ok(())
}

fn announcement(button: &Button) -> Result<(), KeyFault> {
    let name = &button.name;
    match (button.kind, &button.say, button.inkbox_tts) {
        (Kind::Announce, None, _) => {
            let what =
                format!("{name}: write what is announced, like say = \"Help at {{place}}.\"");
            Err(("say", what))
        }
        (Kind::Announce, _, Some(false)) => {
            let what = format!("{name}: it is the service that speaks the text; remove this");
            Err(("inkbox_tts", what))
        }
        (Kind::Talk, Some(_), _) => {
            let what = format!("{name}: only kind = \"announce\" says a text");
            Err(("say", what))
        }
        (Kind::Talk, _, Some(true)) => {
            let what = format!(
                "{name}: text takes the microphone's place, and the visitor would not be heard; \
                 remove this, or set kind = \"announce\""
            );
            Err(("inkbox_tts", what))
        }
        _ => Ok(()),
    }
}

fn door_code(door: &Door, earlier: &[Door]) -> Result<(), KeyFault> {
    let name = &door.name;
    let Some(code) = &door.code else {
        return Ok(());
    };
    if door.code_file.is_some() {
        let what = format!("{name}: the code stands here and in code_file; remove one");
        return Err(("code", what));
    }
    code.check(door.allow_single_digit)
        .map_err(|why| ("code", format!("{name}: {why}")))?;
    let others = earlier.iter().filter_map(|d| Some((d, d.code.as_ref()?)));
    for (other, taken) in others {
        if code.is_like(taken) {
            let what = format!(
                "{name}: whoever types one of the codes of {name} and {} types the other on the \
                 way; choose another",
                other.name
            );
            return Err(("code", what));
        }
    }
    Ok(())
}

fn door_words(door: &Door, earlier: &[Door]) -> Result<(), KeyFault> {
    let name = &door.name;
    if door.words.phrases().len() > WORDS_MAX {
        let what = format!("{name}: at most {WORDS_MAX} words or phrases open a door");
        return Err(("words", what));
    }
    for word in door.words.phrases() {
        let spoken = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '\'');
        let fits = WORD_LENGTH.contains(&word.chars().count()) && word.chars().all(spoken);
        if !fits || !word.contains(char::is_alphanumeric) || word.trim() != word {
            let what = format!(
                "{name}: a word or phrase has {} to {} letters, digits and spaces between",
                WORD_LENGTH.start(),
                WORD_LENGTH.end()
            );
            return Err(("words", what));
        }
        if earlier.iter().any(|d| d.words.phrases().contains(word)) {
            let what = format!("{name}: one of its words opens another door already");
            return Err(("words", what));
        }
    }
    Ok(())
}
