//! What callbox costs on the board, and how soon it is.
//!
//! `board/emulator/figures` runs this, on a board with two more programs:
//! `loopback`, the least that one can do with a card, and `outgoing`, which
//! tells when bytes leave. Nothing is held to a mark: an emulated processor is
//! no Raspberry Pi, and what it takes is the reader's to compare.
//!
//! The processor's time is the scheduler's own account, `schedstat`, which is
//! not counted in ticks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use callbox::simulator::{Callee, Says, What};

use crate::far_end::{ms, poll, says, service_with};
use crate::kit::{Board, Device, Far, Installed, STATUS};
use crate::sound;

/// How long the processor's time is looked at, to tell what a minute takes.
const LOOK: Duration = Duration::from_secs(20);
const PRESSES: usize = 20;
/// What a press has to last before it counts.
const QUALIFY: Duration = ms(20);
/// The request that places a call, with its headers and TLS, is longer than any
/// other, and than this.
const REQUEST_BYTES: u64 = 300;

/// The board, with the two programs on it; `None`, said, where nobody asks for
/// figures.
fn asked() -> Option<Board> {
    let Some(programs) = std::env::var_os("CALLBOX_FIGURES") else {
        println!("left out: board/emulator/figures asks for it");
        return None;
    };
    let board = Board::take();
    for program in ["loopback", "outgoing"] {
        board.share(&Path::new(&programs).join(program));
    }
    Some(board)
}

#[test]
#[ignore = "wants board/emulator/figures"]
fn what_it_costs() {
    if let Some(board) = asked() {
        let least = loopback(&board);
        idle_and_in_a_call(&board, least);
    }
}

#[test]
#[ignore = "wants board/emulator/figures"]
fn how_soon_it_is() {
    if let Some(board) = asked() {
        how_soon(&board);
    }
}

#[test]
#[ignore = "wants board/emulator/figures"]
fn how_it_sounds_beside_busy_loops() {
    if let Some(board) = asked() {
        let minutes = std::env::var("CALLBOX_FIGURES_MINUTES").expect("for how long");
        under_load(&board, minutes.parse().expect("minutes"));
    }
}

/// Somebody who talks without end: packets come and are played all the time.
fn talker() -> Callee {
    let words = sound::words(sound::PAUSE, sound::LINE_RATE);
    says(Says::Forever(words.into()))
}

fn installed(far: &Far) -> Installed {
    Installed::plain(far).with("[call]\nmax_s = 7200\n[limits]\ncalls = 100\nminutes = 100")
}

/// Processor seconds a minute of the least program.
fn loopback(board: &Board) -> f64 {
    board.must(
        "{ chrt -f 60 /share/loopback hw:CARD=Loopback,DEV=0,SUBDEV=0; } \
         >/dev/null 2>&1 </dev/null &",
    );
    let pid = board.must("until pidof loopback; do usleep 10000; done");
    let pid = pid.trim().parse().expect("one process");
    let took = look(board, pid);
    board.must("kill -9 $(pidof loopback)");
    let took = took.values().sum();
    println!("loop-back program: {took:.2} s of processor a minute");
    took
}

fn idle_and_in_a_call(board: &Board, least: f64) {
    let far = board.service(service_with(talker()));
    let mut device = Device::start(board, &installed(&far));
    far.pass(far.began.elapsed() + Duration::from_secs(5));
    println!("idle: {}", memory(board, device.pid()));
    let idle: f64 = look(board, device.pid()).values().sum();
    device.press();
    device.says("answered");
    far.pass(far.began.elapsed() + Duration::from_secs(3));
    let took = look(board, device.pid());
    println!("in a call: {}", memory(board, device.pid()));
    for line in priorities(board, device.pid()) {
        println!("thread {line}");
    }
    let call: f64 = took.values().sum();
    println!("idle: {idle:.2} s of processor a minute");
    println!(
        "in a call: {call:.2} s of processor a minute, {:.1} times the least",
        call / least
    );
    for (thread, seconds) in took {
        println!("  of which {thread}: {seconds:.2} s");
    }
    assert!(far.handle.hang_up(&far.call().id));
    device.record(0);
}

fn how_soon(board: &Board) {
    let far = board.service(service_with(says(Says::Silence)));
    let mut device = Device::start(board, &installed(&far));
    let port = far.front.port;
    device.aside(&format!("chrt -f 45 /share/outgoing {port} >@/outgoing"));
    let (mut lamp, mut post) = (Vec::new(), Vec::new());
    for nth in 0..PRESSES {
        let edge = device.press();
        lamp.push(device.turns(STATUS, true, edge - ms(1)) - edge);
        device.says("answered");
        let sent = poll(
            || {
                requests(&device)
                    .into_iter()
                    .find(|at| *at > edge + QUALIFY)
            },
            || format!("no request left: {}", device.written("outgoing")),
        );
        post.push(sent - edge - QUALIFY);
        far.wait_nth("the stream", nth + 1, |what| {
            matches!(what, What::MediaUp { .. })
        });
        let call = far.handle.calls().pop().expect("it was placed").id;
        assert!(far.handle.hang_up(&call));
        device.says("the call is over");
    }
    report("first edge to lamp, looked at each ms", lamp);
    report("qualified press to the request on the wire", post);
}

/// When the requests that place a call left, by the guest's wall clock.
fn requests(device: &Device<'_>) -> Vec<Duration> {
    let text = device.written("outgoing");
    let segment = |line: &str| {
        let (at, bytes) = line.split_once(' ')?;
        let bytes: u64 = bytes.trim().parse().ok()?;
        (bytes > REQUEST_BYTES).then_some(Duration::from_micros(at.parse().ok()?))
    };
    text.lines().filter_map(segment).collect()
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "{what}: median {median:.1?}, worst {worst:.1?} of {}",
        took.len()
    );
}

fn under_load(board: &Board, minutes: u64) {
    let mut config = service_with(talker());
    config.service.max_duration = Duration::from_secs(7200);
    let far = board.service(config);
    let mut device = Device::start(board, &installed(&far));
    device.press();
    device.says("answered");
    let lasts = 60 * minutes;
    let busy = format!(
        "timeout {} sh -c 'while :; do :; done' & echo $! >>@/busy",
        lasts + 60
    );
    device.aside(&format!("{busy}; {busy}"));
    let before = device.status();
    far.pass(far.began.elapsed() + Duration::from_secs(lasts));
    let after = device.status();
    board.must(&format!(
        "kill -9 {}",
        device.written("busy").replace('\n', " ")
    ));
    for side in ["microphone", "speaker"] {
        let count = |what: &str| {
            after[side][what].as_u64().unwrap_or(0) - before[side][what].as_u64().unwrap_or(0)
        };
        println!(
            "{minutes} minutes beside two busy loops, {side}: {} xruns, {} losses, latest {} ms",
            count("xruns"),
            count("losses"),
            after[side]["worst_late_ms"]
        );
    }
    println!("playout then: {}", after["playout"]);
    assert!(far.handle.hang_up(&far.call().id));
    let record = device.record(0);
    println!(
        "delay in the record: {} / {} / {} ms, concealed {} ms",
        record["delay_p50_ms"],
        record["delay_p95_ms"],
        record["delay_p99_ms"],
        record["concealed_ms"]
    );
}

/// Processor seconds a minute of each thread, by the thread's name.
fn look(board: &Board, pid: u32) -> BTreeMap<String, f64> {
    let account = || {
        let said = board.must(&format!(
            "for t in /proc/{pid}/task/*; do echo ${{t##*/}} $(cat $t/comm | tr ' ' _) \
             $(cut -d' ' -f1 $t/schedstat); done"
        ));
        let threads = said.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (id, name) = (words.next()?.to_owned(), words.next()?.to_owned());
            let nanoseconds: f64 = words.next()?.parse().ok()?;
            Some((id, (name, nanoseconds / 1e9)))
        });
        threads.collect::<BTreeMap<_, _>>()
    };
    let (before, began) = (account(), std::time::Instant::now());
    while began.elapsed() < LOOK {
        std::thread::sleep(ms(100));
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let mut took = BTreeMap::new();
    for (id, (name, seconds)) in account() {
        let earlier = before.get(&id).map_or(0.0, |(_, seconds)| *seconds);
        *took.entry(name).or_default() += (seconds - earlier) / minutes;
    }
    took
}

/// What is resident, and how much of it is nobody else's.
fn memory(board: &Board, pid: u32) -> String {
    let said = board.must(&format!("cat /proc/{pid}/status"));
    let megabytes = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes
            .and_then(|kb| kb.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1024.0
    };
    format!(
        "{:.1} MB resident, {:.1} MB of it anonymous; most so far {:.1} MB",
        megabytes("VmRSS"),
        megabytes("RssAnon"),
        megabytes("VmHWM")
    )
}

/// Name, policy and priority of each thread.
fn priorities(board: &Board, pid: u32) -> Vec<String> {
    let said = board.must(&format!(
        "for t in /proc/{pid}/task/*; do cat $t/comm; sed 's/.*) //' $t/stat; done"
    ));
    let lines: Vec<&str> = said.lines().collect();
    let thread = |[name, stat]: &[&str; 2]| {
        // Fields 19, 40 and 41 of proc_pid_stat(5); these begin with the third.
        let fields: Vec<&str> = stat.split_whitespace().collect();
        let (nice, priority) = (fields[16], fields[37]);
        match fields[38] {
            "1" => format!("{name}: SCHED_FIFO {priority}"),
            _ => format!("{name}: nice {nice}"),
        }
    };
    lines.as_chunks().0.iter().map(thread).collect()
}
