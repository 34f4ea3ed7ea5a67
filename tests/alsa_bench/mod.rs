//! What the tests against the real alsa-lib share: a process and an ALSA
//! configuration of their own for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use callbox::edge::alsa::{Config, Side};

/// No test takes so long unless something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);
/// Set in the process of a test: its folder.
const FOLDER: &str = "CALLBOX_TEST_FOLDER";

/// Runs `body` in a process of its own: alsa-lib reads where its
/// configuration is from the environment, which threads cannot share.
/// `name` is the test's; `asound` gets the folder and makes the configuration.
pub(crate) fn isolated(name: &str, asound: impl Fn(&Path) -> String, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return body(Path::new(&folder));
    }
    let folder = Folder::new(name);
    write_asound(&folder.0, &asound(&folder.0));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(FOLDER, &folder.0)
        .env("ALSA_CONFIG_PATH", folder.0.join("asound.conf"))
        .env("HOME", &folder.0)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && text(&output.stdout).contains("1 passed"),
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Writes alsa-lib's configuration: the system's, and `asound`.
pub(crate) fn write_asound(folder: &Path, asound: &str) {
    let text = format!("</usr/share/alsa/alsa.conf>\n{asound}\n");
    let new = folder.join("asound.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("asound.conf")).unwrap();
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("callbox-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A configuration of two names.
pub(crate) fn config(microphone: Option<&str>, speaker: Option<&str>) -> Config {
    let side = |name: &str| Side {
        name: name.into(),
        format: None,
    };
    Config {
        microphone: microphone.map(side),
        speaker: speaker.map(side),
        ..Config::default()
    }
}
