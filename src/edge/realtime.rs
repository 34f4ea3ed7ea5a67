//! What the standard library has no safe call for: real-time scheduling,
//! locked memory, the wake-up between two threads, two socket figures, the
//! space left on a disk, whom a terminal command writes to, and programs that
//! must not outlive us.
//!
//! ```text
//!  audio thread ──Wake::notify──▶ eventfd ──Wake::notified──▶ media runtime
//!      ▲ run_fifo, lock_memory                      ▲ run_fifo, breathe
//! ```
//!
//! This is the one home of `unsafe`: each block is a single call into the
//! system, with nothing borrowed past its return. A right that is missing is
//! a value, [`Denied`], whose text says what to write into which file; the
//! device then works on with ordinary scheduling.
//!
//! Threads: the scheduling calls act on the thread that makes them, memory
//! locking on the process. Real time: [`Wake::notify`] is one `write` that
//! never waits; everything else here is for start-up or the media runtime.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// SCHED_FIFO priority of the audio thread: above the kernel's own interrupt
/// threads (50) that do not serve sound, below what watches over the machine.
pub const AUDIO_PRIORITY: u8 = 60;
/// That of the media runtime, which hands its packets to the kernel: below the
/// kernel's interrupt threads, above whatever else computes.
pub const MEDIA_PRIORITY: u8 = 10;
/// Nice value of what serves a network without being interrupted.
pub const NETWORK_NICE: i32 = -10;
/// Longest that the media runtime works in one go before it rests as long. 20 ms
/// of sound take it less than one; only a flood takes more.
const BREATH: Duration = Duration::from_millis(10);
/// Longest that a real-time thread may compute without waiting; the kernel ends
/// the process after it. The audio thread sees to it that it waits more often,
/// so whoever takes this long is stuck, and a board with one core with it.
pub const STUCK: Duration = Duration::from_millis(500);
/// CAP_IPC_LOCK, as a bit of `CapEff` (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;

/// A right the system would not give, and how to give it.
#[derive(Debug)]
pub struct Denied {
    right: Right,
    why: io::Error,
}

#[derive(Debug, Clone, Copy)]
enum Right {
    Fifo(u8),
    Nice(i32),
    Lock,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.why;
        match self.right {
            Right::Fifo(priority) => write!(
                f,
                "no real-time priority {priority} ({why}): sound may crackle under load. Put \
                 LimitRTPRIO={AUDIO_PRIORITY} under [Service] in the unit, or \"@audio - rtprio \
                 {AUDIO_PRIORITY}\" in /etc/security/limits.d/callbox.conf and log in again"
            ),
            Right::Nice(nice) => write!(
                f,
                "no raised priority (nice {nice}; {why}): packets may be late under load. Put \
                 LimitNICE={nice} under [Service] in the unit, or \"@audio - nice {nice}\" in \
                 /etc/security/limits.d/callbox.conf and log in again"
            ),
            Right::Lock => write!(
                f,
                "memory is not locked ({why}): sound may stop for a moment when memory is short. \
                 Put LimitMEMLOCK=infinity under [Service] in the unit, or \"@audio - memlock \
                 unlimited\" in /etc/security/limits.d/callbox.conf and log in again"
            ),
        }
    }
}

impl std::error::Error for Denied {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// Puts the calling thread under SCHED_FIFO, and sets the limit ([`STUCK`])
/// after which the kernel ends a process whose real-time thread never waits.
/// Threads and processes it starts later begin with ordinary scheduling.
///
/// # Errors
/// The right is missing; nothing has changed for the thread.
pub fn run_fifo(priority: u8) -> Result<(), Denied> {
    limit_stuck_threads()
        .and_then(|()| set_fifo(priority))
        .map_err(|why| Denied {
            right: Right::Fifo(priority),
            why,
        })
}

fn limit_stuck_threads() -> io::Result<()> {
    let micros = STUCK.as_micros() as libc::rlim_t;
    // SIGXCPU at the soft limit says why the process ended; SIGKILL at the
    // hard one would not. A stricter limit of the service manager stays.
    let (soft, hard) = limits(libc::RLIMIT_RTTIME)?;
    let limit = libc::rlimit {
        rlim_cur: soft.min(micros),
        rlim_max: hard.min(2 * micros),
    };
    // SAFETY: the kernel reads one rlimit during the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) })
}

fn set_fifo(priority: u8) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the kernel reads one sched_param
    // during the call.
    checked(unsafe { libc::sched_setscheduler(0, policy, &raw const param) })
}

/// Raises the calling thread above ordinary ones, to [`NETWORK_NICE`].
///
/// Not SCHED_FIFO: what such a thread has to do is up to the network, and whoever
/// floods it must not be able to starve the machine.
///
/// # Errors
/// The right is missing; nothing has changed for the thread.
pub fn raise_priority() -> Result<(), Denied> {
    // SAFETY: no memory is passed. On Linux 0 names the calling thread.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NETWORK_NICE) }).map_err(|why| {
        Denied {
            right: Right::Nice(NETWORK_NICE),
            why,
        }
    })
}

thread_local! {
    /// When this thread last woke up; `None` on one that does not tell.
    static WOKE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The calling thread has waited for something to do, and has it now.
pub fn woke() {
    WOKE.set(Some(Instant::now()));
}

/// Puts a thread to sleep that has worked for longer than it ever should since
/// it [`woke`], for as long as that: whoever floods a real-time thread gets half
/// of a processor. Does nothing on a thread that never says it woke.
pub fn breathe() {
    let worked = WOKE.get().map_or(Duration::ZERO, |woke| woke.elapsed());
    let rest = rest_after(worked);
    if !rest.is_zero() {
        std::thread::sleep(rest);
        woke();
    }
}

fn rest_after(worked: Duration) -> Duration {
    if worked > BREATH {
        worked.min(STUCK)
    } else {
        Duration::ZERO
    }
}

/// Keeps every page of the process in memory once it has been touched
/// (`MCL_ONFAULT`: untouched pages cost nothing).
///
/// # Errors
/// The right is missing, or bounded: under a finite limit a lock on future
/// pages would make a later allocation fail in the middle of a call, so it is
/// not even tried.
pub fn lock_memory() -> Result<(), Denied> {
    may_lock_memory()?;
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: no memory is passed; locking changes no content.
    checked(unsafe { libc::mlockall(flags) }).map_err(no_lock)
}

/// Whether [`lock_memory`] would be allowed. Locks nothing.
///
/// # Errors
/// The right is missing, or bounded.
pub fn may_lock_memory() -> Result<(), Denied> {
    match may_lock_all() {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_lock(io::Error::from_raw_os_error(libc::EPERM))),
        Err(why) => Err(no_lock(why)),
    }
}

fn no_lock(why: io::Error) -> Denied {
    Denied {
        right: Right::Lock,
        why,
    }
}

fn may_lock_all() -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let unlimited = limits(libc::RLIMIT_MEMLOCK)?.0 == libc::RLIM_INFINITY;
    Ok(unlimited || has_capability(&status, CAP_IPC_LOCK))
}

/// The soft and the hard limit of the process on `resource`.
fn limits(resource: libc::__rlimit_resource_t) -> io::Result<(libc::rlim_t, libc::rlim_t)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit during the call.
    checked(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Whether `status`, the text of /proc/self/status, shows an effective capability.
fn has_capability(status: &str, bit: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> bit & 1 == 1)
}

/// What a file system has left for an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Files that can still be made; `None` where the file system does not count them.
    pub files: Option<u64>,
}

/// What is left on the file system of `path` (statvfs(3)).
///
/// # Errors
/// The path is not there, or may not be looked at.
pub fn space(path: &Path) -> io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a NUL; the system writes one statvfs during the call.
    checked(unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has written all of it.
    let found = unsafe { found.assume_init() };
    // 32-bit boards count in 32 bits.
    #[allow(clippy::unnecessary_cast)]
    Ok(Space {
        bytes: (found.f_bavail as u64).saturating_mul(found.f_frsize as u64),
        files: (found.f_files != 0).then_some(found.f_favail as u64),
    })
}

/// How the audio thread wakes the media runtime: an eventfd(2).
///
/// Notifications that come before they are awaited add up to one.
pub struct Wake {
    event: Arc<File>,
    watched: OnceLock<AsyncFd<Arc<File>>>,
}

impl Wake {
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        checked(fd)?;
        // SAFETY: eventfd just returned it, so it is open and nobody else's.
        let event = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self {
            event: Arc::new(event),
            watched: OnceLock::new(),
        })
    }

    /// Wakes whoever awaits [`notified`](Self::notified), now or next time.
    ///
    /// Real time: one non-blocking `write`.
    pub fn notify(&self) {
        // It fails only when 2^64 - 2 notifications are pending: awake enough.
        _ = (&*self.event).write(&1_u64.to_ne_bytes());
    }

    /// Waits for a notification. The first caller's runtime watches the
    /// descriptor from then on, so always await it on the same one. Dropping
    /// the future loses nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O, or when the kernel has no room for
    /// another epoll entry at the first call.
    pub async fn notified(&self) {
        let watched = self.watched.get_or_init(|| {
            // SAFETY: the `AsyncFd` holds the file, which keeps one descriptor
            // and closes it only when it is dropped.
            //
            // It can always be written to: to be told of that is a wake-up more.
            unsafe { AsyncFd::register_with_interest(Arc::clone(&self.event), Interest::READABLE) }
                .expect("the runtime can watch an eventfd")
        });
        let mut ready = watched.readable().await.expect("the runtime is running");
        // Each write is told anew, whether or not the last one was read, and so
        // nothing reads it (epoll(7), "edge-triggered"): a system call less.
        ready.clear_ready();
    }
}

/// Has `command` run in a session of its own: it leads the group that
/// [`end_group`] ends, and has no terminal to ask questions at. It is killed
/// when the thread that starts it ends, however that ends (`PR_SET_PDEATHSIG`,
/// prctl(2)): a service manager would see to that by itself, nobody else does.
pub fn lead_group(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: no memory is passed, and all three may be called between
        // fork and exec (signal-safety(7)).
        let orphaned = unsafe {
            checked(libc::setsid())?;
            checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            u32::try_from(libc::getppid()) != Ok(parent)
        };
        // Nobody is left to send the signal.
        if orphaned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec `prepare` only calls the system; it
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

/// How a group is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It may tidy up, and may not listen: SIGTERM.
    Asked,
    /// It is over at once: SIGKILL.
    Killed,
}

/// Ends every process of the group that `leader` leads.
///
/// # Errors
/// There is no such group any more.
pub fn end_group(leader: u32, how: Ending) -> io::Result<()> {
    let signal = match how {
        Ending::Asked => libc::SIGTERM,
        Ending::Killed => libc::SIGKILL,
    };
    // Groups 0 and 1 would be ours and everybody's.
    let group = libc::pid_t::try_from(leader).ok().filter(|id| *id > 1);
    let group = group.ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is passed.
    checked(unsafe { libc::kill(-group, signal) })
}

/// Bytes written to a TCP socket that the far end has not acknowledged
/// (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// `socket` is not a TCP socket.
pub fn unsent(socket: &impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while borrowed; SIOCOUTQ (TIOCOUTQ is
    // its other name) writes one int during the call.
    checked(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Characters in a line of a terminal (`TIOCGWINSZ`, ioctl_tty(2)); `None` when
/// `output` is none, or does not say.
#[must_use]
pub fn terminal_width(output: &impl AsFd) -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open while borrowed; TIOCGWINSZ writes one
    // `winsize` during the call.
    let asked = unsafe { libc::ioctl(output.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (checked(asked).is_ok() && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Waits for `time`, or until whoever reads `output` is gone (poll(2)): a
/// closed pipe is noticed without a write. Says whether that is so.
#[must_use]
pub fn reader_leaves(output: &impl AsFd, time: Duration) -> bool {
    let mut watched = libc::pollfd {
        fd: output.as_fd().as_raw_fd(),
        events: 0,
        revents: 0,
    };
    let ms = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one `pollfd` is passed, and lives during the call.
    unsafe { libc::poll(&raw mut watched, 1, ms) };
    watched.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
}

/// Round-trip time of a TCP socket, as the kernel smooths it (`TCP_INFO`,
/// tcp(7)).
///
/// # Errors
/// `socket` is not a TCP socket.
pub fn round_trip(socket: &impl AsFd) -> io::Result<Duration> {
    // SAFETY: `tcp_info` is made of integers; all zeros is one of its values.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open while borrowed; the kernel writes at most
    // `length` bytes at the address of `info`, and one `length`, during the call.
    checked(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    })?;
    Ok(Duration::from_micros(info.tcpi_rtt.into()))
}

/// Lets a TCP socket count as writable only while fewer than `bytes` wait in
/// the kernel to be sent for the first time (`TCP_NOTSENT_LOWAT`, tcp(7)).
///
/// # Errors
/// `socket` is not a TCP socket.
pub fn set_notsent_lowat(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open while borrowed; the kernel reads
    // `size_of::<u32>()` bytes at the address of `bytes` during the call.
    checked(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    })
}

/// Reads interleaved frames into `samples` from a PCM opened for 16 bit
/// samples; the count is in frames.
///
/// The crate's own `io_i16` asks for the format again each time, and
/// allocates for it.
///
/// # Errors
/// As `snd_pcm_readi`: EAGAIN, EPIPE, ESTRPIPE, ENODEV …
///
/// Real time: one call into alsa-lib.
pub fn read_frames(pcm: &alsa::PCM, samples: &mut [i16]) -> alsa::Result<usize> {
    // SAFETY: no other `IO` of this PCM is alive. `readi` computes the frames
    // from the slice's size in bytes and the PCM's true frame size, so it
    // stays within the slice whatever the format; any bits make an i16.
    unsafe { pcm.io_unchecked::<i16>() }.readi(samples)
}

/// Writes interleaved frames to a PCM opened for 16 bit samples; the count is
/// in frames. See [`read_frames`].
///
/// # Errors
/// As `snd_pcm_writei`: EAGAIN, EPIPE, ESTRPIPE, ENODEV …
///
/// Real time: one call into alsa-lib.
pub fn write_frames(pcm: &alsa::PCM, samples: &[i16]) -> alsa::Result<usize> {
    // SAFETY: as in `read_frames`, with the slice only read.
    unsafe { pcm.io_unchecked::<i16>() }.writei(samples)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap()
    }

    #[test]
    fn notifications_before_the_wait_add_up_to_one() {
        runtime().block_on(async {
            let wake = Wake::new().unwrap();
            wake.notify();
            wake.notify();
            wake.notified().await;
            tokio::select! {
                biased;
                () = wake.notified() => panic!("one notification woke twice"),
                () = tokio::task::yield_now() => {}
            }
        });
    }

    #[test]
    fn another_thread_wakes_the_runtime() {
        runtime().block_on(async {
            let wake = Arc::new(Wake::new().unwrap());
            for _ in 0..3 {
                let far = Arc::clone(&wake);
                let thread = std::thread::spawn(move || far.notify());
                wake.notified().await;
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn bytes_nobody_reads_count_as_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_far, _) = listener.accept().unwrap();
        set_notsent_lowat(&near, 4096).unwrap();
        assert_eq!(unsent(&near).unwrap(), 0);
        near.set_nonblocking(true).unwrap();
        // Until the far end's window is full, and ours after it.
        while near.write(&[0; 65_536]).is_ok() {}
        assert!(unsent(&near).unwrap() > 0);
    }

    #[test]
    fn a_file_has_no_socket_figures() {
        let file = File::open("/dev/null").unwrap();
        assert!(unsent(&file).is_err());
        assert!(round_trip(&file).is_err());
        assert!(set_notsent_lowat(&file, 1).is_err());
    }

    #[test]
    fn a_group_ends_with_all_that_is_in_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        command.stdout(std::process::Stdio::piped());
        lead_group(&mut command);
        let mut shell = command.spawn().unwrap();
        let mut said = [0; 16];
        let read = shell.stdout.take().unwrap().read(&mut said).unwrap();
        let sleeper = std::str::from_utf8(&said[..read]).unwrap().trim();
        end_group(shell.id(), Ending::Killed).unwrap();
        assert!(!shell.wait().unwrap().success());
        // Whoever inherits it may take a moment to bury it.
        let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let gone = || state(sleeper).map_or(true, |line| line.contains(") Z "));
        while !gone() {
            std::thread::yield_now();
        }
        assert!(end_group(0, Ending::Killed).is_err());
        assert!(end_group(1, Ending::Killed).is_err());
    }

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        let starts = || {
            let mut command = Command::new("sleep");
            command.arg("1000");
            lead_group(&mut command);
            command.spawn().unwrap()
        };
        let mut orphan = std::thread::spawn(starts).join().unwrap();
        assert!(!orphan.wait().unwrap().success());
    }

    #[test]
    fn capabilities_are_read_from_the_status() {
        let status = "Name:\tcallbox\nCapPrm:\tffff\nCapEff:\t0000000000004000\n";
        assert!(has_capability(status, CAP_IPC_LOCK));
        assert!(!has_capability(status, CAP_IPC_LOCK + 1));
        assert!(!has_capability("Name:\tcallbox\n", CAP_IPC_LOCK));
    }

    #[test]
    fn fifo_is_given_or_the_text_says_how_to_get_it() {
        let outcome = std::thread::spawn(|| {
            let outcome = run_fifo(AUDIO_PRIORITY);
            // SAFETY: no memory is passed; 0 is the calling thread.
            (outcome, unsafe { libc::sched_getscheduler(0) })
        });
        let (outcome, policy) = outcome.join().unwrap();
        let fifo = policy == libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
        assert_eq!(outcome.is_ok(), fifo);
        if let Err(denied) = outcome {
            assert!(denied.to_string().contains("LimitRTPRIO=60"), "{denied}");
        }
    }

    #[test]
    fn a_raised_thread_leaves_the_others_alone() {
        let nice = || {
            // SAFETY: no memory is passed; 0 is the calling thread.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let before = nice();
        let raised = std::thread::spawn(move || (raise_priority().is_ok(), nice()));
        let (allowed, after) = raised.join().unwrap();
        assert_eq!(after, if allowed { NETWORK_NICE } else { before });
        assert_eq!(nice(), before);
    }

    #[test]
    fn whoever_works_on_and_on_rests_as_long() {
        assert_eq!(rest_after(BREATH), Duration::ZERO);
        assert_eq!(rest_after(3 * BREATH), 3 * BREATH);
        assert_eq!(rest_after(Duration::from_secs(9)), STUCK);
    }

    #[test]
    fn each_denial_names_the_unit_and_the_limits_file() {
        for right in [Right::Fifo(60), Right::Nice(-10), Right::Lock] {
            let why = io::Error::from_raw_os_error(libc::EPERM);
            let text = Denied { right, why }.to_string();
            assert!(text.contains("[Service]"), "{text}");
            assert!(text.contains("/etc/security/limits.d/"), "{text}");
        }
    }
}
