//! What the tests of the program share: a folder with a configuration, the
//! program run to its end or beside the test, a service to talk to.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use callbox::simulator::{self, API_KEY, Handle, NUMBER, NUMBER_ID, Simulator};
use tokio::sync::oneshot;

/// Longer than anything here takes: a test that waits so long has failed.
const GUARD: Duration = Duration::from_secs(60);

/// A device's files, in a folder of its own that goes with it.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// Where the device listens.
    pub(crate) listen: SocketAddr,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("callbox-cli-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self {
            path,
            listen: free_address(),
        };
        folder.write("api-key", API_KEY);
        folder
    }

    /// Writes a file that only its owner reads.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The same in a folder below, which is made.
    pub(crate) fn write_below(&self, folder: &str, name: &str, text: &str) -> PathBuf {
        fs::create_dir_all(self.path.join(folder)).unwrap();
        self.write(&format!("{folder}/{name}"), text)
    }

    /// A configuration that works, for a service at `base_url`.
    pub(crate) fn config(&self, base_url: &str) -> String {
        format!(
            r#"[service]
base_url = "{base_url}"
api_key_file = "{folder}/api-key"
from_number = "{NUMBER}"
phone_number_id = "{NUMBER_ID}"
[ingress]
mode = "public-url"
public_url = "ws://{listen}"
listen = "{listen}"
[[button]]
name = "door"
to = "+15005550199"
[sound]
microphone = "null"
speaker = "null"
[store]
path = "{folder}/store/calls.db"
[control]
socket = "{folder}/control.sock"
"#,
            folder = self.path.display(),
            listen = self.listen,
        )
    }

    /// The program with these words and this configuration.
    pub(crate) fn callbox(&self, words: &str, config: &str) -> Said {
        let file = self.write("callbox.toml", config);
        run(&format!("{words} --config {}", file.display()))
    }

    /// The daemon, ready for a press.
    pub(crate) fn daemon(&self, config: &str) -> Daemon {
        let file = self.write("callbox.toml", config);
        let mut daemon = self.start(&format!("run --config {}", file.display()));
        assert!(daemon.says().starts_with("READY=1"));
        daemon.listen_no_more();
        daemon
    }

    /// The daemon of a card image, which waits until its configuration is good.
    pub(crate) fn waiting_daemon(&self, config: &str) -> Daemon {
        let file = self.write("callbox.toml", config);
        let card = self.path.display();
        self.start(&format!("run --card {card} --config {}", file.display()))
    }

    /// Begins it as systemd does: the daemon says when it is ready.
    fn start(&self, words: &str) -> Daemon {
        let notify = self.path.join("notify.sock");
        let heard = UnixDatagram::bind(&notify).unwrap();
        heard.set_read_timeout(Some(GUARD)).unwrap();
        let child = command(words)
            .env("NOTIFY_SOCKET", &notify)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Daemon {
            child,
            heard: Some(heard),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.path);
    }
}

/// A daemon that runs beside the test, and ends with it.
pub(crate) struct Daemon {
    child: Child,
    heard: Option<UnixDatagram>,
}

impl Daemon {
    /// What it tells the service manager next.
    pub(crate) fn says(&mut self) -> String {
        let mut said = [0; 1024];
        let heard = self.heard.as_ref().unwrap();
        let n = heard.recv(&mut said).unwrap();
        String::from_utf8_lossy(&said[..n]).into_owned()
    }

    /// What it says next of this.
    pub(crate) fn says_of(&mut self, word: &str) -> String {
        loop {
            let said = self.says();
            if said.contains(word) {
                return said;
            }
        }
    }

    /// What it says is not read any more, and must not wait for a reader.
    pub(crate) fn listen_no_more(&mut self) {
        self.heard = None;
    }

    /// Asks it to end, as the service manager does; its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.listen_no_more();
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The findings of `doctor` at this level: `(check, what, fix)`.
    pub(crate) fn findings(&self, level: &str) -> Vec<String> {
        let report: serde_json::Value =
            serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:#?}"));
        let findings = report["findings"].as_array().unwrap();
        let text = |f: &serde_json::Value, key: &str| f[key].as_str().unwrap_or("").to_owned();
        findings
            .iter()
            .filter(|f| f["level"] == level)
            .map(|f| {
                format!(
                    "{}: {} | {}",
                    text(f, "check"),
                    text(f, "what"),
                    text(f, "fix")
                )
            })
            .collect()
    }
}

pub(crate) fn run(words: &str) -> Said {
    let ended = command(words).output().unwrap();
    Said {
        code: ended.status.code(),
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
    }
}

fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
    command
        .args(words.split_whitespace())
        .env_remove("CREDENTIALS_DIRECTORY")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null());
    command
}

/// A loopback port nobody uses: one of those that the system gives to nobody
/// who does not ask for it.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id() * 64 + COUNT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + n % 20_000;
        let address = (Ipv4Addr::LOCALHOST, port as u16).into();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A simulated service, on a thread of its own until it is dropped.
pub(crate) struct Service {
    pub(crate) handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let running = Simulator::start(simulator::Config::default())
                    .await
                    .unwrap();
                ready.send(running.handle.clone()).unwrap();
                _ = stopped.await;
                running.stop().await;
            });
        });
        Self {
            handle: started.recv_timeout(GUARD).unwrap(),
            _stop: stop,
        }
    }
}

/// Answers every connection with what `answer` makes of the request's head.
pub(crate) fn stranger(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // Whoever asks may leave in the middle.
            _ = serve(socket, &answer);
        }
    });
    address
}

fn serve(mut socket: TcpStream, answer: impl Fn(&str) -> Vec<u8>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    // Unread bytes would make the end of the connection a reset.
    let mut lengths = head.lines().filter_map(|line| line.split_once(": "));
    let length = lengths.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    socket.read_exact(&mut vec![0; length])?;
    socket.write_all(&answer(&head))
}

/// An HTTP answer without anything behind it.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// Every file below `folder`, with its content.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}
