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
//! and of each output 8 MB are kept, the rest is read and dropped. When the host
//! hangs up, what it has asked for goes on, unanswered. The piece of an answer
//! that was on its way then may reach the next caller: take a fresh id, and skip
//! all before the answer to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PORT: &str = "callbox.agent";
const COMMANDS: usize = 64;
const COMMAND_BYTES: u64 = 1 << 20;
const OUTPUT_BYTES: u64 = 8 << 20;
/// The driver takes no more at once, and a caller may be gone between two of them.
const WRITE_BYTES: usize = 32 << 10;
/// How often a port that nobody has opened on the host is tried again.
const NOBODY_THERE: Duration = Duration::from_millis(10);

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
    read_end: Mutex<Option<File>>,
    /// Counts callers: an answer goes to who asked, or to nobody.
    caller: AtomicU64,
    running: AtomicUsize,
}

impl Agent {
    fn open(path: &PathBuf) -> io::Result<Arc<Self>> {
        let port = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(Self {
            read_end: Mutex::new(Some(port.try_clone()?)),
            port: Mutex::new(port),
            caller: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        }))
    }

    fn answer(&self, caller: u64, id: u64, answer: &Answer) -> io::Result<()> {
        let Answer { status, out, err } = answer;
        let mut message =
            format!("answer {id} {status} {} {}\n", out.len(), err.len()).into_bytes();
        message.extend_from_slice(out);
        message.extend_from_slice(err);
        let mut port = self.port.lock().expect("nobody panics with the port");
        for piece in message.chunks(WRITE_BYTES) {
            if self.caller.load(Ordering::Relaxed) != caller {
                return Ok(());
            }
            port.write_all(piece)?;
        }
        Ok(())
    }
}

/// Takes requests for as long as the guest lives.
fn serve(agent: Arc<Agent>) -> io::Result<()> {
    let port = agent.read_end.lock().expect("taken once").take();
    let mut port = BufReader::new(port.expect("taken once"));
    loop {
        match request(&mut port)? {
            Some((id, command)) => run_aside(&agent, id, command),
            None => {
                agent.caller.fetch_add(1, Ordering::Relaxed);
                thread::sleep(NOBODY_THERE);
            }
        }
    }
}

/// The next request, or nothing when the caller went away or talks nonsense.
fn request(port: &mut BufReader<File>) -> io::Result<Option<(u64, String)>> {
    let mut head = String::new();
    if port.by_ref().take(64).read_line(&mut head)? == 0 || !head.ends_with('\n') {
        return Ok(None);
    }
    let mut numbers = head.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(id)), Some(Ok(length)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        return Ok(None);
    };
    if length > COMMAND_BYTES {
        return Ok(None);
    }
    let mut command = Vec::new();
    port.by_ref().take(length).read_to_end(&mut command)?;
    if command.len() as u64 != length {
        return Ok(None);
    }
    Ok(Some((id, String::from_utf8_lossy(&command).into_owned())))
}

struct Answer {
    status: i32,
    out: Vec<u8>,
    err: Vec<u8>,
}

fn run_aside(agent: &Arc<Agent>, id: u64, command: String) {
    let agent = Arc::clone(agent);
    let caller = agent.caller.load(Ordering::Relaxed);
    thread::spawn(move || {
        let answer = if agent.running.fetch_add(1, Ordering::Relaxed) < COMMANDS {
            run(&command).unwrap_or_else(|error| refusal(&format!("cannot run a shell: {error}")))
        } else {
            refusal("too many commands at a time")
        };
        agent.running.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = agent.answer(caller, id, &answer) {
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
