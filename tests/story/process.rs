//! The program itself: started, asked, stopped and killed in mid-call.
//!
//! No sound is wanted here, so the cards are ones nobody has.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use callbox::edge::store::{Reconciled, Row};
use callbox::simulator::{Answer, Callee, Fault, Reason, Route, Says, Status, What};

use crate::kit::{
    Folder, GUARD, Installed, Service, ms, poll, records, says, service_with, stored, talks,
};

/// An installed device, whose program is started and killed at will.
struct Board {
    folder: Arc<Folder>,
    program: Option<Child>,
}

impl Board {
    fn new(service: &Service) -> Self {
        let folder = Arc::new(Folder::new());
        let installed = Installed {
            rest: "[sound]\nmicrophone = \"nobody-has-this\"\nspeaker = \"nobody-has-this\"".into(),
            ..Installed::plain(service.handle.base_url())
        };
        installed.write(&folder);
        Self {
            folder,
            program: None,
        }
    }

    /// `callbox run`; returns when the service manager would be told that it
    /// is ready.
    fn run(&mut self) {
        let path = self.folder.file("notify");
        _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(GUARD)).unwrap();
        let program = self
            .command("run")
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.program = Some(program.unwrap());
        let mut said = [0; 256];
        let length = manager.recv(&mut said).expect("it is never ready");
        assert!(said[..length].starts_with(b"READY=1"));
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
        command
            .arg(name)
            .arg("--config")
            .arg(self.folder.file("callbox.toml"));
        command
    }

    /// `callbox NAME`: what it prints.
    #[track_caller]
    fn ask(&self, name: &str) -> String {
        let output = self.command(name).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "callbox {name}: {text}{complaint}");
        text
    }

    fn kill(&mut self) {
        let mut program = self.program.take().expect("it runs");
        program.kill().unwrap();
        program.wait().unwrap();
    }

    /// Waits for the closed record there is on disk.
    #[track_caller]
    fn closed_record(&self, find: &str, so: impl Fn(&Row) -> bool) -> Row {
        let row = || stored(&self.folder, find);
        let closed = || Some(row()).filter(|row| row.closed == Some(true) && so(row));
        poll(closed, || format!("not closed, or not so: {:?}", row()))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if self.program.is_some() {
            self.kill();
        }
    }
}

/// A device in an answered call.
fn in_a_call(service: &Service) -> (Board, String) {
    let mut board = Board::new(service);
    board.run();
    board.ask("call");
    service.wait("the stream", |e| matches!(e.what, What::MediaUp { .. }));
    let call = service.call().id;
    // What the kill is to leave behind.
    poll(
        || (stored_open(&board, &call)).then_some(()),
        || "the answer is not on record".to_owned(),
    );
    (board, call)
}

fn stored_open(board: &Board, call: &str) -> bool {
    records(&board.folder) == 1
        && stored(&board.folder, "").answered_at.is_some()
        && stored(&board.folder, call).closed == Some(false)
}

#[test]
fn the_commands_make_a_call_and_end_it() {
    let service = Service::start(service_with(says(Says::Silence)));
    let (mut board, call) = in_a_call(&service);
    let status = board.ask("status");
    assert!(status.contains("answered"), "{status}");
    board.ask("hangup");
    let row = board.closed_record(&call, |row| row.reconciled == Some(Reconciled::Done));
    assert_eq!(row.local_reason.as_deref(), Some("cancelled at the device"));
    assert_eq!(row.service_hangup_reason.as_deref(), Some("local"));
    assert_eq!(service.call().status, Status::Completed);
    let list = board.command("calls").arg("list").output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.contains("answered") && list.contains("local"),
        "{list}"
    );
    board.kill();
}

/// Its microphone is a card nobody has.
#[test]
fn a_visitor_who_is_not_heard_is_counted_and_recorded() {
    let service = Service::start(service_with(says(Says::Silence)));
    let (mut board, call) = in_a_call(&service);
    poll(
        || board.ask("status").contains("one way audio").then_some(()),
        || format!("not noticed: {}", board.ask("status")),
    );
    board.ask("hangup");
    let row = board.closed_record(&call, |_| true);
    assert_eq!(row.one_way, Some(true));
    board.kill();
}

#[test]
fn a_graceful_stop_ends_the_call_and_writes_it_down() {
    let service = Service::start(service_with(says(Says::Silence)));
    let (mut board, call) = in_a_call(&service);
    let mut program = board.program.take().unwrap();
    let asked = Instant::now();
    let id = program.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status();
    assert!(told.unwrap().success());
    let ended = program.wait().unwrap();
    eprintln!("stopped {:?} after being asked", asked.elapsed());
    assert!(ended.success(), "{ended}");
    assert_eq!(service.call().status, Status::Completed);
    assert_eq!(service.call().reason, Some(Reason::Local));
    let row = stored(&board.folder, &call);
    assert_eq!(row.closed, Some(true));
    assert_eq!(row.local_reason.as_deref(), Some("callbox was stopped"));
    assert_eq!(row.service_status.as_deref(), Some("completed"));
}

#[test]
fn a_call_left_up_by_a_killed_process_is_ended_by_the_next() {
    let mut config = service_with(says(Says::Silence));
    config.service.ends_without_audio = None;
    let service = Service::start(config);
    let (mut board, call) = in_a_call(&service);
    board.kill();
    assert_eq!(service.call().status, Status::Answered);

    board.run();
    service.wait_status(Status::Completed);
    assert_eq!(service.call().reason, Some(Reason::Local));
    let row = board.closed_record(&call, |row| row.reconciled == Some(Reconciled::Done));
    let why = "left up by an earlier run, and ended";
    assert_eq!(row.local_reason.as_deref(), Some(why));
    assert_eq!(row.service_status.as_deref(), Some("completed"));
    assert_eq!(records(&board.folder), 1);
    let status = board.ask("status");
    assert!(status.contains("orphans ended"), "{status}");
}

/// A service without hang-up over REST ends a call by the `stop` on its stream
/// only, so that has to be met although another process asked for it.
#[test]
fn a_stream_of_a_killed_process_is_met_and_told_to_stop() {
    let mut config = service_with(says(Says::Silence));
    config.service.ends_without_audio = None;
    config.service.hangup_by_rest = false;
    config.service.redial_after_loss = Some(ms(200));
    let service = Service::start(config);
    let (mut board, call) = in_a_call(&service);
    board.kill();
    board.run();
    service.wait("stop", |e| e.what == What::Stopped);
    let row = board.closed_record(&call, |row| row.reconciled == Some(Reconciled::Done));
    assert_eq!(row.service_status.as_deref(), Some("completed"));
    service.assert_no_call_is_up();
}

#[test]
fn a_call_that_ended_while_the_device_was_down_is_closed_on_record() {
    let service = Service::start(service_with(says(Says::Silence)));
    let (mut board, call) = in_a_call(&service);
    board.kill();
    assert!(service.handle.hang_up(&call));
    service.wait_status(Status::Completed);

    board.run();
    let row = board.closed_record(&call, |row| row.reconciled == Some(Reconciled::Done));
    assert_eq!(row.service_status.as_deref(), Some("completed"));
    assert_eq!(row.service_hangup_reason.as_deref(), Some("remote"));
    assert!(row.local_reason.is_some());
}

#[test]
fn a_call_placed_as_the_process_died_is_ended_by_the_next() {
    let callee = Callee::absent(Answer::RingsOut(GUARD));
    let service = Service::start(service_with(callee));
    service.handle.fault(Route::Place, Fault::TimeOutAfter, 1);
    let row = killed_while_placing(&service, 1);
    assert_eq!(service.call().status, Status::Canceled);
    let name = row.call_id.as_ref().map(|id| id.as_str().to_owned());
    assert_eq!(
        name,
        Some(service.call().id),
        "{row:?}\n{}",
        service.journal()
    );
    assert_eq!(row.service_status.as_deref(), Some("canceled"));
    assert_eq!(row.reconciled, Some(Reconciled::Done));
}

#[test]
fn a_request_that_died_with_the_process_is_closed_on_record() {
    let service = Service::start(service_with(talks(1)));
    service.handle.fault(Route::Place, Fault::TimeOutBefore, 1);
    let row = killed_while_placing(&service, 0);
    assert_eq!(row.call_id, None);
    assert_eq!(row.reconciled, Some(Reconciled::Absent));
}

/// The process dies between the request and its answer and starts again; the
/// record when it is closed.
fn killed_while_placing(service: &Service, calls: usize) -> Row {
    let mut board = Board::new(service);
    board.run();
    board.ask("call");
    let folder = Arc::clone(&board.folder);
    let sent = || (records(&folder) == 1).then_some(());
    poll(sent, || "the intent is not on record".to_owned());
    let made = || (service.handle.calls().len() == calls).then_some(());
    poll(made, || "the call is not made".to_owned());
    board.kill();
    board.run();
    let row = board.closed_record("", |row| row.reconciled.is_some());
    assert_eq!(service.posts(), 1);
    assert!(row.local_reason.is_some(), "{row:?}");
    service.assert_no_call_is_up();
    row
}
