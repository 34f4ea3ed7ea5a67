//! Files that a power cut must not cost, on a card that any PC edits.
//!
//! ```text
//!  card (FAT)   mounted read-only ──Writable──▶ read-write for a moment ──drop──▶ read-only
//!  data (ext4)  replace: new file, fsync, rename, fsync of the folder
//! ```
//!
//! Always true: [`replace`] leaves the old file or the new one, whole;
//! [`overwrite`] and [`erase`] need no room on a full card. What a card's own
//! wear levelling keeps of an erased block nobody can reach by files.
//!
//! Any thread; everything here waits for disks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the kernel says of mounts.
const MOUNTS: &str = "/proc/self/mountinfo";

/// A place where something is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// The kind of file system.
    pub kind: String,
    /// Nothing can be written.
    pub read_only: bool,
}

impl Mount {
    /// What `path` lies on; `None` when the kernel does not say.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let text = fs::read_to_string(MOUNTS).ok()?;
        let mounts = text.lines().filter_map(Self::parse);
        mounts
            .filter(|mount| path.starts_with(&mount.point))
            // The last of those mounted over one another is on top.
            .max_by_key(|mount| mount.point.as_os_str().len())
    }

    /// Whether what is written there outlives the power.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !matches!(self.kind.as_str(), "tmpfs" | "ramfs" | "rootfs")
    }

    /// A line of proc_pid_mountinfo(5).
    fn parse(line: &str) -> Option<Self> {
        let (fields, source) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        let mut source = source.split(' ');
        let kind = source.next()?.to_owned();
        let beneath = source.nth(1).unwrap_or_default();
        let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Self {
            point: unescaped(point).into(),
            kind,
            read_only: has_ro(options) || has_ro(beneath),
        })
    }
}

/// Spaces and their like stand in octal.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// A folder that can be written while this lives. A mount that was read-only
/// is so again when it is dropped.
#[derive(Debug)]
pub struct Writable(Option<PathBuf>);

impl Writable {
    /// Makes `folder` writable where that takes remounting it.
    ///
    /// # Errors
    /// The card has its lock on, is damaged, or this is not root.
    pub fn new(folder: &Path) -> io::Result<Self> {
        match Mount::of(folder) {
            Some(mount) if mount.read_only => {
                remount(&mount.point, "remount,rw")?;
                Ok(Self(Some(mount.point)))
            }
            _ => Ok(Self(None)),
        }
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        if let Some(point) = &self.0
            && let Err(error) = remount(point, "remount,ro")
        {
            tracing::warn!("{} stays writable: {error}", point.display());
        }
    }
}

fn remount(point: &Path, how: &str) -> io::Result<()> {
    let done = Command::new("mount")
        .args(["-o", how])
        .arg(point)
        .output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(io::Error::other(said))
}

/// Writes `bytes` as the whole of `path`, by way of a file `name.new` beside it.
///
/// # Errors
/// What the system said; the old file is as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        // One that was left behind may have another's rights.
        _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| _ = fs::remove_file(&new))?;
    sync_folder(path)
}

/// Writes `bytes` over what is in `path`, without changing how long it is.
///
/// # Errors
/// What the system said; also when the length would change.
pub fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        return Err(io::Error::other("it was changed meanwhile"));
    }
    file.rewind()?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Overwrites a file with zeros, then removes it.
///
/// # Errors
/// What the system said.
pub fn erase(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    overwrite(path, &vec![0; usize::try_from(length).unwrap_or(0)])?;
    fs::remove_file(path)?;
    sync_folder(path)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// What the system said; also when it is longer.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let line = |text: &str| Mount::parse(text).unwrap();
        let fat = line(
            "38 25 179:1 / /boot/firmware ro,relatime shared:4 - vfat /dev/mmcblk0p1 rw,fmask=0022",
        );
        assert_eq!(fat.point, Path::new("/boot/firmware"));
        assert!(fat.read_only && fat.lasts());
        let data = line("40 25 0:40 / /my\\040data rw,noatime - tmpfs tmpfs rw,size=1024k");
        assert_eq!(data.point, Path::new("/my data"));
        assert!(!data.read_only && !data.lasts());
        assert!(line("1 1 8:1 / / rw - ext4 /dev/sda1 ro,errors=remount-ro").read_only);
        assert_eq!(Mount::parse("nonsense"), None);
        assert!(Mount::of(Path::new("/proc")).is_some_and(|mount| mount.kind == "proc"));
    }

    #[test]
    fn files_are_replaced_overwritten_and_erased() {
        let folder = std::env::temp_dir().join(format!("callbox-volume-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        fs::write(folder.join("key.new"), "left by a power cut").unwrap();
        replace(&path, b"12345678", 0o600).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        overwrite(&path, b"# taken ").unwrap();
        assert_eq!(read(&path, 8).unwrap(), b"# taken ");
        assert!(overwrite(&path, b"short").is_err());
        assert!(read(&path, 7).is_err());
        erase(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
