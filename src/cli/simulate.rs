//! `callbox simulate`: the simulated service as a program of its own.
//!
//! Prints what a device needs to use it, then every event as a line, until
//! Ctrl-C. With `--out`, what each callee heard is kept as a WAV file.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::simulator::{
    API_KEY, Answer, Callee, Config, Event, Events, Handle, HangsUp, Line, NUMBER, NUMBER_ID,
    Running, Says, Simulator, What, parse_time, speech,
};

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

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_time(text).ok_or("not a time up to 60 s, like 1200ms or 1.5s")
}

impl Arguments {
    fn config(&self) -> io::Result<Config> {
        let mut config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            callee: self.callee()?,
            line: self.line.clone(),
            ..Config::default()
        };
        config.service.signing_key.clone_from(&self.signing_key);
        if let Some(path) = &self.ca {
            let pem = std::fs::read_to_string(path);
            let pem = pem.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())));
            config.service.extra_ca_pem = Some(pem?);
        }
        Ok(config)
    }

    fn callee(&self) -> io::Result<Callee> {
        let words = match &self.speech {
            Some(path) => speech::read_wav(path)?,
            None => speech::callee(),
        };
        let rings = self.answer_after;
        let answers = Answer::After(rings);
        Ok(match self.callee {
            Role::Speak => Callee {
                answer: answers,
                ..Callee::speaking(words)
            },
            Role::Echo => Callee {
                answer: answers,
                ..Callee::echoing()
            },
            Role::RingOut => Callee::absent(Answer::RingsOut(rings)),
            Role::Reject => Callee::absent(Answer::Rejects(rings)),
            Role::Voicemail => Callee {
                answer: Answer::Voicemail(rings),
                ..Callee::speaking(words)
            },
            Role::Silent => Callee {
                answer: answers,
                says: Says::SpeechThenNoMedia(words.into()),
                hangs_up: HangsUp::Never,
                ..Callee::echoing()
            },
        })
    }
}

/// Serves until Ctrl-C.
///
/// # Errors
/// When the port is taken, a file cannot be read, or a recording cannot be
/// written; the message says which.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
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
    print(&introduction(&simulator, arguments))?;
    let mut story = Story {
        handle: simulator.handle.clone(),
        events: simulator.handle.events(),
        out: arguments.out.as_deref(),
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
         Every number leads to the same callee. Ctrl-C stops it.\n",
        base = simulator.base_url,
    )
}

/// Prints every event; keeps the recording of every call that was answered.
struct Story<'a> {
    handle: Handle,
    events: Events,
    out: Option<&'a Path>,
}

impl Story<'_> {
    /// Goes on until it cannot be told.
    async fn tell(&mut self) -> io::Result<()> {
        loop {
            let event = self.events.next().await;
            self.take(&event)?;
        }
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
        ];
        for (words, want) in cases {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(want), "{words}: {error}");
        }
        let missing = parse("--speech /nowhere/x.wav").unwrap().config();
        let error = missing.unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.wav"), "{error}");
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
