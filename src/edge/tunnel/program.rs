//! A tunnel program of the installer's choice: started, listened to, ended.
//!
//! ```text
//!  argv, {port} ─▶ spawn ─▶ [ program ] ─▶ its status, when it ends
//!                              │ stdout and stderr, one pipe
//!                              ▼
//!                        lines ─▶ log, and the last one for the status page
//! ```
//!
//! No shell is in between, so nothing is expanded but `{port}`. The program
//! has no terminal: one that wants to ask for a password fails, and says so,
//! instead of waiting for ever. It sees little of our environment, and nothing
//! of our secrets. It leads a process group of its own, which ends with it, and
//! which the kernel kills should we be killed.
//!
//! Bounds: [`LINE_MAX`] characters of a line and [`LINES`] lines in [`WINDOW`]
//! are logged; what is more is counted. Whoever writes more than [`FLOOD`]
//! bytes in a window is read no faster, and waits.

use std::env;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::{self, Receiver};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use crate::edge::realtime::{self, Ending};
use crate::trace::{Counter, Trace};

/// What stands for the port the device listens on.
pub const PORT: &str = "{port}";
/// Characters of a line that are kept.
const LINE_MAX: usize = 240;
/// Lines logged in a [`WINDOW`].
const LINES: u32 = 20;
/// Bytes read in a [`WINDOW`].
const FLOOD: usize = 256 * 1024;
const WINDOW: Duration = Duration::from_secs(10);
/// What the program inherits of our environment. Where secrets are, for one,
/// is none of its business.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];
/// For what a program that has ended wrote last.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long it may tidy up when it is to end; then it is killed.
pub(super) const TIDY_UP: Duration = Duration::from_millis(250);
/// For the kernel to end what was killed. Longer only where the disk hangs.
const KILLED_WITHIN: Duration = Duration::from_millis(500);

/// A program that runs.
pub(super) struct Program {
    child: Child,
    /// Its process group's id: its own.
    leader: Option<u32>,
    /// What it writes, until all who could write have closed it. Errors go the
    /// same way, so that what was said last is known.
    output: Option<Receiver>,
    text: Text,
}

impl Program {
    /// Starts `argv` with the port filled in.
    pub(super) fn start(argv: &[String], port: u16, trace: Arc<Trace>) -> io::Result<Self> {
        let mut words = argv
            .iter()
            .map(|word| word.replace(PORT, &port.to_string()));
        let name = words.next().ok_or(io::ErrorKind::InvalidInput)?;
        let (writer, output) = pipe::pipe()?;
        let writer = writer.into_blocking_fd()?;
        let mut command = std::process::Command::new(name);
        command
            .args(words)
            .current_dir("/")
            .env_clear()
            .envs(INHERITED.iter().filter_map(|k| Some((k, env::var_os(k)?))))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        realtime::lead_group(&mut command);
        let child = Command::from(command).spawn()?;
        Ok(Self {
            leader: child.id(),
            output: Some(output),
            child,
            text: Text::new(trace),
        })
    }

    /// Its process id while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last line it wrote.
    pub(super) fn said(&self) -> Option<&str> {
        self.text.said.as_deref()
    }

    /// Listens until the program ends; how it did, in words. Nothing is lost
    /// when this is dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        let mut bytes = [0; 4096];
        let status = loop {
            let pause = self.text.pause();
            let flooded = pause.is_some();
            let resume = pause.unwrap_or_else(Instant::now);
            tokio::select! {
                status = self.child.wait() => break status,
                n = read(&mut self.output, &mut bytes), if !flooded && self.output.is_some() => {
                    self.text.take(&bytes[..n]);
                }
                () = sleep_until(resume), if flooded => {}
            }
        };
        // Somebody it left behind may hold the pipe open.
        if timeout(LAST_WORDS, self.last_words()).await.is_err() {
            self.text.end();
        }
        match status {
            Ok(status) => words(status),
            Err(error) => format!("was lost ({error})"),
        }
    }

    async fn last_words(&mut self) {
        let mut bytes = [0; 4096];
        while self.text.pause().is_none() {
            let n = read(&mut self.output, &mut bytes).await;
            if n == 0 {
                break;
            }
            self.text.take(&bytes[..n]);
        }
        self.text.end();
    }

    /// Ends it and all it started: asked first, then killed. With `patience`
    /// it has time to tidy up. How it ended; `None` while it will not.
    pub(super) async fn stop(mut self, patience: Duration) -> Option<ExitStatus> {
        let leader = self.leader?;
        if !patience.is_zero() && self.child.id().is_some() {
            // One that does not listen, or is stopped, is killed below.
            _ = realtime::end_group(leader, Ending::Asked);
            _ = timeout(patience, self.child.wait()).await;
        }
        // Whoever it left behind goes too. An empty group is an error, and fine.
        _ = realtime::end_group(leader, Ending::Killed);
        let Ok(status) = timeout(KILLED_WITHIN, self.child.wait()).await else {
            tracing::error!("the tunnel program was killed, and is still there");
            return None;
        };
        status.ok()
    }
}

/// Reads what there is; closes the pipe at its end, and gives 0.
async fn read(pipe: &mut Option<Receiver>, bytes: &mut [u8]) -> usize {
    let Some(open) = pipe else {
        return 0;
    };
    let n = open.read(bytes).await.unwrap_or(0);
    if n == 0 {
        *pipe = None;
    }
    n
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The program's output on its way into the log.
struct Text {
    partial: Vec<u8>,
    said: Option<String>,
    window: Instant,
    lines: u32,
    bytes: usize,
    dropped: u64,
    trace: Arc<Trace>,
}

impl Text {
    fn new(trace: Arc<Trace>) -> Self {
        Self {
            partial: Vec::new(),
            said: None,
            window: Instant::now(),
            lines: 0,
            bytes: 0,
            dropped: 0,
            trace,
        }
    }

    /// When to read on, where too much was read already.
    fn pause(&mut self) -> Option<Instant> {
        let end = self.window + WINDOW;
        if Instant::now() >= end {
            if self.dropped > 0 {
                tracing::warn!("tunnel: {} more lines", self.dropped);
            }
            (self.window, self.lines, self.bytes, self.dropped) = (Instant::now(), 0, 0, 0);
            return None;
        }
        (self.bytes >= FLOOD).then_some(end)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        for &byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.end();
            } else if self.partial.len() < 4 * LINE_MAX {
                // Four bytes make at most one character.
                self.partial.push(byte);
            }
        }
    }

    /// A line is whole.
    fn end(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let line = shown(&bytes);
        if line.is_empty() {
            return;
        }
        if self.lines < LINES {
            self.lines += 1;
            tracing::info!("tunnel: {line}");
        } else {
            self.dropped += 1;
            self.trace.count(Counter::TunnelLinesDropped);
        }
        self.said = Some(line);
    }
}

/// A line without what would move a terminal's cursor, and not too long.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.replace(char::is_control, " ");
    let line = line.trim();
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn shell(script: &str) -> Program {
        let argv = argv(&["sh", "-c", script]);
        Program::start(&argv, 8765, Arc::default()).unwrap()
    }

    #[tokio::test]
    async fn the_port_is_filled_in_and_nothing_is_expanded() {
        let argv = argv(&["echo", "a{port}b", "$HOME", "*", "{port}:{port}"]);
        let mut program = Program::start(&argv, 8765, Arc::default()).unwrap();
        assert_eq!(program.ended().await, "ended with status 0");
        assert_eq!(program.said(), Some("a8765b $HOME * 8765:8765"));
    }

    #[tokio::test]
    async fn how_it_ended_and_what_it_said_last_is_known() {
        let cases = [
            (
                "echo one; echo two >&2; exit 255",
                "ended with status 255",
                "two",
            ),
            ("printf 'no newline'; kill -9 $$", "signal 9", "no newline"),
            (
                "printf 'a\\rb\\n\\n \\033[2J!\\n'",
                "ended with status 0",
                "[2J!",
            ),
            // A sleeper holds the pipe, and is not waited for.
            ("echo gone; sleep 1000 &", "ended with status 0", "gone"),
        ];
        for (script, want, said) in cases {
            let mut program = shell(script);
            let ended = program.ended().await;
            assert!(ended.contains(want), "{script}: {ended}");
            assert_eq!(program.said(), Some(said), "{script}");
            program.stop(Duration::ZERO).await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        for (name, want) in [("/no/such/program", "No such file"), ("/", "denied")] {
            let error = Program::start(&argv(&[name]), 1, Arc::default()).err();
            let error = error.unwrap().to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    /// Password prompts go to the terminal: there must be none to wait at.
    #[tokio::test]
    async fn a_program_that_wants_a_terminal_fails() {
        let mut program = shell("read answer < /dev/tty");
        let ended = timeout(Duration::from_secs(10), program.ended()).await;
        assert_ne!(ended.unwrap(), "ended with status 0");
        let mut program = shell("read answer; echo got \"[$answer]\"");
        program.ended().await;
        assert_eq!(program.said(), Some("got []"));
    }

    #[tokio::test]
    async fn it_sees_nothing_of_our_environment_but_what_it_needs() {
        let mut program = shell(
            "env | grep -cv -e ^PATH= -e ^HOME= -e ^USER= -e ^LANG= -e ^TZ= \
                                 -e ^TMPDIR= -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD=",
        );
        program.ended().await;
        assert_eq!(program.said(), Some("0"));
    }

    #[tokio::test]
    async fn a_flood_is_bounded_and_counted() {
        let trace = Arc::new(Trace::default());
        let argv = argv(&["sh", "-c", "yes 'all work and no play' & echo $!; wait"]);
        let mut program = Program::start(&argv, 1, Arc::clone(&trace)).unwrap();
        while program.text.bytes < FLOOD {
            let listened = timeout(Duration::from_millis(20), program.ended()).await;
            assert!(listened.is_err(), "{listened:?}");
        }
        assert!(program.text.bytes < FLOOD + 4096, "{}", program.text.bytes);
        assert_eq!(program.text.lines, LINES);
        assert!(trace.read(Counter::TunnelLinesDropped) > 1000);
        assert!(program.stop(TIDY_UP).await.is_some());
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let mut program = shell("head -c 100000 /dev/zero | tr '\\0' x; echo; echo ü");
        program.ended().await;
        assert_eq!(program.said(), Some("ü"));
        assert_eq!(shown(&[b'x'; 4 * LINE_MAX]).chars().count(), LINE_MAX + 1);
        assert_eq!(shown(b"\xff\x00ok "), "\u{fffd} ok");
    }

    #[tokio::test]
    async fn one_that_does_not_listen_is_killed_and_one_that_does_may_tidy_up() {
        const FOR_EVER: Duration = Duration::from_secs(60);
        for (script, patience, signal) in [
            (
                "trap '' TERM; echo up; while :; do sleep 1; done",
                TIDY_UP,
                Some(9),
            ),
            ("echo up; kill -STOP $$", TIDY_UP, Some(9)),
            (
                "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done",
                FOR_EVER,
                None,
            ),
        ] {
            let mut program = shell(script);
            while program.said().is_none() {
                _ = timeout(Duration::from_millis(20), program.ended()).await;
            }
            let leader = program.leader.unwrap();
            let ended = program.stop(patience).await.unwrap();
            assert_eq!(ended.signal(), signal, "{script}");
            assert!(!Path::new(&format!("/proc/{leader}")).exists(), "{script}");
        }
    }
}
