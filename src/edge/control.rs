//! The control socket: how `callbox call`, `hangup`, `status` and `doctor`
//! speak to the daemon.
//!
//! ```text
//!  client ──connect──▶ peer credentials ──line──▶ Ask ──▶ daemon
//!         ◀──────────────────────line───────────────────┘
//! ```
//!
//! A Unix socket, mode 0660, of the configured group. Root, the daemon's own
//! user, its group and the configured group may ask; the kernel says who asks
//! (`SO_PEERCRED`). At most [`CLIENTS`] at once, one request each, each within
//! [`TIME`]; what is beyond is refused and counted.
//!
//! Control runtime.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::trace::{Counter, Trace};
use crate::wire::control::{REPLY_MAX, REQUEST_MAX, Reply, Request};

/// Clients served at once.
pub const CLIENTS: usize = 8;
/// Longest time from connecting to the answer.
pub const TIME: Duration = Duration::from_secs(5);

/// A request with the way back for its answer.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Takes the answer; dropping it tells the client that the daemon is ending.
    pub answer: oneshot::Sender<Reply>,
}

/// The socket, bound. Removed from the file system when dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    group: Option<u32>,
}

impl ControlSocket {
    /// Binds `path`, whose folder is made when it is missing. A socket left
    /// behind by a process that died is replaced; one that answers is not.
    ///
    /// # Errors
    /// With the path, and what to do.
    pub fn bind(path: &Path, group: Option<&str>) -> io::Result<Self> {
        let told = |e: io::Error, what: &str| {
            io::Error::new(
                e.kind(),
                format!("control socket {}: {what}: {e}", path.display()),
            )
        };
        let group = group
            .map(group_id)
            .transpose()
            .map_err(|e| told(e, "[control] group"))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| told(e, "its folder cannot be made"))?;
        }
        clear_the_way(path).map_err(|e| told(e, "in the way"))?;
        let listener = UnixListener::bind(path).map_err(|e| told(e, "cannot listen"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .and_then(|()| std::os::unix::fs::chown(path, None, group))
            .map_err(|e| told(e, "rights cannot be set"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            group,
        })
    }

    /// Serves clients until the daemon drops its end of `asks`.
    pub async fn serve(self, asks: mpsc::Sender<Ask>, trace: Arc<Trace>) {
        let seats = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = asks.closed() => return,
            };
            // Out of file descriptors is the one error there is; it passes.
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let seat = Arc::clone(&seats).try_acquire_owned();
            let (Ok(seat), true) = (seat, self.admits(&stream)) else {
                trace.count(Counter::ControlRefused);
                continue;
            };
            let (asks, trace) = (asks.clone(), Arc::clone(&trace));
            tokio::spawn(async move {
                if tokio::time::timeout(TIME, answer(stream, asks))
                    .await
                    .is_err()
                {
                    trace.count(Counter::ControlRefused);
                }
                drop(seat);
            });
        }
    }

    /// The file's mode keeps others out already; this holds where the folder
    /// was copied, mounted or chmodded by hand.
    fn admits(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else {
            return false;
        };
        let Ok(own) = std::fs::metadata(&self.path) else {
            return false;
        };
        use std::os::unix::fs::MetadataExt;
        let groups = [Some(own.gid()), self.group];
        peer.uid() == 0
            || peer.uid() == own.uid()
            || groups.contains(&Some(peer.gid()))
            || belongs(peer.uid(), own.gid())
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

fn clear_the_way(path: &Path) -> io::Result<()> {
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::other(
            "something that is not a socket has this name; remove it, or set [control] socket",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "callbox runs already; `callbox status` asks it, `systemctl stop callbox` ends it",
        )),
        Err(_) => std::fs::remove_file(path),
    }
}

async fn answer(stream: UnixStream, asks: mpsc::Sender<Ask>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let limit = REQUEST_MAX as u64;
    let read = (&mut stream).take(limit).read_until(b'\n', &mut line).await;
    let reply = match read {
        Ok(0) | Err(_) => return,
        Ok(_) if !line.ends_with(b"\n") && line.len() >= REQUEST_MAX => {
            Reply::Error(format!("a request has at most {REQUEST_MAX} bytes"))
        }
        Ok(_) => match Request::parse(&line) {
            Ok(request) => pass_on(request, asks).await,
            Err(what) => Reply::Error(what),
        },
    };
    _ = stream.write_all(&reply.line()).await;
    _ = stream.shutdown().await;
}

async fn pass_on(request: Request, asks: mpsc::Sender<Ask>) -> Reply {
    let ending = || Reply::Error("callbox is ending".to_owned());
    let (answer, answered) = oneshot::channel();
    if asks.send(Ask { request, answer }).await.is_err() {
        return ending();
    }
    answered.await.unwrap_or_else(|_| ending())
}

/// Why there is no answer of the daemon, in words for the person at the terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is no daemon.
    #[error("{0}")]
    NotRunning(String),
    /// There is one, and it did not do what was asked.
    #[error("{0}")]
    Failed(String),
}

/// Asks the daemon behind `path` and waits for its answer. Blocking: for the
/// command line.
///
/// # Errors
/// Says what to do.
pub fn ask(path: &Path, request: &Request) -> Result<serde_json::Value, NoAnswer> {
    use std::io::{BufRead, Read, Write};
    let shown = path.display();
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            NoAnswer::NotRunning(format!(
                "nothing answers at {shown}: callbox is not running; `callbox run` or `systemctl \
             start callbox` starts it"
            ))
        }
        io::ErrorKind::PermissionDenied => NoAnswer::Failed(format!(
            "{shown} may not be used by you: join the group callbox, or use sudo"
        )),
        _ => NoAnswer::NotRunning(format!(
            "callbox is not running ({shown}: {e}); see [control] socket"
        )),
    })?;
    let failed = NoAnswer::Failed;
    let slow = |e: io::Error| failed(format!("callbox at {shown} does not answer: {e}"));
    let limit = Some(TIME + Duration::from_secs(1));
    stream
        .set_read_timeout(limit)
        .and_then(|()| stream.set_write_timeout(limit))
        .map_err(slow)?;
    stream.write_all(&request.line()).map_err(slow)?;
    let mut line = Vec::new();
    let mut reader = std::io::BufReader::new(stream).take(REPLY_MAX as u64);
    reader.read_until(b'\n', &mut line).map_err(slow)?;
    if line.is_empty() {
        return Err(failed(format!(
            "callbox at {shown} closed the connection: too many clients, or you may not ask"
        )));
    }
    match Reply::parse(&line).map_err(failed)? {
        Reply::Ok(value) => Ok(value),
        Reply::Error(what) => Err(failed(what)),
    }
}

/// The number of a group, from `/etc/group`.
///
/// # Errors
/// There is no such group.
pub fn group_id(name: &str) -> io::Result<u32> {
    groups()
        .find(|g| g.name == name)
        .map(|g| g.id)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no group {name}; `groupadd --system {name}` makes it"),
            )
        })
}

/// Whether a user is named as a member of a group: `SO_PEERCRED` tells the
/// primary group only.
fn belongs(uid: u32, gid: u32) -> bool {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    user.is_some_and(|user| groups().any(|g| g.id == gid && g.members.contains(&user)))
}

struct Group {
    name: String,
    id: u32,
    members: Vec<String>,
}

fn groups() -> impl Iterator<Item = Group> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let groups: Vec<Group> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some(Group {
                name: fields.next()?.to_owned(),
                id: fields.nth(1)?.parse().ok()?,
                members: fields.next()?.split(',').map(str::to_owned).collect(),
            })
        })
        .collect();
    groups.into_iter()
}
