//! Talks to the guest's agent and to the emulator.
//!
//! What goes over `agent.sock` is written at the head of
//! `board/emulator/boot`; `qmp.sock` is QEMU's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any command of a story takes.
const GUARD: Duration = Duration::from_secs(90);

/// A shell in the guest.
pub(crate) struct Agent {
    socket: BufReader<UnixStream>,
    /// Of the latest request. Begins where no earlier caller has been.
    id: u64,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Agent {
    pub(crate) fn connect(path: &Path) -> Self {
        Self {
            socket: BufReader::new(connect(path)),
            id: u64::from(std::process::id()) << 20,
        }
    }

    /// Runs `command` and waits for its end.
    pub(crate) fn run(&mut self, command: &str) -> Ran {
        self.id += 1;
        let request = format!("{} {}\n{command}", self.id, command.len());
        let socket = self.socket.get_mut();
        socket
            .write_all(request.as_bytes())
            .expect("the guest hears");
        let (status, out, err) = loop {
            if let Some(head) = self.head(command) {
                break head;
            }
        };
        let mut take = |length| {
            let mut text = vec![0; length];
            self.socket.read_exact(&mut text).expect("a whole answer");
            String::from_utf8_lossy(&text).into_owned()
        };
        let (out, err) = (take(out), take(err));
        Ran { status, out, err }
    }

    /// The head of the answer, or what is left of one to an earlier caller.
    fn head(&mut self, command: &str) -> Option<(i32, usize, usize)> {
        let mut line = Vec::new();
        let read = self.socket.read_until(b'\n', &mut line);
        let length = read.unwrap_or_else(|e| panic!("no answer to {command:?}: {e}"));
        assert!(length > 0, "the emulator has ended");
        let line = String::from_utf8_lossy(&line);
        let (_, head) = line.rsplit_once("answer ")?;
        let mut words = head.split_whitespace();
        (words.next()?.parse() == Ok(self.id)).then_some(())?;
        Some((
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
        ))
    }
}

/// Plugs the guest's network in, or pulls it.
pub(crate) fn set_link(qmp: &Path, up: bool) {
    let mut socket = BufReader::new(connect(qmp));
    let mut ask = |command: Value| {
        writeln!(socket.get_mut(), "{command}").expect("QEMU hears");
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).expect("QEMU answers");
            let said: Value = serde_json::from_str(&line).expect("QEMU speaks JSON");
            assert!(said.get("error").is_none(), "{command}: {said}");
            if said.get("return").is_some() {
                break;
            }
        }
    };
    ask(json!({"execute": "qmp_capabilities"}));
    ask(json!({"execute": "set_link", "arguments": {"name": "net", "up": up}}));
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path);
    let socket = socket.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    socket.set_read_timeout(Some(GUARD)).expect("not zero");
    socket
}
