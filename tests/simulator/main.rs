//! The simulator, met over its sockets: what it answers, and how it talks.

mod common;
mod media;
mod rest;

/// What a device gets wrong is to show here, so nothing of the device may be
/// used here: neither its messages nor its codec.
#[test]
fn the_simulator_uses_nothing_of_the_device() {
    let mut files = 0;
    for entry in std::fs::read_dir("src/simulator").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        files += 1;
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("crate::")) {
            let own = line.contains("crate::simulator");
            assert!(own, "{}: {line}", path.display());
        }
    }
    assert!(files > 5, "only {files} files were read");
}
