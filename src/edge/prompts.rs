//! Reads the installer's recordings, once, when the device starts.
//!
//! ```text
//!  folder/ringing.wav ─▶ check the name ─▶ recording::read ─▶ Prompts
//!         far-confirm.wav
//! ```
//!
//! A file is named after the sound it takes the place of
//! ([`Cue::name`](crate::audio::prompt::Cue::name)), with `.wav` behind. A name
//! that means nothing, or a file that cannot be used, is refused: a prompt that
//! was left out in silence is noticed by a visitor first.
//!
//! Not for the audio thread.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::recording::{self, CONVERT};
use crate::audio::BUS_RATE;
use crate::audio::prompt::{Cue, PROMPT_MAX, Prompts};

/// Seconds of a recording at most.
const SECONDS_MAX: usize = PROMPT_MAX / BUS_RATE as usize;
/// Files looked at in the folder.
const FILES_MAX: usize = 500;

/// A recording that cannot be used.
#[derive(Debug, Error)]
#[error("prompt {}: {fault}", path.display())]
pub struct BadPrompt {
    /// The file, or the folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a recording, and what to do.
#[derive(Debug, Error)]
pub enum Fault {
    /// The system does not hand the folder over.
    #[error("cannot be read: {0}; check [prompts] folder and its permissions")]
    Unreadable(#[from] std::io::Error),
    /// Too many files for a folder of prompts.
    #[error("holds more than {FILES_MAX} files; give [prompts] a folder of its own")]
    Crowded,
    /// The name is none of ours.
    #[error("stands for no sound; rename or remove it; the names are {}", names())]
    UnknownName,
    /// It has the name of a sound, but is no WAV file.
    #[error("is no WAV file; convert it: {CONVERT}")]
    NotWav,
    /// It is no recording that can be used.
    #[error(transparent)]
    Recording(#[from] recording::Fault),
}

fn names() -> String {
    let names: Vec<_> = Cue::all()
        .map(|cue| format!("{}.wav", cue.name()))
        .collect();
    names.join(", ")
}

/// Reads every recording in `folder`.
///
/// # Errors
/// Of the first file, in the order of names, that cannot be used.
pub fn load(folder: &Path) -> Result<Prompts, BadPrompt> {
    let bad = |path: &Path, fault| BadPrompt {
        path: path.to_owned(),
        fault,
    };
    let mut prompts = Prompts::default();
    for path in files(folder).map_err(|fault| bad(folder, fault))? {
        let Some(cue) = cue_of(&path).map_err(|fault| bad(&path, fault))? else {
            continue;
        };
        let sound = recording::read(&path, SECONDS_MAX);
        let sound = sound.map_err(|fault| bad(&path, fault.into()))?;
        prompts.set(cue, &sound);
    }
    Ok(prompts)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        if files.len() == FILES_MAX {
            return Err(Fault::Crowded);
        }
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// The sound that `path` is for; none for a file that has nothing to do with
/// sounds, as a note of the installer.
fn cue_of(path: &Path) -> Result<Option<Cue>, Fault> {
    let part = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(str::to_owned);
    let name = part(path.file_stem()).unwrap_or_default();
    let cue = Cue::all().find(|cue| cue.name() == name);
    let is_wav = part(path.extension()).is_some_and(|end| end.eq_ignore_ascii_case("wav"));
    match (cue, is_wav) {
        (Some(_), false) => Err(Fault::NotWav),
        (None, true) => Err(Fault::UnknownName),
        (cue, _) => Ok(cue),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::*;
    use crate::audio::prompt::FarPrompt;
    use crate::audio::tone::Tone;

    fn silence(sample_rate: u32, channels: u16, frames: u32) -> Vec<u8> {
        let spec = WavSpec {
            channels,
            sample_rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut wave = WavWriter::new(&mut bytes, spec).unwrap();
        for _ in 0..frames * u32::from(channels) {
            wave.write_sample(0_i16).unwrap();
        }
        wave.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_folder_is_read_by_the_names_of_its_files() {
        let folder = Folder::new("names");
        folder.put("ringing.wav", &silence(8_000, 1, 800));
        folder.put("far-confirm.WAV", &silence(48_000, 2, 9_600));
        folder.put("README.txt", b"from the studio");
        let prompts = load(&folder.0).unwrap();
        let length = |cue: Cue| prompts.of(cue).map(|sound| sound.len());
        assert_eq!(length(Tone::Ringing.into()), Some(1_600));
        assert_eq!(length(FarPrompt::Confirm.into()), Some(3_200));
        assert_eq!(length(Tone::Busy.into()), None);
    }

    #[test]
    fn a_folder_that_is_not_right_names_the_file() {
        let none = load(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(none.contains("/nonexistent: cannot be read"), "{none}");
        let cases = [
            (
                "ringin.wav",
                "ringin.wav: stands for no sound; rename or remove it",
            ),
            ("ringing.mp3", "ringing.mp3: is no WAV file"),
            ("busy.wav", "busy.wav: is no WAV file"),
        ];
        for (name, want) in cases {
            let folder = Folder::new("wrong");
            folder.put(name, b"no sound at all");
            let said = load(&folder.0).unwrap_err().to_string();
            assert!(said.contains(want), "{said:?} without {want:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let folder = Folder::new("endless");
        std::os::unix::fs::symlink("/dev/zero", folder.0.join("busy.wav")).unwrap();
        let fault = load(&folder.0).unwrap_err().fault;
        let large = recording::Fault::TooLarge(SECONDS_MAX);
        assert_eq!(fault.to_string(), large.to_string());
    }

    /// A folder that goes when the test does.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("callbox-prompts-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.0.join(name), bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
