//! The files on a card, as a PC leaves them there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::edge::volume::{Mount, Writable, erase, overwrite, replace};

/// Names that are looked at; a card with photographs on it has more.
const NAMES_MAX: usize = 4096;

/// The FAT partition.
#[derive(Debug)]
pub(super) struct Card {
    folder: PathBuf,
    files: Vec<(String, PathBuf, Option<SystemTime>)>,
    /// Writable from the first write until this is dropped.
    open: Option<Writable>,
}

/// A file that was looked for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its name as it is on the card.
    pub(super) name: String,
    /// Older files that may have been meant by that name.
    pub(super) others: Vec<String>,
}

impl Card {
    /// Looks at what is there.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be read.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let entries = fs::read_dir(folder)?.take(NAMES_MAX);
        let file = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            let about = entry.metadata().ok()?;
            let name = entry.file_name().into_string().ok()?;
            about
                .is_file()
                .then(|| (name, entry.path(), about.modified().ok()))
        };
        Ok(Self {
            folder: folder.to_owned(),
            files: entries.filter_map(file).collect(),
            open: None,
        })
    }

    /// The newest of the files that an installer may mean by `name`.
    pub(super) fn find(&self, name: &str) -> Option<Found> {
        let wanted = plain(name);
        let alike = self.files.iter().filter(|(name, ..)| plain(name) == wanted);
        let mut alike: Vec<_> = alike.collect();
        alike.sort_by_key(|(_, _, written)| std::cmp::Reverse(*written));
        let (found, others) = alike.split_first()?;
        Some(Found {
            path: found.1.clone(),
            name: found.0.clone(),
            others: others.iter().map(|(name, ..)| name.clone()).collect(),
        })
    }

    /// Writes over a file in its place.
    pub(super) fn overwrite(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.unlock()?;
        overwrite(path, bytes)
    }

    /// Erases a file.
    pub(super) fn erase(&mut self, path: &Path) -> io::Result<()> {
        self.unlock()?;
        erase(path)
    }

    /// Writes a file anew.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.unlock()?;
        // FAT has no rights.
        replace(&self.folder.join(name), bytes, 0o644)
    }

    fn unlock(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(Writable::new(&self.folder)?);
        }
        Ok(())
    }
}

/// Whether what is written to the data partition is there after the next power
/// cut. Where nobody can say, it is taken to be.
pub(super) fn lasts(data: &Path) -> bool {
    Mount::of(data).is_none_or(|mount| mount.lasts())
}

/// A name without what Windows hides, in small letters.
fn plain(name: &str) -> String {
    let mut name = name.trim().to_lowercase().replace('_', "-");
    while let Some(less) = name.strip_suffix(".txt") {
        name.truncate(less.len());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_people_mean_them() {
        for name in ["api-key.txt", "API-KEY.TXT", "api_key.txt.txt", "api-key"] {
            assert_eq!(plain(name), plain("api-key.txt"), "{name}");
        }
        assert_eq!(plain("callbox.toml.txt"), "callbox.toml");
        assert_ne!(plain("callbox.toml.bak"), "callbox.toml");
        assert_ne!(plain("._callbox.toml"), "callbox.toml");
    }
}
