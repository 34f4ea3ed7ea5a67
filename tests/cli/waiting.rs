//! `callbox run --card`: a box whose configuration is not good stays, says so,
//! and goes into service by itself when it is.

use std::fs;

use callbox::simulator::API_KEY;

use crate::support::{Folder, Service};

#[test]
fn a_broken_configuration_is_waited_out() {
    let (service, folder) = (Service::start(), Folder::new());
    let good = folder.config(&service.handle.base_url());
    let broken = good.replace("+15005550199", "5550199");
    let mut daemon = folder.waiting_daemon(&broken);
    let said = daemon.says();
    assert!(said.starts_with("READY=1"), "{said}");
    assert!(said.contains("callbox.toml:12: [[button]] to: "), "{said}");
    assert_eq!(daemon.says(), "WATCHDOG=1\n");

    // Another fault is told, the same is not told again.
    let keyless = good.replace("/api-key\"", "/no-key\"");
    folder.write("callbox.toml", &keyless);
    let said = daemon.says_of("STATUS");
    assert!(
        said.contains("no-key: the api-key cannot be read"),
        "{said}"
    );

    folder.write("no-key", API_KEY);
    assert_eq!(daemon.says_of("STATUS"), "READY=1\nSTATUS=in service\n");
    daemon.listen_no_more();
    let said = folder.callbox("status", &keyless);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_start_that_fails_is_tried_again() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = folder.config(&service.handle.base_url());
    // Something else has the port.
    let taken = std::net::TcpListener::bind(folder.listen).unwrap();
    let mut daemon = folder.waiting_daemon(&config);
    let said = daemon.says_of("STATUS");
    assert!(said.contains("cannot listen"), "{said}");
    drop(taken);
    assert_eq!(daemon.says_of("STATUS"), "READY=1\nSTATUS=in service\n");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn one_that_waits_can_be_ended_and_without_the_option_it_ends_at_once() {
    let folder = Folder::new();
    let mut daemon = folder.waiting_daemon("[service]");
    daemon.says_of("STATUS");
    assert_eq!(daemon.terminate(), Some(0));
    let said = folder.callbox("run", "[service]");
    assert_eq!(said.code, Some(1), "{said:#?}");
    fs::remove_file(folder.path.join("callbox.toml")).unwrap();
}
