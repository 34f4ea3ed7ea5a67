//! The simulator, met over its sockets: what it answers, and how it talks.

mod common;
mod inbound;
mod media;
mod modes;
mod openapi;
mod rest;
mod sound;

use std::path::{Path, PathBuf};

/// What a device gets wrong is to show here, so nothing of the device may be
/// used here: neither its messages nor its codec.
#[test]
fn the_simulator_uses_nothing_of_the_device() {
    let sources = sources(Path::new("src/simulator"));
    assert!(
        sources.len() > 15,
        "only {} files were found",
        sources.len()
    );
    for path in sources {
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("crate::")) {
            let own = line.contains("crate::simulator");
            assert!(own, "{}: {line}", path.display());
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}
