//! Runs what the host asks for inside the guest, and answers.
//!
//! Started by `init` and by nothing else; talks over a virtio serial port whose
//! other end is the socket `agent.sock` on the host.
//!
//! ```text
//!  host  ── "7 9\n" "uname -sr" ─────────────────────────▶  /bin/sh -c
//!        ◀─ "answer 7 0 13 0\n" "Linux 6.1.0-…\n" ───────   status, stdout, stderr
//! ```
//!
//! A request is `<id> <length>\n` and so many bytes for the shell. An answer is
//! `answer <id> <status> <length> <length>\n`, what was written to standard
//! output, what was written to standard error; the status of a command that a
//! signal ended is 128 and the signal. All numbers are decimal.
//!
//! Requests run side by side and are answered as they end, so a slow one delays
//! nobody. An answer waits for everybody who holds the command's output: what is
//! to go on in the background needs `>/dev/null 2>&1 </dev/null &`.
//!
//! Always true: at most 64 commands run at a time, a command is at most 1 MB,
//! and of each output 8 MB are kept, the rest is read and dropped. Whoever asked
//! may hang up: what was asked for goes on, and its answer, or the rest of it,
//! reaches the next caller. So take a fresh id, and skip all before its answer.
//! (That a caller is gone is told beside the data, and on a busy machine after
//! the next one's request; answers that were withheld for it were missed.) After
//! half a request leave the port alone for a second: what comes is its other half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PORT: &str = "callbox.agent";
const COMMANDS: usize = 64;
const COMMAND_BYTES: usize = 1 << 20;
const OUTPUT_BYTES: u64 = 8 << 20;
/// How often a port that nobody has opened on the host is tried again.
const NOBODY_THERE: Duration = Duration::from_millis(10);
/// How often within a request: then it is given up, and the next one awaited.
const TRIES: u32 = 100;

fn main() -> ExitCode {
    let served = port().and_then(|path| Agent::open(&path)).and_then(serve);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The device of the port with our name: the kernel numbers them as it likes.
fn port() -> io::Result<PathBuf> {
    for port in fs::read_dir("/sys/class/virtio-ports")? {
        let port = port?;
        if fs::read_to_string(port.path().join("name"))?.trim() == PORT {
            return Ok(PathBuf::from("/dev").join(port.file_name()));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no port {PORT}: the emulator was started without it"),
    ))
}

/// The way back to the host, shared by the commands that run.
struct Agent {
    port: Mutex<File>,
    running: AtomicUsize,
}

impl Agent {
    fn open(path: &PathBuf) -> io::Result<(Arc<Self>, Requests)> {
        let port = OpenOptions::new().read(true).write(true).open(path)?;
        let requests = Requests(BufReader::new(port.try_clone()?));
        let agent = Self {
            port: Mutex::new(port),
            running: AtomicUsize::new(0),
        };
        Ok((Arc::new(agent), requests))
    }

    fn answer(&self, id: u64, answer: &Answer) -> io::Result<()> {
        let Answer { status, out, err } = answer;
        let head = format!("answer {id} {status} {} {}\n", out.len(), err.len());
        let mut port = self.port.lock().expect("nobody panics with the port");
        port.write_all(&[head.as_bytes(), out, err].concat())
    }
}

/// What the host asks for.
struct Requests(BufReader<File>);

impl Requests {
    /// The next request; one that makes no sense is nothing.
    fn next(&mut self) -> io::Result<Option<(u64, String)>> {
        while self.0.fill_buf()?.is_empty() {
            thread::sleep(NOBODY_THERE);
        }
        let Some((id, length)) = self.head()? else {
            return Ok(None);
        };
        let mut command = vec![0; length];
        for byte in &mut command {
            match self.byte()? {
                Some(next) => *byte = next,
                None => return Ok(None),
            }
        }
        Ok(Some((id, String::from_utf8_lossy(&command).into_owned())))
    }

    fn head(&mut self) -> io::Result<Option<(u64, usize)>> {
        let mut head = Vec::new();
        while head.len() < 64 {
            match self.byte()? {
                Some(b'\n') => break,
                Some(byte) => head.push(byte),
                None => return Ok(None),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split_whitespace();
        let id = words.next().and_then(|word| word.parse().ok());
        let length = words.next().and_then(|word| word.parse().ok());
        Ok(id
            .zip(length.filter(|length| *length <= COMMAND_BYTES))
            .filter(|_| words.next().is_none()))
    }

    /// The next byte, or nothing when the caller has gone away. A new caller
    /// seems to be away for a moment too.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        for _ in 0..TRIES {
            if let Some(byte) = self.0.fill_buf()?.first().copied() {
                self.0.consume(1);
                return Ok(Some(byte));
            }
            thread::sleep(NOBODY_THERE);
        }
        Ok(None)
    }
}

/// Takes requests for as long as the guest lives.
fn serve((agent, mut requests): (Arc<Agent>, Requests)) -> io::Result<()> {
    loop {
        if let Some((id, command)) = requests.next()? {
            run_aside(&agent, id, command);
        }
    }
}

struct Answer {
    status: i32,
    out: Vec<u8>,
    err: Vec<u8>,
}

fn run_aside(agent: &Arc<Agent>, id: u64, command: String) {
    let agent = Arc::clone(agent);
    thread::spawn(move || {
        let answer = if agent.running.fetch_add(1, Ordering::Relaxed) < COMMANDS {
            run(&command).unwrap_or_else(|error| refusal(&format!("cannot run a shell: {error}")))
        } else {
            refusal("too many commands at a time")
        };
        agent.running.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = agent.answer(id, &answer) {
            eprintln!("agent: answer {id}: {error}");
        }
    });
}

fn run(command: &str) -> io::Result<Answer> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = kept(child.stdout.take().expect("piped"));
    let err = kept(child.stderr.take().expect("piped"));
    let status = code(child.wait()?);
    let join = |thread: thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    Ok(Answer {
        status,
        out: join(out),
        err: join(err),
    })
}

fn kept(mut output: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        // What cannot be read any more is not there: the status tells the rest.
        let _ = output.by_ref().take(OUTPUT_BYTES).read_to_end(&mut kept);
        let _ = io::copy(&mut output, &mut io::sink());
        kept
    })
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn refusal(why: &str) -> Answer {
    Answer {
        status: 126,
        out: Vec::new(),
        err: format!("agent: {why}\n").into_bytes(),
    }
}
