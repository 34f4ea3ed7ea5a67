//! Secrets: read from files of their own, never from the configuration.
//!
//! A file the configuration names comes first; without one it is the service
//! manager's credential of that name (systemd's `LoadCredential=`), which is
//! empty where there is none. What root runs at a terminal is handed nothing:
//! it reads the file that the service manager would.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use crate::wire::handshake::Token;

/// A secret has at most this many bytes.
const SIZE_MAX: u64 = 4096;
/// Where the unit has the service manager look for credentials.
const CREDENTIALS: &str = "/etc/callbox/credentials";

/// Reads the secret called `name`. `Ok(None)` when nobody gives one.
///
/// # Errors
/// The file is named and cannot be used; says which and what to do.
pub(super) fn read(named: Option<&Path>, name: &str) -> Result<Option<String>, String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    read_from(named, folder.map(PathBuf::from), name)
}

fn read_from(
    named: Option<&Path>,
    handed: Option<PathBuf>,
    name: &str,
) -> Result<Option<String>, String> {
    let credential = || {
        let path = handed.unwrap_or_else(|| CREDENTIALS.into()).join(name);
        // A unit has to give something for a file that is not there: a line's end.
        let given = std::fs::metadata(&path).is_ok_and(|file| file.len() > 1);
        given.then_some(path)
    };
    let Some(path) = named.map(Path::to_owned).or_else(credential) else {
        return Ok(None);
    };
    let shown = path.display();
    let mut text = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut text))
        .map_err(|e| format!("{shown}: the {name} cannot be read: {e}"))?;
    if text.len() as u64 > SIZE_MAX {
        return Err(format!(
            "{shown}: this is no {name}: it has more than {SIZE_MAX} bytes"
        ));
    }
    let text = String::from_utf8(text)
        .map_err(|_| format!("{shown}: this is no {name}: it is not text"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown}: the file is empty; put the {name} in it"));
    }
    Ok(Some(text.to_owned()))
}

/// The token of the secret path on which calls to the device come in: from
/// the file that is named, from the credential, or the one kept at `path`.
///
/// # Errors
/// It is there, and of no use.
pub(super) fn token(named: Option<&Path>, path: &Path) -> Result<Option<Token>, String> {
    let name = "inbound-token";
    let given = match read(named, name)? {
        None if path.exists() => read(Some(path), name)?,
        given => given,
    };
    let parse = |text: String| {
        Token::parse(&text).ok_or_else(|| {
            format!(
                "an {name} has {} letters, digits, - and _; `head -c 24 /dev/urandom | basenc \
                 --base64url` makes one",
                Token::LENGTH
            )
        })
    };
    given.map(parse).transpose()
}

/// The token, drawn and kept at `path` when there is none yet.
///
/// # Errors
/// It can neither be read nor made; says what to do.
pub(super) fn kept_token(named: Option<&Path>, path: &Path) -> Result<Token, String> {
    if let Some(token) = token(named, path)? {
        return Ok(token);
    }
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random numbers for an inbound token".to_owned())?;
    let token = Token::from_random(bytes);
    keep(path, token.as_str()).map_err(|e| {
        format!(
            "{}: the inbound token cannot be kept: {e}; run as callbox's user or as root, or name \
             a file of your own in [inbound] token_file",
            path.display()
        )
    })?;
    Ok(token)
}

/// Writes a secret that only its owner reads: whoever owns the folder, since
/// root may be who asks first.
fn keep(path: &Path, secret: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    let owner = std::fs::metadata(folder)?;
    if file.metadata()?.uid() != owner.uid() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_cannot_be_used_names_its_file() {
        let dir = std::env::temp_dir().join(format!("callbox-secret-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("api-key");
        let said = read(Some(&file), "api-key").unwrap_err();
        assert!(said.contains("api-key cannot be read"), "{said}");
        for (bytes, want) in [
            (&b" \n"[..], "is empty"),
            (b"\xff\xfe", "not text"),
            (&[b'k'; 5000], "more than 4096 bytes"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let said = read(Some(&file), "api-key").unwrap_err();
            assert!(said.contains(want), "{said}");
        }
        std::fs::write(&file, "key-1\n").unwrap();
        assert_eq!(
            read(Some(&file), "api-key").unwrap().as_deref(),
            Some("key-1")
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_credential_of_a_line_end_is_none() {
        let dir = std::env::temp_dir().join(format!("callbox-handed-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let handed = |name| read_from(None, Some(dir.clone()), name);
        assert_eq!(handed("api-key"), Ok(None));
        for (text, want) in [("", None), ("\n", None), ("key-1\n", Some("key-1"))] {
            std::fs::write(dir.join("api-key"), text).unwrap();
            assert_eq!(handed("api-key").unwrap().as_deref(), want, "{text:?}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
