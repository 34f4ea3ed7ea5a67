//! Disks that do not take records: calls work all the same, and it is said.

use std::sync::Arc;

use callbox::call::Phase;

use crate::kit::{Device, Folder, Installed, Service, service_with, talks};

/// A whole call with what is in `folder`.
fn call(folder: Folder) -> Device {
    let service = Service::start(service_with(talks(3)));
    let installed = Installed::plain(service.handle.base_url());
    let mut device = Device::start_as(&installed, Arc::new(folder), |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    assert!(service.handle.hang_up(&service.call().id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    device
}

#[test]
fn records_that_cannot_be_written_are_kept_in_memory_and_it_is_said() {
    let folder = Folder::new();
    // A file where the database's folder should be: nobody can write there,
    // not even root.
    folder.write("store", "");
    let device = call(folder);
    let said = device.status()["records"].to_string();
    assert!(said.contains("in memory only"), "{said}");
}

#[test]
fn a_damaged_database_is_set_aside_and_it_is_said() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file("store")).unwrap();
    folder.write("store/calls.db", &"this is no database ".repeat(500));
    let mut device = call(folder);
    let status = device.status();
    assert_eq!(status["records"], "on disk");
    let aside = status["set_aside"].to_string();
    assert!(aside.contains("calls.db.corrupt"), "{status}");
    assert_eq!(device.records(), 1);
}
