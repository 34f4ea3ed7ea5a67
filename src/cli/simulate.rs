//! `callbox simulate`: the simulated service as a program of its own.
//!
//! Prints what a device needs to use it, then every event as a line, until
//! Ctrl-C. With `--out`, what each callee heard is kept as a WAV file. With
//! `--orders`, lines typed meanwhile are orders: somebody calls in, a key is
//! pressed.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use crate::simulator::{
    API_KEY, Announce, Answer, Callee, Carried, Config, Encoding, Event, Events, Handle, HangsUp,
    IncomingAction, Line, NUMBER, NUMBER_ID, OPENAPI, Running, Says, Simulator, What, parse_time,
    speech,
};
use crate::units::E164;

/// Who calls in, where the order does not say.
const CALLER: &str = "+15005550177";
/// Orders that may wait.
const ORDERS: usize = 16;

/// Arguments of `callbox simulate`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Port of the API on loopback; 0 takes any free one
    #[arg(long, default_value_t = 8400)]
    pub port: u16,
    /// How long the callee lets it ring before they do what --callee says
    #[arg(long, value_name = "TIME", default_value = "1200ms", value_parser = time)]
    pub answer_after: Duration,
    /// What the callee does
    #[arg(long, value_enum, default_value_t = Role::Speak)]
    pub callee: Role,
    /// What the callee of one number does, in place of --callee; may be repeated
    #[arg(long, value_name = "NUMBER=ROLE", value_parser = callee_for)]
    pub callee_for: Vec<(E164, Role)>,
    /// Keys the callee presses, the first so long after they can be heard, like
    /// 2s:1 or 3s:42#; a machine presses none; may be repeated
    #[arg(long, value_name = "TIME:KEYS", value_parser = keys)]
    pub keys: Vec<Timed>,
    /// How the device gets to know of keys
    #[arg(long, value_enum, default_value_t = KeyTones::Frames)]
    pub key_tones: KeyTones,
    /// What speech-to-text makes of the callee, so long after they can be heard,
    /// like 1s:Who is there?; may be repeated
    #[arg(long, value_name = "TIME:WORDS", value_parser = words)]
    pub stt_words: Vec<Timed>,
    /// How sound is sent: pcmu, pcma, l16/16000, l16le/16000 (low byte first),
    /// opus/48000, …; g722 is announced only, to see it refused
    #[arg(long, value_name = "ENCODING", default_value = "pcmu", value_parser = sound)]
    pub encoding: Sound,
    /// Leaves machines that answer alone: they keep talking
    #[arg(long)]
    pub no_voicemail_detection: bool,
    /// Accepts calls to the number from the start and streams them to this URL
    #[arg(long, value_name = "URL")]
    pub inbound: Option<String>,
    /// Takes orders typed meanwhile: call [NUMBER], keys 42#, say WORDS, hang up
    #[arg(long)]
    pub orders: bool,
    /// A WAV file for the callee to speak, in place of the bundled words
    #[arg(long, value_name = "WAV")]
    pub speech: Option<PathBuf>,
    /// What the line does: delay=40ms,jitter=20ms,stall=5s+800ms/20s,reorder=0.01,
    /// duplicate=0.01,loss=0.01,garbage=0.01,drop=8s,close4500=12s,seed=1
    #[arg(long, value_name = "FAULTS", default_value = "")]
    pub line: Line,
    /// A folder for what callees heard, one WAV file per call
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Signs handshakes with this key
    #[arg(long, value_name = "KEY")]
    pub signing_key: Option<String>,
    /// PEM file of certificates to trust for wss://, beside the public ones
    #[arg(long, value_name = "PEM")]
    pub ca: Option<PathBuf>,
    /// Prints the OpenAPI document of the REST side, and ends
    #[arg(long)]
    pub openapi: bool,
}

/// What the callee does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers, speaks, and hangs up at the end
    Speak,
    /// Answers and repeats what they hear
    Echo,
    /// Does not answer
    RingOut,
    /// Declines
    Reject,
    /// Lets a machine answer
    Voicemail,
    /// Answers, speaks, and then sends nothing at all
    Silent,
}

/// How the device gets to know of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyTones {
    /// A frame for each
    Frames,
    /// A tone in the sound
    InBand,
    /// Both
    Both,
}

/// What happens so long after the callee can be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    at: Duration,
    what: String,
}

/// How sound is sent, or what is announced in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// Announced as it is.
    As(Encoding),
    /// G.722 is announced; PCMU, whose packets are as long, is sent.
    G722,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_time(text).ok_or("not a time up to 60 s, like 1200ms or 1.5s")
}

fn timed(text: &str) -> Option<Timed> {
    let (at, what) = text.split_once(':')?;
    let what = what.trim().to_owned();
    let at = parse_time(at)?;
    (!what.is_empty()).then_some(Timed { at, what })
}

fn keys(text: &str) -> Result<Timed, &'static str> {
    let is_key = |c: char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d');
    timed(text)
        .filter(|keys| keys.what.chars().all(is_key))
        .ok_or("not a time and keys, like 2s:1 or 3s:42#")
}

fn words(text: &str) -> Result<Timed, &'static str> {
    timed(text).ok_or("not a time and words, like 1s:Who is there?")
}

fn callee_for(text: &str) -> Result<(E164, Role), String> {
    let (number, role) = text
        .split_once('=')
        .ok_or("not NUMBER=ROLE, like +15005550201=ring-out")?;
    let number = E164::parse(number).map_err(|error| error.to_string())?;
    Ok((number, Role::from_str(role, true)?))
}

fn sound(text: &str) -> Result<Sound, String> {
    if text.eq_ignore_ascii_case("g722") {
        return Ok(Sound::G722);
    }
    let encoding = text.parse::<Encoding>();
    encoding
        .map(Sound::As)
        .map_err(|error| format!("{error}, and g722 to see it refused"))
}

impl Arguments {
    fn config(&self) -> io::Result<Config> {
        let mut config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            callee: self.callee(self.callee)?,
            line: self.line.clone(),
            ..Config::default()
        };
        let service = &mut config.service;
        service.signing_key.clone_from(&self.signing_key);
        service.voicemail_detection = !self.no_voicemail_detection;
        match self.encoding {
            Sound::As(encoding) => service.encoding = encoding,
            Sound::G722 => {
                service.announce = Announce::Other {
                    encoding: "G722".into(),
                    sample_rate: 8000,
                };
            }
        }
        if let Some(path) = &self.ca {
            let pem = std::fs::read_to_string(path);
            let pem = pem.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())));
            service.extra_ca_pem = Some(pem?);
        }
        if let Some(url) = &self.inbound {
            let number = &mut config.numbers[0];
            number.incoming_call_action = IncomingAction::AutoAccept;
            number.client_websocket_url = Some(url.clone());
        }
        Ok(config)
    }

    fn callee(&self, role: Role) -> io::Result<Callee> {
        let spoken = match &self.speech {
            Some(path) => speech::read_wav(path)?,
            None => speech::callee(),
        };
        let mut callee = self.acting(role, spoken);
        // A machine presses none: that is what a confirmation is for.
        for keys in self.keys.iter().filter(|_| role != Role::Voicemail) {
            callee = callee.pressing(keys.at, &keys.what);
        }
        for words in &self.stt_words {
            callee = callee.saying(words.at, &words.what);
        }
        callee.keys.carried = match self.key_tones {
            KeyTones::Frames => Carried::Frames,
            KeyTones::InBand => Carried::InBand,
            KeyTones::Both => Carried::Both,
        };
        Ok(callee)
    }

    fn acting(&self, role: Role, spoken: Vec<i16>) -> Callee {
        let rings = self.answer_after;
        let answers = Answer::After(rings);
        match role {
            Role::Speak => Callee {
                answer: answers,
                ..Callee::speaking(spoken)
            },
            Role::Echo => Callee {
                answer: answers,
                ..Callee::echoing()
            },
            Role::RingOut => Callee::absent(Answer::RingsOut(rings)),
            Role::Reject => Callee::absent(Answer::Rejects(rings)),
            Role::Voicemail => Callee {
                answer: Answer::Voicemail(rings),
                says: Says::Forever(spoken.into()),
                hangs_up: HangsUp::Never,
                ..Callee::echoing()
            },
            Role::Silent => Callee {
                answer: answers,
                says: Says::SpeechThenNoMedia(spoken.into()),
                hangs_up: HangsUp::Never,
                ..Callee::echoing()
            },
        }
    }
}

/// Serves until Ctrl-C.
///
/// # Errors
/// When the port is taken, a file cannot be read, or a recording cannot be
/// written; the message says which.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if arguments.openapi {
        print(OPENAPI.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = arguments.config()?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, arguments: &Arguments) -> io::Result<()> {
    let address = config.listen;
    let simulator = Simulator::start(config).await.map_err(|error| {
        let advice = "choose another with --port, or 0 for any free one";
        io::Error::new(error.kind(), format!("{address}: {error}; {advice}"))
    })?;
    for (number, role) in &arguments.callee_for {
        let callee = arguments.callee(*role)?;
        simulator.handle.set_callee_for(number.as_str(), callee);
    }
    print(&introduction(&simulator, arguments))?;
    let mut story = Story {
        handle: simulator.handle.clone(),
        events: simulator.handle.events(),
        out: arguments.out.as_deref(),
        typed: typed(arguments.orders),
    };
    let told = tokio::select! {
        told = story.tell() => told,
        interrupted = tokio::signal::ctrl_c() => interrupted,
    };
    simulator.stop().await;
    told.and_then(|()| story.end())
}

/// What a device needs to use the service, ready to paste into its configuration.
fn introduction(simulator: &Running, arguments: &Arguments) -> String {
    let signing = match &arguments.signing_key {
        Some(key) => format!(
            "signing_key_file = \"simulator-signing-key\"  # printf %s '{key}' > simulator-signing-key\n"
        ),
        None => String::new(),
    };
    format!(
        "A simulated telephone service at {base}, API key {API_KEY}.\n\
         For the device's configuration (it dials the device at public_url):\n\
         \n\
         [service]\n\
         base_url = \"{base}\"\n\
         api_key_file = \"simulator-key\"  # printf %s {API_KEY} > simulator-key\n\
         {signing}\
         from_number = \"{NUMBER}\"\n\
         phone_number_id = \"{NUMBER_ID}\"\n\
         [ingress]\n\
         mode = \"public-url\"\n\
         public_url = \"ws://127.0.0.1:8765\"\n\
         \n\
         {callees} Ctrl-C stops it.\n\
         {orders}",
        base = simulator.base_url,
        callees = match arguments.callee_for.len() {
            0 => "Every number leads to the same callee.",
            _ => "Other numbers than those of --callee-for lead to the same callee.",
        },
        orders = match arguments.orders {
            true => format!("You may type {Help}\n"),
            false => String::new(),
        },
    )
}

/// What a person may order while the simulator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    /// Somebody calls the number.
    Call(E164),
    /// The callee presses keys.
    Keys(String),
    /// The callee says something, for speech-to-text.
    Say(String),
    HangUp,
}

/// What the orders are.
struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "call [NUMBER] (somebody calls in), keys 42# (the callee presses them), \
             say WORDS (for speech-to-text), or hang up.",
        )
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (word, rest.trim()) {
            ("call", "") => E164::parse(CALLER).map(Self::Call),
            ("call", number) => E164::parse(number).map(Self::Call),
            ("key" | "keys", keys) if !keys.is_empty() => Ok(Self::Keys(keys.into())),
            ("say", words) if !words.is_empty() => Ok(Self::Say(words.into())),
            ("hang", "up") => Ok(Self::HangUp),
            _ => return Err(format!("{text:?} is no order: type {Help}")),
        }
        .map_err(|error| format!("{rest}: {error}"))
    }
}

impl Order {
    /// Carries it out; the words say what there was in the way.
    fn carry_out(&self, handle: &Handle) -> Result<(), &'static str> {
        match self {
            Self::Call(from) => {
                let call = handle.call_in(from.as_str(), NUMBER);
                call.map(|_| ()).ok_or("the number is out of service")
            }
            Self::Keys(keys) => in_call(handle, |call| {
                keys.chars().all(|key| handle.digit(call, key))
            }),
            Self::Say(words) => in_call(handle, |call| handle.say(call, words)),
            Self::HangUp => in_call(handle, |call| handle.hang_up(call)),
        }
    }
}

/// Does something in the newest call that is up.
fn in_call(handle: &Handle, act: impl Fn(&str) -> bool) -> Result<(), &'static str> {
    let calls = handle.calls();
    let up = calls.iter().rev().find(|call| !call.status.is_over());
    let done = act(&up.ok_or("no call is up")?.id);
    done.then_some(()).ok_or("the call has just ended")
}

/// What is typed, line by line; nothing, if it is not `wanted`: who reads a
/// terminal from the background is stopped. The thread waits for input until
/// the program ends.
fn typed(wanted: bool) -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(ORDERS);
    if !wanted {
        return typed;
    }
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    typed
}

/// Prints every event; keeps the recording of every call that was answered.
struct Story<'a> {
    handle: Handle,
    events: Events,
    out: Option<&'a Path>,
    typed: mpsc::Receiver<String>,
}

impl Story<'_> {
    /// Goes on until it cannot be told.
    async fn tell(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                event = self.events.next() => self.take(&event)?,
                Some(line) = self.typed.recv() => self.obey(&line)?,
            }
        }
    }

    fn obey(&self, line: &str) -> io::Result<()> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let order = line.parse::<Order>();
        let done = order.and_then(|order| order.carry_out(&self.handle).map_err(str::to_owned));
        done.or_else(|why| print(&why))
    }

    /// What happened up to the end, once the simulator has stopped.
    fn end(&mut self) -> io::Result<()> {
        while let Some(event) = self.events.try_next() {
            self.take(&event)?;
        }
        Ok(())
    }

    fn take(&self, event: &Event) -> io::Result<()> {
        print(&event.to_string())?;
        let Some((folder, call)) = self.out.zip(finished(event)) else {
            return Ok(());
        };
        if self.handle.heard(call).is_some() {
            let path = folder.join(format!("callee-heard-{call}.wav"));
            self.handle.save_heard(call, &path)?;
            print(&format!("           kept {}", path.display()))?;
        }
        Ok(())
    }
}

/// The call that is over with this event.
fn finished(event: &Event) -> Option<&str> {
    match event.what {
        What::Status(status, _) if status.is_over() => event.call.as_deref(),
        _ => None,
    }
}

fn print(line: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        // Whoever read it has seen enough; the service goes on.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &str) -> Result<Arguments, clap::Error> {
        let words = std::iter::once("simulate").chain(words.split_whitespace());
        Program::try_parse_from(words).map(|program| program.arguments)
    }

    #[test]
    fn each_role_is_a_callee() {
        let rings = Duration::from_millis(700);
        let cases = [
            ("speak", Answer::After(rings)),
            ("echo", Answer::After(rings)),
            ("ring-out", Answer::RingsOut(rings)),
            ("reject", Answer::Rejects(rings)),
            ("voicemail", Answer::Voicemail(rings)),
            ("silent", Answer::After(rings)),
        ];
        for (role, answer) in cases {
            let words = format!("--callee {role} --answer-after 700ms");
            let config = parse(&words).unwrap().config().unwrap();
            assert_eq!(config.callee.answer, answer, "{role}");
        }
    }

    #[test]
    fn wrong_arguments_say_what_would_be_right() {
        let cases = [
            ("--answer-after soon", "1200ms or 1.5s"),
            ("--line dealy=1s", "there is no \"dealy\""),
            ("--callee sings", "ring-out"),
            ("--callee-for 42=echo", "+4930123456"),
            ("--callee-for +15005550201", "=ring-out"),
            ("--keys 2s:7x", "3s:42#"),
            ("--keys 42", "3s:42#"),
            ("--stt-words now:Hello", "1s:Who is there?"),
            ("--encoding l16/44100", "l16/16000"),
            ("--encoding mp3", "g722"),
        ];
        for (words, want) in cases {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(want), "{words}: {error}");
        }
        let missing = parse("--speech /nowhere/x.wav").unwrap().config();
        let error = missing.unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.wav"), "{error}");
    }

    #[test]
    fn what_a_person_would_try_is_in_the_configuration() {
        let words = "--encoding l16le/24000 --keys 2s:1 --keys 3s:42# --key-tones both \
                     --stt-words 1s:Hello --no-voicemail-detection \
                     --inbound wss://box.example/in";
        let config = parse(words).unwrap().config().unwrap();
        assert_eq!(config.service.encoding.to_string(), "l16le/24000");
        assert_eq!(config.service.announce, Announce::AsSent);
        assert!(!config.service.voicemail_detection);
        let pressed = config.callee.keys.presses.iter().map(|press| press.digit);
        assert_eq!(pressed.collect::<String>(), "142#");
        assert_eq!(config.callee.keys.carried, Carried::Both);
        assert_eq!(config.callee.words[0].text, "Hello");
        let number = &config.numbers[0];
        assert_eq!(number.incoming_call_action, IncomingAction::AutoAccept);
        assert!(number.client_websocket_url.is_some());

        let config = parse("--encoding g722").unwrap().config().unwrap();
        assert!(matches!(config.service.announce, Announce::Other { .. }));
        let listed = parse("--callee-for +15005550201=voicemail --keys 1s:1").unwrap();
        assert_eq!(listed.callee_for[0].1, Role::Voicemail);
        let machine = listed.callee(Role::Voicemail).unwrap();
        assert!(matches!(machine.says, Says::Forever(_)));
        assert!(machine.keys.presses.is_empty());
    }

    #[test]
    fn orders_are_read_and_others_are_told_what_there_is() {
        let number = |text| Order::Call(E164::parse(text).unwrap());
        for (text, want) in [
            ("call", number(CALLER)),
            (" call +15005550178 ", number("+15005550178")),
            ("keys 42#", Order::Keys("42#".into())),
            ("say open  the door", Order::Say("open  the door".into())),
            ("hang up", Order::HangUp),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for (text, want) in [
            ("dance", "hang up"),
            ("keys", "keys 42#"),
            ("call 030", "+"),
            ("hang", "hang up"),
        ] {
            let error = text.parse::<Order>().unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn orders_are_carried_out_or_say_what_is_in_the_way() {
        let arguments = parse("--port 0 --inbound ws://127.0.0.1:9/in").unwrap();
        let simulator = Simulator::start(arguments.config().unwrap()).await.unwrap();
        let handle = &simulator.handle;
        let order = |text: &str| text.parse::<Order>().unwrap().carry_out(handle);
        assert_eq!(order("keys 1"), Err("no call is up"));
        assert_eq!(order("call"), Ok(()));
        assert_eq!(handle.calls()[0].remote, CALLER);
        for text in ["keys 42#", "say Hello", "hang up"] {
            assert_eq!(order(text), Ok(()), "{text}");
        }
        handle.set_active(NUMBER_ID, false);
        assert_eq!(order("call"), Err("the number is out of service"));
    }

    #[tokio::test]
    async fn the_introduction_is_ready_to_paste() {
        let arguments = parse("--port 0 --signing-key secret").unwrap();
        let simulator = Simulator::start(arguments.config().unwrap()).await.unwrap();
        let text = introduction(&simulator, &arguments);
        let from = text.find("[service]").unwrap();
        let until = text.rfind("\n\n").unwrap();
        let pasted: toml::Table = text[from..until].parse().unwrap();
        let service = &pasted["service"];
        assert_eq!(service["base_url"].as_str(), Some(&*simulator.base_url));
        assert_eq!(service["from_number"].as_str(), Some(NUMBER));
        assert!(service["signing_key_file"].is_str());
        assert!(pasted["ingress"]["public_url"].is_str());
    }
}
